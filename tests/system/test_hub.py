"""A hub's folder on this machine: what it keeps, and which folder it takes."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from common.bus import LocalBus, Record
from common.clock import utcnow
from prag import hub
from prag.cli import main
from prag.manifest import TroubleError


def test_a_hub_keeps_no_letter_longer_than_thirty_days(tmp_path: Path) -> None:
    """Seeded: trim by the newest mark; trim a topic to nothing, so that its places begin anew."""
    log = tmp_path / hub.LOG

    async def publish(*values: bytes) -> None:
        bus = LocalBus(log)
        await bus.publish([Record("region.referral.xk", "key", value) for value in values])
        await bus.close()

    def held() -> list[tuple[int, bytes]]:
        with closing(sqlite3.connect(log)) as database:
            return database.execute('SELECT "offset", value FROM record ORDER BY 1').fetchall()

    asyncio.run(publish(b"one", b"two"))
    hub.trim(tmp_path, utcnow())
    asyncio.run(publish(b"three"))
    assert hub.trim(tmp_path, utcnow() + timedelta(days=29)) == 0
    assert hub.trim(tmp_path, utcnow() + timedelta(days=31)) == 2
    assert held() == [(2, b"three")]

    assert hub.trim(tmp_path, utcnow() + timedelta(days=90)) == 0
    asyncio.run(publish(b"four"))
    assert held() == [(2, b"three"), (3, b"four")]
    assert b"one" not in log.read_bytes()


def test_a_hub_takes_no_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")

    assert main(["hub", str(tmp_path)]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_country_is_not_started_on_a_hub_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TroubleError, match="no hub's folder"):
        hub.log_of(tmp_path)
