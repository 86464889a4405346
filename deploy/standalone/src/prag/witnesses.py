"""Who vouches for a service's audit chain: its own heads, its siblings and its anchor file.

Part of the verifier (`prag.verify_audit`): like it, it only reads, and shares no code with what
writes.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prag.manifest import TroubleError, missing  # how trouble is told, no more

SERVICES = ("intake", "referral", "reintegration", "analytics")
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


def own_heads(database: sqlite3.Connection, problems: list[BrokenError]) -> Iterator[Head]:
    found = rows(
        database, "SELECT last_seq, hash, signature, version FROM audit_head ORDER BY last_seq"
    )
    for count, (seq, hash_, signature, version) in enumerate(found, 1):
        if version != count:
            text = f"position {seq} of the chain: head {count} is gone or was changed"
            problems.append(BrokenError(_position(seq), text))
        yield from _head(seq, hash_, signature, "its own head", problems)


def known_to_siblings(home: Path, service: str, problems: list[BrokenError]) -> Iterator[Head]:
    query = "SELECT last_seq, hash, signature FROM known_audit_head WHERE source = ?"
    for sibling in SERVICES:
        if sibling == service:
            continue
        with closing(open_database(home, sibling)) as database:
            found = rows(database, query, service)
        for seq, hash_, signature in found:
            yield from _head(seq, hash_, signature, sibling, problems)


def anchored(home: Path, service: str, problems: list[BrokenError]) -> Iterator[Head]:
    path = _anchor_file(home, service)
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
    home: Path, service: str, anchors: list[Head], own: list[Head], problems: list[BrokenError]
) -> None:
    """Demand a line of the anchor file for every head but single ones, which a kill may have cost.

    Its end may be missing: a file put back from a backup lacks it until the next start adds it.
    """
    path = _anchor_file(home, service)
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


def _anchor_file(home: Path, service: str) -> Path:
    return home / "audit" / f"{service}.jsonl"


def _head(
    seq: object, hash_: object, signature: object, witness: str, problems: list[BrokenError]
) -> Iterator[Head]:
    if type(seq) is int and isinstance(hash_, bytes) and isinstance(signature, bytes):
        yield Head(seq, hash_, signature, witness)
    else:
        problems.append(BrokenError(_position(seq), f"the head kept by {witness} was changed"))


def _position(seq: object) -> int:
    return seq if type(seq) is int else 0


# --- reading


def rows(database: sqlite3.Connection, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Read in one short transaction, so that a running instance never waits long for us."""
    try:
        return database.execute(query, parameters).fetchall()
    except sqlite3.Error as error:
        if type(error) is not sqlite3.OperationalError or database.text_factory is not str:
            raise TroubleError(f"a database cannot be read ({_name(error)})") from None
    # Perhaps some text is no UTF-8 any more. Read on, so that it is named as changed.
    database.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return rows(database, query, *parameters)


def open_database(home: Path, service: str) -> sqlite3.Connection:
    path = home / "data" / f"{service}.db"
    try:
        return _connect(path, "ro")
    except sqlite3.Error as error:
        if not path.exists():
            raise missing(path) from None
        if _name(error) != "SQLITE_READONLY_ROLLBACK":
            raise TroubleError(f"{path} cannot be read ({_name(error)})") from None
    # A killed process left a transaction half written; SQLite has to roll it back before it reads.
    return _connect(path, "rw")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=30)
    try:
        database.execute("PRAGMA trusted_schema=OFF")
        database.execute("PRAGMA query_only=ON")
        database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.Error:
        database.close()
        raise
    return database


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", None) or type(error).__name__
