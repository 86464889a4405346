"""The background process: `python -m reintegration.worker`."""

from pathlib import Path

import structlog

from common.db.base import unit_of
from common.process import run_forever
from common.runtime import Runtime
from common.unit import StaleError
from common.worker import run_worker
from reintegration.commands.plan import report_overdue
from reintegration.consumers import HANDLERS
from reintegration.queries.plan import list_overdue
from reintegration.settings import Settings

logger = structlog.get_logger(__name__)

SWEEP_SECONDS = 3600.0


async def run(runtime: Runtime, *, anchor_file: Path | None = None) -> None:
    jobs = {"overdue": (SWEEP_SECONDS, sweep)}
    await run_worker(runtime, HANDLERS, jobs=jobs, anchor_file=anchor_file)


async def sweep(runtime: Runtime) -> None:
    """Tell of every plan that is overdue on this country's calendar day and was not yet told of.

    Each plan is a change of its own. One that changed meanwhile is left to the next sweep.
    """
    today = runtime.settings.here.today
    for plan_id in await list_overdue(runtime.database, today):
        unit = unit_of(runtime.database, source=runtime.source, operation="report_overdue")
        await report_overdue(unit, plan_id, today=today)
        try:
            await runtime.database.write(unit)
        except StaleError:
            logger.info("overdue.plan_changed", subject=str(plan_id))


if __name__ == "__main__":
    run_forever("reintegration", Settings, run)
