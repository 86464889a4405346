"""The background process: `python -m intake.worker`."""

from pathlib import Path

import structlog

from common.db.base import unit_of
from common.process import run_forever
from common.runtime import Runtime
from common.unit import StaleError
from common.worker import run_worker
from intake.commands.case import come_of_age
from intake.consumers import HANDLERS
from intake.queries.case import list_minors
from intake.settings import Settings

logger = structlog.get_logger(__name__)

SWEEP_SECONDS = 6 * 3600.0


async def run(runtime: Runtime, *, anchor_file: Path | None = None) -> None:
    jobs = {"come_of_age": (SWEEP_SECONDS, sweep)}
    await run_worker(runtime, HANDLERS, jobs=jobs, anchor_file=anchor_file)


async def sweep(runtime: Runtime) -> None:
    """Tell of everybody who has come of age: a guardian's word is no longer needed for them.

    Each case is a change of its own. One that changed meanwhile is left to the next sweep.
    """
    here = runtime.settings.here
    for case_id in await list_minors(runtime.database):
        unit = unit_of(runtime.database, source=runtime.source, operation="come_of_age")
        await come_of_age(unit, case_id, here=here)
        try:
            await runtime.database.write(unit)
        except StaleError:
            logger.info("come_of_age.case_changed", subject=str(case_id))


if __name__ == "__main__":
    run_forever("intake", Settings, run)
