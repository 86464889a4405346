"""A small aggregate that stands for a service's own: a thing that is made, moved and noted."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

from prometheus_client import REGISTRY
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

from common.bus import Bus, Delivery, Log, Position, Record, Subscription, Waiting
from common.bus.base import PositionOf
from common.clock import utcnow
from common.columns import COLUMN_TYPES, Sealed, new_metadata
from common.db import Database
from common.db.base import Store, unit_of
from common.db.postgres import PostgresDatabase
from common.events import Event, EventData, topic_of
from common.inbox import Handlers
from common.tables import DeadLetter, InboxMessage, InboxPending, OutboxMessage
from common.unit import AnySelect, Unit

TOPIC = "intake.thing"
ORGANISATION = UUID(int=0xA)


class ThingBase(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = COLUMN_TYPES


class Thing(ThingBase):
    __tablename__ = "thing"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    organisation_id: Mapped[UUID]
    status: Mapped[str]
    is_heavy: Mapped[bool] = mapped_column(default=False)
    due_on: Mapped[date | None]
    ended_at: Mapped[datetime | None]
    note: Mapped[Sealed | None]
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)


class SeenThing(ThingBase):
    """The projection of a consumer: the steps of a thing in the order in which they took effect."""

    __tablename__ = "seen_thing"

    thing_id: Mapped[UUID] = mapped_column(primary_key=True)
    trail: Mapped[list[str]]


class ThingMade(EventData):
    type: ClassVar[str] = "intake.thing.made.v1"

    thing_id: UUID
    organisation_id: UUID


class ThingMoved(EventData):
    type: ClassVar[str] = "intake.thing.moved.v1"

    thing_id: UUID
    step: int


# --- what a command does


def new_unit(store: Store, operation: str = "test") -> Unit:
    return unit_of(store, source="/RS/intake", operation=operation)


def make(unit: Unit, thing_id: UUID, *, moves: int = 0, **columns: object) -> Thing:
    """Hand over a new thing with its first event and `moves` more."""
    events: list[EventData] = [ThingMade(thing_id=thing_id, organisation_id=ORGANISATION)]
    events += [ThingMoved(thing_id=thing_id, step=step) for step in range(2, moves + 2)]
    values: dict[str, Any] = {
        "id": thing_id,
        "organisation_id": ORGANISATION,
        "status": "NEW",
        **columns,
    }
    return unit.create(Thing, *events, about=thing_id, **values)


async def move(unit: Unit, thing_id: UUID) -> Thing:
    """Hand over the next step of a thing, decided on what is stored of it."""
    thing = await unit.find(select(Thing).where(Thing.id == thing_id))
    assert thing is not None
    step = ThingMoved(thing_id=thing_id, step=thing.version + 1)
    return unit.change(Thing, thing, step, about=thing_id, status="MOVED")


async def made(store: Store, *thing_ids: UUID, moves: int = 0) -> None:
    unit = new_unit(store)
    for thing_id in thing_ids:
        make(unit, thing_id, moves=moves)
    await store.write(unit)


# --- what a consumer does


async def on_thing(unit: Unit, event: Event) -> None:
    """Write the step at the trail's end: an effect that is neither idempotent nor order-blind."""
    seen = await unit.find(select(SeenThing).where(SeenThing.thing_id == event.subject))
    trail = [*(seen.trail if seen else ()), str(event.seq)]
    unit.put(SeenThing, thing_id=event.subject, trail=trail)


HANDLERS: Handlers = {ThingMade.type: on_thing, ThingMoved.type: on_thing}


def steps_of(thing_id: UUID, count: int) -> list[Event]:
    """Return the first `count` events of a thing in their order."""
    return [
        Event.of(
            ThingMoved(thing_id=thing_id, step=seq), subject=thing_id, seq=seq, source="/RS/intake"
        )
        for seq in range(1, count + 1)
    ]


def delivered(events: Iterable[Event | bytes], *, start: int = 0) -> list[Delivery]:
    """Return the records as a bus would deliver them, one after the other from offset `start`."""
    return [
        Delivery(TOPIC, 0, offset, event.to_bytes() if isinstance(event, Event) else event)
        for offset, event in enumerate(events, start)
    ]


# --- looking


async def trails(store: Store) -> dict[UUID, list[str]]:
    return {row.thing_id: row.trail for row in await store.fetch(select(SeenThing))}


async def outbox(store: Store) -> list[Event]:
    found = await store.fetch(select(OutboxMessage).order_by(OutboxMessage.id))
    return [Event.model_validate_json(row.payload) for row in found]


async def on_bus(bus: Bus, topic: str = TOPIC) -> list[Event]:
    """Read a topic from its beginning to its present end."""

    async def from_the_start(_: str, __: int, ___: Log) -> Position:
        return Position(0)

    subscription = await bus.subscribe([topic], group="reader", position_of=from_the_start)
    events: list[Event] = []
    while found := await subscription.poll(limit=1000, seconds=0):
        events += [Event.model_validate_json(delivery.value) for delivery in found]
    await subscription.close()
    return [event for event in events if topic_of(event.type) == topic]


