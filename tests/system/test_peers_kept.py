"""What a country keeps of its peers and of its own keys: nothing is turned back, nothing starts without."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from common import clock
from common.clock import utcnow
from common.federation.peers import (
    OWN,
    Descriptor,
    directory_of,
    read_descriptor,
    read_own_keys,
    read_peers,
)
from prag import peer
from prag.cli import main
from prag.instance import Instance
from prag.manifest import Layout, TroubleError
from prag.up import up
from tests.referral.world import make
from tests.system.processes import PATIENCE, free_ports


@pytest.fixture
def place(tmp_path: Path) -> Path:
    make(tmp_path, "RS", "XK")
    return tmp_path


def written(folder: Path, descriptor: Descriptor) -> Path:
    (folder / "XK.json").write_bytes(descriptor.to_bytes())
    return folder / "XK.json"


def test_a_key_that_was_revoked_does_not_count_again_by_way_of_a_removal(place: Path) -> None:
    # Fails when a removal forgets what was seen: the old descriptor knows of no revocation.
    here, peers = peer.place_of(place / "RS"), Layout(place / "RS").peers
    old = read_descriptor((place / "XK.json").read_bytes())
    [stolen] = [each.entry.kid for each in old.entries if each.entry.use == "sign"]
    new = peer.revoke(peer.place_of(place / "XK"), place / "XK.root")
    peer.add(here, written(place, new), None)

    for _ in range(2):
        peer.remove(here, "XK")
        with pytest.raises(TroubleError, match="older than what is known of XK"):
            peer.add(here, written(place, old), old.fingerprint)
        assert read_peers(peers).countries == frozenset()

        with pytest.raises(TroubleError, match="Ask XK in person"):
            peer.add(here, written(place, new), None)
        peer.add(here, written(place, new), new.fingerprint)
        assert read_peers(peers).countries == {"XK"}
        assert read_peers(peers).directory.signer("XK", stolen, utcnow()) is None
    assert sorted(path.name for path in peers.iterdir()) == ["XK.json", "own.json"]


def test_a_stolen_key_that_ended_days_ago_signs_no_more_either(place: Path) -> None:
    """Seeded: revoke only what has not ended: it lies in the stolen file, and counts for a month more.

    If it was lost, what was said in its time would wait for ever for somebody to sign it.
    """
    home, root = peer.place_of(place / "XK"), place / "XK.root"
    [ended] = read_own_keys(home.own_keys("referral"), home.master, "referral").signing
    end = utcnow() + timedelta(days=peer.SIGNING_DAYS)
    clock.set_source(lambda: end - timedelta(days=1))
    peer.rotate(home, root)
    clock.set_source(lambda: end + timedelta(days=5))
    before, in_its_time = directory_of([peer.own_descriptor(home)]), utcnow() - timedelta(days=10)
    assert before.signer("XK", ended, utcnow()) is not None

    after, now = directory_of([peer.revoke(home, root)]), utcnow()

    assert ended in read_own_keys(home.own_keys("referral"), home.master, "referral").signing
    assert after.signer("XK", ended, now) is None
    assert after.signer("XK", ended, in_its_time) is not None
    assert after.signing_kids_of("XK", in_its_time) == [ended, after.signing_kid("XK", now)]


def test_a_country_that_was_removed_may_come_back_with_another_root(place: Path) -> None:
    # Fails when what was seen under the lost root stands in the way of the new one for ever.
    here, there = peer.place_of(place / "RS"), peer.place_of(place / "XK")
    peer.remove(here, "XK")
    (there.peers / "own.json").unlink()
    anew = peer.init(there, place / "another.root")

    peer.add(here, written(place, anew), anew.fingerprint)

    assert read_peers(here.peers).countries == {"XK"}


@pytest.mark.parametrize("service", ["intake", "referral"])
def test_a_country_is_not_started_without_a_file_of_its_keys(place: Path, service: str) -> None:
    # Fails when it starts: what others seal to it is buried, and they are told that it came.
    peer.place_of(place / "RS").own_keys(service).unlink()
    for path in (place / "RS").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)

    with pytest.raises(TroubleError, match=f"{service}.peer cannot be used"):
        up(place / "RS", "RS", free_ports(), empty=True)

    with Instance(place / "RS", "RS", 8001) as instance:  # and nothing holds it
        assert instance.country == "RS"


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `prag peer` of a country; return how it ended and what it said."""

    def act(country: str, *arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setenv("PRAG_HOME", str(place / country))
        code = main(["peer", *map(str, arguments)])
        return (code, *capsys.readouterr())

    return act


def shown(run: Run, folder: Path, country: str, *of: str) -> Path:
    """Write down what a country shows of a descriptor."""
    code, out, _ = run(country, "show", *of)
    assert code == 0
    file = folder / f"shown-{country}{''.join(of)}.json"
    file.write_text(out)
    return file


def put_back(place: Path, kept: Path | None = None) -> Path:
    """Copy the keys of XK away, or put a copy back; return the copy."""
    files = Layout(place / "XK")
    for folder in (files.keys, files.peers):
        if kept is None:
            shutil.copytree(folder, place / "kept" / folder.name)
        else:
            shutil.rmtree(folder)
            shutil.copytree(kept / folder.name, folder)
    return place / "kept"


def test_after_an_older_backup_of_the_keys_a_stolen_key_is_still_ended_at_the_peers(
    place: Path, run: Run
) -> None:
    # Fails when the chain of the backup is gone on from: the peers refuse whatever comes of it, and a
    # stolen key counts there until its end.
    root, kept = place / "XK.root", put_back(place)
    assert run("XK", "rotate", "--root", root)[0] == 0
    assert run("RS", "add", shown(run, place, "XK"))[0] == 0
    put_back(place, kept)
    assert run("XK", "revoke", "--root", root)[0] == 0
    code, _, said = run("RS", "add", shown(run, place, "XK"))
    assert code == 1
    assert "prag peer show XK, and there prag peer restore" in said

    held = shown(run, place, "RS", "XK")
    code, _, said = run("XK", "restore", held, "--root", root)
    assert code == 1
    assert "two chains" in said
    put_back(place, kept)
    code, out, said = run("XK", "restore", held, "--root", root)
    assert code == 0
    assert sorted(line.split()[1] for line in out.splitlines() if "lost: " in line) == [
        "package", "seal", "sign",
    ]  # fmt: skip
    assert "Run prag peer revoke at once" in said
    here = peer.place_of(place / "XK")
    with pytest.raises(TroubleError, match="run prag peer revoke"):
        peer.require_own_keys(here)  # as at a start
    assert "run prag peer revoke" in run("XK", "rotate", "--root", root)[2]

    assert run("XK", "revoke", "--root", root)[0] == 0
    peer.require_own_keys(here)
    assert run("RS", "add", shown(run, place, "XK"))[0] == 0
    directory, now = read_peers(Layout(place / "RS").peers).directory, utcnow()
    referral = read_own_keys(here.own_keys("referral"), here.master, "referral")
    sealing = directory.sealing_key("XK", now)
    assert sealing is not None
    assert sealing.kid in referral.opening
    assert directory.signing_kid("XK", now) in referral.signing
    assert run("XK", "rotate", "--root", root)[0] == 0
    assert run("RS", "add", shown(run, place, "XK"))[0] == 0


def test_only_what_goes_on_from_here_and_from_this_root_is_restored(place: Path, run: Run) -> None:
    # Fails when any descriptor that holds is taken for this country's own, or an older one.
    root, other = place / "XK.root", place / "RS.root"
    own = Layout(place / "XK").peers / "own.json"
    shown(run, place, "XK").rename(place / "older.json")
    assert run("XK", "rotate", "--root", root)[0] == 0
    newer, before = shown(run, place, "XK"), own.read_bytes()
    own.unlink()
    forged = peer.init(peer.place_of(place / "XK"), place / "another.root")
    (place / "forged.json").write_bytes(forged.to_bytes())
    own.write_bytes(before)
    refused = {
        ("RS.json", other): "is the descriptor of RS",
        ("older.json", root): "is older than what is here",
        ("forged.json", root): "is not signed by the root in",
        ("forged.json", place / "another.root"): "another root than the one known here",
    }

    for (file, by), said in refused.items():
        code, _, told = run("XK", "restore", place / file, "--root", by)
        assert code == 1
        assert said in told
        assert own.read_bytes() == before

    assert run("XK", "restore", newer, "--root", root)[0] == 0


def test_a_backup_from_before_the_keys_were_made_takes_them_back(place: Path, run: Run) -> None:
    # Fails when only `init` is left, whose second root no peer takes for this country's.
    held = shown(run, place, "RS", "XK")
    shutil.rmtree(Layout(place / "XK").peers)
    for service in ("intake", "referral"):
        peer.place_of(place / "XK").own_keys(service).unlink()

    assert run("XK", "restore", held, "--root", place / "XK.root")[0] == 0
    assert run("XK", "revoke", "--root", place / "XK.root")[0] == 0

    assert run("RS", "add", shown(run, place, "XK"))[0] == 0
    peer.require_own_keys(peer.place_of(place / "XK"))


def test_a_reader_who_has_enough_ends_a_command_without_a_word(place: Path) -> None:
    # Fails when `prag peer show XK | head -1` ends in a traceback.
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(
        [sys.executable, "-m", "prag.cli", "peer", "show", "XK"],
        env=os.environ | {"PRAG_HOME": str(place / "RS")},  # noqa: TID251  the child's
        stdout=writes,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    os.close(writes)

    assert done.returncode == 1
    assert "Error" not in done.stderr


def test_a_file_that_the_disk_does_not_give_is_told_in_one_line(place: Path) -> None:
    # Fails when a start ends with the traceback of an error that nobody expected.
    here = peer.place_of(place / "RS")
    own = here.peers / OWN
    own.unlink()
    own.symlink_to("/proc/self/mem")  # whose beginning is read with EIO

    with pytest.raises(TroubleError, match=f"{OWN} cannot be read: Input/output error"):
        peer.require_own_keys(here)
