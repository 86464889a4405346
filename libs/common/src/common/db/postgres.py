"""PostgreSQL through asyncpg: reads in autocommit, a Unit as one statement.

The round trips between a service and its database are most of what a write costs, so the steps of a
Unit become one statement of several parts, which is a transaction by itself.

Row-level security needs to know for whom a statement runs. That is said to a connection once and
holds until another is named, so it costs a round trip only where the connection was another's last.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import ClauseElement, Dialect
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from common.crash import crash
from common.db.base import (
    OutageError,
    Parameters,
    Shape,
    check_count,
    duplicate,
    parameters_of,
    shape_of,
    statement_of,
    statements,
)
from common.db.caller import CALLER, NOBODY, Caller
from common.sealing import SubjectKeyRing
from common.unit import AnySelect, StaleError, Step, Unit

Converter = tuple[str, Callable[[Any], Any] | None]

# SQLSTATE prefixes of what passes by itself: connection lost, no room or memory, a lock not to be
# had, shutting down, input and output, a standby that takes no writes yet.
_OUTAGES = ("08", "53", "55P03", "57", "58", "25006")
_ROLLED_BACK = "40"
"""Deadlock or serialization failure: the transaction is gone through no fault of its own."""

_NO_ROW = "22012"
"""Division by zero: how the one statement undoes itself where a row was no longer as it was read."""
_PARTS = 32
"""A Unit of more steps goes statement by statement; few are as large, and each text is kept."""
_PARAMETER = re.compile(r"\$(\d+)")

_NAME = "SELECT set_config('prag.organisation', $1, false), set_config('prag.reach', $2, false)"
_NAMED = "prag.caller"
"""Where a connection's own notes say whom it was told; None while that is not certain."""

_MARK, _UNMARK, _BACK = "SAVEPOINT unit", "RELEASE SAVEPOINT unit", "ROLLBACK TO SAVEPOINT unit"


class PostgresDatabase:
    def __init__(self, url: str, keys: SubjectKeyRing) -> None:
        self.keys = keys
        self.outbox_written = asyncio.Event()
        # Last in, first out: the statements of one request mostly meet the connection that knows it.
        self._engine = create_async_engine(
            url, pool_size=10, max_overflow=0, pool_use_lifo=True, hide_parameters=True
        )
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    async def fetch(self, statement: AnySelect, parameters: Parameters = None) -> Sequence[Any]:
        with outages():
            async with self._connected() as connection:
                rows: Sequence[Any] = (await connection.execute(statement, parameters)).all()
                return rows

    async def write(self, unit: Unit) -> None:
        if not unit.steps:
            return
        with outages(rolled_back=StaleError):
            if _is_one_statement(unit.steps):
                async with self._connected() as connection:
                    crash("db.before_commit")
                    await _execute_as_one(unit.steps, connection)
            else:
                async with self._begun() as connection:
                    await _execute_in_turn(unit.steps, connection)
                    crash("db.before_commit")
        crash("db.after_commit")
        self.outbox_written.set()

    @asynccontextmanager
    async def batch(self) -> AsyncIterator["PostgresBatch"]:
        with outages():
            async with self._begun() as connection:
                await connection.exec_driver_sql(_MARK)
                yield PostgresBatch(connection, self.keys)
                crash("db.before_commit")
        crash("db.after_commit")
        self.outbox_written.set()

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection in autocommit that knows the caller."""
        async with self._reading.connect() as connection:
            if named := await _name_caller(connection):
                connection.info[_NAMED] = named
            yield connection

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[AsyncConnection]:
        """Give a transaction that knows the caller."""
        async with self._engine.connect() as connection:
            async with connection.begin():
                named = await _name_caller(connection)
                yield connection
            # Rolled back, the connection forgets whom it was told; so it is noted after the commit.
            if named:
                connection.info[_NAMED] = named


async def _name_caller(connection: AsyncConnection) -> Caller | None:
    """Tell the connection for whom it is asked; None where it knows."""
    caller = CALLER.get()()
    if connection.info.get(_NAMED, NOBODY) == caller:
        return None
    # Cut off here, it is named anew by whoever comes next.
    connection.info[_NAMED] = None
    await connection.exec_driver_sql(_NAME, caller.settings)
    return caller


class PostgresBatch:
    """One open transaction, written Unit by Unit.

    PostgreSQL refuses everything in a transaction after one statement of it failed, and then answers
    COMMIT by rolling back without an error. So there is always a savepoint to go back to: what
    fails, a Unit or a handler's read, undoes itself and leaves the batch as it was.
    """

    def __init__(self, connection: AsyncConnection, keys: SubjectKeyRing) -> None:
        self._connection = connection
        self.keys = keys

    async def fetch(self, statement: AnySelect, parameters: Parameters = None) -> Sequence[Any]:
        with outages():
            async with self._going_back():
                rows: Sequence[Any] = (await self._connection.execute(statement, parameters)).all()
                return rows

    async def write(self, unit: Unit) -> None:
        with outages():
            async with self._going_back():
                await _execute(unit.steps, self._connection)
                await self._connection.exec_driver_sql(_UNMARK)
                await self._connection.exec_driver_sql(_MARK)

    @asynccontextmanager
    async def _going_back(self) -> AsyncIterator[None]:
        try:
            yield
        except Exception:
            await self._connection.exec_driver_sql(_BACK)
            raise


@contextmanager
def outages(*, rolled_back: type[Exception] = OutageError) -> Iterator[None]:
    """Tell an outage by its SQLSTATE: asyncpg's is neither an OperationalError nor an OSError."""
    try:
        yield
    except DBAPIError as error:
        code = getattr(error.orig, "sqlstate", None) or ""
        # Without a code: asyncpg lost its place in the conversation with a server that went away.
        is_cut = not code and isinstance(error, InternalError)
        if is_cut or code.startswith(_OUTAGES):
            raise OutageError(code) from None
        if code.startswith(_ROLLED_BACK):
            raise rolled_back from None
        raise


