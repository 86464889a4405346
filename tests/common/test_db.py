"""The database: all or nothing, many at once, and what an outage looks like, on both engines."""

import asyncio
import sqlite3
from uuid import UUID

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from common.clock import new_id, utcnow
from common.columns import Sealed
from common.db import OUTAGE, Database, open_database
from common.db.postgres import PostgresDatabase
from common.db.sqlite import PRAGMAS, SqliteDatabase
from common.sealing import SubjectKeyRing
from common.tables import (
    AuditEntry,
    ConsumerPosition,
    IdempotencyAnswer,
    InboxMessage,
    OutboxMessage,
)
from common.unit import DuplicateError, StaleError, Unit
from tests.common.things import (
    TOPIC,
    SeenThing,
    Thing,
    fail_on,
    is_postgres,
    made,
    make,
    mend,
    move,
    new_unit,
)
from tests.conftest import MASTER, fixed_id

TABLES = (Thing, OutboxMessage, AuditEntry, InboxMessage, ConsumerPosition, IdempotencyAnswer)


async def counts(database: Database) -> list[int]:
    found = [await database.fetch(select(func.count()).select_from(table)) for table in TABLES]
    return [row[0][0] for row in found]


def whole(database: Database, thing_id: UUID, *, bad: bool = False) -> Unit:
    """Return a Unit that writes one row or two into each of TABLES."""
    number = 99 if bad else 1
    unit = new_unit(database, "bad" if bad else "good")
    make(unit, thing_id, moves=number)
    unit.add(
        InboxMessage,
        event_id=new_id(),
        topic=TOPIC,
        subject=thing_id,
        seq=number,
        payload_sha256=bytes(32),
        outcome="applied",
    )
    unit.put(ConsumerPosition, topic=str(thing_id), partition=number, next_offset=1)
    unit.add(
        IdempotencyAnswer,
        key=thing_id.bytes,
        request_hash=bytes(32),
        status=500 + number,
        answer=Sealed(b"x"),
        expires_at=utcnow(),
    )
    return unit


@pytest.mark.parametrize(
    ("table", "condition"),
    [
        ("outbox_message", "NEW.seq = 99"),
        ("audit_entry", "NEW.operation = 'bad'"),
        ("inbox_message", "NEW.seq = 99"),
        ("consumer_position", "NEW.partition = 99"),
        ("idempotency_answer", "NEW.status = 599"),
    ],
)
async def test_a_statement_that_fails_undoes_its_unit_and_no_other(
    database: Database, database_url: str, table: str, condition: str
) -> None:
    # Fails when a Unit runs without its savepoint or transaction: rows of the bad one stay behind.
    fail_on(database_url, table, condition)
    units = [whole(database, fixed_id(n), bad=n == 3) for n in range(8)]

    outcomes = await asyncio.gather(*map(database.write, units), return_exceptions=True)

    assert [isinstance(outcome, SQLAlchemyError) for outcome in outcomes] == [
        n == 3 for n in range(8)
    ]
    assert await counts(database) == [7, 14, 7, 7, 7, 7]


async def test_of_64_units_at_once_one_stale_and_one_twin_take_nobody_with_them(
    database: Database,
) -> None:
    # Fails when the group commits only if all of it is well (ROLLBACK instead of ROLLBACK TO).
    await made(database, fixed_id(100), fixed_id(101))
    stale = new_unit(database)
    await move(stale, fixed_id(100))
    newer = new_unit(database)
    await move(newer, fixed_id(100))
    await database.write(newer)
    twin = new_unit(database)
    make(twin, fixed_id(101))
    units = [new_unit(database) for _ in range(62)]
    for number, unit in enumerate(units):
        make(unit, fixed_id(number))
    units[20:20] = [stale, twin]

    outcomes = await asyncio.gather(*map(database.write, units), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes if outcome] == [StaleError, DuplicateError]
    assert isinstance(outcomes[21], DuplicateError)
    assert outcomes[21].table == "thing"
    assert (await counts(database))[:2] == [64, 65]


async def test_units_that_arrive_together_share_a_commit_on_sqlite(
    sqlite_only: SqliteDatabase,
) -> None:
    # Fails when every Unit commits alone: 64 commits instead of one or two.
    commits: list[str] = []
    event.listen(
        sqlite_only._engine,
        "before_cursor_execute",
        lambda *call: commits.append(call[2]) if call[2] == "COMMIT" else None,
    )

    await asyncio.gather(*(made(sqlite_only, fixed_id(n)) for n in range(64)))

    assert 1 <= len(commits) <= 2


# --- batches


