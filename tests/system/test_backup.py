"""`prag backup` from outside: what it copies, and that it is alone at it."""

import fcntl
import os
import re
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid5

import httpx
import pytest

from prag.issuer import organisation_id
from tests.system.processes import Country, free_ports, prag, report_notice, running, token
from tests.system.test_instance import start

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


# --- a country that could not be started again


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("pristine") / "prag"
    start(home)
    return home


@pytest.fixture
def home(pristine: Path, tmp_path: Path) -> Path:
    """A folder whose instance was started once and ended."""
    return Path(shutil.copytree(pristine, tmp_path / "prag"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def _lose(name: str) -> Callable[[Path], None]:
    return lambda home: (
        shutil.rmtree(home / name) if (home / name).is_dir() else (home / name).unlink()
    )


def _cut_key_off(home: Path) -> None:
    (home / "keys" / "master.key").write_bytes(bytes(31))


def _exchange_key(home: Path) -> None:
    (home / "keys" / "master.key").write_bytes(bytes(32))


@pytest.mark.parametrize(
    "trouble", [_lose("keys/master.key"), _lose("keys"), _cut_key_off, _exchange_key]
)
def test_without_its_master_key_a_country_is_refused_as_a_start_refuses_it(
    home: Path, target: Path, trouble: Callable[[Path], None]
) -> None:
    trouble(home)
    started = prag("up", home=home, PRAG_PORT_BASE=str(free_ports()))

    ended = prag("backup", str(target / "country.tar.gz"), home=home)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"prag: {home}/keys/master.key is " in ended.stderr
    assert ended.stderr == started.stderr
    assert not list(target.iterdir())


@pytest.mark.parametrize("name", ["audit", "data", "data/bus.db", "data/intake.db"])
def test_what_is_missing_is_named_and_nothing_is_left_behind(
    home: Path, target: Path, name: str
) -> None:
    _lose(name)(home)

    ended = prag("backup", str(target / "country.tar.gz"), home=home)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.match(rf"prag: {home}/{name}(/intake\.db)? is missing\. Put it back", ended.stderr)
    assert not list(target.iterdir())
    assert not (home / ".backup").exists()


def test_a_backup_whose_keys_could_not_be_written_leaves_no_half_and_can_be_tried_again(
    home: Path, target: Path
) -> None:
    # So long that the name of the keys' draft is beyond what a disk takes, and that of the data's is not.
    name = "c" * 238

    ended = prag("backup", str(target / name), home=home)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.search(rf"{name}\.keys\.tar\.gz\.\d+: File name too long\.", ended.stderr)
    assert not list(target.iterdir())
    assert prag("backup", str(target / "country"), home=home).returncode == 0


def test_a_folder_that_is_not_there_is_named(home: Path, tmp_path: Path) -> None:
    ended = prag("backup", str(tmp_path / "nowhere" / "country.tar.gz"), home=home)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"There is no folder {tmp_path / 'nowhere'}." in ended.stderr


def test_a_name_no_disk_takes_is_told(home: Path, target: Path) -> None:
    ended = prag("backup", str(target / ("c" * 300)), home=home)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "File name too long." in ended.stderr
    assert not list(target.iterdir())


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()
