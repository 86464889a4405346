"""What a country keeps of its peers and of its own keys: nothing is turned back, nothing starts without."""

from pathlib import Path

import pytest

from common.clock import utcnow
from common.federation.peers import Descriptor, read_descriptor, read_peers
from prag import peer
from prag.instance import Instance
from prag.manifest import Layout, TroubleError
from prag.up import up
from tests.referral.world import make
from tests.system.processes import free_ports


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
