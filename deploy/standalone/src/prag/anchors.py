"""The anchor files at a start: made where they are gone, completed where they end too early."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from prag.databases import explain
from prag.files import FOLDER_MODE
from prag.manifest import SERVICES, Layout, TroubleError

_TAIL_BYTES = 4096
"""More than a line has."""
_CUT = 2
"""So many heads without a line are more than a killed process explains."""
_FIRST = "SELECT last_seq FROM audit_head ORDER BY last_seq LIMIT ?"
_LATER = (
    "SELECT last_seq, hash, signature, sealed_at FROM audit_head "
    "WHERE last_seq > ? ORDER BY last_seq"
)


def tend_anchors(files: Layout) -> list[str]:
    """Make sure that heads can be anchored; return a sentence for each thing that was lost.

    A lost file is not made anew from the database it vouches for: the country goes on without. One
    that only ends too early gets the heads it lacks: the line a killed process did not come to, or
    all that were sealed since the backup the file was put back from.
    """
    was_there = files.anchors.exists()
    lost: list[str] = []
    completed: list[str] = []
    try:
        files.anchors.mkdir(mode=FOLDER_MODE, exist_ok=True)
        for service in SERVICES:
            path = files.anchor(service)
            try:
                fault, added = _tend(service, files.database(service), path)
            except sqlite3.Error as error:
                raise explain(files.database(service), error) from None
            if fault is not None:
                lost.append(f"{path} {fault}")
            if added >= _CUT:
                completed.append(
                    f"{path} lacked its last {added} heads; they were added from the database"
                )
    except OSError as error:
        name = error.filename or files.anchors
        raise TroubleError(f"{name} cannot be used: {error.strerror}.") from None
    if lost:
        what = ", ".join(lost) if was_there else f"{files.anchors} is missing"
        lost = [f"{what}: put it back from a backup; until then prag verify-audit fails"]
    return [*lost, *completed]


def _tend(service: str, database: Path, path: Path) -> tuple[str | None, int]:
    """Return what is wrong with the beginning of the file, and how many lines its end was given."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as read:
        heads = [seq for (seq,) in read.execute(_FIRST, (_CUT,))]
        is_cut = len(heads) == _CUT
        if not path.exists():
            return ("is missing" if is_cut else None), 0
        try:
            first, last, end = _ends(path)
        except (ValueError, KeyError, TypeError):
            return ("is empty or damaged" if is_cut else None), 0
        later = read.execute(_LATER, (last,)).fetchall()
    if later:
        with path.open("r+b") as file:
            file.truncate(end)
            file.seek(end)
            file.writelines(_line(service, *row) for row in later)
    is_late = is_cut and first > heads[-1]
    return ("begins later than the chain's heads" if is_late else None), len(later)


def _ends(path: Path) -> tuple[int, int, int]:
    """Return the positions of the first and the last head, and where the last whole line ends."""
    with path.open("rb") as file:
        first = file.readline()
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        whole, _, half = file.read().rpartition(b"\n")
        end = file.tell() - len(half)
    last = whole.rpartition(b"\n")[2]
    return int(json.loads(first)["last_seq"]), int(json.loads(last)["last_seq"]), end


def _line(service: str, seq: int, head: bytes, signature: bytes, sealed_at: str) -> bytes:
    """Return the line that the service would have written when it sealed the head."""
    line = {
        "service": service,
        "last_seq": seq,
        "head": head.hex(),
        "signature": signature.hex(),
        "sealed_at": datetime.fromisoformat(sealed_at).replace(tzinfo=UTC).isoformat(),
    }
    return json.dumps(line).encode() + b"\n"
