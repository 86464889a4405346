"""`prag backup` from outside: what it copies, and that it is alone at it."""

import fcntl
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid5

import httpx
import pytest

from prag.issuer import organisation_id
from tests.system.processes import Country, prag, report_notice, running, token

pytestmark = pytest.mark.system

NOTICE = str(UUID(bytes=uuid5(organisation_id("tests", "RS"), "77").bytes, version=4))


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Country]:
    with running(tmp_path_factory.mktemp("country") / "prag") as started:
        yield started


def test_a_backup_of_a_running_country_becomes_that_country_again(
    country: Country, tmp_path: Path
) -> None:
    bearer = token(country.home)
    assert report_notice(country, bearer, NOTICE).status_code == 201

    ended = prag("backup", str(tmp_path / "country.tar.gz"), home=country.home)

    assert ended.returncode == 0, ended.stderr
    archive, keys = (Path(line) for line in ended.stdout.splitlines())
    for path in (archive, keys):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not any(name.startswith("keys") for name in names(archive))
    assert {name.partition("/")[0] for name in names(keys)} == {"keys"}
    restored = tmp_path / "restored"
    restored.mkdir()
    for path in (archive, keys):
        subprocess.run(["tar", "-xzf", path, "-C", restored], check=True)  # noqa: S603, S607
    assert prag("verify-audit", home=restored).returncode == 0
    with running(restored) as again:
        answer = httpx.get(
            again.url("intake", f"/v1/notices/{NOTICE}"),
            headers={"Authorization": f"Bearer {token(restored)}"},
        )
        assert answer.status_code == 200, answer.text
        assert again.end() == 0


def test_a_backup_overwrites_nothing(country: Country, tmp_path: Path) -> None:
    (tmp_path / "country.tar.gz").write_text("mine")

    ended = prag("backup", str(tmp_path / "country.tar.gz"), home=country.home)

    assert ended.returncode == 1
    assert "exists already" in ended.stderr
    assert (tmp_path / "country.tar.gz").read_text() == "mine"


def test_what_a_killed_backup_left_is_gone_after_the_next(country: Country, tmp_path: Path) -> None:
    left = country.home / ".backup" / "data"
    left.mkdir(parents=True)
    (left / "intake.db").write_bytes(b"half a copy")

    ended = prag("backup", str(tmp_path / "country.tar.gz"), home=country.home)

    assert ended.returncode == 0, ended.stderr
    assert not (country.home / ".backup").exists()


def test_two_backups_at_once_are_refused(country: Country, tmp_path: Path) -> None:
    held = os.open(country.home, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        ended = prag("backup", str(tmp_path / "country.tar.gz"), home=country.home)
    finally:
        os.close(held)

    assert ended.returncode == 1
    assert "Another backup" in ended.stderr
    assert not list(tmp_path.iterdir())


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()
