"""The alert of a worker that lives, and takes nothing into the chain of the audit trail."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from sqlalchemy.exc import SQLAlchemyError

from common.clock import new_id
from common.worker import sealer_of
from tests.intake.bodies import case, desk
from tests.kit import open_service
from tests.system.alerting import RULES, is_true, read

KEPT_OUT = (
    "CREATE TRIGGER kept_out BEFORE INSERT ON audit_link BEGIN SELECT RAISE(ABORT, 'no'); END"
)


def is_told() -> bool:
    found = read(generate_latest().decode(), "intake")
    return is_true(RULES["AuditNotChained"], found, "intake")


async def test_a_trail_that_is_not_chained_is_seen_until_it_is(tmp_path: Path) -> None:
    # Fails when what was linked a moment ago counts as waiting: each second of a country at work would.
    async with open_service("intake", tmp_path) as kit:
        file = kit.home / "intake.db"
        assert (await desk(kit).post("/v1/cases", json=case(new_id()))).status_code == 201
        sealer = sealer_of(kit.runtime, None)
        with closing(sqlite3.connect(file)) as database, database:
            database.execute(KEPT_OUT)
        with pytest.raises(SQLAlchemyError):
            await sealer.link_waiting()
        kept_out = is_told()

        with closing(sqlite3.connect(file)) as database, database:
            database.execute("DROP TRIGGER kept_out")
        assert await sealer.link_waiting() > 0
        linked = not is_told()

    assert kept_out
    assert linked
