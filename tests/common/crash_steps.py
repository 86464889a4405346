"""The work of a service in small, and what must hold of it after a kill at any point."""

import asyncio
from pathlib import Path
from uuid import NAMESPACE_OID, UUID, uuid5

from sqlalchemy import select

from common.bus import Bus, LocalBus
from common.consumer import Consumer
from common.db import Database, open_database
from common.relay import Relay
from common.sealing import ServiceBox, SubjectKeyRing
from common.tables import AuditEntry, OutboxMessage
from tests.common.things import (
    HANDLERS,
    Thing,
    first_seqs,
    made,
    move,
    new_unit,
    on_bus,
    outbox,
    trails,
)
from tests.conftest import MASTER

ROUNDS = 2


class Work:
    """One process's life: it writes, relays and consumes until all of the plan is done."""

    def __init__(self, url: str, folder: Path, plan: str) -> None:
        self.database: Database = open_database(url, SubjectKeyRing(MASTER, "test"))
        self.bus: Bus = LocalBus(folder / "bus.db")
        self._ledger = folder / "acknowledged"
        self._things = [uuid5(NAMESPACE_OID, f"{plan}/{number}") for number in range(ROUNDS)]

    async def go(self) -> None:
        for thing in self._things:
            await self._write(thing)
            await self._relay()
            await self._consume()
        await self.close()

    async def check(self) -> None:
        """Whatever was cut off: each Unit is there whole or not at all, and what was told is there."""
        events = await outbox(self.database)
        versions = {row.id: row.version for row in await self.database.fetch(select(Thing))}
        assert first_seqs(events) == {id_: [*range(1, n + 1)] for id_, n in versions.items()}
        entries = await self.database.fetch(select(AuditEntry.subject))
        for thing, version in versions.items():
            assert [row.subject for row in entries].count(thing) == version
        for line in self._acknowledged():
            thing_id, _, version = line.partition(" ")
            assert versions.get(UUID(thing_id), 0) >= int(version), "an acknowledged write is lost"
        sent = {event.id for event in await on_bus(self.bus)}
        assert sent <= {event.id for event in events}, "an event of no committed row"
        marked = select(OutboxMessage.event_id).where(OutboxMessage.published_at.is_not(None))
        assert {row.event_id for row in await self.database.fetch(marked)} <= sent
        for trail in (await trails(self.database)).values():
            assert trail == [str(n) for n in range(1, len(trail) + 1)], "an effect twice or astray"

    async def check_done(self) -> None:
        """Nothing is lost, doubled or turned, and everything took effect."""
        await self.check()
        events = await outbox(self.database)
        assert {event.id for event in await on_bus(self.bus)} == {event.id for event in events}
        steps = {id_: [str(n) for n in seqs] for id_, seqs in first_seqs(events).items()}
        assert await trails(self.database) == steps
        found = await self.database.fetch(select(OutboxMessage.feed_position))
        assert sorted(row.feed_position for row in found) == [*range(1, len(events) + 1)]

    async def close(self) -> None:
        await self.database.close()
        await self.bus.close()

    async def _write(self, thing_id: UUID) -> None:
        """Make the thing and move it once, as a client does who asks again what it was not told."""
        found = await self.database.fetch(select(Thing.version).where(Thing.id == thing_id))
        version = found[0].version if found else 0
        if version < 1:
            await made(self.database, thing_id)
            self._acknowledge(thing_id, 1)
        if version < 2:
            unit = new_unit(self.database)
            await move(unit, thing_id)
            await self.database.write(unit)
            self._acknowledge(thing_id, 2)

    async def _relay(self) -> None:
        relay = Relay(self.database, self.bus)
        await relay.lead()
        while await relay.publish_waiting():
            pass

    async def _consume(self) -> None:
        consumer = Consumer(self.database, HANDLERS, service="test", box=ServiceBox(MASTER, "test"))
        await consumer.catch_up()
        subscription = await self.bus.subscribe(
            consumer.topics, group="test", position_of=consumer.position_of
        )
        while found := await subscription.poll(seconds=0):
            # Turned round, so that one event waits for the other, as after a repartition.
            for delivery in (found[-1], *found[:-1]):
                await consumer.accept(delivery)

    def _acknowledge(self, thing_id: UUID, version: int) -> None:
        with self._ledger.open("a") as ledger:
            ledger.write(f"{thing_id} {version}\n")

    def _acknowledged(self) -> list[str]:
        return self._ledger.read_text().splitlines() if self._ledger.exists() else []


def go(url: str, folder: Path, plan: str) -> None:
    asyncio.run(Work(url, folder, plan).go())


def check_and_finish(url: str, folder: Path, plan: str) -> None:
    async def all_of_it() -> None:
        work = Work(url, folder, plan)
        await work.check()
        await work.go()
        again = Work(url, folder, plan)
        await again.check_done()
        await again.close()

    asyncio.run(all_of_it())
