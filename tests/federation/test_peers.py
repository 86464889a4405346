"""Whom a country exchanges with is what lies in its folder; its own keys are sealed there too."""

import errno
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from common import clock
from common.clock import utcnow
from common.federation.directory import Directory, DirectoryError
from common.federation.peers import (
    OWN,
    Descriptor,
    check_own_keys,
    read_descriptor,
    read_own_keys,
    read_peers,
    seal_own_keys,
)
from common.sealing import MasterKey
from common.settings import SettingError
from tests.federation.countries import land

SERBIA, KOSOVO, BOSNIA = land("RS"), land("XK"), land("BA")
MASTER = MasterKey(bytes(32))


def put(folder: Path, name: str, descriptor: Descriptor) -> None:
    (folder / name).write_bytes(descriptor.to_bytes())


def test_the_folder_says_who_is_a_peer(tmp_path: Path) -> None:
    put(tmp_path, OWN, SERBIA.descriptor)
    put(tmp_path, "XK.json", KOSOVO.descriptor)
    (tmp_path / "notes.txt").write_text("Pristina: by phone on Monday")

    peers = read_peers(tmp_path)

    assert peers.countries == {"XK"}
    now = utcnow()
    assert peers.directory.signing_kid("RS", now) == SERBIA.signing.public.kid
    to = peers.directory.sealing_key("XK", now)
    assert to is not None
    assert to.kid == KOSOVO.sealing.public.kid
    assert peers.directory.sealing_key("BA", now) is None


def test_without_a_folder_there_is_nobody(tmp_path: Path) -> None:
    for folder in (None, tmp_path / "none", tmp_path):
        assert read_peers(folder).countries == frozenset()


def test_a_file_that_comes_or_goes_is_seen_at_once(tmp_path: Path) -> None:
    put(tmp_path, "XK.json", KOSOVO.descriptor)
    assert read_peers(tmp_path).countries == {"XK"}

    put(tmp_path, "BA.json", BOSNIA.descriptor)
    assert read_peers(tmp_path).countries == {"XK", "BA"}

    (tmp_path / "XK.json").unlink()
    assert read_peers(tmp_path).countries == {"BA"}


def test_a_newer_descriptor_replaces_the_older(tmp_path: Path) -> None:
    country = land("MK")
    put(tmp_path, "MK.json", country.descriptor)
    assert read_peers(tmp_path).directory.height("MK") == 2
    later = utcnow() + timedelta(days=1)
    country.extend("seal", BOSNIA.sealing.public.kid, BOSNIA.sealing.public.raw, not_before=later)

    put(tmp_path, "MK.json", country.descriptor)

    directory = read_peers(tmp_path).directory
    assert directory.height("MK") == 3
    clock.set_source(lambda: later)
    newest = directory.sealing_key("MK", utcnow())
    assert newest is not None
    assert newest.kid == BOSNIA.sealing.public.kid


def test_a_descriptor_whose_chain_does_not_hold_is_refused(tmp_path: Path) -> None:
    """Seeded: take a descriptor for what its name says, without its root's signatures."""
    kosovo, bosnia = KOSOVO.descriptor, BOSNIA.descriptor
    for bad in (
        kosovo.model_copy(update={"country": "BA"}),
        kosovo.model_copy(update={"root": bosnia.root}),
        kosovo.model_copy(update={"entries": kosovo.entries[1:]}),
        kosovo.model_copy(update={"entries": kosovo.entries[::-1]}),
        kosovo.model_copy(update={"entries": (*kosovo.entries, bosnia.entries[0])}),
    ):
        with pytest.raises(DirectoryError):
            read_descriptor(bad.to_bytes())
    with pytest.raises(DirectoryError):
        read_descriptor(b"{}")


def damage(folder: Path) -> None:
    (folder / "XK.json").write_bytes(KOSOVO.descriptor.to_bytes()[:-9])


def disguise(folder: Path) -> None:
    put(folder, "XK.json", KOSOVO.descriptor.model_copy(update={"root": BOSNIA.descriptor.root}))


def speak_for_us(folder: Path) -> None:
    put(folder, "XK.json", land("RS").descriptor)


def speak_for_another(folder: Path) -> None:
    put(folder, "XK.json", land("BA").descriptor)


def make_unreadable(folder: Path) -> None:
    (folder / "XK.json").mkdir()


