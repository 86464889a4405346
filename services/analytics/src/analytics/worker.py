"""The background process: `python -m analytics.worker`."""

from pathlib import Path

import common.garbage  # noqa: F401  first of all: it hastens the imports
from analytics.consumers import HANDLERS
from analytics.settings import Settings
from common.process import run_forever
from common.runtime import Runtime
from common.worker import run_worker


async def run(runtime: Runtime, *, anchor_file: Path | None = None) -> None:
    await run_worker(runtime, HANDLERS, anchor_file=anchor_file)


if __name__ == "__main__":
    run_forever("analytics", Settings, run, handlers=HANDLERS)
