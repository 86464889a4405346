"""Two operators at one country's keys: the second goes on from where the first ended."""

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from common.federation.directory import Use
from common.federation.peers import Descriptor
from prag import peer
from prag.folder import alone
from prag.manifest import Layout
from tests.referral.world import make
from tests.system.processes import PATIENCE, begun, poll

ONCE: list[Use] = ["seal", "sign", "package"]
"""What one command issues."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("peers")
    make(folder, "RS", "XK")
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "place"))


def own(place: Path) -> Descriptor:
    return peer.own_descriptor(peer.place_of(place / "RS"))


def waits(command: "subprocess.Popen[str]") -> bool:
    """Read what a command says first; of one that waits for nobody it is no such line."""
    assert command.stderr is not None
    return "Waits for another command" in command.stderr.readline()


def handle_of(pipe: Path) -> int:
    """Wait until a command reads from the pipe; return the end to write to."""
    found: list[int] = []

    def is_read() -> bool:
        try:
            found.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody reads yet
            return False
        return True

    poll(is_read)
    return found[0]


@pytest.mark.parametrize(
    ("first", "second", "uses"),
    [
        ("rotate", "rotate", [*ONCE, *ONCE]),
        ("rotate", "revoke", [*ONCE, *["revoke"] * 6, *ONCE]),
        ("revoke", "rotate", [*["revoke"] * 3, *ONCE, *ONCE]),
    ],
)
def test_of_two_at_once_the_second_goes_on_from_the_first(
    first: str, second: str, uses: list[Use], place: Path
) -> None:
    # Fails when both go on from the chain as it was: two ends of one length, of which a peer refuses
    # one for ever, and a key that is published and that no service holds.
    before, pipe = own(place), place / "medium"
    os.mkfifo(pipe, 0o600)
    with begun("peer", first, "--root", str(pipe), home=place / "RS") as one:
        medium = handle_of(pipe)  # it has read the chain, and asks for the root
        with begun("peer", second, "--root", f"{place / 'RS.root'}", home=place / "RS") as other:
            assert waits(other)
            assert own(place) == before
            os.write(medium, (place / "RS.root").read_bytes())
            os.close(medium)
            assert (one.wait(PATIENCE), other.wait(PATIENCE)) == (0, 0)

    after = own(place)
    assert after.entries[: len(before.entries)] == before.entries
    assert [each.entry.use for each in after.entries[len(before.entries) :]] == uses
    peer.require_own_keys(peer.place_of(place / "RS"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("rotate", "--root", "RS.root"),
        ("revoke", "--root", "RS.root"),
        ("restore", "RS.json", "--root", "RS.root"),
        ("add", "XK.json"),
        ("remove", "XK"),
    ],
)
def test_whatever_changes_the_keys_or_the_peers_waits_its_turn(
    arguments: tuple[str, ...], place: Path
) -> None:
    # Fails for a command that does not wait: it would write over what the other reads and writes.
    there = [str(place / each) if "." in each else each for each in arguments]

    with ExitStack() as ended:
        with alone(Layout(place / "RS").keys):
            command = ended.enter_context(begun("peer", *there, home=place / "RS"))
            assert waits(command)
        assert command.wait(PATIENCE) == 0


def test_of_two_who_make_the_first_keys_one_is_told_that_they_are_there(place: Path) -> None:
    # Fails when both make a root: one of the two would sign nothing that counts.
    files = Layout(place / "RS")
    (files.peers / "own.json").unlink()
    roots = [place / "one.root", place / "other.root"]

    with ExitStack() as ended:
        with alone(files.keys):
            commands = [
                ended.enter_context(begun("peer", "init", "--root", str(root), home=place / "RS"))
                for root in roots
            ]
            for command in commands:
                assert waits(command)
        codes = [command.wait(PATIENCE) for command in commands]

    assert codes == [0 if root.exists() else 1 for root in roots]
    assert sum(codes) == 1
    peer.require_own_keys(peer.place_of(place / "RS"))