@pytest.mark.parametrize(
    "spoil", [damage, disguise, speak_for_us, speak_for_another, make_unreadable]
)
def test_a_file_that_does_not_hold_is_named_and_its_country_alone_rests(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """Seeded: let the error out, and the exchange with everybody stands still."""
    put(tmp_path, OWN, SERBIA.descriptor)
    put(tmp_path, "BA.json", BOSNIA.descriptor)
    spoil(tmp_path)

    with capture_logs() as told:
        peers = read_peers(tmp_path)

    [line] = told
    assert (line["event"], line["file"]) == ("peers.file_rests", "XK.json")
    assert peers.countries == {"BA"}
    assert peers.resting == {"XK"}
    now = utcnow()
    assert peers.directory.signing_kid("RS", now) == SERBIA.signing.public.kid
    assert peers.directory.signing_kid("BA", now) == BOSNIA.signing.public.kid
    assert peers.directory.signing_kid("XK", now) is None


def test_a_file_that_was_replaced_ends_the_rest_of_its_country(tmp_path: Path) -> None:
    damage(tmp_path)
    assert read_peers(tmp_path).countries == frozenset()

    put(tmp_path, "XK.json", KOSOVO.descriptor)

    peers = read_peers(tmp_path)
    assert peers.countries == {"XK"}
    assert peers.resting == frozenset()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
@pytest.mark.parametrize("name", [OWN, "XK.json"])
def test_a_file_that_could_not_be_read_for_a_moment_is_none_that_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    # Fails when its country rests, or goes on resting when the file can be read again: it is the
    # same file, with the same times, and what its country sends is buried until a restart.
    put(tmp_path, OWN, SERBIA.descriptor)
    put(tmp_path, "XK.json", KOSOVO.descriptor)
    fail_to_read(tmp_path / name, number, monkeypatch)

    with capture_logs() as told, pytest.raises(OSError, match="of the system") as met:
        read_peers(tmp_path)
    monkeypatch.undo()

    assert met.value.errno == number
    assert [(line["event"], line["file"]) for line in told] == [("peers.file_waits", name)]
    peers = read_peers(tmp_path)
    assert peers.countries == {"XK"}
    assert peers.resting == frozenset()
    assert peers.directory.signing_kid("RS", utcnow()) == SERBIA.signing.public.kid


def test_a_file_that_nobody_here_may_read_rests_until_its_rights_are_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when it is waited for, and the exchange with everybody stands still; or when it is not
    # looked at again once it has other rights.
    put(tmp_path, "BA.json", BOSNIA.descriptor)
    put(tmp_path, "XK.json", KOSOVO.descriptor)
    fail_to_read(tmp_path / "XK.json", errno.EACCES, monkeypatch)
    peers = read_peers(tmp_path)
    monkeypatch.undo()

    assert peers.countries == {"BA"}
    assert peers.resting == {"XK"}

    (tmp_path / "XK.json").chmod(0o640)
    assert read_peers(tmp_path).countries == {"BA", "XK"}


def test_a_link_that_leads_nowhere_rests_alone(tmp_path: Path) -> None:
    # Fails when it is waited for: the exchange with everybody stands still.
    put(tmp_path, "XK.json", KOSOVO.descriptor)
    (tmp_path / "BA.json").symlink_to(tmp_path / "nowhere")

    peers = read_peers(tmp_path)

    assert peers.countries == {"XK"}
    assert peers.resting == {"BA"}


@pytest.mark.parametrize("asked", ["iterdir", "stat"])
def test_a_folder_that_could_not_be_looked_at_for_a_moment_is_not_taken_for_an_empty_one(
    asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when there is nobody for that moment: what peers wrote would be buried.
    put(tmp_path, "XK.json", KOSOVO.descriptor)
    file = kept(tmp_path, "referral", opening=[], signing=[])

    def refused(path: Path, **_: object) -> None:
        raise OSError(errno.EMFILE, "of the system", str(path))

    monkeypatch.setattr(Path, asked, refused)
    with pytest.raises(OSError, match="of the system"):
        read_peers(tmp_path)
    if asked == "stat":
        with pytest.raises(OSError, match="of the system"):
            read_own_keys(file, MASTER, "referral")
    monkeypatch.undo()

    assert read_peers(tmp_path).countries == {"XK"}


def fail_to_read(file: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system refuse to read one file, as it does for a while: no test can break a disk."""
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path == file:
            raise OSError(number, "of the system", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)


def test_a_fingerprint_is_the_root_s_alone() -> None:
    renewed = land("XK")

    assert KOSOVO.descriptor.fingerprint.count(" ") == 7
    assert KOSOVO.descriptor.fingerprint != renewed.descriptor.fingerprint
    only_root = KOSOVO.descriptor.model_copy(update={"entries": ()})
    assert only_root.fingerprint == KOSOVO.descriptor.fingerprint


def test_own_keys_open_under_the_master_key_of_their_service_only(tmp_path: Path) -> None:
    path = tmp_path / "referral.peer"
    opening, signing = SERBIA.private

    path.write_bytes(seal_own_keys(MASTER, "referral", opening=[opening], signing=[signing]))

    keys = read_own_keys(path, MASTER, "referral")
    assert set(keys.opening) == {SERBIA.sealing.public.kid}
    directory = read_peers_of(tmp_path)
    assert keys.signing_now(directory, "RS", utcnow()) is not None
    assert keys.signing_now(directory, "XK", utcnow()) is None
    assert opening not in path.read_bytes()
    for master, service in ((MasterKey(bytes(range(32))), "referral"), (MASTER, "intake")):
        with pytest.raises(ValueError, match="master key"):
            read_own_keys(path, master, service)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="master key"):
        read_own_keys(path, MASTER, "referral")
    assert read_own_keys(tmp_path / "none", MASTER, "referral").opening == {}


def read_peers_of(tmp_path: Path) -> Directory:
    folder = tmp_path / "peers"
    folder.mkdir()
    put(folder, OWN, SERBIA.descriptor)
    put(folder, "XK.json", KOSOVO.descriptor)
    return read_peers(folder).directory


def kept(folder: Path, service: str, **keys: list[bytes]) -> Path:
    """Write the file of keys that a service with these is given; return its path."""
    file = folder / f"{service}.peer"
    file.write_bytes(seal_own_keys(MASTER, service, **({"opening": [], "signing": []} | keys)))
    return file


def test_keys_that_are_all_there_are_no_fault_nor_are_none_at_all(tmp_path: Path) -> None:
    # Fails when a country without peers, an API, or one whose old keys are over cannot start.
    country = land("MK")
    over = utcnow() - timedelta(days=9)
    past = land("BG", since=over - timedelta(days=9), days=9)
    country.extend(
        "seal",
        past.sealing.public.kid,
        past.sealing.public.raw,
        not_before=past.chain[0].entry.not_before,
        not_after=over,
    )
    lost = BOSNIA.sealing.public
    country.extend("seal", lost.kid, lost.raw)
    country.extend("revoke", lost.kid, None)
    put(tmp_path, OWN, country.descriptor)
    opening, signing = country.private
    file = kept(tmp_path, "referral", opening=[opening], signing=[signing])

    check_own_keys(tmp_path, file, MASTER, "referral")
    check_own_keys(tmp_path, kept(tmp_path, "intake"), MASTER, "intake")  # MK takes in no packages
    check_own_keys(tmp_path, None, MASTER, "referral")
    check_own_keys(None, None, MASTER, "referral")
    check_own_keys(tmp_path / "none", tmp_path / "none.peer", MASTER, "analytics")


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        ("no folder", "PRAG_PEERS_FOLDER"),
        ("folder not set", "PRAG_PEERS_FOLDER"),
        ("an empty folder", "PRAG_PEERS_FOLDER"),
        ("no file", "PRAG_OWN_KEYS_FILE"),
        ("a folder for a file", "PRAG_OWN_KEYS_FILE"),
        ("another's file", "PRAG_OWN_KEYS_FILE"),
        ("before the rotation", "PRAG_OWN_KEYS_FILE"),
        ("without the key to sign with", "PRAG_OWN_KEYS_FILE"),
    ],
)
def test_without_what_others_seal_to_and_believe_no_service_starts(
    tmp_path: Path, fault: str, names: str
) -> None:
    # Fails when it starts: what comes then is buried, and its sender told that it came.
    country = land("MK")
    put(tmp_path, OWN, country.descriptor)
    opening, signing = country.private
    held = {"opening": [opening], "signing": [signing]}
    if fault == "before the rotation":
        later = BOSNIA.sealing.public
        country.extend("seal", later.kid, later.raw, not_before=utcnow() + timedelta(days=14))
        put(tmp_path, OWN, country.descriptor)
    if fault == "without the key to sign with":
        held["signing"] = []
    file, folder = kept(tmp_path, "referral", **held), tmp_path
    if fault in ("no file", "a folder for a file"):
        file.unlink()
    if fault == "a folder for a file":
        file.mkdir()
    if fault == "another's file":
        file = kept(tmp_path, "intake", **held)
    if fault == "an empty folder":
        (tmp_path / OWN).unlink()
    if fault == "no folder":
        folder = tmp_path / "none"

    with pytest.raises(SettingError, match=names):
        check_own_keys(None if fault == "folder not set" else folder, file, MASTER, "referral")


@pytest.mark.parametrize("of", [OWN, "referral.peer"])
def test_a_start_takes_no_moment_s_fault_of_reading_for_a_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    # Fails when it is a SettingError: then the service is started no more until somebody comes.
    country = land("MK")
    put(tmp_path, OWN, country.descriptor)
    opening, signing = country.private
    file = kept(tmp_path, "referral", opening=[opening], signing=[signing])
    fail_to_read(tmp_path / of, errno.EIO, monkeypatch)

    with pytest.raises(OSError, match="of the system") as met:
        check_own_keys(tmp_path, file, MASTER, "referral")
    monkeypatch.undo()

    assert met.value.errno == errno.EIO
    check_own_keys(tmp_path, file, MASTER, "referral")


def test_own_keys_that_could_not_be_read_for_a_moment_are_not_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when it is kept that there are none, or told so: what was sealed to them would be buried.
    opening, signing = land("MK").private
    file = kept(tmp_path, "referral", opening=[opening], signing=[signing])
    fail_to_read(file, errno.EMFILE, monkeypatch)

    with pytest.raises(OSError, match="of the system"):
        read_own_keys(file, MASTER, "referral")
    monkeypatch.undo()

    held = read_own_keys(file, MASTER, "referral")
    assert (len(held.opening), len(held.signing)) == (1, 1)
