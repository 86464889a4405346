"""Health: alive is not ready, and how busy a service is, is told to this machine only."""

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.common.tiny import Tiny


@pytest.mark.row("F90")
async def test_a_service_without_its_database_is_alive_and_not_ready(
    tiny_sqlite: Tiny, tmp_path: Path
) -> None:
    """Seeded: answer /readyz without asking the database; let /livez ask it."""

    async def health() -> list[int]:
        return [(await tiny_sqlite.client.get(p)).status_code for p in ("/livez", "/readyz")]

    healthy = await health()
    with closing(sqlite3.connect(tmp_path / "only.db")) as database, database:
        database.execute("DROP TABLE relay_lease")

    assert (healthy, await health()) == ([200, 200], [200, 503])


@pytest.mark.row("F90")
async def test_metrics_are_for_this_machine_only(tiny_sqlite: Tiny) -> None:
    # Fails when anybody can read how many cases a country opens an hour.
    answers = []
    for address in ("127.0.0.1", "::1", "192.0.2.7"):
        transport = httpx.ASGITransport(app=tiny_sqlite.app, client=(address, 9))
        async with httpx.AsyncClient(transport=transport, base_url="http://tiny.test") as client:
            answers.append((await client.get("/metrics")).status_code)

    assert answers == [200, 200, 404]
