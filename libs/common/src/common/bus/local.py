"""The embedded bus: an append-only log in one SQLite file, shared by the services of an instance."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from common.bus.base import (
    BusError,
    Delivery,
    Log,
    Position,
    PositionOf,
    Record,
    Waiting,
)
from common.clock import new_id
from common.crash import crash

R = TypeVar("R")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    topic TEXT NOT NULL, "offset" INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (topic, "offset")
) WITHOUT ROWID
"""
_NAME = "CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY CHECK (number = 1), id TEXT NOT NULL)"
"""Which log this is; that of an earlier release is named when it is first opened."""
_ID = "SELECT id FROM log"
_POLL_SECONDS = 0.25


class LocalBus:
    """One partition a topic, offsets from 0 without gaps, durable when `publish` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bus")
        self._log: sqlite3.Connection | None = None
        self._appended = asyncio.Event()
        self._replaced: set[UUID] = set()

    async def publish(self, records: Sequence[Record]) -> None:
        await self._run(lambda log: _append(log, records))
        self._wake()

    async def subscribe(
        self,
        topics: Sequence[str],
        *,
        group: str,  # noqa: ARG002  one reader a group by construction
        position_of: PositionOf,
    ) -> "LocalSubscription":
        """Read on from the consumer's positions.

        BusError where one lies outside the log: the log was lost or put back, and what is published
        next would be skipped unseen.
        """
        positions = await self._positions(topics, position_of)
        if any(not log.holds(position) for log, position in positions.values()):
            raise BusError("position outside the log")
        return LocalSubscription(self, {topic: at.offset for topic, (_, at) in positions.items()})

    async def waiting(
        self, topics: Collection[str], *, position_of: PositionOf
    ) -> Sequence[Waiting]:
        positions = await self._positions(topics, position_of)
        return await self._run(lambda file: _waiting(file, positions))

    async def logs(self, topics: Collection[str]) -> Mapping[tuple[str, int], Log]:
        return await self._run(
            lambda file: {(each, 0): Log(_id(file), 0, _end(file, each)) for each in topics}
        )

    async def check(self, *, reads: Collection[str], writes: Collection[str]) -> None:
        """Whoever may open the file may read and write all of it."""

    async def close(self) -> None:
        if self._log is not None:
            await self._run(lambda log: log.close())
        self._thread.shutdown()

    async def replace(self, record: Record, event_id: UUID) -> None:
        """Put a record in the place of the one that holds this event, for whose content must go.

        Nothing in this log goes by its age. Where there is none nothing happens; the log is searched
        once by a process, however often it is asked.
        """
        if event_id in self._replaced:
            return
        query = "UPDATE record SET value = ? WHERE topic = ? AND key = ? AND instr(value, ?) AND value != ?"
        place = f'"id":"{event_id}"'.encode()
        values = (record.value, record.topic, record.key, place, record.value)
        await self._run(lambda log: log.execute(query, values))
        self._replaced.add(event_id)

    async def _positions(
        self, topics: Collection[str], position_of: PositionOf
    ) -> dict[str, tuple[Log, Position]]:
        logs = await self.logs(topics)
        return {topic: (log, await position_of(topic, 0, log)) for (topic, _), log in logs.items()}

    async def read(self, positions: dict[str, int], limit: int) -> list[Delivery]:
        return await self._run(lambda log: _read(log, positions, limit))

    async def wait(self, seconds: float) -> None:
        """Return when this process appends, or after a short pause: another process may have."""
        appended = self._appended
        try:
            async with asyncio.timeout(min(seconds, _POLL_SECONDS)):
                await appended.wait()
        except TimeoutError:
            return

    def _wake(self) -> None:
        self._appended.set()
        self._appended = asyncio.Event()

    async def _run(self, work: Callable[[sqlite3.Connection], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._in_thread, work)

    def _in_thread(self, work: Callable[[sqlite3.Connection], R]) -> R:
        try:
            if self._log is None:
                self._log = _open(self._path)
            return work(self._log)
        except sqlite3.Error as error:
            raise BusError(type(error).__name__) from error


class LocalSubscription:
    """Reads every topic from its position on."""

    def __init__(self, bus: LocalBus, positions: dict[str, int]) -> None:
        self._bus = bus
        self._positions = positions

    async def poll(self, *, limit: int = 100, seconds: float = 1.0) -> Sequence[Delivery]:
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            found = await self._bus.read(self._positions, limit)
            for delivery in found:
                self._positions[delivery.topic] = delivery.offset + 1
            left = deadline - asyncio.get_running_loop().time()
            if found or left <= 0:
                return found
            await self._bus.wait(left)

    async def close(self) -> None:
        return None


def _open(path: Path) -> sqlite3.Connection:
    log = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (
            "busy_timeout=5000",
            "synchronous=FULL",
            "journal_mode=TRUNCATE",
            "secure_delete=ON",
            "trusted_schema=OFF",
        ):
            log.execute(f"PRAGMA {pragma}")
        log.execute(_SCHEMA)
        log.execute(_NAME)
        if log.execute(_ID).fetchone() is None:
            # Another process may name it at the same time; then the first name stays.
            log.execute("INSERT OR IGNORE INTO log VALUES (1, ?)", (str(new_id()),))
    except BaseException:
        log.close()
        raise
    return log


def _id(log: sqlite3.Connection) -> UUID:
    return UUID(log.execute(_ID).fetchone()[0])


def _end(log: sqlite3.Connection, topic: str) -> int:
    query = 'SELECT coalesce(max("offset") + 1, 0) FROM record WHERE topic = ?'
    end: int = log.execute(query, (topic,)).fetchone()[0]
    return end


def _waiting(
    file: sqlite3.Connection, positions: Mapping[str, tuple[Log, Position]]
) -> list[Waiting]:
    found = []
    for topic, (log, position) in positions.items():
        end = _end(file, topic)
        is_outside = not log.holds(position)
        start = 0 if is_outside else position.offset
        first = _read(file, {topic: start}, 1)
        found.append(Waiting(topic, 0, end - start, first[0].value if first else None, is_outside))
    return found


def _append(log: sqlite3.Connection, records: Sequence[Record]) -> None:
    log.execute("BEGIN IMMEDIATE")
    try:
        ends: dict[str, int] = {}
        rows = []
        for record in records:
            if record.topic not in ends:
                ends[record.topic] = _end(log, record.topic)
            rows.append((record.topic, ends[record.topic], record.key, record.value))
            ends[record.topic] += 1
        log.executemany("INSERT INTO record VALUES (?, ?, ?, ?)", rows)
        crash("bus.before_commit")
        log.execute("COMMIT")
        crash("bus.after_commit")
    except BaseException:
        if log.in_transaction:
            log.execute("ROLLBACK")
        raise


def _read(log: sqlite3.Connection, positions: dict[str, int], limit: int) -> list[Delivery]:
    query = 'SELECT "offset", value FROM record WHERE topic = ? AND "offset" >= ? ORDER BY "offset" LIMIT ?'
    found: list[Delivery] = []
    for topic, position in positions.items():
        rows = log.execute(query, (topic, position, limit - len(found))).fetchall()
        found.extend(Delivery(topic, 0, offset, value) for offset, value in rows)
        if len(found) >= limit:
            break
    return found
