"""Writers, relays and commits in every order: nothing is lost and no aggregate's events cross.

Each test runs the same race with the relay as it is and with a mistake, which it must find.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from common.bus import Bus, Record
from common.clock import new_id
from common.db import Database
from common.db.postgres import PostgresDatabase
from common.db.sqlite import SqliteDatabase
from common.events import Event
from common.relay import Relay
from common.sealing import SubjectKeyRing
from common.tables import OutboxMessage
from common.unit import AnySelect, DuplicateError, StaleError, Unit
from tests.common.things import Around, first_seqs, held, made, move, new_unit, on_bus
from tests.conftest import MASTER, fixed_id

WRITERS = 12
TRANSACTIONS = 10


class HeldCommits(PostgresDatabase):
    """Holds each transaction open for a random while after it has drawn its outbox ids."""

    def __init__(self, url: str, chance: Random) -> None:
        super().__init__(url, SubjectKeyRing(MASTER, "test"))
        self._chance = chance

    async def write(self, unit: Unit) -> None:
        async with self.batch() as batch:
            await batch.write(unit)
            await held(self._chance.uniform(0, 0.03))


class CursorRelay(Relay):
    """The mistake: remembers the last id it saw, and never sees what commits later below it."""

    _last = 0

    async def publish_waiting(self) -> int:
        found = await self._database.fetch(
            select(OutboxMessage)
            .where(OutboxMessage.id > self._last)
            .order_by(OutboxMessage.id)
            .limit(self._batch)
        )
        await self._bus.publish([Record(row.topic, str(row.subject), row.payload) for row in found])
        self._last = found[-1].id if found else self._last
        return len(found)


COMPLAINTS: dict[type[Relay], str] = {CursorRelay: "events lost"}


@dataclass
class Race:
    """What was acknowledged to the writers and what arrived."""

    seed: int
    committed: set[UUID] = field(default_factory=set)
    arrived: list[Event] = field(default_factory=list)
    positions: list[int | None] = field(default_factory=list)

    def judge(self) -> None:
        told = f"seed {self.seed}"
        ids = {event.id for event in self.arrived}
        assert ids - self.committed == set(), f"events of no committed row, {told}"
        lost = self.committed - ids
        assert not lost, f"{len(lost)} of {len(self.committed)} events lost, {told}"
        for seqs in first_seqs(self.arrived).values():
            assert seqs == [*range(1, len(seqs) + 1)], f"out of order, {told}"
        assert sorted(p or 0 for p in self.positions) == [*range(1, len(self.committed) + 1)], told


async def write_steps(
    database: Database, things: Sequence[UUID], chance: Random, committed: set[UUID]
) -> None:
    left = TRANSACTIONS
    while left:
        unit = new_unit(database)
        # A tenth of the writes meets on one thing, so that writers also wait for each other.
        await move(unit, things[0] if chance.random() < 0.1 else chance.choice(things))
        try:
            await database.write(unit)
        except StaleError:
            continue
        committed |= {s.values["event_id"] for s in unit.steps if "event_id" in s.values}
        left -= 1


async def race(
    database: Database, bus: Bus, relay: Relay, writers: Sequence[Database], seed: int
) -> Race:
    """Let twelve writers write while the relay runs; then let it finish."""
    chance = Random(seed)  # noqa: S311  an order of events, not a secret
    outcome = Race(seed)
    things = [new_id() for _ in range(WRITERS)]
    await made(database, *things)
    found = await database.fetch(select(OutboxMessage.event_id))
    outcome.committed |= {row.event_id for row in found}
    await relay.lead()

    async def relay_on() -> None:
        while True:
            await relay.publish_waiting()

    relaying = asyncio.create_task(relay_on())
    async with asyncio.TaskGroup() as tasks:
        for number in range(WRITERS):
            writer = writers[number % len(writers)]
            steps = write_steps(writer, things, Random(chance.random()), outcome.committed)  # noqa: S311
            tasks.create_task(steps)
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    await relay.lead()
    while await relay.publish_waiting():
        pass
    return await _looked_at(outcome, database, bus)


async def _looked_at(outcome: Race, database: Database, bus: Bus) -> Race:
    outcome.arrived = await on_bus(bus)
    found = await database.fetch(select(OutboxMessage.feed_position))
    outcome.positions = [row.feed_position for row in found]
    return outcome


@pytest.fixture
def seed(record_property: Callable[[str, object], None]) -> int:
    number = new_id().int % 2**32
    record_property("seed", number)
    return number


@pytest.mark.postgres
async def test_events_that_commit_out_of_order_are_all_sent_in_order(
    postgres_only: PostgresDatabase, postgres_url: str, bus: Bus, seed: int
) -> None:
    # T12. Fails when the relay reads from the last id on, or newest first (the two tests below).
    writers = [HeldCommits(postgres_url, Random(seed + n)) for n in (1, 2)]  # noqa: S311

    outcome = await race(postgres_only, bus, Relay(postgres_only, bus, batch=3), writers, seed)

    outcome.judge()
    for writer in writers:
        await writer.close()


@pytest.mark.postgres
@pytest.mark.parametrize("mistake", COMPLAINTS)
async def test_the_race_finds_a_relay_that_loses_events(
    postgres_only: PostgresDatabase,
    postgres_url: str,
    bus: Bus,
    seed: int,
    mistake: type[Relay],
) -> None:
    # Shows that the race above can fail.
    writers = [HeldCommits(postgres_url, Random(seed + n)) for n in (1, 2)]  # noqa: S311

    outcome = await race(postgres_only, bus, mistake(postgres_only, bus), writers, seed)

    with pytest.raises(AssertionError, match=COMPLAINTS[mistake]):
        outcome.judge()
    for writer in writers:
        await writer.close()


class Between(Around):
    """Does something before the outbox is looked at for the second time."""

    def __init__(self, inner: Database, act: Callable[[], Awaitable[None]]) -> None:
        super().__init__(inner)
        self._act = act
        self._looks = 0

    async def fetch(
        self, statement: AnySelect, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        if OutboxMessage.__table__ in statement.get_final_froms():
            self._looks += 1
            if self._looks == 2:
                await self._act()
        return await self.inner.fetch(statement, parameters)


@pytest.mark.postgres
async def test_what_commits_late_leaves_before_what_follows_it(
    postgres_only: PostgresDatabase, bus: Bus
) -> None:
    # Fails when what is read beside a sending is bounded by the greatest id that was sent.
    slow, other = fixed_id(1), fixed_id(2)
    await made(postgres_only, slow)
    await relayed(Relay(postgres_only, bus))
    late = AsyncExitStack()
    batch = await late.enter_async_context(postgres_only.batch())
    second = new_unit(batch)
    await move(second, slow)
    await batch.write(second)  # has drawn its id, and does not commit yet
    await made(postgres_only, other)

    async def commit_and_go_on() -> None:
        await late.aclose()
        third = new_unit(postgres_only)
        await move(third, slow)
        await postgres_only.write(third)

    await relayed(Relay(Between(postgres_only, commit_and_go_on), bus, batch=1))

    assert first_seqs(await on_bus(bus)) == {slow: [1, 2, 3], other: [1]}


async def relayed(relay: Relay) -> None:
    await relay.lead()
    while await relay.publish_waiting():
        pass


async def test_twelve_writers_on_sqlite_lose_and_turn_nothing(
    sqlite_only: SqliteDatabase, bus: Bus, seed: int
) -> None:
    # Fails when the group commit lets a Unit's rows stand without its events, or turns Units round.
    outcome = await race(sqlite_only, bus, Relay(sqlite_only, bus, batch=3), [sqlite_only], seed)

    outcome.judge()


async def test_two_relays_started_by_mistake_lose_and_turn_nothing(
    database: Database, bus: Bus, seed: int
) -> None:
    # T11. Fails without the fencing epoch: the twin stamps feed positions a second time.
    chance = Random(seed)  # noqa: S311
    outcome = Race(seed)
    things = [new_id() for _ in range(4)]
    await made(database, *things)
    found = await database.fetch(select(OutboxMessage.event_id))
    outcome.committed |= {row.event_id for row in found}
    relays = [Relay(database, bus, batch=5) for _ in range(2)]
    for relay in relays:
        await relay.lead()
    with pytest.raises(StaleError):
        await relays[0].publish_waiting()  # sent, and not marked: the second leads

    async def relay_on(relay: Relay) -> None:
        while True:
            try:
                await relay.publish_waiting()
            except StaleError:
                await held(chance.uniform(0, 0.03))
                await relay.lead()

    relaying = [asyncio.create_task(relay_on(relay)) for relay in relays]
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(
                write_steps(database, things, Random(chance.random()), outcome.committed)  # noqa: S311
            )
    async with asyncio.timeout(30):
        while await database.fetch(
            select(OutboxMessage.id).where(OutboxMessage.published_at.is_(None)).limit(1)
        ):
            pass
    for task in relaying:
        task.cancel()
    ends = await asyncio.gather(*relaying, return_exceptions=True)

    assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
    (await _looked_at(outcome, database, bus)).judge()


async def test_two_relays_that_take_the_lead_at_once_hold_different_epochs(
    database: Database, bus: Bus
) -> None:
    # Fails when the epoch is raised without looking at what it was.
    relays = [Relay(database, bus) for _ in range(6)]

    await asyncio.gather(*(relay.lead() for relay in relays))

    assert sorted(relay._epoch for relay in relays) == [1, 2, 3, 4, 5, 6]
    await made(database, new_id(), moves=2)
    outcomes = await asyncio.gather(
        *(relay.publish_waiting() for relay in relays), return_exceptions=True
    )
    # One that was overtaken, and looks when everything is sent, finds nothing to send.
    assert [o for o in outcomes if o != 0 and not isinstance(o, StaleError)] == [3]
    assert not any(isinstance(o, DuplicateError) for o in outcomes)
