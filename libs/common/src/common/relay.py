"""The relay: committed events go to the bus in order, at least once, by one leader per service.

Why a leader and a flag, not a cursor: ids are drawn before their commit, so a reader that remembers
the last id it saw loses every event that commits later with a smaller one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from sqlalchemy import bindparam, select

from common.bus import Bus, BusRefusedError, Record
from common.clock import utcnow
from common.crash import crash
from common.db.base import OUTAGE, Database, unit_of
from common.db.lists import ids_in
from common.tables import OutboxMessage, RelayLease
from common.telemetry import OUTBOX_PENDING, PRODUCER, RELAY_EPOCH, RELAY_PUBLISHED, span
from common.unit import DuplicateError, StaleError

logger = structlog.get_logger(__name__)

BATCH = 500
_WAITING = (
    select(
        *(OutboxMessage.id, OutboxMessage.topic),
        *(OutboxMessage.subject, OutboxMessage.payload),
    )
    .where(OutboxMessage.published_at.is_(None), OutboxMessage.id.not_in(ids_in("sent")))
    .order_by(OutboxMessage.id)
    .limit(bindparam("most"))
)
_IDLE_SECONDS = 1.0
"""How long an event may wait of whose commit nothing was heard."""
_SEND_DEADLINE = 20.0
_BACKOFF_SECONDS = (0.25, 0.5, 1, 2, 4, 8)
"""However long it was away: within ten seconds of its return the relay goes on."""


class Relay:
    """Moves one service's outbox to the bus. At most one leads; a former leader can mark nothing."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        service: str = "",
        batch: int = BATCH,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._bus = bus
        self._service = service
        self._batch = batch
        self._pause = pause
        self._epoch = 0
        self._position = 0

    async def lead(self) -> None:
        """Take the lead: raise the epoch, so that whoever held it before is fenced off."""
        while True:
            unit = unit_of(self._database, source="relay", operation="relay")
            lease = await unit.find(select(RelayLease).where(RelayLease.id == 1))
            if lease is None:
                unit.add(RelayLease, id=1, epoch=1, feed_position=0)
            else:
                # The position too: the former leader may have marked since the lease was read.
                seen = {"id": 1, "epoch": lease.epoch, "feed_position": lease.feed_position}
                unit.update(RelayLease, seen, expect=1, epoch=lease.epoch + 1)
            try:
                await self._database.write(unit)
            except (StaleError, DuplicateError):
                continue
            self._epoch = lease.epoch + 1 if lease else 1
            self._position = lease.feed_position if lease else 0
            RELAY_EPOCH.labels(self._service).set(self._epoch)
            return

    async def publish_waiting(self) -> int:
        """Publish what waits, the oldest first, and mark it; return how many events.

        A batch is marked, and the next but one is read, while the next is on its way; no transaction
        is open while the bus is awaited. StaleError: another relay leads now, or a mark before this
        one may have failed or not; `lead` again.
        """
        count, sent = 0, list[int]()
        marking: asyncio.Task[None] | None = None
        reading: asyncio.Task[Sequence[Any]] | None = None
        try:
            waiting = await self._waiting(but=())
            while waiting:
                ids = [row.id for row in waiting]
                is_full = len(ids) == self._batch
                reading = asyncio.create_task(self._waiting(but=sent + ids)) if is_full else None
                await self._send(waiting)
                if marking is not None:
                    await self._marked(marking, len(sent))
                marking = asyncio.create_task(self._mark(ids))
                count, sent = count + len(ids), ids
                waiting = await reading if reading is not None else ()
            if marking is not None:
                await self._marked(marking, len(sent))
        finally:
            if reading is not None:
                reading.cancel()
            under_way = [task for task in (marking, reading) if task is not None]
            await asyncio.gather(*under_way, return_exceptions=True)
        return count

    async def _waiting(self, *, but: Sequence[int]) -> Sequence[Any]:
        """Return the oldest that wait, without those sent but not marked yet.

        These are named: were it a bound, an event that commits late below it would be passed over,
        and the next of its aggregate would leave before it.
        """
        found = await self._database.fetch(_WAITING, {"sent": but, "most": self._batch})
        OUTBOX_PENDING.labels(self._service).set(len(found))
        return found

    async def _send(self, waiting: Sequence[Any]) -> None:
        crash("relay.before_send")
        records = [Record(row.topic, str(row.subject), row.payload) for row in waiting]
        causes = (record.value for record in records)
        with span("relay", service=self._service, kind=PRODUCER, causes=causes):
            async with asyncio.timeout(_SEND_DEADLINE):
                await self._bus.publish(records)
        crash("relay.after_send")

    async def _marked(self, marking: "asyncio.Task[None]", count: int) -> None:
        await marking
        crash("relay.after_mark")
        RELAY_PUBLISHED.labels(self._service).inc(count)

    async def _mark(self, ids: Sequence[int]) -> None:
        unit = unit_of(self._database, source="relay", operation="relay")
        last = self._position + len(ids)
        # The position too: a mark whose answer was lost may have committed all the same.
        mine = {"id": 1, "epoch": self._epoch, "feed_position": self._position}
        unit.update(RelayLease, mine, expect=1, feed_position=last)
        unit.update_each(
            OutboxMessage,
            {"id": ids},
            published_at=[utcnow()] * len(ids),
            feed_position=range(self._position + 1, last + 1),
        )
        await self._database.write(unit)
        self._position = last

    async def run(self) -> None:
        """Relay for ever; outages are waited out, lost leadership ends it with StaleError.

        So does a right that was taken away, with BusRefusedError.
        """
        await self.lead()
        failures = 0
        while True:
            written = self._database.outbox_written
            written.clear()
            try:
                await self._database.listen()
                published = await self.publish_waiting()
            except (StaleError, BusRefusedError):
                raise
            except (*OUTAGE, TimeoutError) as error:
                pause = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
                failures += 1
                logger.warning("relay.waits", error=type(error).__name__, seconds=pause)
                await self._pause(pause)
                continue
            failures = 0
            if published == 0:
                await _wait(written, _IDLE_SECONDS)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
