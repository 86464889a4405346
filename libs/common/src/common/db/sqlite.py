"""SQLite: one file per service, one process, one connection in one thread.

Debian 12's SQLite (3.40) has a WAL corruption bug that is fixed in 3.51.3, so older ones run with
a rollback journal. There a commit costs several fsyncs; Units that arrive meanwhile are therefore
committed together, each under a savepoint of its own, so that one failing takes nobody with it.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar, cast

import structlog
from sqlalchemy import ClauseElement, Connection, Dialect, create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import StaticPool

from common.crash import crash
from common.db.base import Parameters, Shape, parameters_of, shape_of, statement_of
from common.sealing import SubjectKeyRing
from common.unit import AnySelect, DuplicateError, StaleError, Step, Unit, Values

A = TypeVar("A")
R = TypeVar("R")
Read = tuple[AnySelect, Parameters]
Converters = list[tuple[str, Callable[[Any], Any] | None]]
logger = structlog.get_logger(__name__)

_WAL_SAFE = (3, 51, 3)
_GROUP = 64
"""At most so many reads, and so many Units, in one turn of the thread."""
_ROWS = 32
"""At most so many rows in one statement; with 30 columns a thousand values, SQLite takes 32766."""
_KEPT_STATEMENTS = 512
_UNCHECKED = {"insert", "put"}
_TAKEN = {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}
"""A key that is there already; other broken constraints are bugs."""
PRAGMAS = (
    "foreign_keys=ON",
    "synchronous=FULL",
    "busy_timeout=5000",
    "secure_delete=ON",
    "trusted_schema=OFF",
    "mmap_size=0",
    "temp_store=MEMORY",
)


class SqliteDatabase:
    def __init__(self, path: Path, keys: SubjectKeyRing) -> None:
        self.keys = keys
        self.path = path
        self.outbox_written = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"db-{path.stem}")
        self._engine = create_engine(
            f"sqlite:///{path}",
            poolclass=StaticPool,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            connect_args={"check_same_thread": False, "cached_statements": _KEPT_STATEMENTS},
        )
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._reads: list[tuple[Read, asyncio.Future[Any]]] = []
        self._units: list[tuple[list[Step], asyncio.Future[Any]]] = []
        self._drain_task: asyncio.Task[None] | None = None

    async def fetch(self, statement: AnySelect, parameters: Parameters = None) -> Sequence[Any]:
        done = self._promise()
        self._reads.append(((statement, parameters), done))
        rows: Sequence[Any] = await done
        return rows

    async def read(self, statement: AnySelect, parameters: Parameters) -> Sequence[Any]:
        return await self._run(partial(_read, (statement, parameters)))

    @asynccontextmanager
    async def batch(self) -> AsyncIterator["SqliteBatch"]:
        async with self._turn:
            try:
                # Inside, for a caller cancelled while the thread begins: it begins all the same.
                await self._run(lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
                yield SqliteBatch(self)
                crash("db.before_commit")
                await self._run(lambda connection: connection.exec_driver_sql("COMMIT"))
                crash("db.after_commit")
            except BaseException:
                await self._run(_undo)
                raise
        self.outbox_written.set()

    async def write(self, unit: Unit) -> None:
        if not unit.steps:
            return
        done = self._promise()
        self._units.append((unit.steps, done))
        await done
        self.outbox_written.set()

    async def listen(self) -> None:
        """Do nothing: all who write to the file do it through this object."""

    async def close(self) -> None:
        if self._drain_task is not None:
            await asyncio.gather(self._drain_task, return_exceptions=True)
        await self._run(_close)
        self._thread.shutdown()
        self._engine.dispose()

    def _promise(self) -> asyncio.Future[Any]:
        """Return what the next turn of the thread will set, and see to it that there is one."""
        if self._drain_task is None or self._drain_task.done():
            self._drain_task = asyncio.create_task(self._drain())
        return asyncio.get_running_loop().create_future()

    async def _drain(self) -> None:
        while self._reads or self._units:
            reads, self._reads = self._reads[:_GROUP], self._reads[_GROUP:]
            await self._take_turn(reads, _read_group)
            units, self._units = self._units[:_GROUP], self._units[_GROUP:]
            await self._take_turn(units, _apply_group)

    async def _take_turn(
        self,
        asked: list[tuple[A, asyncio.Future[Any]]],
        work: Callable[[list[A], Connection], Sequence[Any]],
    ) -> None:
        """Do all that was asked in one turn of the thread; tell each caller what became of it."""
        if not asked:
            return
        try:
            async with self._turn:
                outcomes = await self._run(partial(work, [what for what, _ in asked]))
        except BaseException as error:  # noqa: BLE001  every caller must hear of it
            outcomes = [error] * len(asked)
        for (_, done), outcome in zip(asked, outcomes, strict=True):
            if done.done():
                continue
            if isinstance(outcome, BaseException):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)

    async def apply(self, steps: list[Step]) -> None:
        """Apply the steps inside the open batch."""
        error = await self._run(partial(_apply, steps))
        if error is not None:
            raise error

    async def _run(self, work: Callable[[Connection], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._in_thread, work)

    def _in_thread(self, work: Callable[[Connection], R]) -> R:
        if self._connection is None:
            self._connection = self._engine.connect()
            prepare(self._connection)
        return work(self._connection)


def prepare(connection: Connection) -> None:
    """Set what every connection needs; choose the journal by the library's version."""
    for pragma in PRAGMAS:
        connection.exec_driver_sql(f"PRAGMA {pragma}")
    journal = "WAL" if sqlite3.sqlite_version_info >= _WAL_SAFE else "TRUNCATE"
    connection.exec_driver_sql(f"PRAGMA journal_mode={journal}")


def _close(connection: Connection) -> None:
    connection.close()


