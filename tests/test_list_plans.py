"""Lists come out of an index in their order: the first page costs the same in a country of any size."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import literal, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from common.auth import Principal
from common.migrations import upgrade
from intake.models import Case, Notice
from intake.queries.case import list_cases
from intake.queries.notice import list_notices
from referral.domain.referral import Side
from referral.models import Referral
from referral.queries.referral import list_referrals
from reintegration.models import Plan
from reintegration.queries.plan import list_plans
from tests.test_migrations import connect, folder

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


def explained(url: str, asked: Any) -> list[str]:
    """Return the database's plan, line by line; PostgreSQL's for a table too big to be sorted."""
    is_sqlite = url.startswith("sqlite")
    dialect = sqlite.dialect() if is_sqlite else postgresql.dialect()  # type: ignore[no-untyped-call]
    text = str(asked.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    with connect(url) as connection:
        if is_sqlite:
            found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")
            return [row[3] for row in found]
        for way in ("seqscan", "sort", "bitmapscan", "incremental_sort"):
            connection.exec_driver_sql(f"SET enable_{way} = off")
        return [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {text}")]


@pytest.mark.parametrize("service", ["intake", "referral", "reintegration"])
def test_a_page_is_read_from_an_index_in_its_order(service: str, database_url: str) -> None:
    """Seeded: drop `id` or `recorded_at` from one of the indexes; drop an index."""
    upgrade(folder(service), database_url)
    for name, (home, _, relation, _) in LISTS.items():
        for is_first in (True, False):
            if home != service:
                continue
            plan = explained(database_url, statement(name, is_first=is_first))
            told = "\n".join([name, *plan])

            scans = [line for line in plan if line.startswith("SCAN") or "Seq Scan" in line]
            assert all("USING" in line and relation == "all" for line in scans), told
            assert not any("TEMP B-TREE" in line or "Sort" in line for line in plan), told
