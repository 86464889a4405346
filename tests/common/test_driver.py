"""What passes between SQLAlchemy, which compiles, and the driver, which executes: types, errors, room."""

import asyncio
from datetime import UTC, date, datetime
from enum import StrEnum

import psycopg
import pytest
from sqlalchemy import Enum, bindparam, func, literal_column, select, text, type_coerce

from common.columns import Sealed
from common.db import OUTAGE, Database
from common.db.connections import STATEMENTS
from common.db.postgres import PostgresDatabase, RefusedError
from common.unit import DuplicateError
from tests.common.things import SeenThing, Thing, made, make, new_unit
from tests.conftest import fixed_id


class Colour(StrEnum):
    RED = "RED"


async def test_a_row_has_the_types_its_columns_are_declared_with(database: Database) -> None:
    # Fails when the driver's own values are passed on: a str for a list, bytes for a Sealed.
    ended = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    unit = new_unit(database)
    make(
        unit,
        fixed_id(1),
        status="RED",
        due_on=date(2026, 5, 6),
        ended_at=ended,
        note=Sealed(b"box"),
    )
    unit.put(SeenThing, thing_id=fixed_id(1), trail=["1", "2"])
    await database.write(unit)

    colour = type_coerce(Thing.status, Enum(Colour, native_enum=False)).label("colour")
    [row] = await database.fetch(
        select(Thing, SeenThing.trail, colour, func.count().over().label("number")).join(
            SeenThing, SeenThing.thing_id == Thing.id
        )
    )

    assert (row.id, row.due_on, row.ended_at, row.is_heavy) == (
        *(fixed_id(1), date(2026, 5, 6)),
        *(ended, False),
    )
    assert row.ended_at.tzinfo is UTC
    assert isinstance(row.note, Sealed)
    assert row.note.box == b"box"
    assert row.trail == ["1", "2"]
    assert row.colour is Colour.RED
    assert row.number == 1
    assert row.recorded_at.tzinfo is not None
    assert row[0] == fixed_id(1)
    *_, last = row
    assert last == 1


async def test_what_is_asked_again_with_other_values_finds_other_rows(database: Database) -> None:
    # Fails when a kept statement keeps the values, or the length of a list, it was first met with.
    await made(database, *map(fixed_id, range(5)))

    async def found(*numbers: int) -> list[int]:
        ids = [fixed_id(n) for n in numbers]
        rows = await database.fetch(
            select(Thing.id).where(Thing.id.in_(ids), Thing.status == "NEW").order_by(Thing.id)
        )
        return [row.id.int & 0xFF for row in rows]

    assert [await found(1), await found(2, 4), await found(), await found(9), await found(3)] == [
        *([1], [2, 4], []),
        *([], [3]),
    ]
    for number in (1, 2):
        [row] = await database.fetch(select(Thing.id).where(Thing.id == fixed_id(number)))
        assert row.id == fixed_id(number)
        assert len(await database.fetch(select(Thing.id).limit(number))) == number


@pytest.mark.postgres
async def test_a_table_that_changes_its_type_is_read_on(
    postgres_only: PostgresDatabase, postgres_url: str
) -> None:
    # Fails when a prepared statement outlives what it was prepared for.
    await made(postgres_only, fixed_id(1))
    await postgres_only.fetch(select(Thing))
    with psycopg.connect(postgres_url.replace("+asyncpg", ""), autocommit=True) as root:
        root.execute("ALTER TABLE thing ALTER COLUMN status TYPE text")

    [row] = await postgres_only.fetch(select(Thing))

    assert row.status == "NEW"


@pytest.mark.postgres
async def test_a_connection_keeps_so_many_statements_and_no_more(
    postgres_only: PostgresDatabase,
) -> None:
    # Fails when each text ever met stays prepared on the server.
    for number in range(STATEMENTS + 20):
        await postgres_only.fetch(select(literal_column(f"{number}").label("n")))

    [row] = await postgres_only.fetch(
        select(func.count().label("n")).select_from(text("pg_prepared_statements"))
    )

    assert STATEMENTS - 20 < row.n <= STATEMENTS


# --- errors


