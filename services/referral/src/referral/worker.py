"""The background process: `python -m referral.worker`."""

from pathlib import Path

import structlog

from common.clock import utcnow
from common.db import OUTAGE
from common.db.base import unit_of
from common.process import run_forever
from common.runtime import Runtime
from common.unit import StaleError
from common.worker import run_worker
from referral.commands.ending import expire_referral
from referral.consumers import HANDLERS
from referral.queries.referral import list_overdue
from referral.settings import Settings

logger = structlog.get_logger(__name__)

SWEEP_SECONDS = 60.0


async def run(runtime: Runtime, *, anchor_file: Path | None = None) -> None:
    jobs = {"expire": (SWEEP_SECONDS, expire_overdue)}
    await run_worker(runtime, HANDLERS, jobs=jobs, anchor_file=anchor_file)


async def expire_overdue(runtime: Runtime) -> None:
    """Expire every referral nobody has decided on in time, each in a Unit of its own.

    One that fails is left to the next sweep and stops none of the others.
    """
    for referral_id in await list_overdue(runtime.database, utcnow()):
        unit = unit_of(runtime.database, source=runtime.source, operation="expire_referral")
        try:
            await expire_referral(unit, referral_id, here=runtime.settings.here)
            await runtime.database.write(unit)
        except OUTAGE:
            raise
        except StaleError:
            continue  # somebody decided at the last moment
        except Exception as error:  # noqa: BLE001  one bad row must not keep the others waiting
            logger.warning(
                "referral.not_expired", subject=str(referral_id), error=type(error).__name__
            )


if __name__ == "__main__":
    run_forever("referral", Settings, run)
