"""A country's keys and its peers: made once, renewed, exchanged; nothing is taken that does not hold."""

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from common import clock
from common.clock import utcnow
from common.federation.custody import GENESIS, SignedStatement, Statement, digest_of
from common.federation.directory import GRACE
from common.federation.package import PackageError, open_package, seal_package
from common.federation.peers import OwnKeys, read_descriptor, read_own_keys, read_peers
from common.sealing import MasterKey
from prag import peer
from prag.backup import backup
from prag.cli import main
from prag.instance import Instance
from prag.manifest import Layout, TroubleError

REFERRAL = UUID("00000000-0000-4000-8000-000000000077")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two countries that have exchanged their descriptors, and their roots beside them."""
    place = tmp_path_factory.mktemp("peers")
    for country in ("RS", "XK"):
        with Instance(place / country, country, 8001) as instance:
            instance.prepare()
        peer.init(peer.place_of(place / country), place / f"{country}.root")
    for country, other in (("RS", "XK"), ("XK", "RS")):
        descriptor = peer.own_descriptor(peer.place_of(place / other))
        (place / f"{other}.json").write_bytes(descriptor.to_bytes())
        peer.add(peer.place_of(place / country), place / f"{other}.json", descriptor.fingerprint)
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "place"))


def keys_of(home: Path, service: str) -> OwnKeys:
    files = Layout(home)
    return read_own_keys(files.own_keys(service), MasterKey.from_file(files.master_key), service)


def later(days: float) -> None:
    at = utcnow() + timedelta(days=days)
    clock.set_source(lambda: at)


def test_what_one_country_seals_only_the_other_opens(place: Path) -> None:
    """Seeded: give both services one key; seal to the sender's own key."""
    at_home, abroad = read_peers(Layout(place / "RS").peers), place / "XK"
    key = at_home.directory.sealing_key("XK", utcnow(), use="package")
    assert key is not None
    assert at_home.countries == {"XK"}
    sealed = seal_package({"v": 1}, to=key, sender="RS", recipient="XK", referral_id=REFERRAL)
    ours: dict[str, Any] = {"sender": "RS", "recipient": "XK", "referral_id": REFERRAL}

    assert open_package(sealed, keys=keys_of(abroad, "intake").opening, **ours) == {"v": 1}
    for home, service in ((abroad, "referral"), (place / "RS", "intake")):
        with pytest.raises(PackageError):
            open_package(sealed, keys=keys_of(home, service).opening, **ours)
    assert not keys_of(abroad, "intake").signing


def test_own_keys_open_under_their_own_master_key_only(place: Path) -> None:
    shutil.copy2(Layout(place / "RS").own_keys("referral"), Layout(place / "XK").own_keys("intake"))

    with pytest.raises(ValueError, match="not sealed under this master key"):
        keys_of(place / "XK", "intake")


def test_the_keys_are_made_once(place: Path, tmp_path: Path) -> None:
    with pytest.raises(TroubleError, match="has its keys already"):
        peer.init(peer.place_of(place / "RS"), tmp_path / "second.root")
    assert not (tmp_path / "second.root").exists()


@pytest.mark.parametrize(
    ("root", "refusal"),
    [("RS/keys/root", "must not lie beside the keys"), ("XK.root", "exists already")],
)
def test_a_root_lies_apart_and_overwrites_nothing(place: Path, root: str, refusal: str) -> None:
    shutil.rmtree(Layout(place / "RS").peers)
    before = (place / "XK.root").read_bytes()

    with pytest.raises(TroubleError, match=refusal):
        peer.init(peer.place_of(place / "RS"), place / root)

    assert (place / "XK.root").read_bytes() == before
    assert not (place / "RS/keys/root").exists()


