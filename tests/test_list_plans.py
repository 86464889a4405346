"""Lists come out of an index in their order: the first page costs the same in a country of any size."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Uuid, column, insert, literal, select, table, tuple_
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg

from common.auth import Principal
from common.clock import utcnow
from common.migrations import upgrade
from intake.models import Case, Notice
from intake.queries.case import list_cases
from intake.queries.notice import list_notices
from referral.domain.cross_border import CrossBorderStatus, Direction
from referral.domain.referral import Side
from referral.models import CrossBorderReferral, Custody, Letter, Referral
from referral.queries.letters import due_letters
from referral.queries.referral import list_referrals
from reintegration.models import Plan
from reintegration.queries.plan import list_plans
from tests.migrating import connect
from tests.test_migrations import folder

LISTS: dict[str, tuple[str, Any, str, Callable[[Principal], Any]]] = {
    "cases of mine": ("intake", Case, "own", list_cases),
    "cases of all": ("intake", Case, "all", list_cases),
    "cases assigned": ("intake", Case, "assigned", list_cases),
    "notices of mine": ("intake", Notice, "own", list_notices),
    "notices of all": ("intake", Notice, "all", list_notices),
    "referrals sent": (
        "referral",
        Referral,
        "own",
        lambda reader: list_referrals(reader, direction=Side.SENDER, case_id=None),
    ),
    "referrals received": (
        "referral",
        Referral,
        "referred",
        lambda reader: list_referrals(reader, direction=Side.RECEIVER, case_id=None),
    ),
    "referrals of all": (
        "referral",
        Referral,
        "all",
        lambda reader: list_referrals(reader, direction=None, case_id=None),
    ),
    "plans of mine": ("reintegration", Plan, "own", list_plans),
}


def statement(name: str, *, is_first: bool) -> Any:
    _, model, relation, listed = LISTS[name]
    reader = Principal("x", UUID(int=1), "SOCIAL_WORKER", relations=frozenset({relation}))
    found = listed(reader)
    if not is_first:
        after = tuple_(
            literal(datetime(2026, 1, 1, tzinfo=UTC), model.recorded_at.type),
            literal(UUID(int=2), model.id.type),
        )
        found = found.where(tuple_(model.recorded_at, model.id) < after)
    return found.order_by(model.recorded_at.desc(), model.id.desc()).limit(51)


def explained(connection: Connection, asked: Any) -> list[str]:
    """Return the database's plan, line by line, as it is while no bound value is known."""
    is_sqlite = connection.dialect.name == "sqlite"
    dialect = sqlite.dialect() if is_sqlite else asyncpg.dialect()  # type: ignore[no-untyped-call]
    text = asked.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    if is_sqlite:
        values = (None,) * len(text.positiontup)
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
    return [row[0] for row in connection.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN) {text}")]


def as_if_too_big_to_be_sorted(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        for way in ("seqscan", "sort", "bitmapscan", "incremental_sort"):
            connection.exec_driver_sql(f"SET enable_{way} = off")


@pytest.mark.parametrize("service", ["intake", "referral", "reintegration"])
def test_a_page_is_read_from_an_index_in_its_order(service: str, database_url: str) -> None:
    """Seeded: drop `id` or `recorded_at` from one of the indexes; drop an index."""
    upgrade(folder(service), database_url)
    with connect(database_url) as connection:
        as_if_too_big_to_be_sorted(connection)
        for name, (home, _, relation, _) in LISTS.items():
            for is_first in (True, False):
                if home != service:
                    continue
                plan = explained(connection, statement(name, is_first=is_first))
                told = "\n".join([name, *plan])

                scans = [line for line in plan if line.startswith("SCAN") or "Seq Scan" in line]
                assert all("USING" in line and relation == "all" for line in scans), told
                assert not any("TEMP B-TREE" in line or "Sort" in line for line in plan), told


def test_letters_that_wait_for_the_hub_are_found_in_an_index_in_their_order(
    database_url: str,
) -> None:
    """Seeded: leave the index's condition out of the query, or let its 0 be bound; drop the index.

    Or begin the index with the time: the letters to all peers would be read for those to one.
    """
    upgrade(folder("referral"), database_url)
    with connect(database_url) as connection:
        let_wait(connection, 50_000)
        connection.exec_driver_sql("ANALYZE")

        plan = explained(connection, due_letters("XK", utcnow()).limit(50))

    told = "\n".join(plan)
    assert "ix_letter_due" in told
    assert re.search(r"recipient=\?|Index Cond: .*recipient", told), told
    assert not any(word in told for word in ("Seq Scan", "Sort", "TEMP B-TREE")), told


NUMBERED = {
    "sqlite": """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {count})
        SELECT printf('%032x', i) AS id FROM n""",
    "postgresql": """SELECT lpad(to_hex(i), 32, '0')::uuid AS id
        FROM generate_series(1, {count}) AS i""",
}


def let_wait(connection: Connection, count: int) -> None:
    """Write so many referrals to another country whose offer was never sent."""
    numbered = NUMBERED[connection.dialect.name].format(count=count)
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE numbered AS {numbered}")
    id_ = table("numbered", column("id", Uuid())).c.id
    link = {"referral_id": id_, "number": 1, "receipt_of": 0}
    rows: dict[Any, dict[str, Any]] = {
        CrossBorderReferral: {
            "id": id_,
            "version": 1,
            "direction": Direction.SENT,
            "peer_country": "XK",
            "status": CrossBorderStatus.SUBMITTED,
            **{name: [] for name in ("needs", "languages", "data_groups", "consent_ids")},
            "urgency": "NORMAL",
        },
        Letter: {**link, "id": id_, "kind": "offer", "recipient": "XK"},
        Custody: {**link, "author": "RS", "statement": "{}", "hash": "0" * 64, "kid": "0" * 32},
    }
    for model, values in rows.items():
        written = [
            value if value is id_ else literal(value, getattr(model, name).type)
            for name, value in values.items()
        ]
        connection.execute(insert(model).from_select([*values], select(*written)))
