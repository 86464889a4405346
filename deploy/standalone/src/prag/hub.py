"""`prag hub`: the log through which the countries of one machine exchange sealed letters.

A hub holds no key and opens nothing. Countries write to its log and read from it; it only keeps the
log from growing for ever. A region runs a Kafka cluster in its place.
"""

import asyncio
import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from common.bus import LocalBus
from common.clock import utcnow
from prag.files import FOLDER_MODE, write_private
from prag.folder import hold
from prag.manifest import TroubleError
from prag.process import StopSignal

LOG = "bus.db"
KEPT = timedelta(days=30)
"""No letter lies here longer; one older than 14 days is taken by nobody."""
_LOOK_SECONDS = 3600.0
_MARKS = "marks.json"


def log_of(folder: Path) -> Path:
    """Return the log of a hub's folder; TroubleError where no hub ever ran."""
    path = folder.absolute() / LOG
    if not path.exists():
        raise TroubleError(f"{folder} is no hub's folder. Start the hub first: prag hub {folder}")
    return path


def run_hub(folder: Path) -> int:
    """Keep the hub until SIGTERM or Ctrl-C; return the exit code."""
    folder = folder.absolute()
    stop = StopSignal()
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    others = {path.name for path in folder.iterdir()} - {LOG, f"{LOG}-journal", _MARKS, "lock"}
    if others:
        raise TroubleError(f"{folder} holds other files. Name a new or empty folder for the hub.")
    with hold(folder):
        asyncio.run(_live(folder, stop))
    return 0


async def _live(folder: Path, stop: StopSignal) -> None:
    stopped = asyncio.Event()
    for number in StopSignal.NUMBERS:
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    if stop.is_asked:
        return
    bus = LocalBus(folder / LOG)
    try:
        await bus.publish(())  # makes the log
        (folder / LOG).chmod(0o600)
        os.write(1, b"ready\n")
        while not stopped.is_set():
            trim(folder, utcnow())
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await stopped.wait()
            except TimeoutError:
                continue
    finally:
        await bus.close()


def trim(folder: Path, now: datetime) -> int:
    """Remove the letters that were there 30 days ago, and note what is there now; return how many.

    The newest of each topic stays, so that places in the log keep their numbers.
    """
    with closing(sqlite3.connect(folder / LOG, timeout=30, isolation_level=None)) as log:
        ends = dict(log.execute('SELECT topic, max("offset") FROM record GROUP BY topic'))
        marks = [*_read_marks(folder), (now, ends)]
        over = [mark for mark in marks if mark[0] <= now - KEPT]
        removed = 0
        for topic, last in (over[-1][1] if over else {}).items():
            below = min(last + 1, ends.get(topic, 0))
            query = 'DELETE FROM record WHERE topic = ? AND "offset" < ?'
            removed += log.execute(query, (topic, below)).rowcount
        if removed:
            log.execute("VACUUM")  # what was deleted would still lie in the file
    _write_marks(folder, marks[len(over) - 1 if over else 0 :])
    return removed


Mark = tuple[datetime, dict[str, int]]
"""When the hub looked, and the newest place of each topic then."""


def _read_marks(folder: Path) -> list[Mark]:
    try:
        content = json.loads((folder / _MARKS).read_text())
        return [(datetime.fromisoformat(at), ends) for at, ends in content]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError):
        return []  # counted anew from now on


def _write_marks(folder: Path, marks: Sequence[Mark]) -> None:
    content = [[at.isoformat(), ends] for at, ends in marks]
    write_private(folder / _MARKS, json.dumps(content).encode())
