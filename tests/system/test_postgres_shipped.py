"""The server that deploy/docker/postgres starts: what docs/operating.md does with it."""

import asyncio
import gzip
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from common import backlog
from common.db import open_database
from common.sealing import SubjectKeyRing
from tests.conftest import MASTER
from tests.house import ROOT
from tests.system.alerting import RULES, is_true, read
from tests.system.processes import PATIENCE, free_ports, poll
from tests.system.shipped import Shipped, shipped

pytestmark = [pytest.mark.system, pytest.mark.postgres]


@pytest.fixture
def server() -> Iterator[Shipped]:
    with shipped() as made:
        yield made


def test_a_base_backup_is_made_and_put_back_with_what_came_after_it(server: Shipped) -> None:
    # Fails when the server lets no backup be made, forgets the operator's settings at a start, or
    # writes to a database that is still being put back; or when what was written is not archived
    # before it fills a file.
    kept, base = server.home / "wal", server.home / "base"
    server.run("mkdir", str(kept))
    keep = f"{server.home}/deploy/postgres/archive %p {kept}/%f.gz"
    server.more.write_text(f"archive_mode = on\narchive_timeout = 2\narchive_command = '{keep}'\n")
    server.start()
    server.sql("CREATE TABLE word AS SELECT 'before' AS said")

    server.done("pg_basebackup", "-D", str(base), "--checkpoint=fast")
    server.done("pg_verifybackup", str(base))

    server.sql("INSERT INTO word VALUES ('after')")
    last = server.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")
    poll((kept / f"{last}.gz").exists)
    assert drilled(server, base, kept) == "after\nbefore"
    found = server.home / "found"  # as after the loss of the disk: a stop would archive the rest
    server.done("cp", "-a", str(kept), str(found))
    server.stop()

    server.done("mv", str(server.data), str(server.home / "lost"))
    server.done("cp", "-a", str(base), str(server.data))
    server.done("touch", str(server.data / "recovery.signal"))
    with server.more.open("a") as more:
        more.write(f"restore_command = 'gunzip < {found}/%f.gz > %p'\n")
    server.start()

    assert server.sql("SELECT said FROM word ORDER BY 1") == "after\nbefore"
    assert server.sql("SELECT pg_walfile_name(pg_current_wal_lsn())").startswith("00000002")


def drilled(server: Shipped, base: Path, kept: Path) -> str:
    """Put the backup back beside the server that goes on, and return what it holds."""
    drill, port = server.home / "drill", free_ports()
    server.done("cp", "-a", str(base), str(drill))
    server.done("touch", str(drill / "recovery.signal"))
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(drill),
        "archive_mode": "off",
        "hot_standby": "off",
        "restore_command": f"'gunzip < {kept}/%f.gz > %p'",
    }
    options = f"-p {port} " + " ".join(f"-c {name}={value}" for name, value in settings.items())
    ends = ("-D", str(drill), "-l", str(drill / "log"))
    server.done("pg_ctl", *ends, "start", "-o", options)
    at = ("-h", str(drill), "-p", str(port))
    try:
        poll(lambda: server.run("pg_isready", "-q", *at).returncode == 0)
        asked = ("-d", "prag_intake", "-c", "SELECT said FROM word ORDER BY 1")
        return server.done("psql", "-X", "-At", *at, *asked).strip()
    finally:
        server.done("pg_ctl", *ends, "stop")


@pytest.mark.row("F90")
def test_an_archive_that_fails_is_told_until_it_goes_on(server: Shipped) -> None:
    # Fails when nobody hears that what is written since is in no backup.
    place = server.home / "wal"
    keep = f"{server.home}/deploy/postgres/archive %p {place}/%f.gz"
    server.more.write_text(f"archive_mode = on\narchive_timeout = 1\narchive_command = '{keep}'\n")
    server.start()

    server.sql("CREATE TABLE word AS SELECT 'before' AS said")
    poll(lambda: is_told("ArchiveFails", server))
    server.run("mkdir", str(place))
    poll(lambda: not is_told("ArchiveFails", server))