async def _execute(steps: list[Step], connection: AsyncConnection) -> None:
    if _is_one_statement(steps):
        await _execute_as_one(steps, connection)
    else:
        await _execute_in_turn(steps, connection)


async def _execute_in_turn(steps: list[Step], connection: AsyncConnection) -> None:
    for shape, statement, parameters in statements(steps, "postgresql"):
        try:
            result = await connection.execute(
                statement, parameters if len(parameters) > 1 else parameters[0]
            )
        except IntegrityError as error:
            raise (duplicate(shape[1].name, error) or error) from None
        if shape[4] is not None:
            check_count(shape, result.rowcount)


def _is_one_statement(steps: list[Step]) -> bool:
    """Tell whether the steps do the same in any order.

    The parts of one statement all see the rows as they were before it. So a table that is changed
    at all may be touched by one step only; inserts beside each other disturb nobody.
    """
    if len(steps) > _PARTS:
        return False
    touched = Counter(step.table.name for step in steps)
    return all(touched[step.table.name] == 1 or step.kind == "insert" for step in steps)


async def _execute_as_one(steps: list[Step], connection: AsyncConnection) -> None:
    text, converters = _joined(tuple(map(shape_of, steps)), connection.dialect)
    values = [
        convert(value) if convert else value
        for step, names in zip(steps, converters, strict=True)
        for value, convert in _bound(step, names)
    ]
    try:
        await connection.exec_driver_sql(text, tuple(values))
    except IntegrityError as error:
        # The driver's own error says which of the tables it was.
        table = getattr(error.orig.__cause__ if error.orig else None, "table_name", "")
        raise (duplicate(table, error) or error) from None
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _NO_ROW:
            raise StaleError from None
        raise


def _bound(step: Step, names: list[Converter]) -> Iterator[tuple[Any, Callable[[Any], Any] | None]]:
    parameters = parameters_of(step)
    return ((parameters[name], convert) for name, convert in names)


@lru_cache(maxsize=1024)
def _joined(shapes: tuple[Shape, ...], dialect: Dialect) -> tuple[str, list[list[Converter]]]:
    """Return one statement for steps of these shapes, and each part's parameters in their order."""
    parts, demands, converters, count = [], [], [], 0
    for number, shape in enumerate(shapes):
        kind, _, names, _, expect = shape
        part = cast(ClauseElement, statement_of(shape, dialect.name)).compile(
            dialect=dialect, column_keys=names if kind in {"insert", "put"} else None
        )
        order = cast(list[str], part.positiontup)  # type: ignore[attr-defined]
        text = _renumbered(str(part), count)
        if expect is not None:
            text += " RETURNING 1"
            demands.append(f"(SELECT count(*) FROM s{number}) = {expect}")  # noqa: S608  numbers
        parts.append(f"s{number} AS ({text})")
        converters.append(
            [
                (name, part.binds[name].type.dialect_impl(dialect).bind_processor(dialect))  # type: ignore[attr-defined]
                for name in order
            ]
        )
        count += len(order)
    # A statement that fails undoes all its parts; so the count is made to fail where a row is missing.
    # PostgreSQL runs the parts from the last to the first. It promises no order and none is needed;
    # but so a key that is taken is told of the row itself before what belongs to it.
    check = f"1 / (CASE WHEN {' AND '.join(demands)} THEN 1 ELSE 0 END)" if demands else "1"
    return f"WITH {', '.join(reversed(parts))} SELECT {check}", converters


def _renumbered(text: str, by: int) -> str:
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + by}", text)