@pytest.mark.parametrize("said", [None, "", "0000 0000 0000 0000 0000 0000 0000 0000"])
@pytest.mark.row("F89")
def test_a_country_is_taken_only_by_what_it_said_in_person(place: Path, said: str | None) -> None:
    """Seeded: take a missing fingerprint for agreement; print the one in the file, to be pasted."""
    peer.remove(peer.place_of(place / "RS"), "XK")

    with pytest.raises(TroubleError, match="Ask XK in person") as refused:
        peer.add(peer.place_of(place / "RS"), place / "XK.json", said)

    found = read_descriptor((place / "XK.json").read_bytes()).fingerprint
    assert found not in str(refused.value)

    assert peer.list_peers(peer.place_of(place / "RS")) == []


def test_another_root_of_a_known_country_is_asked_for_anew(place: Path) -> None:
    """Seeded: compare the chains only: whoever writes the file would be XK from then on."""
    shutil.rmtree(Layout(place / "XK").peers)
    (place / "XK.json").write_bytes(
        peer.init(peer.place_of(place / "XK"), place / "new.root").to_bytes()
    )
    known = peer.list_peers(peer.place_of(place / "RS"))

    with pytest.raises(TroubleError, match="is not the one known so far"):
        peer.add(peer.place_of(place / "RS"), place / "XK.json", None)

    assert peer.list_peers(peer.place_of(place / "RS")) == known


def test_a_descriptor_that_was_changed_is_not_taken(place: Path) -> None:
    content = json.loads((place / "XK.json").read_bytes())
    content["entries"][0]["entry"]["not_after"] = "2099-01-01T00:00:00Z"
    (place / "XK.json").write_text(json.dumps(content))

    with pytest.raises(TroubleError, match="not signed by the root it names"):
        peer.add(peer.place_of(place / "RS"), place / "XK.json", None)


def test_new_keys_are_known_before_they_are_used_and_old_ones_destroyed_after_their_time(
    place: Path,
) -> None:
    """Seeded: use a new key at once; keep old private halves; drop them before their grace is over."""
    old = keys_of(place / "XK", "intake")
    renewed = peer.rotate(peer.place_of(place / "XK"), place / "XK.root")
    (place / "XK.json").write_bytes(renewed.to_bytes())
    peer.add(peer.place_of(place / "RS"), place / "XK.json", None)  # the root is known
    directory = read_peers(Layout(place / "RS").peers).directory
    both = keys_of(place / "XK", "intake")
    now = directory.sealing_key("XK", utcnow(), use="package")
    then = directory.sealing_key("XK", utcnow() + timedelta(days=15), use="package")
    assert now is not None
    assert then is not None
    assert now.kid != then.kid
    assert set(old.opening) == {now.kid}
    assert set(both.opening) == {now.kid, then.kid}

    later(peer.SEALING_DAYS + GRACE.days + 1)
    peer.rotate(peer.place_of(place / "XK"), place / "XK.root")

    assert now.kid not in keys_of(place / "XK", "intake").opening
    assert then.kid in keys_of(place / "XK", "intake").opening


@pytest.mark.parametrize("left", [5, -5])
def test_who_renews_late_is_never_without_a_key(place: Path, left: int) -> None:
    """Seeded: begin after the lead whatever ends before: statements of the days between are never signed."""
    later(peer.SEALING_DAYS - left)
    renewed = peer.rotate(peer.place_of(place / "XK"), place / "XK.root")
    (place / "XK.json").write_bytes(renewed.to_bytes())
    peer.add(peer.place_of(place / "RS"), place / "XK.json", None)

    directory = read_peers(Layout(place / "RS").peers).directory
    for days in range(max(0, left) + 20):
        at = utcnow() + timedelta(days=days)
        assert directory.sealing_key("XK", at) is not None, days
        assert directory.signing_kid("XK", at) is not None, days


def test_stolen_keys_are_ended_at_once(place: Path) -> None:
    """Seeded: let a revoked key sign until its end; begin the new ones after the lead."""
    here = peer.place_of(place / "RS")
    [stolen] = keys_of(place / "XK", "referral").signing.values()
    before = utcnow()
    renewed = peer.revoke(peer.place_of(place / "XK"), place / "XK.root")
    (place / "XK.json").write_bytes(renewed.to_bytes())

    peer.add(here, place / "XK.json", None)

    directory = read_peers(here.peers).directory
    kid = stolen.public.kid
    assert directory.signer("XK", kid, utcnow()) is None
    assert directory.signer("XK", kid, before) is not None
    assert directory.signing_kid("XK", utcnow()) in keys_of(place / "XK", "referral").signing
    with pytest.raises(TroubleError, match="not the root of this country"):
        peer.revoke(here, place / "XK.root")