@pytest.mark.row("F90")
def test_a_server_that_archives_nothing_is_told(server: Shipped) -> None:
    # Fails when a start without the operator's file, or a command left empty, goes unseen until the
    # disk is lost.
    server.start()
    assert is_told("ArchiveOff", server)

    for more, is_off in (("", True), ("archive_command = 'true'\n", False)):
        server.stop()
        server.more.write_text(f"archive_mode = on\n{more}")
        server.start()
        assert is_told("ArchiveOff", server) is is_off


def is_told(rule: str, server: Shipped) -> bool:
    words = (server.secrets / "prag_intake").read_text().rpartition(":")[2].strip()
    asyncio.run(
        measure_archiver(
            f"postgresql+asyncpg://prag_intake:{words}@127.0.0.1:{server.port}/prag_intake?ssl=require"
        )
    )
    return is_true(RULES[rule], read(generate_latest().decode(), "intake"), "intake")


async def measure_archiver(url: str) -> None:
    database = open_database(url, SubjectKeyRing(MASTER, "intake"))
    try:
        await backlog.measure_archiver(database, "intake")
    finally:
        await database.close()


def test_a_file_of_the_log_is_archived_once_and_no_other_in_its_place(tmp_path: Path) -> None:
    # Fails when a server that crashed after archiving can never go on, or one overwrites another's.
    archive, file, kept = ROOT / "deploy/postgres/archive", tmp_path / "wal", tmp_path / "wal.gz"

    def is_kept(words: bytes) -> bool:
        file.write_bytes(words)
        return subprocess.run([archive, file, kept], check=False, timeout=PATIENCE).returncode == 0  # noqa: S603

    assert is_kept(b"one")
    assert is_kept(b"one")
    assert not is_kept(b"another")
    assert gzip.decompress(kept.read_bytes()) == b"one"
    assert {path.name for path in tmp_path.iterdir()} == {"wal", "wal.gz"}


def test_nobody_but_its_superuser_can_copy_it(server: Shipped) -> None:
    # Fails when a service's login is enough to take all four databases away.
    server.start()
    words = (server.secrets / "prag_intake").read_text().rpartition(":")[2].strip()
    login = f"host=127.0.0.1 user=prag_intake password={words} sslmode=require"

    refused = server.run("pg_basebackup", "-D", str(server.home / "stolen"), "-d", login)

    assert "no pg_hba.conf entry for replication connection" in refused.stderr
    # The check of the check: as a service it is let in.
    asked = server.run("psql", "-X", "-At", f"{login} dbname=prag_intake", "-c", "SELECT 1")
    assert asked.stdout == "1\n"


def test_a_first_start_that_fails_leaves_no_password_and_no_server_behind(server: Shipped) -> None:
    # Fails when passwords lie in a temporary folder, or the next start meets a server of this one.
    file = server.secrets / "prag_referral"
    line = file.read_text()
    file.write_text("")

    assert server.begin().wait(PATIENCE) != 0

    assert "no passwords for prag_referral_owner and prag_referral" in server.log
    assert [*(server.home / "tmp").iterdir()] == []
    assert not (server.data / "postmaster.pid").exists()
    file.write_text(line)
    server.start()


def test_one_that_is_started_beside_it_by_mistake_changes_nothing(server: Shipped) -> None:
    # Fails when the files of a running server are written anew, by which it starts or reloads next.
    server.start()
    files = [server.data / f"{name}.conf" for name in ("postgresql", "pg_hba", "pg_ident")]
    before = [file.read_bytes() for file in files]
    (server.home / "other").mkdir()

    second = {"PRAG_PASSWORDS": str(server.home / "other"), "PRAG_POSTGRES_MORE": ""}
    refused = server.run(
        "env", *(f"{name}={value}" for name, value in second.items()), str(server.script)
    )

    assert refused.returncode == 78
    assert f"a server runs on {server.data} already" in refused.stderr
    assert [file.read_bytes() for file in files] == before
    assert server.sql("SELECT 1") == "1"