def first_seqs(events: Iterable[Event]) -> dict[UUID, list[int]]:
    """Return the seqs of each subject in order of first arrival, repetitions left out."""
    seen: dict[UUID, list[int]] = {}
    for event in events:
        seqs = seen.setdefault(event.subject, [])
        if event.seq not in seqs:
            seqs.append(event.seq)
    return seen


# --- making things fail


class Around:
    """A database seen through a glass: subclasses disturb what passes."""

    def __init__(self, inner: Database) -> None:
        self.inner = inner
        self.keys = inner.keys
        self.outbox_written = inner.outbox_written

    async def fetch(
        self, statement: AnySelect, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        return await self.inner.fetch(statement, parameters)

    async def write(self, unit: Unit) -> None:
        await self.inner.write(unit)

    def batch(self) -> AbstractAsyncContextManager[Store]:
        return self.inner.batch()

    async def listen(self) -> None:
        await self.inner.listen()

    async def close(self) -> None:
        await self.inner.close()


class BusAround:
    """The same for a bus."""

    def __init__(self, inner: Bus) -> None:
        self.inner = inner

    async def publish(self, records: Sequence[Record]) -> None:
        await self.inner.publish(records)

    async def subscribe(
        self, topics: Sequence[str], *, group: str, position_of: PositionOf
    ) -> Subscription:
        return await self.inner.subscribe(topics, group=group, position_of=position_of)

    async def waiting(
        self, topics: Collection[str], *, position_of: PositionOf
    ) -> Sequence[Waiting]:
        return await self.inner.waiting(topics, position_of=position_of)

    async def logs(self, topics: Collection[str]) -> Mapping[tuple[str, int], Log]:
        return await self.inner.logs(topics)

    async def check(self, *, reads: Collection[str], writes: Collection[str]) -> None:
        await self.inner.check(reads=reads, writes=writes)

    async def close(self) -> None:
        await self.inner.close()


class _Watched:
    """A connection of the driver's that tells of each statement once it was executed."""

    def __init__(self, inner: Any, told: Callable[[str], object]) -> None:
        self._inner = inner
        self._told = told

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in {"execute", "executemany", "fetch"}:
            return found

        async def call(statement: str, *values: Any) -> Any:
            result = await found(statement, *values)
            self._told(statement)
            return result

        return call


def watch(database: PostgresDatabase, told: Callable[[str], object]) -> None:
    """Have `told` called with the text of what its open connections execute from now on."""
    for connection in database._connections.idle:
        connection.raw = _Watched(connection.raw, told)


async def held(seconds: float) -> None:
    """Return after `seconds`: the delay that a test injects, never one it waits for."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, over.set)
    await over.wait()


def fail_on(url: str, table: str, condition: str, *, code: str = "P0001") -> None:
    """Let every insert or update of a row of `table` that meets `condition` on NEW raise an error."""
    engine = create_engine(url.replace("+asyncpg", "+psycopg"), poolclass=NullPool)
    name = f"broken_{table}"
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            for act in ("INSERT", "UPDATE"):
                connection.execute(
                    text(
                        f"CREATE TRIGGER {name}_{act} BEFORE {act} ON {table} WHEN {condition} "
                        "BEGIN SELECT RAISE(ABORT, 'broken'); END"
                    )
                )
        else:
            connection.execute(
                text(
                    f"CREATE FUNCTION {name}() RETURNS trigger AS $$ BEGIN IF {condition} THEN "
                    f"RAISE EXCEPTION 'broken' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$ "
                    "LANGUAGE plpgsql"
                )
            )
            connection.execute(
                text(
                    f"CREATE TRIGGER {name} BEFORE INSERT OR UPDATE ON {table} "
                    f"FOR EACH ROW EXECUTE FUNCTION {name}()"
                )
            )
    engine.dispose()


def mend(url: str, table: str) -> None:
    """Take away what `fail_on` put on `table`."""
    engine = create_engine(url.replace("+asyncpg", "+psycopg"), poolclass=NullPool)
    name = f"broken_{table}"
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            for act in ("INSERT", "UPDATE"):
                connection.execute(text(f"DROP TRIGGER {name}_{act}"))
        else:
            connection.execute(text(f"DROP FUNCTION {name} CASCADE"))
    engine.dispose()


def is_postgres(database: Database) -> bool:
    return type(database).__name__.startswith("Postgres")


# --- counting what became of deliveries


def counted(service: str) -> dict[str, int]:
    """Return how many deliveries `service` has taken, by outcome; what never occurred is left out."""
    outcomes = ("applied", "duplicate", "pending", "parked", "dead", "dropped")
    found = {
        outcome: REGISTRY.get_sample_value(
            "prag_inbox_total", {"service": service, "outcome": outcome}
        )
        for outcome in outcomes
    }
    return {outcome: int(count) for outcome, count in found.items() if count}


async def accounts(store: Store, service: str) -> int:
    """Return how many deliveries the consumer's rows and its duplicate counter account for."""
    applied = select(InboxMessage.event_id).where(InboxMessage.outcome == "applied")
    tables = (applied, select(InboxPending.seq), select(DeadLetter.id))
    rows = [len(await store.fetch(statement)) for statement in tables]
    return sum(rows) + counted(service).get("duplicate", 0)
