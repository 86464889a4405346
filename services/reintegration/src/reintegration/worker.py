"""The background process: `python -m reintegration.worker`."""

from functools import partial
from pathlib import Path

import common.garbage  # noqa: F401  first of all: it hastens the imports
from common import worker
from common.process import run_forever
from common.runtime import Runtime
from reintegration.commands.plan import report_overdue
from reintegration.consumers import HANDLERS
from reintegration.queries.plan import list_overdue
from reintegration.settings import Settings

SWEEP_SECONDS = 3600.0


async def run(runtime: Runtime, *, anchor_file: Path | None = None) -> None:
    jobs = {"overdue": (SWEEP_SECONDS, sweep)}
    await worker.run_worker(runtime, HANDLERS, jobs=jobs, anchor_file=anchor_file)


async def sweep(runtime: Runtime) -> None:
    """Tell of every plan that is overdue on this country's calendar day and was not yet told of."""
    today = runtime.settings.here.today
    overdue = await list_overdue(runtime.database, today)
    act = partial(report_overdue, today=today)
    await worker.sweep(runtime, overdue, act, operation="report_overdue")


if __name__ == "__main__":
    run_forever("reintegration", Settings, run, handlers=HANDLERS)
