"""A PostgreSQL that says nothing any more: whoever asks is told in time, and it serves again (T5)."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from sqlalchemy import func, make_url, select

from common.clock import monotonic
from common.db import OUTAGE
from common.db.postgres import PostgresDatabase
from common.sealing import SubjectKeyRing
from tests.common.things import Thing, made
from tests.conftest import MASTER, fixed_id
from tests.system.proxy import Proxy, Way, before_postgres, through

pytestmark = pytest.mark.postgres

PATIENCE = 2.0
PID = select(func.pg_backend_pid().label("pid"))


@pytest.fixture
def wire(postgres_url: str) -> Iterator[Proxy]:
    with before_postgres(postgres_url) as proxy:
        yield proxy


@pytest.fixture
async def far(wire: Proxy, postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    """The database at the other end of the wire."""
    url = through(wire, postgres_url)
    database = PostgresDatabase(url, SubjectKeyRing(MASTER, "test"), patience=PATIENCE)
    yield database
    await database.close()


async def test_however_many_ask_nobody_waits_longer_for_a_server_that_is_silent(
    far: PostgresDatabase, wire: Proxy
) -> None:
    # Fails when a statement, a new connection or the wait for room has no end, or each one its own:
    # then sixty callers on ten connections wait in six rows.
    await asyncio.gather(*(far.fetch(PID) for _ in range(30)))
    wire.cut()
    began = monotonic()

    outcomes = await asyncio.gather(*(far.fetch(PID) for _ in range(60)), return_exceptions=True)

    assert monotonic() - began < 3 * PATIENCE
    assert [type(each) for each in outcomes if not isinstance(each, OUTAGE)] == []
    wire.heal()
    await made(far, fixed_id(1))


@pytest.mark.parametrize("ways", [(), (Way.ANSWERED,)], ids=["both ways", "answers only"])
async def test_a_transaction_that_meets_silence_is_left_and_not_undone(
    far: PostgresDatabase, wire: Proxy, ways: tuple[Way, ...]
) -> None:
    # Fails when ROLLBACK, to the savepoint or of all, is asked of the silent server: that waits again.
    await made(far, fixed_id(1))

    async def in_a_batch() -> None:
        async with far.batch() as batch:
            await made(batch, fixed_id(2))
            wire.cut(*ways)
            await made(batch, fixed_id(3))

    began = monotonic()
    with pytest.raises(OUTAGE):
        await in_a_batch()

    assert monotonic() - began < 1.75 * PATIENCE
    assert far._connections.idle == []  # what rests there may be as dead
    wire.heal()
    assert [row.id for row in await far.fetch(select(Thing.id))] == [fixed_id(1)]


async def test_connections_that_the_server_forgot_cost_one_answer(
    far: PostgresDatabase, wire: Proxy
) -> None:
    # Fails when each connection of the pool has to be found dead by a caller of its own.
    await asyncio.gather(*(far.fetch(PID) for _ in range(30)))
    assert len(far._connections.idle) > 1
    wire.forget()

    with pytest.raises(OUTAGE):
        await far.fetch(PID)

    await made(far, fixed_id(1))


async def test_connections_broken_off_in_the_middle_of_an_answer_are_an_outage(
    far: PostgresDatabase, wire: Proxy
) -> None:
    # Fails when half an answer is taken for one, or its connection is lent again.
    await made(far, fixed_id(1))
    wire.reset()

    for _ in range(3):
        with pytest.raises(OUTAGE):
            await far.fetch(select(Thing))

    wire.heal()
    assert [row.id for row in await far.fetch(select(Thing))] == [fixed_id(1)]


async def test_a_slow_statement_is_ended_by_the_server_and_costs_no_connection(
    far: PostgresDatabase,
) -> None:
    # Fails when only the client gives up: the server would work on for nobody, holding its locks.
    [before] = await far.fetch(PID)

    with pytest.raises(OUTAGE, match="57014"):
        await far.fetch(select(func.pg_sleep(60)))

    assert await far.fetch(PID) == [before]


async def test_a_server_that_takes_nobody_in_just_now_is_an_outage(
    postgres_only: PostgresDatabase, postgres_url: str
) -> None:
    # Fails when what is said at the door (too many, starting, shutting down) is taken for a bug: then
    # the API answers 500 and a worker parks what it was at.
    with psycopg.connect(postgres_url.replace("+asyncpg", ""), autocommit=True) as root:
        root.execute("CREATE ROLE nobody_more LOGIN CONNECTION LIMIT 0")
        url = make_url(postgres_url).set(username="nobody_more")
        shut_out = PostgresDatabase(
            url.render_as_string(hide_password=False), SubjectKeyRing(MASTER, "test")
        )
        with pytest.raises(OUTAGE, match="53300"):
            await shut_out.fetch(PID)
        await shut_out.close()
        root.execute("DROP ROLE nobody_more")
