"""The background process: `python -m referral.worker`."""

from functools import partial
from pathlib import Path

from common import worker
from common.clock import utcnow
from common.process import run_forever
from common.runtime import Runtime
from referral.commands.ending import expire_referral
from referral.consumers import HANDLERS
from referral.queries.referral import list_overdue
from referral.settings import Settings

SWEEP_SECONDS = 60.0


async def run(runtime: Runtime, *, anchor_file: Path | None = None) -> None:
    jobs = {"expire": (SWEEP_SECONDS, expire_overdue)}
    await worker.run_worker(runtime, HANDLERS, jobs=jobs, anchor_file=anchor_file)


async def expire_overdue(runtime: Runtime) -> None:
    """Expire every referral nobody has decided on in time."""
    overdue = await list_overdue(runtime.database, utcnow())
    act = partial(expire_referral, here=runtime.settings.here)
    await worker.sweep(runtime, overdue, act, operation="expire_referral")


if __name__ == "__main__":
    run_forever("referral", Settings, run, handlers=HANDLERS)
