"""The data folder of a standalone instance: what it holds, and every trouble it can be in."""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from common.audit import public_key
from common.sealing import MasterKey
from prag.instance import Instance
from prag.manifest import LAYOUT, SERVICES, TroubleError

PORT_BASE = 8001


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("pristine") / "prag"
    start(home)
    return home


@pytest.fixture
def home(pristine: Path, tmp_path: Path) -> Path:
    """A folder whose instance was started once and ended."""
    return Path(shutil.copytree(pristine, tmp_path / "prag"))


def start(home: Path, country: str = "RS") -> Instance:
    before = os.umask(0o077)
    try:
        with Instance(home, country, PORT_BASE) as instance:
            instance.prepare()
            return instance
    finally:
        os.umask(before)


def content(home: Path) -> dict[str, tuple[int, str]]:
    """Every file but the lock, which is taken even by a start that is refused."""
    return {
        str(path.relative_to(home)): (
            stat.S_IMODE(path.stat().st_mode),
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def refused(home: Path, says: str, country: str = "RS") -> None:
    """The start is refused in a sentence, and not a byte of the folder has changed."""
    before = content(home)

    with pytest.raises(TroubleError, match=says):
        start(home, country)

    assert content(home) == before


# --- starting


def test_the_first_start_makes_everything_private(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "prag"

    assert start(home).is_new

    for path in [home, *home.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert {path.stem for path in (home / "data").glob("*.db")} == {*SERVICES, "bus"}


def test_the_folder_says_whose_it_is_and_who_signs_its_audit_heads(home: Path) -> None:
    manifest = json.loads((home / "instance.json").read_text())
    master = MasterKey.from_file(home / "keys" / "master.key")

    assert manifest["layout"] == LAYOUT
    assert manifest["country"] == "RS"
    assert manifest["audit_keys"] == {name: public_key(master, name).hex() for name in SERVICES}
    assert len((home / "keys" / "master.key").read_bytes()) == 32


def test_the_second_start_changes_nothing(home: Path) -> None:
    before = content(home)

    assert not start(home).is_new

    assert content(home) == before


def test_an_interrupted_first_start_is_completed_with_the_keys_it_made(home: Path) -> None:
    key = (home / "keys" / "master.key").read_bytes()
    (home / "instance.json").rename(home / "starting.json")
    (home / "data" / "analytics.db").unlink()

    assert start(home).is_new

    assert (home / "keys" / "master.key").read_bytes() == key
    assert (home / "data" / "analytics.db").stat().st_size > 0
    assert not start(home).is_new


def test_the_services_settings_stay_inside_the_folder(home: Path) -> None:
    from prag.parts import PARTS  # noqa: PLC0415

    instance = Instance(home, "XK", 9000)

    for name, part in PARTS.items():
        settings = instance.settings(name, part)
        assert settings.database_url == f"sqlite:///{home}/data/{name}.db"
        assert settings.bus_url == f"local://{home}/data/bus.db"
        assert settings.master_key_file.is_relative_to(home)
        assert settings.oidc_jwks_file.is_relative_to(home)
        assert settings.country == "XK"


# --- troubles of the folder


def test_a_second_start_on_one_folder_is_refused_and_names_the_first(home: Path) -> None:
    with Instance(home, "RS", PORT_BASE):
        refused(home, rf"already runs on .* \(process {os.getpid()}\)")

    start(home)


def test_a_folder_that_cannot_be_written_to_is_told(read_only: Path) -> None:
    with pytest.raises(TroubleError, match="cannot be written to"):
        start(read_only / "prag")

    with pytest.raises(TroubleError, match="cannot be written to"):
        start(read_only)


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.odt").write_text("mine")

    refused(tmp_path, "is no data folder of Prag")


def test_the_folder_of_another_country_is_refused(home: Path) -> None:
    refused(home, "belongs to RS, not to MK", country="MK")


def test_a_country_that_is_none_of_ours_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(TroubleError, match="no country QQ"):
        start(tmp_path / "prag", "qq")

    assert not (tmp_path / "prag").exists()


def test_a_newer_layout_is_refused(home: Path) -> None:
    change_manifest(home, layout=LAYOUT + 1)

    refused(home, f"newer release of Prag \\(layout {LAYOUT + 1}, this one knows {LAYOUT}\\)")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"layout": "x"}', '{"layout": 1}'])
def test_a_damaged_manifest_is_told(home: Path, text: str) -> None:
    (home / "instance.json").write_text(text)

    refused(home, r"instance\.json is damaged")


def test_a_full_disk_is_told_before_anything_is_made(small_disk: Path) -> None:
    with pytest.raises(TroubleError, match="full"):
        start(small_disk / "prag")

    assert content(small_disk / "prag") == {}


def test_a_disk_that_fills_up_during_the_first_start_is_told_and_the_next_start_completes_it(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prag.instance.MIN_FREE_BYTES", 0)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_800_000))

    with pytest.raises(TroubleError, match="full"):
        start(small_disk / "prag")

    ballast.unlink()
    assert start(small_disk / "prag").is_new


# --- troubles of the keys


@pytest.mark.parametrize("name", ["master.key", "issuer.pem"])
def test_a_key_that_others_may_read_is_refused_with_the_command_that_mends_it(
    home: Path, name: str
) -> None:
    (home / "keys" / name).chmod(0o640)

    refused(home, f"chmod 600 .*{name}")


def test_a_missing_master_key_is_never_made_anew(home: Path) -> None:
    (home / "keys" / "master.key").unlink()

    refused(home, r"master\.key is missing")


def test_a_missing_master_key_is_not_made_anew_while_a_first_start_is_done_again(
    home: Path,
) -> None:
    (home / "keys" / "master.key").unlink()
    (home / "instance.json").rename(home / "starting.json")

    refused(home, r"master\.key is missing")


def test_a_master_key_cut_off_is_told(home: Path) -> None:
    (home / "keys" / "master.key").write_bytes(bytes(31))

    refused(home, r"master\.key is damaged")


def test_the_master_key_of_another_country_is_refused(home: Path) -> None:
    (home / "keys" / "master.key").write_bytes(bytes(32))

    refused(home, "not the key of this country")


# --- troubles of the databases


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database " * 400)


def _cut_off(path: Path) -> None:
    path.write_bytes(b"")


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _scribble(path: Path) -> None:
    """Overwrite every second page after the first, as a failing disk would."""
    raw = bytearray(path.read_bytes())
    for start_of_page in range(4096, len(raw), 8192):
        raw[start_of_page : start_of_page + 4096] = b"\xa5" * 4096
    path.write_bytes(raw)


@pytest.mark.parametrize("damage", [_garbage, _cut_off, _half, _scribble])
@pytest.mark.parametrize("name", ["intake", "analytics"])
def test_a_damaged_database_is_told_and_left_as_it_is(
    home: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(home / "data" / f"{name}.db")

    refused(home, rf"{name}\.db is damaged or not a database")


@pytest.mark.parametrize("name", [*SERVICES, "bus"])
def test_a_missing_database_is_told_and_no_empty_one_is_made(home: Path, name: str) -> None:
    (home / "data" / f"{name}.db").unlink()

    refused(home, rf"{name}\.db is missing")


@pytest.mark.parametrize("name", SERVICES)
def test_a_database_of_a_newer_release_is_refused_and_its_siblings_are_not_touched(
    home: Path, name: str
) -> None:
    with closing(sqlite3.connect(home / "data" / f"{name}.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999_from_the_future'")
        database.commit()

    refused(home, rf"{name}\.db was written by a newer release")


def test_a_database_held_by_another_program_is_told(home: Path) -> None:
    with closing(sqlite3.connect(home / "data" / "intake.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")

        refused(home, "held open by another program")


# --- what the tests need


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of two megabytes."""
    with mounted(tmp_path, "size=2m") as disk:
        if disk is None:
            pytest.skip("a small disk can only be mounted by root")
        yield disk


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder nobody may write to: root, who may everything, meets a disk mounted read-only."""
    with mounted(tmp_path, "ro") as disk:
        folder = disk or tmp_path / "disk"
        if disk is None:
            folder.chmod(0o500)
        yield folder
        if disk is None:
            folder.chmod(0o700)


@contextlib.contextmanager
def mounted(tmp_path: Path, options: str) -> Iterator[Path | None]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        yield None
        return
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:  # noqa: S603
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)  # noqa: S603, S607


def change_manifest(home: Path, **members: object) -> None:
    path = home / "instance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | members))