@pytest.mark.postgres
async def test_what_the_driver_refuses_is_a_bug_and_no_outage(
    postgres_only: PostgresDatabase,
) -> None:
    # Fails when a value that does not fit is taken for an outage and waited out for ever.
    await made(postgres_only, fixed_id(1))
    twin = new_unit(postgres_only)
    make(twin, fixed_id(1))
    for wrong, code in (("1 / 0", "22012"), ("no_such_column", "42703")):
        with pytest.raises(RefusedError, match=code):
            await postgres_only.fetch(select(text(wrong)))
    unfit = select(text("1 FROM thing WHERE version = :name"))
    with pytest.raises(RefusedError) as refusal:
        await postgres_only.fetch(unfit, {"name": "x"})
    with pytest.raises(DuplicateError, match="thing"):
        await postgres_only.write(twin)

    assert not isinstance(refusal.value, OUTAGE)
    assert len(postgres_only._connections.idle) == 1  # none of this costs a connection


async def test_a_kept_statement_is_asked_with_the_values_of_each_call(database: Database) -> None:
    # Fails when what is remembered of it holds a value of the call before.
    await made(database, *map(fixed_id, range(3)))
    kept = select(Thing.id).where(Thing.id == bindparam("id"), Thing.status == "NEW")

    for number in (1, 2, 9, 1):
        rows = await database.fetch(kept, {"id": fixed_id(number)})
        assert [row.id for row in rows] == ([fixed_id(number)] if number < 3 else [])


# --- connections


@pytest.mark.postgres
async def test_many_at_once_share_ten_connections(postgres_only: PostgresDatabase) -> None:
    # Fails when each caller opens one: a hundred requests would take all the server has.
    pids = await asyncio.gather(
        *(postgres_only.fetch(select(func.pg_backend_pid().label("pid"))) for _ in range(50))
    )

    assert len({row.pid for [row] in pids}) <= 10
    assert 1 <= len(postgres_only._connections.idle) <= 10


@pytest.mark.postgres
async def test_who_gets_no_connection_in_time_is_told_of_an_outage(
    postgres_only: PostgresDatabase,
) -> None:
    # Fails when a caller waits for ever; or when its room is lost with it.
    holders = [postgres_only.batch() for _ in range(10)]
    for holder in holders:
        await holder.__aenter__()
    patience, postgres_only._connections._patience = postgres_only._connections._patience, 0.05
    for _ in range(12):
        with pytest.raises(OUTAGE):
            await postgres_only.fetch(select(Thing.id))
    postgres_only._connections._patience = patience
    for holder in holders:
        await holder.__aexit__(None, None, None)

    assert await postgres_only.fetch(select(Thing.id)) == []
    await asyncio.gather(*(made(postgres_only, fixed_id(n)) for n in range(20)))


@pytest.mark.postgres
async def test_a_turn_whose_waiter_has_just_gone_is_the_next_ones(
    postgres_only: PostgresDatabase,
) -> None:
    # Fails when room is left with who is gone: in the end the pool would have none.
    pool = postgres_only._connections
    held = [await pool.take() for _ in range(10)]
    leaving, staying = asyncio.create_task(pool.take()), asyncio.create_task(pool.take())
    await asyncio.wait({leaving, staying}, timeout=0)  # both have asked
    pool.give_back(held.pop(), None)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving

    held.append(await staying)
    assert len({id(connection) for connection in held}) == 10
    for connection in held:
        pool.give_back(connection, None)


@pytest.mark.postgres
async def test_a_connection_that_was_cut_off_is_not_lent_again(
    postgres_only: PostgresDatabase,
) -> None:
    # Fails when it goes back into the pool: the next caller would get the answer of the one before.
    await made(postgres_only, fixed_id(1))

    async def in_a_batch() -> None:
        async with postgres_only.batch() as batch:
            await made(batch, fixed_id(2))
            await batch.fetch(select(func.pg_sleep(60)))

    for act in (in_a_batch(), postgres_only.fetch(select(func.pg_sleep(60)))):
        [before] = await postgres_only.fetch(select(func.pg_backend_pid().label("pid")))
        task = asyncio.create_task(act)
        await asyncio.wait({task}, timeout=0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        [after] = await postgres_only.fetch(select(func.pg_backend_pid().label("pid")))
        assert after.pid != before.pid
        assert [row.id for row in await postgres_only.fetch(select(Thing.id))] == [fixed_id(1)]
