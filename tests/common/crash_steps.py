"""The work of a service in small, and what must hold of it after a kill at any point."""

import asyncio
from pathlib import Path
from uuid import NAMESPACE_OID, UUID, uuid5

from sqlalchemy import select

from common.audit import Sealer
from common.bus import Bus, LocalBus, Record
from common.consumer import Consumer
from common.db import Database, open_database
from common.events import topic_of
from common.relay import Relay
from common.sealing import ServiceBox, SubjectKeyRing
from common.tables import AuditEntry, AuditLink, IdempotencyAnswer, OutboxMessage
from tests.common.things import (
    HANDLERS,
    TOPIC,
    Thing,
    first_seqs,
    made,
    move,
    new_unit,
    on_bus,
    outbox,
    steps_of,
    trails,
)
from tests.common.tiny import Tiny
from tests.conftest import MASTER

ABROAD = "/ME/intake"


class Work:
    """One process's life: it writes, relays and consumes until all of the plan is done."""

    def __init__(self, url: str, folder: Path, plan: str) -> None:
        self.database: Database = open_database(url, SubjectKeyRing(MASTER, "test"))
        self.bus: Bus = LocalBus(folder / "bus.db")
        self._folder = folder
        self._plan = plan
        self._ledger = folder / "acknowledged"
        self._thing = uuid5(NAMESPACE_OID, plan)
        self._abroad = uuid5(NAMESPACE_OID, f"{plan}/abroad")

    async def go(self) -> None:
        await self._publish_from_abroad()
        await self._write(self._thing)
        await self._relay()
        await self._consume()
        if self._plan.startswith("http."):
            await self._post()
        await self._seal()
        await self._relay()
        await self._consume()
        await self.close()

    async def check(self) -> None:
        """Whatever was cut off: each Unit is there whole or not at all, and what was told is there."""
        events = [e for e in await outbox(self.database) if topic_of(e.type) == TOPIC]
        versions = {row.id: row.version for row in await self.database.fetch(select(Thing))}
        assert first_seqs(events) == {id_: [*range(1, n + 1)] for id_, n in versions.items()}
        entries = await self.database.fetch(select(AuditEntry.subject, AuditEntry.action))
        changes = [row.subject for row in entries if row.action != "repeat"]
        for thing, version in versions.items():
            assert changes.count(thing) == version
        links = await self.database.fetch(select(AuditLink.entry_id).order_by(AuditLink.seq))
        assert len({row.entry_id for row in links}) == len(links) <= len(entries)
        for line in self._acknowledged():
            thing_id, _, version = line.partition(" ")
            assert versions.get(UUID(thing_id), 0) >= int(version), "an acknowledged write is lost"
        sent = {event.id for event in await on_bus(self.bus) if event.source != ABROAD}
        assert sent <= {event.id for event in events}, "an event of no committed row"
        marked = select(OutboxMessage.event_id).where(
            OutboxMessage.topic == TOPIC, OutboxMessage.published_at.is_not(None)
        )
        assert {row.event_id for row in await self.database.fetch(marked)} <= sent
        for trail in (await trails(self.database)).values():
            assert trail == [str(n) for n in range(1, len(trail) + 1)], "an effect twice or astray"

    async def check_done(self) -> None:
        """Nothing is lost, doubled or turned, and everything took effect."""
        await self.check()
        told = await outbox(self.database)
        events = [event for event in told if topic_of(event.type) == TOPIC]
        arrived = await on_bus(self.bus)
        foreign = [event for event in arrived if event.source == ABROAD]
        assert {e.id for e in arrived} == {e.id for e in (*events, *foreign)}, "an event is lost"
        steps = {id_: [str(n) for n in seqs] for id_, seqs in first_seqs(events).items()}
        steps |= {event.subject: ["1", "2", "3"] for event in foreign}
        assert await trails(self.database) == steps
        found = await self.database.fetch(select(OutboxMessage.feed_position))
        assert sorted(row.feed_position for row in found) == [*range(1, len(told) + 1)]
        links = await self.database.fetch(select(AuditLink.seq).order_by(AuditLink.seq))
        entries = await self.database.fetch(select(AuditEntry.id))
        assert [row.seq for row in links] == [*range(1, len(entries) + 1)]
        answers = await self.database.fetch(select(IdempotencyAnswer.key))
        assert len(answers) == await self._posted(), "a POST was answered twice, or not at all"

    async def close(self) -> None:
        await self.database.close()
        await self.bus.close()

    async def _publish_from_abroad(self) -> None:
        """Put three events on the bus in the wrong order, so that two must wait for the first."""
        if any(event.subject == self._abroad for event in await on_bus(self.bus)):
            return
        events = [
            event.model_copy(update={"source": ABROAD, "id": uuid5(self._abroad, str(event.seq))})
            for event in steps_of(self._abroad, 3)
        ]
        order = (events[1], events[2], events[0])
        await self.bus.publish([Record(TOPIC, str(e.subject), e.to_bytes()) for e in order])

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

    async def _post(self) -> None:
        """POST under the plan's own key, as a client does who does not know what became of it."""
        tiny = Tiny(self._folder, self.database)
        response = await tiny.post("/v1/things", {"label": "x"}, key=self._plan)
        assert response.status_code == 201, response.text
        await tiny.client.aclose()
        await tiny.runtime.bus.close()

    async def _posted(self) -> int:
        posted = select(AuditEntry.id).where(
            AuditEntry.operation == "create_thing", AuditEntry.action == "create"
        )
        return len(await self.database.fetch(posted))

    async def _seal(self) -> None:
        sealer = Sealer(self.database, MASTER, service="intake")
        while await sealer.link_waiting():
            pass
        await sealer.seal_head()

    async def _relay(self) -> None:
        relay = Relay(self.database, self.bus)
        await relay.lead()
        while await relay.publish_waiting():
            pass

    async def _consume(self) -> None:
        consumer = Consumer(self.database, HANDLERS, service="test", box=ServiceBox(MASTER, "test"))
        await consumer.catch_up()
        subscription = await self.bus.subscribe(
            consumer.topics, group="test", position_of=consumer.claim
        )
        while found := await subscription.poll(seconds=0):
            for delivery in found:
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