async def test_a_batch_reads_its_own_writes_and_nobody_else_does(database: Database) -> None:
    # Fails when a batch reads through another connection, or writes outside its transaction.
    async with database.batch() as batch:
        await made(batch, fixed_id(1))
        unit = new_unit(batch)
        await move(unit, fixed_id(1))
        await batch.write(unit)
        outside = asyncio.create_task(database.fetch(select(Thing.version)))
        inside = await batch.fetch(select(Thing.version))
        if is_postgres(database):
            assert await outside == []  # on SQLite it waits for the batch's end

    assert [row.version for row in inside] == [2]
    assert [row.version for row in await database.fetch(select(Thing.version))] == [2]
    await outside


async def test_an_exception_that_leaves_a_batch_undoes_all_of_it(database: Database) -> None:
    # Fails when the batch commits in a `finally`.
    async def broken() -> None:
        async with database.batch() as batch:
            await made(batch, fixed_id(1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await broken()

    assert (await counts(database))[:3] == [0, 0, 0]
    await made(database, fixed_id(2))
    assert (await counts(database))[0] == 1


async def test_a_unit_that_fails_in_a_batch_undoes_only_itself(database: Database) -> None:
    # Fails when a batch writes its Units without savepoints.
    await made(database, fixed_id(1))

    async with database.batch() as batch:
        await made(batch, fixed_id(2))
        twice = new_unit(batch)
        make(twice, fixed_id(3))
        make(twice, fixed_id(1))
        with pytest.raises(DuplicateError):
            await batch.write(twice)
        await made(batch, fixed_id(4))

    found = await database.fetch(select(Thing.id).order_by(Thing.id))
    assert [row.id for row in found] == [fixed_id(n) for n in (1, 2, 4)]


async def test_a_writer_of_the_same_row_waits_for_the_batch_and_is_then_stale(
    database: Database,
) -> None:
    # Fails when a batch holds no lock: the other writer wins and the batch overwrites it.
    await made(database, fixed_id(1))
    other = new_unit(database)
    await move(other, fixed_id(1))
    order: list[str] = []

    async def write_other() -> None:
        with pytest.raises(StaleError):
            await database.write(other)
        order.append("other")

    async with database.batch() as batch:
        unit = new_unit(batch)
        await move(unit, fixed_id(1))
        await batch.write(unit)
        waiting = asyncio.create_task(write_other())
        for _ in range(3):
            await batch.fetch(select(Thing.version))
        order.append("batch")
    await waiting

    assert order == ["batch", "other"]
    assert (await counts(database))[:2] == [1, 2]


async def test_a_batch_cancelled_while_it_begins_leaves_no_transaction_open(
    sqlite_only: SqliteDatabase,
) -> None:
    # Fails when BEGIN stands outside the block that undoes: the next write meets an open transaction.
    await sqlite_only.fetch(select(Thing.id))
    other = sqlite3.connect(sqlite_only.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def begin() -> None:
        async with sqlite_only.batch():
            pytest.fail("nobody may get this far")

    task = asyncio.create_task(begin())
    await asyncio.wait({task}, timeout=0.01)
    while not sqlite_only._thread._work_queue.empty():
        await asyncio.wait({task}, timeout=0.01)
    task.cancel()  # the one thread is inside BEGIN now, waiting for the other writer
    asyncio.get_running_loop().call_later(0.05, other.execute, "ROLLBACK")
    with pytest.raises(asyncio.CancelledError):
        await task

    await made(sqlite_only, fixed_id(1))

    assert (await counts(sqlite_only))[0] == 1
    other.close()


# --- outages


@pytest.mark.postgres
@pytest.mark.parametrize("code", ["53100", "53300", "55P03", "57P01", "57014", "58030", "40P01"])
async def test_what_postgresql_reports_of_an_outage_is_one(
    postgres_only: PostgresDatabase, postgres_url: str, code: str
) -> None:
    # Fails when only broken connections count: asyncpg's disk full or shutdown is a plain DBAPIError.
    fail_on(postgres_url, "outbox_message", "NEW.seq = 1", code=code)
    unit = new_unit(postgres_only)
    make(unit, fixed_id(1))

    # A deadlock is not waited out: the command runs again on fresh rows.
    with pytest.raises(StaleError if code.startswith("40") else OUTAGE):
        await postgres_only.write(unit)
    with pytest.raises(OUTAGE):
        async with postgres_only.batch() as batch:
            await batch.write(unit)

    mend(postgres_url, "outbox_message")
    await postgres_only.write(unit)
    assert (await counts(postgres_only))[0] == 1


async def test_a_broken_rule_of_the_schema_is_no_outage(
    database: Database, database_url: str
) -> None:
    # Fails when every database error is waited out: a bug would stop the service for ever.
    fail_on(database_url, "outbox_message", "NEW.seq = 1")
    unit = new_unit(database)
    make(unit, fixed_id(1))

    with pytest.raises(SQLAlchemyError) as caught:
        await database.write(unit)

    assert not isinstance(caught.value, OUTAGE)


@pytest.mark.postgres
async def test_a_postgresql_that_cuts_the_connections_is_an_outage_and_then_serves_again(
    postgres_only: PostgresDatabase, postgres_url: str
) -> None:
    # Fails when a pool keeps handing out connections the server has closed, also in the moment
    # in which the driver has read that it is dismissed and not yet that nobody is there.
    await made(postgres_only, fixed_id(1))
    # While one statement is under way and one connection is idle.
    under_way = asyncio.create_task(postgres_only.fetch(select(text("pg_sleep(60)"))))
    await made(postgres_only, fixed_id(3))
    killer = PostgresDatabase(postgres_url, SubjectKeyRing(MASTER, "test"))
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    async with asyncio.timeout(30):
        while (await killer.fetch(select(text(f"count(*) {others}"))))[0][0] < 2:
            pass
    await killer.fetch(select(text(f"pg_terminate_backend(pid) {others}")))
    await killer.close()

    with pytest.raises(OUTAGE):
        await under_way

    await made(postgres_only, fixed_id(2))
    assert (await counts(postgres_only))[0] == 3


async def test_a_postgresql_that_is_not_there_is_an_outage() -> None:
    # Fails when the bare OSError of a refused connection is taken for a bug.
    nowhere = open_database(
        "postgresql+asyncpg://nobody@127.0.0.1:1/none", SubjectKeyRing(MASTER, "test")
    )

    with pytest.raises(OUTAGE):
        await nowhere.fetch(select(Thing.id))

    await nowhere.close()


async def test_a_full_disk_refuses_the_write_and_keeps_what_was_acknowledged(
    sqlite_only: SqliteDatabase,
) -> None:
    # Fails when a transaction SQLite has ended by itself is rolled back again, or is left open.
    await made(sqlite_only, fixed_id(1))

    async def limit(pages: int) -> None:
        await _pragma(sqlite_only, f"max_page_count={pages}")

    await limit(1)  # SQLite takes the present size as the least
    units = [new_unit(sqlite_only) for _ in range(3)]
    for number, unit in enumerate(units, 2):
        make(unit, fixed_id(number), moves=200)

    outcomes = await asyncio.gather(*map(sqlite_only.write, units), return_exceptions=True)

    assert all(isinstance(outcome, OUTAGE) for outcome in outcomes)
    assert (await counts(sqlite_only))[:3] == [1, 1, 1]
    await limit(1_000_000)
    await sqlite_only.write(units[0])
    assert (await counts(sqlite_only))[:3] == [2, 202, 2]


# --- forms


async def test_a_condition_on_nothing_meets_rows_without_a_value(database: Database) -> None:
    # Fails when `ended_at=None` becomes `ended_at = NULL`, which is never true.
    await made(database, fixed_id(1), fixed_id(2))
    ended = new_unit(database)
    ended.update(Thing, {"id": fixed_id(2), "ended_at": None}, expect=1, ended_at=utcnow())
    await database.write(ended)

    running, over = new_unit(database), new_unit(database)
    running.require_unchanged(Thing, id=fixed_id(1), ended_at=None)
    over.require_unchanged(Thing, id=fixed_id(2), ended_at=None)

    await database.write(running)
    with pytest.raises(StaleError):
        await database.write(over)


async def test_put_inserts_then_replaces(database: Database) -> None:
    # Fails when `put` is a plain insert, or leaves the old values.
    for trail in (["1"], ["1", "2"]):
        unit = new_unit(database)
        unit.put(SeenThing, thing_id=fixed_id(1), trail=trail)
        await database.write(unit)

    assert [row.trail for row in await database.fetch(select(SeenThing))] == [["1", "2"]]


async def test_the_engines_keep_what_reliability_rests_on(database: Database) -> None:
    # Fails without synchronous=FULL, with WAL on a SQLite before 3.51.3, or with a cached sequence.
    if isinstance(database, SqliteDatabase):
        names = [pragma.partition("=")[0] for pragma in PRAGMAS if "mmap" not in pragma]
        found = {name: await _pragma(database, name) for name in (*names, "journal_mode")}
        is_safe = sqlite3.sqlite_version_info >= (3, 51, 3)
        assert found == {
            "foreign_keys": 1,
            "synchronous": 2,
            "busy_timeout": 5000,
            "secure_delete": 1,
            "trusted_schema": 0,
            "temp_store": 2,
            "journal_mode": "wal" if is_safe else "truncate",
        }
    else:
        statement = select(text("cache_size FROM pg_sequences WHERE sequencename LIKE 'outbox%'"))
        assert [tuple(row) for row in await database.fetch(statement)] == [(1,)]


async def _pragma(database: SqliteDatabase, name: str) -> object:
    return await database._run(lambda c: c.exec_driver_sql(f"PRAGMA {name}").scalar_one())
