"""A data folder that lost its manifest, one whose first start was cut off, one that others may read."""

import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from prag.manifest import SERVICES, TroubleError
from tests.system.processes import prag
from tests.system.test_instance import content, refused, start

LOST = r"holds data but no instance\.json\. Put it back from a backup"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("pristine") / "prag"
    start(home, "AL")
    return home


@pytest.fixture
def home(pristine: Path, tmp_path: Path) -> Path:
    """A folder of Albania whose instance was started once and ended."""
    return Path(shutil.copytree(pristine, tmp_path / "prag"))


# --- without a manifest


@pytest.mark.parametrize("country", ["AL", "RS"])
@pytest.mark.parametrize("left", ["keys", "data", "keys and data"])
def test_data_without_a_manifest_are_never_taken_for_a_first_start(
    home: Path, country: str, left: str
) -> None:
    """Seeded: leave `_refuse_lost` out; let it ask for the databases alone, or for the keys alone."""
    (home / "instance.json").unlink()
    for folder in {"keys", "data"} - set(left.split(" and ")):
        shutil.rmtree(home / folder)

    refused(home, LOST, country)

    assert not (home / "instance.json").exists()


def test_the_command_says_so_and_its_exit_code_too(home: Path) -> None:
    """Seeded: leave `_refuse_lost` out. Serbia would move in, with 32 invented cases."""
    (home / "instance.json").unlink()
    before = content(home)

    ended = prag("up", home=home)

    assert ended.returncode == 1
    assert re.search(LOST, ended.stderr)
    assert content(home) == before


@pytest.mark.parametrize("service", SERVICES)
def test_a_sign_left_behind_does_not_make_a_register_new(home: Path, service: str) -> None:
    """Seeded: believe the sign without a look into the databases, or into the first one only."""
    (home / "instance.json").rename(home / "starting.json")
    with closing(sqlite3.connect(home / "data" / f"{service}.db")) as database:
        database.execute("INSERT INTO relay_lease VALUES (1, 1, 1)")
        database.commit()

    refused(home, LOST, "AL")


def test_a_start_takes_the_sign_away_also_where_a_killed_one_left_it(home: Path) -> None:
    """Seeded: leave `end_start` to first starts only: the sign would outlive its truth."""
    assert not (home / "starting.json").exists()
    (home / "starting.json").write_text('{"country": "AL"}')
    (home / "starting.json").chmod(0o600)

    assert not start(home, "AL").is_new

    assert not (home / "starting.json").exists()


def test_a_first_start_that_was_cut_off_is_gone_on_with_for_its_own_country_only(
    home: Path,
) -> None:
    """Seeded: read no country from the sign."""
    (home / "instance.json").rename(home / "starting.json")

    refused(home, "belongs to AL, not to RS", "RS")

    assert start(home, "AL").is_new


_DIES = """
import os, sys
from pathlib import Path
from prag.instance import Instance

home, count = Path(sys.argv[1]), int(sys.argv[2])

def hook(event, arguments):
    global count
    if event in {"os.rename", "os.remove", "os.mkdir"} and str(arguments[0]).startswith(str(home)):
        count -= 1
        if count < 0:
            os._exit(9)

sys.addaudithook(hook)
os.umask(0o077)
with Instance(home, "AL", 8001) as instance:
    instance.prepare(samples=True)
"""


@pytest.mark.slow
def test_a_first_start_may_die_before_any_of_its_files_and_is_done_again(tmp_path: Path) -> None:
    """Seeded: make the keys before the sign; take the sign away before the manifest stands."""
    for passed in range(200):
        home = tmp_path / str(passed)
        ended = subprocess.run(  # noqa: S603
            [sys.executable, "-c", _DIES, str(home), str(passed)], check=False, capture_output=True
        )
        if ended.returncode == 0:
            break
        assert ended.returncode == 9, ended.stderr
        key = home / "keys" / "master.key"
        before = key.read_bytes() if key.exists() else None

        start(home, "AL")

        assert before in {None, key.read_bytes()}, passed
        assert (home / "instance.json").exists(), passed
        assert not (home / "starting.json").exists(), passed
        assert not start(home, "AL").is_new, passed
        shutil.rmtree(home)
    assert passed > 10


# --- modes


@pytest.mark.parametrize(
    "name",
    [
        ".",
        "data",
        "keys",
        "audit",
        "logs",
        "instance.json",
        "data/intake.db",
        "data/bus.db",
        "keys/master.key",
        "audit/intake.jsonl",
        "logs/prag.log",
    ],
)
@pytest.mark.parametrize("bits", [0o040, 0o001, 0o020])
def test_what_others_may_get_at_is_refused_with_the_command_that_mends_it(
    home: Path, name: str, bits: int
) -> None:
    """Seeded: check the keys only; folders only; the right to read only."""
    path = home / name
    if not path.exists():
        path.touch(0o600)
    path.chmod(path.stat().st_mode & 0o777 | bits)

    with pytest.raises(TroubleError) as told:
        start(home, "AL")

    assert f"Others on this machine may get at {path.absolute()}" in str(told.value)
    subprocess.run(str(told.value).partition("Run: ")[2], shell=True, check=True)  # noqa: S602  it is ours
    start(home, "AL")


def test_many_of_them_are_mended_by_one_command(home: Path) -> None:
    """Seeded: name the first one only."""
    (home / "data").chmod(0o755)
    for service in SERVICES:
        (home / "data" / f"{service}.db").chmod(0o644)

    refused(home, rf"data and 4 more; nothing was started\. Run: chmod -R go= {home}$", "AL")

    subprocess.run(["chmod", "-R", "go=", home], check=True)  # noqa: S603, S607
    start(home, "AL")


def test_an_empty_folder_made_as_any_other_becomes_private(tmp_path: Path) -> None:
    """Seeded: refuse it as shared."""
    tmp_path.chmod(0o755)

    assert start(tmp_path).is_new

    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_folder_made_as_any_other_for_the_files_of_a_backup_becomes_private(home: Path) -> None:
    """Seeded: refuse it as shared. A backup holds no lock and not the folder itself."""
    (home / "lock").unlink()
    home.chmod(0o755)

    assert not start(home, "AL").is_new

    assert home.stat().st_mode & 0o777 == 0o700
