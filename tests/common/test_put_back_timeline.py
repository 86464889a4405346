"""A server that was recovered to a moment, or took another's place, is known by its timeline (T23)."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from common.db import open_database
from common.db.base import OutageError
from common.put_back import sign_of
from common.sealing import SubjectKeyRing
from tests.conftest import MASTER
from tests.system.processes import free_ports, poll

pytestmark = pytest.mark.postgres
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class Server:
    """A PostgreSQL server of this machine's own packages on one folder after the other."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_ports()
        self._user = None if os.getuid() else "postgres"  # PostgreSQL never runs as root
        self.own(home)

    def run(self, program: str, *arguments: str) -> None:
        subprocess.run(  # noqa: S603
            [str(PROGRAMS[-1] / program), *arguments],
            check=True,
            user=self._user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            timeout=60,
        )

    def start(self, data: Path) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k ''"
        self.run("pg_ctl", "-D", str(data), "-w", "-s", "-l", f"{data}.log", "-o", options, "start")

    def stop(self, data: Path) -> None:
        self.run("pg_ctl", "-D", str(data), "-w", "-s", "-m", "fast", "stop")

    def execute(self, statement: bytes) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement)

    def recovers(self) -> bool:
        with psycopg.connect(self._url) as connection:
            return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)

    @property
    def _url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def own(self, path: Path) -> None:
        shutil.chown(path, self._user or os.getuid())

    async def sign(self) -> str:
        url = self._url.replace("://", "+asyncpg://")
        database = open_database(url, SubjectKeyRing(MASTER, "test"))
        try:
            return await sign_of(database, url)
        finally:
            await database.close()


@pytest.fixture
def server() -> Iterator[Server]:
    if not PROGRAMS:
        pytest.skip("no PostgreSQL is installed, whose programs make and restore a base backup")
    with tempfile.TemporaryDirectory(prefix="prag-timeline-") as home:
        yield Server(Path(home))


@pytest.mark.row("C1", "F36")
@pytest.mark.parametrize("way", ["recovered to the end of its log", "promoted"])
async def test_a_server_recovered_from_a_base_backup_is_another(server: Server, way: str) -> None:
    # Fails when the sign says nothing of the timeline, or that of the last checkpoint, or is taken
    # for the old one's before the recovery has ended.
    first, second = server.home / "first", server.home / "second"
    server.run("initdb", "-D", str(first), "--auth=trust", "--username=postgres", "--no-sync")
    server.start(first)
    try:
        server.run(
            "pg_basebackup", "-D", str(second), "-h", "127.0.0.1", "-p", str(server.port),
            "-U", "postgres", "-c", "fast", "--no-sync",
        )  # fmt: skip
        server.execute(b"CREATE TABLE said_since (id int)")
        before = await server.sign()
    finally:
        server.stop(first)
    server.start(first)
    try:
        assert await server.sign() == before
    finally:
        server.stop(first)

    with (second / "postgresql.conf").open("a") as settings:
        settings.write(f"\nrestore_command = 'cp {first}/pg_wal/%f %p'\n")
    signal = second / ("standby.signal" if way == "promoted" else "recovery.signal")
    signal.touch()
    server.own(signal)
    server.start(second)
    try:
        if way == "promoted":
            with pytest.raises(OutageError):
                await server.sign()
            server.run("pg_ctl", "-D", str(second), "-w", "-s", "promote")
        poll(lambda: not server.recovers())
        after = await server.sign()
        server.execute(b"INSERT INTO said_since VALUES (1)")  # it has the whole log, and goes on
    finally:
        server.stop(second)

    assert after != before
    assert [part for part in after.split("/") if part not in before.split("/")] == ["2"]
