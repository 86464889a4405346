"""Who vouches for a service's audit chain: its own heads, its siblings and its anchor file.

Part of the verifier (`prag.verify_audit`): like it, it only reads, and shares no code with what
writes.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from prag.manifest import SERVICES
from prag.trails import Place, Trail

_CUT = 2
"""A process killed between a head and its line leaves that one head without; so many in a row were cut."""


class BrokenError(Exception):
    """The first place at which a service's trail is not what was written. `seq` is its position."""

    def __init__(self, seq: int, what: str) -> None:
        super().__init__(what)
        self.seq = seq


@dataclass(frozen=True, slots=True)
class Head:
    """A claim: after `seq` entries the chain stood at `hash`. `witness` is where it was found."""

    seq: int
    hash: bytes
    signature: bytes
    witness: str


def own_heads(trail: Trail, problems: list[BrokenError]) -> Iterator[Head]:
    found = trail.rows(
        "SELECT last_seq, hash, signature, version FROM audit_head ORDER BY last_seq"
    )
    for count, (seq, hash_, signature, version) in enumerate(found, 1):
        if version != count:
            text = f"position {seq} of the chain: head {count} is gone or was changed"
            problems.append(BrokenError(_position(seq), text))
        yield from _head(seq, hash_, signature, "its own head", problems)


def known_to_siblings(place: Place, service: str, problems: list[BrokenError]) -> Iterator[Head]:
    query = "SELECT last_seq, hash, signature FROM known_audit_head WHERE source = ?"
    for sibling in SERVICES:
        if sibling == service:
            continue
        with closing(place.open(sibling)) as trail:
            found = trail.rows(query, service)
        for seq, hash_, signature in found:
            yield from _head(seq, hash_, signature, sibling, problems)


def anchored(folder: Path, service: str, problems: list[BrokenError]) -> Iterator[Head]:
    path = folder / f"{service}.jsonl"
    if not path.exists():
        return
    # The last line may be half written: its writer was killed, or is writing it just now.
    lines, _, _ = path.read_bytes().rpartition(b"\n")
    for number, line in enumerate(lines.splitlines(), 1):
        witness = f"line {number} of {path.name}"
        try:
            anchor = json.loads(line)
            hash_, signature = bytes.fromhex(anchor["head"]), bytes.fromhex(anchor["signature"])
            yield from _head(anchor["last_seq"], hash_, signature, witness, problems)
        except (ValueError, KeyError, TypeError):
            problems.append(BrokenError(0, f"{witness} was changed: it is no anchor"))


def check_anchors(
    folder: Path, service: str, anchors: list[Head], own: list[Head], problems: list[BrokenError]
) -> None:
    """Demand a line of the anchor file for every head but single ones, which a kill may have cost.

    Its end may be missing: a file put back from a backup lacks it until the next start adds it.
    """
    path = folder / f"{service}.jsonl"
    lines = {head.seq for head in anchors}
    last = max(lines, default=None)
    without: list[int] = []
    for head in own:
        if last is not None and head.seq > last:
            return
        without = [] if head.seq in lines else [*without, head.seq]
        if len(without) == _CUT:
            break
    else:
        return
    if not path.exists():
        fault = "is missing"
    elif last is None:
        fault = "holds no head"
    elif without[0] == own[0].seq:
        fault = "begins later than the chain's heads"
    else:
        fault = f"lost its lines from position {without[0]} of the chain on"
    text = f"{path} {fault}; put it back from a backup"
    problems.append(BrokenError(without[0], text))


def _head(
    seq: object, hash_: object, signature: object, witness: str, problems: list[BrokenError]
) -> Iterator[Head]:
    if type(seq) is int and isinstance(hash_, bytes) and isinstance(signature, bytes):
        yield Head(seq, hash_, signature, witness)
    else:
        problems.append(BrokenError(_position(seq), f"the head kept by {witness} was changed"))


def _position(seq: object) -> int:
    return seq if type(seq) is int else 0
