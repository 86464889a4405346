"""The background half of a service: relay, consumer, audit sealer, and jobs by the clock."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy import select

from common import contracts
from common.audit import Sealer
from common.bus import BusError, BusRefusedError
from common.clock import monotonic, utcnow
from common.consumer import Consumer, with_audit_heads
from common.db import OUTAGE
from common.db.base import unit_of
from common.dead_letters import KEPT_FOR
from common.events import topic_of
from common.inbox import Handlers
from common.relay import Relay
from common.runtime import Runtime
from common.tables import DeadLetter, IdempotencyAnswer
from common.telemetry import STALE_EPOCH
from common.unit import StaleError, Unit

logger = structlog.get_logger(__name__)

Job = Callable[[Runtime], Awaitable[None]]

LINK_SECONDS = 1.0
HEAD_SECONDS = 60.0
CALENDAR_SECONDS = 60.0
"""How often a resting job looks whether a new day has begun, or tries again after an outage."""
FORGET_SECONDS = 3600.0
FIRST_FORGET_SECONDS = 300.0
_FORGET_BATCH = 500


class LostTaskError(Exception):
    """What was to go on for ever was ended by what it used, and not by who runs it."""


async def steadily(work: Awaitable[None]) -> None:
    """Await `work`; LostTaskError where it is cancelled although nobody cancelled it.

    A library may let out that it cancelled a task of its own. A group takes no notice of a task that
    ends so: the work would be over, and its process live on without a word.
    """
    try:
        await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise LostTaskError from None


async def run_worker(
    runtime: Runtime,
    handlers: Handlers,
    *,
    jobs: Mapping[str, tuple[float, Job]] | None = None,
    anchor_file: Path | None = None,
) -> None:
    """Run until cancelled. `jobs` maps a name to (seconds between runs, what to do).

    A job runs at the start, when its seconds are over, and within a minute of local midnight.
    """
    consumer = consumer_of(runtime, handlers)
    sealer = sealer_of(runtime, anchor_file)
    logger.info("worker.started")
    try:
        async with asyncio.TaskGroup() as tasks:
            works = {
                "check": _check_bus(runtime, consumer),
                "relay": _lead(runtime),
                "consumer": consumer.run(runtime.bus),
                "sealer": _seal(sealer),
                "forget": _forget(runtime),
            }
            for name, (seconds, job) in (jobs or {}).items():
                works[name] = _repeat(runtime, name, seconds, job)
            for name, work in works.items():
                tasks.create_task(steadily(work), name=f"{runtime.name}-{name}")
    finally:
        logger.info("worker.stopped")


def consumer_of(runtime: Runtime, handlers: Handlers) -> Consumer:
    return Consumer(
        runtime.database,
        with_audit_heads(runtime.name, handlers),
        service=runtime.name,
        box=runtime.box,
        source=runtime.source,
    )


def sealer_of(runtime: Runtime, anchor_file: Path | None) -> Sealer:
    return Sealer(
        runtime.database,
        runtime.master,
        service=runtime.name,
        source=runtime.source,
        anchor_file=anchor_file,
    )


async def _check_bus(runtime: Runtime, consumer: Consumer) -> None:
    """End the worker if a setting keeps it from the bus for good; wait while nobody answers."""
    writes = {topic_of(kind) for kind in contracts.kinds() if kind.startswith(f"{runtime.name}.")}
    seconds = 0.25
    while True:
        try:
            await runtime.bus.check(reads=consumer.topics, writes=writes)
        except BusRefusedError:
            raise
        except BusError as error:
            logger.warning("bus.waits", error=type(error).__name__)
            await asyncio.sleep(seconds)
            seconds = min(seconds * 2, 10)
        else:
            return


async def _lead(runtime: Runtime) -> None:
    """Relay; when another relay took the lead, stand for it again."""
    while True:
        relay = Relay(runtime.database, runtime.bus, service=runtime.name)
        try:
            await relay.run()
        except BusRefusedError:
            raise
        except (StaleError, *OUTAGE) as error:
            if isinstance(error, StaleError):
                STALE_EPOCH.labels(runtime.name).inc()
            logger.warning("relay.lost_lead", error=type(error).__name__)
            await asyncio.sleep(1)


async def _seal(sealer: Sealer) -> None:
    next_head = 0.0
    while True:
        try:
            await sealer.link_waiting()
            if monotonic() >= next_head:
                await sealer.seal_head()
                next_head = monotonic() + HEAD_SECONDS
        except OUTAGE as error:
            logger.warning("audit.waits", error=type(error).__name__)
        await asyncio.sleep(LINK_SECONDS)


async def sweep(
    runtime: Runtime,
    ids: Iterable[UUID],
    act: Callable[[Unit, UUID], Awaitable[object]],
    *,
    operation: str,
) -> None:
    """Do `act` to each record in a Unit of its own, as the service itself.

    One that fails stops none of the others and is left to the next sweep; so is one that was changed
    meanwhile. An outage ends the sweep.
    """
    for id_ in ids:
        unit = unit_of(runtime.database, source=runtime.source, operation=operation)
        try:
            await act(unit, id_)
            await runtime.database.write(unit)
        except OUTAGE:
            raise
        except StaleError:
            logger.info("sweep.changed_meanwhile", operation=operation, subject=str(id_))
        except Exception as error:  # noqa: BLE001  one bad row must not keep the others waiting
            logger.error(  # noqa: TRY400  its text may hold values
                "sweep.failed", operation=operation, subject=str(id_), error=type(error).__name__
            )


async def forget_answers(runtime: Runtime) -> None:
    """Delete the answers kept for idempotency keys that have expired.

    They are sealed under the service's key: kept longer, they would outlive the deletion of a case.
    """
    expired = (
        select(IdempotencyAnswer.key, IdempotencyAnswer.expires_at)
        .where(IdempotencyAnswer.expires_at < utcnow())
        .order_by(IdempotencyAnswer.expires_at)
        .limit(_FORGET_BATCH)
    )
    rows = await runtime.database.fetch(expired)
    while rows:
        unit = unit_of(runtime.database, source=runtime.source, operation="forget_answers")
        for row in rows:
            # With its time: the key may have been answered anew since.
            unit.remove(IdempotencyAnswer, key=row.key, expires_at=row.expires_at)
        await runtime.database.write(unit)
        rows = await runtime.database.fetch(expired) if len(rows) == _FORGET_BATCH else ()


async def forget_dead_letters(runtime: Runtime) -> None:
    """Delete what could not be applied and was put aside so long ago that nobody will look at it."""
    old = select(DeadLetter.id).where(DeadLetter.received_at < utcnow() - KEPT_FOR)
    while rows := await runtime.database.fetch(old.limit(_FORGET_BATCH)):
        unit = unit_of(runtime.database, source=runtime.source, operation="forget_dead_letters")
        for row in rows:
            unit.remove(DeadLetter, id=row.id)
        await runtime.database.write(unit)


async def _forget(runtime: Runtime) -> None:
    """Forget, but not at once: who was cut off asks again in the first minutes after a start.

    Minutes only, for a country on a laptop may never run for a whole hour.
    """
    await asyncio.sleep(FIRST_FORGET_SECONDS)
    async with asyncio.TaskGroup() as tasks:
        for act in (forget_answers, forget_dead_letters):
            tasks.create_task(steadily(_repeat(runtime, act.__name__, FORGET_SECONDS, act)))


async def _repeat(runtime: Runtime, name: str, seconds: float, job: Job) -> None:
    while True:
        today, rest = runtime.settings.here.today, seconds
        try:
            await job(runtime)
        except OUTAGE as error:
            rest = min(seconds, CALENDAR_SECONDS)
            logger.warning("job.waits", operation=name, error=type(error).__name__)
        except Exception as error:  # noqa: BLE001  one bad record must not stop a country
            logger.error(  # noqa: TRY400  its text may hold values
                "job.failed", operation=name, error=type(error).__name__
            )
        await _rest(runtime, rest, today)


async def _rest(runtime: Runtime, seconds: float, today: date) -> None:
    """Wait for `seconds`, but not into another local day: ages and terms count from midnight."""
    end = monotonic() + seconds
    while True:
        left = end - monotonic()
        await asyncio.sleep(max(0, min(left, CALENDAR_SECONDS)))
        if left <= CALENDAR_SECONDS or runtime.settings.here.today != today:
            return
