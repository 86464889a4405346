"""Verify a country's audit trail: `prag verify-audit`, or `python -m prag.verify_audit FOLDER`.

A program of its own: it reads the four databases without changing them and shares no code with
what writes them, so a mistake there cannot hide itself here. It recomputes every link of each
service's hash chain and compares the chain with every signed head that vouches for it: the
service's own, those its siblings keep, and those in the anchor file. An edited, deleted, inserted
or reordered entry breaks a link; a chain cut off at its end or written anew contradicts a head;
an anchor file that is gone is told, for it is a witness less.
"""

import hashlib
import json
import re
import sys
import time
from contextlib import closing
from functools import lru_cache
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from prag.manifest import SERVICES, TroubleError
from prag.trails import Folder, Place, Trail
from prag.witnesses import (
    BrokenError,
    Head,
    anchored,
    check_anchors,
    known_to_siblings,
    own_heads,
)

GENESIS = hashlib.sha256(b"prag-audit-v1").digest()
LINK_SECONDS = 60
"""One that stayed out while others so much younger were linked was kept out."""

_CHUNK = 2000
_SECOND_LOOK_SECONDS = 3
_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)\.(\d{6})")
_ID = re.compile(r"([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})")


def main(arguments: list[str]) -> int:
    """Verify the folder named by the only argument; return the exit code."""
    try:
        (folder,) = arguments
        return report(Folder(Path(folder)))
    except ValueError:
        print("usage: python -m prag.verify_audit FOLDER", file=sys.stderr)
        return 2


def report(place: Place) -> int:
    """Print what was found: 0 and the number of entries, or 1 and the first broken entry."""
    counts: dict[str, int] = {}
    waits: dict[str, tuple[int, str]] = {}
    broken: list[str] = []
    try:
        keys = place.keys()
        for service in SERVICES:
            try:
                counts[service] = verify(place, service, keys[service])
                waits[service] = _unlinked(place, service)
            except BrokenError as error:
                broken.append(f"{service}: {error}")
    except TroubleError as error:
        print(f"prag: {error}", file=sys.stderr)
        return 1
    if broken:
        print("\n".join(broken))
        return 1
    print(f"{sum(counts.values())} entries verified")
    print(", ".join(f"{service} {count}" for service, count in counts.items()))
    names = [f"{name} {count} since {at}" for name, (count, at) in waits.items() if count]
    if names:
        print(
            f"not in the chain yet, into which a worker takes them when it runs: {', '.join(names)}"
        )
    return 0


def _unlinked(place: Place, service: str) -> tuple[int, str]:
    with closing(place.open(service)) as trail:
        return trail.unlinked()


def verify(place: Place, service: str, key: Ed25519PublicKey) -> int:
    """Return the number of entries in the service's chain; BrokenError names the first bad one."""
    problems: list[BrokenError] = []
    # The witnesses first: what they vouch for can only be older than the chain read after them.
    folder = place.anchors
    anchors = list(anchored(folder, service, problems)) if folder is not None else []
    siblings = list(known_to_siblings(place, service, problems))
    with closing(place.open(service)) as trail:
        own = list(own_heads(trail, problems))
        claims = _genuine([*anchors, *siblings, *own], service, key, problems)
        last, is_whole = _walk(trail, claims, problems)
        if is_whole:
            _check_reach(claims, last, problems)
        _check_heads(claims, {head.seq for head in own}, problems)
        if not problems:
            _check_waiting(trail, last, problems, may_run=place.may_run())
        if not problems and folder is not None:
            check_anchors(folder, service, anchors, own, problems)
    if problems:
        raise min(problems, key=lambda problem: problem.seq)
    return last


# --- the chain


def _walk(
    trail: Trail, claims: dict[int, list[Head]], problems: list[BrokenError]
) -> tuple[int, bool]:
    """Recompute the chain link by link; return how many links hold and whether that is all."""
    seq, previous = 0, GENESIS
    while found := trail.links(seq, _CHUNK):
        for position, entry_id, linked, *columns in found:
            seq += 1
            fault = (
                f"position {seq} of the chain is missing"
                if position != seq
                else _fault(entry_id, seq, previous, linked, columns)
            )
            for head in claims.get(seq, ()):
                if fault is None and head.hash != linked:
                    fault = f"entry {entry_id} is not the one that {head.witness} vouches for"
            if fault is not None:
                problems.append(BrokenError(seq, fault))
                return seq - 1, False
            previous = linked
    return seq, True


