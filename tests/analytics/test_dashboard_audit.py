"""The dashboard without its audit trail: no entry, no figures."""

import sqlite3
from contextlib import closing

import pytest

from tests.analytics.log import consume
from tests.analytics.test_dashboard import drawings, look, three_years
from tests.kit import Kit

REFUSED = "CREATE TRIGGER broken BEFORE INSERT ON audit_entry BEGIN SELECT RAISE(ABORT, 'no'); END"


@pytest.mark.parametrize("role", ["ANALYST", "SHELTER_STAFF"])
async def test_without_an_entry_there_are_no_figures(kit: Kit, role: str) -> None:
    """Seeded: write the entry without saying what becomes of a database that refuses it."""
    await consume(kit.runtime, three_years().events)
    with closing(sqlite3.connect(kit.home / "analytics.db")) as database:
        database.execute(REFUSED)
        database.commit()

    page = await look(kit, role)

    assert (page.status_code, page.json()["code"]) == (503, "unavailable")
    assert drawings(page.text) == []
    assert await kit.audit() == []
