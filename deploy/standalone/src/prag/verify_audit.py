"""Verify the audit trail of a data folder: `python -m prag.verify_audit FOLDER`.

A program of its own: it reads the four databases without changing them and shares no code with
what writes them, so a mistake there cannot hide itself here. It recomputes every link of each
service's hash chain and compares the chain with every signed head that vouches for it: the
service's own, those its siblings keep, and those in the anchor file. An edited, deleted, inserted
or reordered entry breaks a link; a chain cut off at its end or written anew contradicts a head;
an anchor file that is gone is told, for it is a witness less.
"""

import fcntl
import hashlib
import json
import re
import sqlite3
import sys
import time
from contextlib import closing, suppress
from functools import lru_cache
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from prag.manifest import TroubleError, no_folder  # how trouble is told, no more
from prag.witnesses import (
    SERVICES,
    BrokenError,
    Head,
    anchored,
    check_anchors,
    known_to_siblings,
    open_database,
    own_heads,
    rows,
)

GENESIS = hashlib.sha256(b"prag-audit-v1").digest()
LINK_SECONDS = 60
"""An entry is linked within about a second. One that stayed out this long was kept out."""

_CHUNK = 2000
_SECOND_LOOK_SECONDS = 3
_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)\.(\d{6})")
_ID = re.compile(r"([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})")

CHAIN = """
SELECT l.seq, l.entry_id, l.hash, e.id, e.at, e.actor, e.client_id, e.organisation_id, e.role,
       e.action, e.operation, e.object_type, e.object_ids, e.subject, e.data_groups, e.purpose,
       e.legal_basis, e.decision, e.trace_id
FROM audit_link l LEFT JOIN audit_entry e ON e.id = l.entry_id
WHERE l.seq > ? ORDER BY l.seq LIMIT ?
"""
WAITING = """
SELECT id FROM audit_entry e WHERE NOT EXISTS (SELECT 1 FROM audit_link WHERE entry_id = e.id)
AND (id < (SELECT max(entry_id) FROM audit_link)
     OR julianday(at) IS NULL
     OR julianday(at) < (SELECT max(julianday(t)) FROM
         (SELECT max(at) AS t FROM audit_entry UNION ALL SELECT max(sealed_at) FROM audit_head)) - ?)
ORDER BY id LIMIT 1000
"""


def main(arguments: list[str]) -> int:
    """Verify the folder named by the only argument; return the exit code."""
    try:
        (folder,) = arguments
        return report(Path(folder))
    except ValueError:
        print("usage: python -m prag.verify_audit FOLDER", file=sys.stderr)
        return 2


def report(home: Path) -> int:
    """Print what was found: 0 and the number of entries, or 1 and the first broken entry."""
    counts: dict[str, int] = {}
    broken: list[str] = []
    try:
        keys = read_keys(home)
        for service in SERVICES:
            try:
                counts[service] = verify(home, service, keys[service])
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
    return 0


def read_keys(home: Path) -> dict[str, Ed25519PublicKey]:
    """Return the public keys under which the services seal their heads."""
    try:
        keys = json.loads((home / "instance.json").read_text())["audit_keys"]
        return {
            service: Ed25519PublicKey.from_public_bytes(bytes.fromhex(keys[service]))
            for service in SERVICES
        }
    except FileNotFoundError:
        raise TroubleError(f"{home} is no data folder of Prag: start it with prag up") from None
    except NotADirectoryError:
        raise no_folder(home) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise TroubleError(f"{home / 'instance.json'} cannot be read") from None


def verify(home: Path, service: str, key: Ed25519PublicKey) -> int:
    """Return the number of entries in the service's chain; BrokenError names the first bad one."""
    problems: list[BrokenError] = []
    # The witnesses first: what they vouch for can only be older than the chain read after them.
    anchors = list(anchored(home, service, problems))
    siblings = list(known_to_siblings(home, service, problems))
    with closing(open_database(home, service)) as database:
        own = list(own_heads(database, problems))
        claims = _genuine([*anchors, *siblings, *own], service, key, problems)
        last, is_whole = _walk(database, claims, problems)
        if is_whole:
            _check_reach(claims, last, problems)
        _check_heads(claims, {head.seq for head in own}, problems)
        if not problems:
            _check_waiting(home, database, last, problems)
        if not problems:
            check_anchors(home, service, anchors, own, problems)
    if problems:
        raise min(problems, key=lambda problem: problem.seq)
    return last


# --- the chain


def _walk(
    database: sqlite3.Connection, claims: dict[int, list[Head]], problems: list[BrokenError]
) -> tuple[int, bool]:
    """Recompute the chain link by link; return how many links hold and whether that is all."""
    seq, previous = 0, GENESIS
    while found := rows(database, CHAIN, seq, _CHUNK):
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


def _check_waiting(
    home: Path, database: sqlite3.Connection, last: int, problems: list[BrokenError]
) -> None:
    """Find an entry long without a link: it was slipped in, or its link was taken away."""
    waiting = set(rows(database, WAITING, LINK_SECONDS / 86400))
    if waiting and _is_running(home):
        # Perhaps it was written this moment with a time long past; then it is linked within a second.
        time.sleep(_SECOND_LOOK_SECONDS)
        waiting &= set(rows(database, WAITING, LINK_SECONDS / 86400))
    if waiting:
        (entry_id,) = min(waiting)
        problems.append(BrokenError(last + 1, f"entry {entry_id} was left out of the chain"))


def _is_running(home: Path) -> bool:
    """Tell whether a process holds the folder."""
    with suppress(FileNotFoundError), (home / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


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