class SqliteBatch:
    """One open transaction, written Unit by Unit."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self.keys = database.keys

    async def fetch(self, statement: AnySelect, parameters: Parameters = None) -> Sequence[Any]:
        return await self._database.read(statement, parameters)

    async def write(self, unit: Unit) -> None:
        await self._database.apply(unit.steps)


def _read(read: Read, connection: Connection) -> Sequence[Any]:
    statement, parameters = read
    return connection.execute(statement, parameters).all()


def _read_group(group: list[Read], connection: Connection) -> list[Sequence[Any] | Exception]:
    outcomes: list[Sequence[Any] | Exception] = []
    for read in group:
        try:
            outcomes.append(_read(read, connection))
        except Exception as error:  # noqa: BLE001  it is told to the one who asked
            outcomes.append(error)
    return outcomes


def _apply_group(group: list[list[Step]], connection: Connection) -> list[Exception | None]:
    """Write a group of Units in one transaction; return what was wrong with each, if anything.

    Nearly always nothing is, so they are written together first. Only if that fails, one after the
    other under savepoints of their own, so that one failing takes nobody with it.
    """
    outcomes: list[Exception | None] = [None] * len(group)
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        try:
            _execute(_side_by_side(group), connection)
        except Exception as error:  # noqa: BLE001
            _undo(connection)
            if len(group) == 1:
                return [error]
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            outcomes = [_apply(steps, connection) for steps in group]
        crash("db.before_commit")
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        _undo(connection)
        raise
    crash("db.after_commit")
    return outcomes


def _side_by_side(group: list[list[Step]]) -> list[Step]:
    """Return all steps, those of Units of one make beside each other: they become one statement.

    Only Units that check nothing are mixed, for no order between them can change what they do.
    """
    mixed: dict[tuple[Shape, ...], list[list[Step]]] = {}
    rest: list[Step] = []
    for steps in group:
        if all(step.kind in _UNCHECKED for step in steps):
            mixed.setdefault(tuple(map(shape_of, steps)), []).append(steps)
        else:
            rest += steps
    return [s for alike in mixed.values() for same in zip(*alike, strict=True) for s in same] + rest


def _apply(steps: list[Step], connection: Connection) -> Exception | None:
    """Apply one Unit under a savepoint; return what was wrong with it, for the one whose it is."""
    connection.exec_driver_sql("SAVEPOINT unit")
    try:
        _execute(steps, connection)
    except Exception as error:  # noqa: BLE001
        connection.exec_driver_sql("ROLLBACK TO unit")
        connection.exec_driver_sql("RELEASE unit")
        return error
    connection.exec_driver_sql("RELEASE unit")
    return None


def _undo(connection: Connection) -> None:
    """Roll back, unless SQLite already did so by itself (a full disk ends the transaction)."""
    raw = connection.connection.driver_connection
    if raw is not None and raw.in_transaction:
        connection.exec_driver_sql("ROLLBACK")


def _execute(steps: list[Step], connection: Connection) -> None:
    singles = (single for step in steps for single in _singles(step))
    # Neighbours of one shape become one executemany; an update that must meet a row is counted.
    for shape, group in groupby(singles, key=shape_of):
        run = list(group)
        for batch in [[step] for step in run] if shape[4] is not None else [run]:
            _execute_run(shape, [parameters_of(step) for step in batch], connection)


def _execute_run(shape: Shape, rows: list[Values], connection: Connection) -> None:
    try:
        if shape[0] in _UNCHECKED:
            _insert(shape, rows, connection)
            return
        statement = statement_of(shape, "sqlite")
        result = connection.execute(statement, rows if len(rows) > 1 else rows[0])
    except IntegrityError as error:
        if getattr(error.orig, "sqlite_errorname", None) in _TAKEN:
            raise DuplicateError(shape[1].name) from None
        raise error from None
    if shape[4] is not None and result.rowcount != shape[4]:
        raise StaleError


def _singles(step: Step) -> Iterator[Step]:
    """Give the steps that do to one row after the other what an `update_each` does to many."""
    if step.kind != "update_each":
        yield step
        return
    rows = zip(*step.values.values(), *step.where.values(), strict=True)
    names, split = (*step.values, *step.where), len(step.values)
    for row in rows:
        named = [*zip(names, row, strict=True)]
        yield Step("update", step.table, dict(named[:split]), dict(named[split:]))


def _insert(shape: Shape, rows: list[Values], connection: Connection) -> None:
    """Insert or put rows, many to a statement.

    For each statement, as for each row of an executemany, this thread lets go of the interpreter
    and waits its turn to have it back. Powers of two, so that few texts need to be kept.
    """
    while rows:
        count = min(1 << (len(rows).bit_length() - 1), _ROWS)
        text, converters = _prepared(shape, count, connection.dialect)
        values = [
            convert(row[key]) if convert else row[key]
            for row in rows[:count]
            for key, convert in converters
        ]
        connection.exec_driver_sql(text, tuple(values))
        rows = rows[count:]


@lru_cache(maxsize=1024)
def _prepared(shape: Shape, count: int, dialect: Dialect) -> tuple[str, Converters]:
    """Return the text of an insert of `count` rows, and how each value of a row becomes SQLite's.

    Kept because SQLAlchemy does this for each row anew, which costs more than SQLite's own work.
    """
    _, table, names, _, _ = shape
    statement = cast(ClauseElement, statement_of(shape, dialect.name))
    text = str(statement.compile(dialect=dialect, column_keys=names))
    one_row = f"({', '.join('?' * len(names))})"
    return text.replace(one_row, ", ".join([one_row] * count)), [
        (column.key, column.type.dialect_impl(dialect).bind_processor(dialect))
        for column in table.columns
        if column.key in names
    ]