def test_a_descriptor_cannot_be_turned_back(place: Path) -> None:
    before = (place / "XK.json").read_bytes()
    (place / "XK.json").write_bytes(
        peer.rotate(peer.place_of(place / "XK"), place / "XK.root").to_bytes()
    )
    peer.add(peer.place_of(place / "RS"), place / "XK.json", None)
    (place / "XK.json").write_bytes(before)

    with pytest.raises(TroubleError, match="older than what is known"):
        peer.add(
            peer.place_of(place / "RS"), place / "XK.json", read_descriptor(before).fingerprint
        )


def test_who_was_removed_is_nobody_until_taken_in_again(place: Path) -> None:
    peers = Layout(place / "RS").peers

    peer.remove(peer.place_of(place / "RS"), "XK")
    assert read_peers(peers).directory.sealing_key("XK", utcnow()) is None
    with pytest.raises(TroubleError, match="no peer"):
        peer.remove(peer.place_of(place / "RS"), "XK")

    peer.add(
        peer.place_of(place / "RS"),
        place / "XK.json",
        read_descriptor((place / "XK.json").read_bytes()).fingerprint,
    )
    assert read_peers(peers).countries == {"XK"}


def test_a_country_in_containers_keeps_its_keys_with_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "master.key").write_bytes(bytes(range(32)))
    (secrets / "master.key").chmod(0o600)
    init = ["peer", "--secrets", str(secrets), "init", "--root", str(tmp_path / "root")]
    monkeypatch.delenv("PRAG_COUNTRY", raising=False)

    assert main(init) == 1
    assert "PRAG_COUNTRY" in capsys.readouterr().err
    monkeypatch.setenv("PRAG_COUNTRY", "BA")
    assert main(init) == 0

    made = {path.name: oct(path.stat().st_mode & 0o777) for path in secrets.iterdir()}
    assert made["intake.peer"] == made["referral.peer"] == "0o600"
    assert read_peers(secrets / "peers").directory.signing_kid("BA", utcnow()) is not None


def test_the_secrets_of_one_country_are_not_taken_for_anothers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Fails when a wrong PRAG_COUNTRY is answered as if all were well, or has keys issued in its name.
    secrets, root = tmp_path / "secrets", tmp_path / "root"
    secrets.mkdir(mode=0o700)
    (secrets / "master.key").write_bytes(bytes(range(32)))
    (secrets / "master.key").chmod(0o600)
    peer.init(peer.place_of_secrets(secrets, "BA"), root)
    before = (secrets / "peers" / "own.json").read_bytes()
    monkeypatch.setenv("PRAG_COUNTRY", "RS")

    for act in (["list"], ["show"], ["remove", "XK"], ["rotate", "--root", str(root)]):
        assert main(["peer", "--secrets", str(secrets), *act]) == 1
        assert "are BA's, and PRAG_COUNTRY says RS" in capsys.readouterr().err

    assert (secrets / "peers" / "own.json").read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write what belongs to another")
def test_what_root_writes_beside_the_secrets_belongs_to_whom_the_containers_run_as(
    tmp_path: Path,
) -> None:
    # Fails when the workers, which are not root, cannot read the keys that root made for them.
    secrets, uid = tmp_path / "secrets", 12345
    (secrets / "peers").mkdir(parents=True)
    (secrets / "master.key").write_bytes(bytes(32))
    for path in (secrets, secrets / "peers"):
        os.chown(path, uid, uid)

    peer.init(peer.place_of_secrets(secrets, "RS"), tmp_path / "root")

    made = [secrets / "intake.peer", secrets / "referral.peer", secrets / "peers" / "own.json"]
    assert {path.stat().st_uid for path in made} == {uid}


