"""A data folder without its manifest or half begun, one others may read; what each command says of it."""

import asyncio
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from common.db.base import unit_of
from common.runtime import open_runtime
from common.worker import sealer_of
from prag.instance import Instance
from prag.manifest import SERVICES, TIME_ZONES, TroubleError
from prag.names import sample_names
from prag.parts import PARTS
from prag.samples.directory import Cast
from tests.system.processes import free_ports, prag, running
from tests.system.test_instance import content, refused, start

VERIFY = ("verify-audit",)
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

    ended = prag("up", home=home, PRAG_PORT_BASE=str(free_ports()))

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
from common.worker import sealer_of
from prag.instance import Instance
def start(home, left):
    def hook(event, arguments):
        nonlocal left
        if event in {"os.rename", "os.remove", "os.mkdir"} and str(arguments[0]).startswith(home):
            left -= 1
            if left < 0:
                os._exit(9)

    sys.addaudithook(hook)
    with Instance(Path(home), "AL", 8001) as instance:
        instance.prepare(samples=True)
    os._exit(0)
os.umask(0o077)
passed, code = 0, 9
while code == 9:
    if (child := os.fork()) == 0:
        start(f"{sys.argv[1]}/{passed}", passed)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    passed += 1
sys.exit(code)
"""
"""First starts, each of which dies before one more of its files, up to one that does not."""


@pytest.mark.slow
def test_a_first_start_may_die_before_any_of_its_files_and_is_done_again(tmp_path: Path) -> None:
    """Seeded: make the keys before the sign; take the sign away before the manifest stands."""
    subprocess.run([sys.executable, "-c", _DIES, str(tmp_path)], check=True)  # noqa: S603
    died = sorted(tmp_path.iterdir(), key=lambda home: int(home.name))[:-1]
    assert len(died) > 10
    for home in died:
        key = home / "keys" / "master.key"
        before = key.read_bytes() if key.exists() else None

        start(home, "AL")

        assert before in {None, key.read_bytes()}
        assert (home / "instance.json").exists()
        assert not (home / "starting.json").exists()
        assert not start(home, "AL").is_new
        shutil.rmtree(home)


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


# --- without its anchor files

LATE = "put it back from a backup; until then prag verify-audit fails\n"


@pytest.fixture
def sealed(home: Path) -> Path:
    """A folder whose intake has sealed four heads, each with its line."""
    asyncio.run(_seal(home))
    return home


async def _seal(home: Path) -> None:
    with Instance(home, "AL", 8001) as instance:
        runtime = open_runtime("intake", instance.settings("intake", PARTS["intake"]))
        sealer = sealer_of(runtime, instance.files.anchor("intake"))
        for number in range(4):
            unit = unit_of(runtime.database, source="/intake", operation="test")
            unit.audit("list", "case", [str(number)])
            await runtime.database.write(unit)
            assert await sealer.link_waiting()
            assert await sealer.seal_head()
        await runtime.database.close()
    instance.files.anchor("intake").chmod(0o600)


@pytest.mark.parametrize("name", ["audit", "audit/intake.jsonl"])
def test_a_lost_anchor_file_is_told_and_stops_no_country(sealed: Path, name: str) -> None:
    """Seeded: leave out `check_anchors`; make the folder without a word; make the file anew."""
    aside, path, file = sealed.parent / "aside", sealed / name, sealed / "audit" / "intake.jsonl"
    path.rename(aside)

    ended = prag("verify-audit", home=sealed)
    assert ended.returncode == 1
    assert ended.stdout == f"intake: {file} is missing; put it back from a backup\n"
    with running(sealed, "--country", "AL") as country:
        assert country.end() == 0
        assert country.errors() == f"prag: {path} is missing: {LATE}"
    assert (sealed / "audit").stat().st_mode & 0o777 == 0o700
    assert prag("verify-audit", home=sealed).returncode == 1

    shutil.copytree(aside, path, dirs_exist_ok=True) if aside.is_dir() else aside.rename(path)
    assert prag("verify-audit", home=sealed).returncode == 0


def test_an_anchor_file_from_an_older_backup_is_completed(sealed: Path) -> None:
    """Seeded: add nothing: the next head would leave a gap, and verify-audit fail for ever."""
    path = sealed / "audit" / "intake.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"service": "inta')

    with running(sealed) as country:
        assert country.end() == 0
        said = country.errors()

    assert said == f"prag: {path} lacked its last 3 heads; they were added from the database\n"
    ours = [json.loads(line) for line in path.read_bytes().splitlines()]
    theirs = [json.loads(line) for line in lines]
    for one, other in zip(ours, theirs, strict=False):
        assert one | {"sealed_at": ""} == other | {"sealed_at": ""}
    assert len(ours) >= len(theirs)
    assert prag("verify-audit", home=sealed).returncode == 0


def test_an_anchor_file_that_begins_late_is_told_at_every_start(sealed: Path) -> None:
    path = sealed / "audit" / "intake.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[2:]))

    with running(sealed) as country:
        assert country.end() == 0
        assert country.errors() == f"prag: {path} begins later than the chain's heads: {LATE}"


# --- what every command says of it


@pytest.mark.parametrize("way", ["a file", "below a file"])
def test_a_path_that_can_be_no_folder_is_told(tmp_path: Path, way: str) -> None:
    (tmp_path / "file").write_text("mine")
    home = tmp_path / "file" if way == "a file" else tmp_path / "file" / "prag"

    says = f"PRAG_HOME must be a folder, and {tmp_path / 'file'} is a file"
    with pytest.raises(TroubleError, match=says):
        start(home)
    for command in (("up",), ("token", "--role", "DPO", "--org", "x"), ("backup", "b"), VERIFY):
        ended = prag(*command, home=home, PRAG_PORT_BASE=str(free_ports()))
        assert (ended.returncode, ended.stdout) == (1, "")
        assert says in ended.stderr, command

    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", [*SERVICES, "bus"])
def test_every_command_says_of_a_missing_database_what_the_start_says(
    home: Path, tmp_path: Path, name: str
) -> None:
    (home / "data" / f"{name}.db").unlink()
    says = (
        f"prag: {home}/data/{name}.db is missing. Put it back from a backup; nothing was changed.\n"
    )

    for command in (("up",), ("backup", str(tmp_path / "b")), *([VERIFY] * (name in SERVICES))):
        ended = prag(*command, home=home, PRAG_PORT_BASE=str(free_ports()))
        assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", says), command

    assert not list(tmp_path.glob("*b*.gz*"))


# --- the command line


@pytest.mark.parametrize(
    "command",
    [("up",), ("token", "--role", "DPO", "--org", "x"), ("demo",), VERIFY, ("backup", "b")],
)
def test_what_a_command_does_not_know_is_told_with_its_own_usage(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    ended = prag(*command, "--bogus", home=tmp_path / "prag")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"usage: prag {command[0]} ")
    assert ended.stderr.endswith("unrecognized arguments: --bogus\n")


def test_an_unknown_option_without_a_command_is_told_with_the_usage_of_all(tmp_path: Path) -> None:
    ended = prag("--bogus", home=tmp_path / "prag")

    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: prag [-h]")


@pytest.mark.parametrize("name", ["", " "])
def test_a_token_for_no_organisation_is_refused(home: Path, name: str) -> None:
    ended = prag("token", "--role", "DPO", "--org", name, home=home)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "an organisation has an id or a name" in ended.stderr


@pytest.mark.parametrize("name", ["nowhere", "csr-beograd", "two\nlines"])
def test_a_name_nobody_has_gives_a_token_and_one_line_of_warning(home: Path, name: str) -> None:
    ended = prag("token", "--role", "DPO", "--org", name, home=home)

    assert ended.returncode == 0
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", ended.stdout)
    [line] = ended.stderr.splitlines()
    assert line.startswith(
        f"prag: The name {name!r} stands for no organisation of the sample cases"
    )
    assert "csr-tirana, lipa" in line


@pytest.mark.parametrize(
    "name",
    [
        "csr-tirana",
        "LIPA",
        "breza",
        "identification-centre",
        "ministry",
        "hotline",
        "ombudsman",
        "0a7e3f52-6c1f-4b58-9d5e-2f40c1f0a001",
        "0A7E3F526C1F4B589D5E2F40C1F0A001",  # pragma: allowlist secret
    ],
)
def test_a_known_name_or_an_id_gives_a_token_without_a_word(home: Path, name: str) -> None:
    ended = prag("token", "--role", "DPO", "--org", name, home=home)

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("country", TIME_ZONES)
def test_the_names_without_a_warning_are_those_of_the_sample_cases(country: str) -> None:
    cast = Cast(country)

    assert {*sample_names(country)} == {*cast.names.values(), "ministry"}
