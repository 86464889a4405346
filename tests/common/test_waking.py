"""On PostgreSQL the relay hears of what another process committed, and does not wait for its poll."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import select

from common import relay as relay_module
from common.bus import Bus
from common.db import Database
from common.db.listening import CHANNEL
from common.db.postgres import PostgresDatabase
from common.relay import Relay
from common.sealing import SubjectKeyRing
from common.tables import OutboxMessage
from common.unit import AnySelect
from tests.common.things import ORGANISATION, Around, ThingMade, made, make, new_unit
from tests.conftest import MASTER, PostgresUrls, fixed_id
from tests.postgres import migrate, set_up

pytestmark = pytest.mark.postgres

_LISTENS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query ~* '^listen'"
)


@pytest.fixture(autouse=True)
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is only found by looking is not found in the time of a test."""
    monkeypatch.setattr(relay_module, "_IDLE_SECONDS", 600.0)


def opened(url: str) -> PostgresDatabase:
    return PostgresDatabase(url, SubjectKeyRing(MASTER, "test"))


@pytest.fixture
async def api(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    """The same database as another process has it open."""
    database = opened(postgres_url)
    yield database
    await database.close()


class Idle(Around):
    """Tells when the relay found nothing, and so waits until it hears of something."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner)
        self.found_nothing = asyncio.Semaphore(0)

    async def fetch(
        self, statement: AnySelect, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        rows = await self.inner.fetch(statement, parameters)
        if not rows and OutboxMessage.__table__ in statement.get_final_froms():
            self.found_nothing.release()
        return rows


@asynccontextmanager
async def relaying(database: Idle, bus: Bus) -> AsyncIterator[None]:
    """Run the relay; it is idle when the block begins."""
    running = asyncio.create_task(Relay(database, bus).run())
    try:
        await idle(database)
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def idle(database: Idle) -> None:
    async with asyncio.timeout(30):
        await database.found_nothing.acquire()


class Overheard:
    """A connection that hears whatever is said of the outbox."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    async def finish(self, database: PostgresDatabase, word: str) -> None:
        """Let a database tell what it has to tell, and then say a word of our own."""
        await database._herald.close()
        self._connection.execute(f"NOTIFY {CHANNEL}, '{word}'")

    def first(self, count: int) -> list[str]:
        """Wait for so many words, and return them."""
        heard = self._connection.notifies(timeout=30, stop_after=count)
        return [each.payload for each in heard]


@contextmanager
def overheard(url: str) -> Iterator[Overheard]:
    with psycopg.connect(url.replace("+asyncpg", ""), autocommit=True) as connection:
        connection.execute(f"LISTEN {CHANNEL}")
        yield Overheard(connection)


async def until_all_left(database: Database) -> None:
    waiting = select(OutboxMessage.id).where(OutboxMessage.published_at.is_(None))
    async with asyncio.timeout(30):
        while await database.fetch(waiting):
            pass


async def in_one_statement(database: Database) -> None:
    await made(database, fixed_id(1))


async def step_by_step(database: Database) -> None:
    unit = new_unit(database)
    for number in range(20):
        make(unit, fixed_id(number))
    await database.write(unit)


async def in_a_batch(database: Database) -> None:
    async with database.batch() as batch:
        await made(batch, fixed_id(1))
        await made(batch, fixed_id(2))


@pytest.mark.parametrize("commit", [in_one_statement, step_by_step, in_a_batch])
async def test_what_another_process_commits_leaves_at_once(
    postgres_only: PostgresDatabase,
    api: PostgresDatabase,
    bus: Bus,
    commit: Callable[[Database], Awaitable[None]],
) -> None:
    # Fails when the relay is woken by its own process alone, or one way to write tells nothing.
    async with relaying(Idle(postgres_only), bus):
        await commit(api)

        await until_all_left(api)


async def test_a_lost_connection_is_made_again(
    postgres_only: PostgresDatabase, api: PostgresDatabase, postgres_url: str, bus: Bus
) -> None:
    # Fails when nobody notices that the connection that listens was cut.
    database = Idle(postgres_only)
    async with relaying(database, bus):
        with psycopg.connect(postgres_url.replace("+asyncpg", ""), autocommit=True) as root:
            [(pid,)] = root.execute(_LISTENS)
            root.execute("SELECT pg_terminate_backend(%s)", [pid])
        await idle(database)

        await made(api, fixed_id(1))

        await until_all_left(api)


async def test_where_nobody_can_listen_the_relay_goes_on_with_its_poll(
    postgres_only: PostgresDatabase,
    api: PostgresDatabase,
    bus: Bus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Fails when a connection that cannot be had ends the relay or keeps it from looking.
    async def refuse() -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(postgres_only._listener, "_connect", refuse)
    monkeypatch.setattr(relay_module, "_IDLE_SECONDS", 0.01)
    async with relaying(Idle(postgres_only), bus):
        await made(api, fixed_id(1))

        await until_all_left(api)


async def test_only_a_commit_with_events_is_told(api: PostgresDatabase, postgres_url: str) -> None:
    # Fails when every commit tells: the relay's own mark would wake it again.
    await api.fetch(select(OutboxMessage.id))
    quiet = new_unit(api)
    quiet.audit("read", "thing", [str(fixed_id(1))], about=fixed_id(1))
    with overheard(postgres_url) as words:
        await api.write(quiet)
        async with api.batch() as batch:
            await batch.write(quiet)
        await words.finish(api, "then")
        await made(api, fixed_id(1))
        await words.finish(api, "end")

        assert words.first(3) == ["then", "", "end"]


async def test_what_is_written_while_it_tells_is_told_after(
    api: PostgresDatabase, postgres_url: str
) -> None:
    # Fails when a commit that comes while the word of another is under way is never told.
    with overheard(postgres_url) as words:
        await made(api, fixed_id(1))
        await made(api, fixed_id(2))
        await words.finish(api, "end")

        assert words.first(3) == ["", "", "end"]


async def test_the_applications_role_tells_and_hears_and_nothing_is_said(
    postgres_urls: PostgresUrls, tmp_path: Path
) -> None:
    # Fails when databases.sql or the rights keep it from the channel, or an id goes over it.
    login = set_up(postgres_urls, tmp_path)["intake"]
    migrate("intake", login)
    worker, api = opened(login.application), opened(login.application)
    with overheard(login.application) as words:
        await worker.listen()
        worker.outbox_written.clear()
        unit = new_unit(api)
        unit.tell(
            fixed_id(1), ThingMade(thing_id=fixed_id(1), organisation_id=ORGANISATION), first_seq=1
        )

        await api.write(unit)

        async with asyncio.timeout(30):
            await worker.outbox_written.wait()
        assert words.first(1) == [""]
    await worker.close()
    await api.close()
