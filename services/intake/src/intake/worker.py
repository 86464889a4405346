"""The background process: `python -m intake.worker`."""

from functools import partial
from pathlib import Path

import common.garbage  # noqa: F401  first of all: it hastens the imports
from common import worker
from common.process import run_forever
from common.runtime import Runtime
from intake.commands.case import come_of_age
from intake.commands.ownership import begin
from intake.consumers import HANDLERS, handlers_of
from intake.queries.case import list_minors
from intake.settings import Settings

SWEEP_SECONDS = 6 * 3600.0


async def run(runtime: Runtime, *, anchor_file: Path | None = None) -> None:
    jobs = {"come_of_age": (SWEEP_SECONDS, sweep)}
    await worker.run_worker(runtime, handlers_of(runtime), jobs=jobs, anchor_file=anchor_file)


async def sweep(runtime: Runtime) -> None:
    """Tell of everybody who has come of age: a guardian's word is no longer needed for them."""
    act = partial(come_of_age, here=runtime.settings.here)
    minors = await list_minors(runtime.database)
    await worker.sweep(runtime, minors, act, operation="come_of_age")


if __name__ == "__main__":
    run_forever("intake", Settings, run, handlers=HANDLERS, begin=begin)