def test_keys_that_end_soon_are_told_at_a_start(place: Path) -> None:
    assert peer.warnings(Layout(place / "RS").peers) == []

    later(peer.SEALING_DAYS - peer.WARN_DAYS + 1)

    ours, theirs = sorted(peer.warnings(Layout(place / "RS").peers))
    assert "keys of RS end" in ours
    assert "prag peer rotate" in ours
    assert "keys of XK end" in theirs
    assert "new descriptor" in theirs


def test_a_backup_holds_the_peers_and_the_keys_apart(place: Path, tmp_path: Path) -> None:
    archive, keys = backup(place / "RS", tmp_path / "rs.tar.gz")
    into = tmp_path / "again"
    into.mkdir()
    shutil.unpack_archive(archive, into)
    assert not Layout(into).keys.exists()
    shutil.unpack_archive(keys, into)

    assert read_peers(Layout(into).peers).countries == {"XK"}
    assert (
        keys_of(into, "referral").signing.keys() == keys_of(place / "RS", "referral").signing.keys()
    )


def test_the_commands_say_who_is_who(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRAG_HOME", str(place / "RS"))

    assert main(["peer", "show"]) == 0
    shown, fingerprint = capsys.readouterr()
    assert read_descriptor(shown.encode()).fingerprint in fingerprint
    assert main(["peer", "list"]) == 0
    assert capsys.readouterr().out.startswith("XK  until ")
    assert main(["peer", "remove", "xk"]) == 0
    capsys.readouterr()
    assert main(["peer", "list"]) == 0
    # Fails when a person cannot tell "none" from "nothing happened", or a program counts that line.
    assert capsys.readouterr() == (
        "",
        "no peers yet: prag peer add FILE, of a country's descriptor\n",
    )
    assert main(["peer", "add", str(place / "XK.json")]) == 1


# --- the chain of custody


def chain(place: Path) -> list[SignedStatement]:
    """RS offers, XK acknowledges and names what it heard."""
    said: list[SignedStatement] = []
    for author, other in (("RS", "XK"), ("XK", "RS")):
        [key] = keys_of(place / author, "referral").signing.values()
        heard = said[-1].statement.hash if said else GENESIS
        statement = Statement(
            referral_id=REFERRAL, author=author, peer=other, number=1, kind="offer",
            digest=digest_of({}), previous=GENESIS, heard=len(said), heard_hash=heard,
        )  # fmt: skip
        said.append(SignedStatement.of(statement, key))
    return said


@pytest.mark.row("F41")
@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("nothing", "RS 1, XK 1"),
        ("a word", "statement 1 of RS is not signed"),
        ("one left out", "statement 1 of XK names a statement of the other country"),
    ],
)
def test_the_chain_of_custody_is_verified(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broken: str,
    told: str,
) -> None:
    """Seeded: do not look at the signatures, or not at what was heard."""
    statements = [each.model_dump(mode="json") for each in chain(place)]
    if broken == "a word":
        statements[0]["statement"]["kind"] = "declined"
    if broken == "one left out":
        del statements[0]
    (place / "custody.json").write_text(json.dumps({"statements": statements}))
    monkeypatch.setenv("PRAG_HOME", str(place / "RS"))

    code = main(["verify-custody", str(place / "custody.json")])

    assert code == (0 if broken == "nothing" else 1)
    assert told in "".join(capsys.readouterr())


def test_the_chain_of_custody_is_verified_by_the_keys_in_a_folder_of_secrets(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Fails when a country on PostgreSQL cannot say where its keys are, or when a chain is called
    # forged because there were no keys at all.
    statements = [each.model_dump(mode="json") for each in chain(place)]
    file = place / "custody.json"
    file.write_text(json.dumps({"statements": statements}))
    monkeypatch.setenv("PRAG_HOME", str(place / "nowhere"))

    assert main(["verify-custody", "--secrets", str(place / "RS"), str(file)]) == 0
    assert capsys.readouterr().out.startswith("RS ")

    assert main(["verify-custody", str(file)]) == 1
    assert "holds no keys of this country: name the folder" in capsys.readouterr().err
