"""On PostgreSQL a Unit is one statement, wherever its steps do the same in any order."""

import pytest
from sqlalchemy import func, select

from common.bus import Bus
from common.db import Database
from common.db.postgres import PostgresDatabase
from common.relay import Relay
from common.tables import AuditEntry, OutboxMessage
from common.unit import DuplicateError, StaleError
from tests.common.things import ORGANISATION, Thing, made, make, move, new_unit, watch
from tests.conftest import fixed_id

pytestmark = pytest.mark.postgres


async def counts(database: Database) -> list[int]:
    tables = (Thing, OutboxMessage, AuditEntry)
    found = [await database.fetch(select(func.count()).select_from(table)) for table in tables]
    return [row[0][0] for row in found]


def watched(database: PostgresDatabase) -> list[str]:
    """Return a list to which every statement of a writing is added."""
    seen: list[str] = []
    watch(database, seen.append)
    return seen


async def test_a_unit_is_one_statement_and_undone_whole_where_a_row_was_stale(
    postgres_only: PostgresDatabase,
) -> None:
    # Fails when each row is a round trip, or what stands beside a stale update is kept.
    await made(postgres_only, fixed_id(1))
    stale = new_unit(postgres_only)
    await move(stale, fixed_id(1))
    fresh = new_unit(postgres_only)
    await move(fresh, fixed_id(1))
    before = await counts(postgres_only)
    seen = watched(postgres_only)

    await postgres_only.write(fresh)
    assert len(seen) == 1
    with pytest.raises(StaleError):
        await postgres_only.write(stale)

    after = await counts(postgres_only)
    assert [b - a for a, b in zip(before, after, strict=True)] == [0, 1, 1]


async def test_a_whole_batch_is_marked_in_one_statement(
    postgres_only: PostgresDatabase, bus: Bus
) -> None:
    # Fails when each event is marked by itself: 500 executions in a transaction of four round trips.
    await made(postgres_only, fixed_id(1), moves=39)
    relay = Relay(postgres_only, bus)
    await relay.lead()
    seen = watched(postgres_only)

    assert await relay.publish_waiting() == 40

    assert [text.split(maxsplit=1)[0] for text in seen] == ["SELECT", "WITH"]


async def test_steps_that_meet_each_other_go_one_after_the_other(
    postgres_only: PostgresDatabase,
) -> None:
    # Fails when rows of one table are inserted and changed in one statement: it sees none of them.
    unit = new_unit(postgres_only)
    make(unit, fixed_id(1))
    unit.withhold(fixed_id(1), organisation_id=ORGANISATION)

    await postgres_only.write(unit)

    told = await postgres_only.fetch(select(OutboxMessage.organisation_id))
    assert [row.organisation_id for row in told] == [None]


async def test_a_taken_key_names_the_record_before_what_belongs_to_it(
    postgres_only: PostgresDatabase,
) -> None:
    # Fails when the table is not read off the driver's error.
    await made(postgres_only, fixed_id(1))
    twin = new_unit(postgres_only)
    make(twin, fixed_id(1))

    with pytest.raises(DuplicateError) as taken:
        await postgres_only.write(twin)

    assert taken.value.table == "thing"