def _fault(
    entry_id: int, seq: int, previous: bytes, linked: bytes, columns: list[Any]
) -> str | None:
    name = f"entry {entry_id} (position {seq} of the chain)"
    if columns[0] is None:
        return f"{name} was deleted"
    try:
        expected = hashlib.sha256(b"\x00" + previous + canonical(columns)).digest()
    except (ValueError, TypeError, RecursionError):
        return f"{name} was changed: it is not in the form in which entries are written"
    return None if linked == expected else f"{name} was changed, moved or inserted"


def _genuine(
    heads: list[Head], service: str, key: Ed25519PublicKey, problems: list[BrokenError]
) -> dict[int, list[Head]]:
    """Return the heads the service has signed, by position; the others are problems."""
    claims: dict[int, list[Head]] = {}
    verdicts: dict[tuple[int, bytes, bytes], bool] = {}
    for head in heads:
        claim = (head.seq, head.hash, head.signature)
        if claim not in verdicts:
            verdicts[claim] = _is_signed(service, head, key)
        if verdicts[claim]:
            claims.setdefault(head.seq, []).append(head)
        else:
            text = f"position {head.seq} of the chain: the head kept by {head.witness} is forged"
            problems.append(BrokenError(head.seq, text))
    return claims


def _is_signed(service: str, head: Head, key: Ed25519PublicKey) -> bool:
    message = f"prag-audit-head-v1|{service}|{head.seq}|".encode() + head.hash
    try:
        key.verify(head.signature, message)
    except InvalidSignature:
        return False
    return True


def _check_heads(claims: dict[int, list[Head]], own: set[int], problems: list[BrokenError]) -> None:
    """Demand that the service still has every head it has told anybody."""
    for seq in claims.keys() - own:
        text = f"position {seq} of the chain: the head that {claims[seq][0].witness} vouches for is gone"
        problems.append(BrokenError(seq, text))


def _check_reach(claims: dict[int, list[Head]], last: int, problems: list[BrokenError]) -> None:
    """Demand as many entries as anybody vouches for."""
    seq = max(claims, default=0)
    if seq > last:
        witness, place = claims[seq][0].witness, f"position {last + 1} of the chain"
        text = f"{place}: the end was cut off; {witness} vouches for {seq} entries, {last} are left"
        problems.append(BrokenError(last + 1, text))


def _check_waiting(trail: Trail, last: int, problems: list[BrokenError], *, may_run: bool) -> None:
    """Find an entry long without a link: it was slipped in, or its link was taken away."""
    waiting = trail.waiting(LINK_SECONDS)
    if waiting and may_run:
        # Perhaps it was written this moment with a time long past; then it is linked within a second.
        time.sleep(_SECOND_LOOK_SECONDS)
        waiting &= trail.waiting(LINK_SECONDS)
    if waiting:
        text = f"entry {min(waiting)} was left out of the chain"
        problems.append(BrokenError(last + 1, text))


def canonical(columns: list[Any]) -> bytes:
    """Return an entry's bytes by RFC 8785; ValueError or TypeError unless it is stored as written.

    Of that standard an entry needs text, whole numbers, null and lists of text; the names are in
    the order of their letters. Only one stored form is taken for each value, so that no byte can
    change unseen.
    """
    id_, at, actor, client, organisation, role, action, operation, kind, ids, *rest = columns
    subject, groups, purpose, legal_basis, decision, trace_id = rest
    return (
        f'{{"action":{_text(action)},"actor":{_text(actor)},"at":{_time(at)},'
        f'"client_id":{_text(client, "null")},"data_groups":{_texts(groups)},'
        f'"decision":{_text(decision)},"id":{id_:d},"legal_basis":{_text(legal_basis, "null")},'
        f'"object_ids":{_texts(ids)},"object_type":{_text(kind)},"operation":{_text(operation)},'
        f'"organisation_id":{_id(organisation)},"purpose":{_text(purpose, "null")},'
        f'"role":{_text(role, "null")},"subject":{_id(subject)},"trace_id":{_text(trace_id)}}}'
    ).encode()


def _text(value: object, empty: str | None = None) -> str:
    """Return the JSON form; Python's quoting escapes exactly what the standard does."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None and empty is not None:
        return empty
    raise TypeError


def _time(value: str) -> str:
    match = _TIME.fullmatch(value)
    if match is None:
        raise ValueError
    fraction = "" if match[3] == "000000" else f".{match[3]}"
    return f'"{match[1]}T{match[2]}{fraction}+00:00"'


def _id(value: str | None) -> str:
    if value is None:
        return "null"
    match = _ID.fullmatch(value)
    if match is None:
        raise ValueError
    return f'"{"-".join(match.groups())}"'


@lru_cache(maxsize=1024)
def _texts(value: str) -> str:
    found = json.loads(value)
    if json.dumps(found) != value:
        raise ValueError
    return f"[{','.join([_text(each) for each in found])}]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
