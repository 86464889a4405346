"""PostgreSQL through asyncpg: reads in autocommit, a Unit as one statement.

The round trips between a service and its database are most of what a write costs, so the steps of a
Unit become one statement of several parts, which is a transaction by itself. SQLAlchemy compiles;
what it would do besides at each execution costs more than the statement.

Row-level security needs to know for whom a statement runs. That is said to a connection once and
holds until another is named, so it costs a round trip only where the connection was another's last.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache, partial
from itertools import groupby
from json.encoder import encode_basestring_ascii
from types import TracebackType
from typing import Any, cast

from asyncpg import exceptions  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy import ClauseElement, Dialect
from sqlalchemy.exc import DBAPIError, InternalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from common.crash import crash
from common.db.base import (
    OutageError,
    Parameters,
    Shape,
    parameters_of,
    shape_of,
    statement_of,
    tells,
)
from common.db.connections import ANSWER_SECONDS, STATEMENTS, Connections, Raw, connect, limits
from common.db.listening import Herald, Listener
from common.db.selects import Selects
from common.sealing import SubjectKeyRing
from common.unit import AnySelect, DuplicateError, StaleError, Step, Unit

Converter = tuple[str, Callable[[Any], Any] | None]

# SQLSTATE prefixes of what passes by itself: connection lost, no room or memory, a lock not to be
# had, too slow, shutting down, input and output, a standby that takes no writes yet, a transaction
# that the server gave up on because this process slept.
_OUTAGES = ("08", "53", "55P03", "57", "58", "25006", "25P03")
_ROLLED_BACK = "40"
"""Deadlock or serialization failure: the transaction is gone through no fault of its own."""

_TAKEN = "23505"
_PARTS = 32
"""A Unit of more steps goes statement by statement; few are as large, and each text is kept."""
_PARAMETER = re.compile(r"\$(\d+)")

_MARK = "SAVEPOINT unit"
_NEXT = "RELEASE SAVEPOINT unit; SAVEPOINT unit"
_BACK = "ROLLBACK TO SAVEPOINT unit"


class RefusedError(SQLAlchemyError):
    """PostgreSQL, or its driver, refused a statement: a bug. The text holds no value of a row."""

    def __init__(self, text: str, sqlstate: str = "") -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


class PostgresDatabase:
    def __init__(self, url: str, keys: SubjectKeyRing, *, patience: float = ANSWER_SECONDS) -> None:
        """Take a server that says nothing for `patience` seconds for one that is away: an outage."""
        self.keys = keys
        self.outbox_written = asyncio.Event()
        # It opens connections and knows the types; the pool is ours.
        self._engine = create_async_engine(
            url,
            poolclass=NullPool,
            hide_parameters=True,
            json_serializer=_to_json,
            connect_args={
                "statement_cache_size": STATEMENTS,
                "max_cacheable_statement_size": 0,  # a Unit of many steps is a long text
                **limits(patience),
            },
        )
        open_one = partial(connect, self._engine)
        self._connections = Connections(open_one, patience=patience)
        self._listener = Listener(open_one, self.outbox_written.set)
        self._herald = Herald(open_one)
        self._selects = Selects(self._engine.dialect)

    async def fetch(self, statement: AnySelect, parameters: Parameters = None) -> Sequence[Any]:
        with outages():
            async with self._connections.lent() as connection:
                return await self._selects.fetch(connection, statement, parameters)

    async def write(self, unit: Unit) -> None:
        if not unit.steps:
            return
        with outages(rolled_back=StaleError):
            if _is_one_statement(unit.steps):
                async with self._connections.lent() as connection:
                    crash("db.before_commit")
                    await _execute_as_one(unit.steps, connection, self._engine.dialect)
            else:
                async with self._connections.begun() as connection:
                    await _execute_in_turn(unit.steps, connection, self._engine.dialect)
                    crash("db.before_commit")
        crash("db.after_commit")
        if tells(unit):
            self._tell()

    @asynccontextmanager
    async def batch(self) -> AsyncIterator["PostgresBatch"]:
        with outages():
            async with self._connections.begun() as connection:
                await connection.execute(_MARK)
                batch = PostgresBatch(connection, self._selects, self._engine.dialect, self.keys)
                yield batch
                crash("db.before_commit")
        crash("db.after_commit")
        if batch.tells:
            self._tell()

    async def listen(self) -> None:
        await self._listener.keep()

    async def close(self) -> None:
        await self._herald.close()
        await self._listener.close()
        await self._connections.close()
        await self._engine.dispose()

    def _tell(self) -> None:
        self.outbox_written.set()
        self._herald.tell()


class PostgresBatch:
    """One open transaction, written Unit by Unit.

    PostgreSQL refuses everything in a transaction after one statement of it failed, and then answers
    COMMIT by rolling back without an error. So there is always a savepoint to go back to: what
    fails, a Unit or a handler's read, undoes itself and leaves the batch as it was.
    """

    def __init__(
        self, connection: Raw, selects: Selects, dialect: Dialect, keys: SubjectKeyRing
    ) -> None:
        self._connection = connection
        self._selects = selects
        self._dialect = dialect
        self.keys = keys
        self.tells = False

    async def fetch(self, statement: AnySelect, parameters: Parameters = None) -> Sequence[Any]:
        with outages():
            async with self._going_back():
                return await self._selects.fetch(self._connection, statement, parameters)

    async def write(self, unit: Unit) -> None:
        with outages():
            async with self._going_back():
                execute = _execute_as_one if _is_one_statement(unit.steps) else _execute_in_turn
                await execute(unit.steps, self._connection, self._dialect)
                await self._connection.execute(_NEXT)
        self.tells = self.tells or tells(unit)

    @asynccontextmanager
    async def _going_back(self) -> AsyncIterator[None]:
        try:
            yield
        except TimeoutError:
            raise  # who does not answer is not asked to go back: the whole batch is lost
        except Exception:
            await self._connection.execute(_BACK)
            raise


class outages:  # noqa: N801  it reads as what it is used for
    """Tell by its SQLSTATE what the server said: an outage, StaleError, DuplicateError, or a bug.

    None of the driver's own errors gets past, for their text may hold values.
    """

    __slots__ = ("_rolled_back",)

    def __init__(self, *, rolled_back: type[Exception] = OutageError) -> None:
        self._rolled_back = rolled_back

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None and (meant := _meant_by(error, self._rolled_back)) is not None:
            raise meant from None


def _meant_by(error: BaseException, rolled_back: type[Exception]) -> Exception | None:
    """Return what an error of the driver means; None for one that may be seen as it is."""
    if isinstance(error, exceptions.PostgresError):
        return _said(error, rolled_back)
    if isinstance(error, (exceptions.InterfaceError, exceptions.InternalClientError)):
        if isinstance(error, ValueError):  # a value that is not of the column's type
            return RefusedError(type(error).__name__)
        # It lost its place in the conversation with a server that went away.
        return OutageError(type(error).__name__)
    if isinstance(error, DBAPIError):  # of a connection that SQLAlchemy was just opening
        code = getattr(error.orig, "sqlstate", None) or ""
        if code.startswith(_OUTAGES) or (not code and isinstance(error, InternalError)):
            return OutageError(code)
    return None


def _said(error: Any, rolled_back: type[Exception]) -> Exception:  # noqa: ANN401  untyped
    code = error.sqlstate or ""
    if code.startswith(_OUTAGES):
        return OutageError(code)
    if code.startswith(_ROLLED_BACK):
        return rolled_back()
    if code == _TAKEN:
        return DuplicateError(error.table_name or "")
    return RefusedError(f"{type(error).__name__} {code}", code)


async def _execute_in_turn(steps: list[Step], connection: Raw, dialect: Dialect) -> None:
    for shape, group in groupby(steps, key=shape_of):
        run = list(group)
        if len(run) == 1 or shape[4] is not None:
            for step in run:
                await _execute_as_one([step], connection, dialect)
        else:
            # Their number is not asked for, so they need no answer each.
            text, converters = _joined((shape,), dialect)
            rows = [_values([step], converters) for step in run]
            await connection.executemany(text, rows)


def _is_one_statement(steps: list[Step]) -> bool:
    """Tell whether the steps do the same in any order.

    The parts of one statement all see the rows as they were before it. So a table that is changed
    at all may be touched by one step only; inserts beside each other disturb nobody.
    """
    if len(steps) > _PARTS:
        return False
    tables = [step.table for step in steps]
    return all(step.kind == "insert" or tables.count(step.table) == 1 for step in steps)


async def _execute_as_one(steps: list[Step], connection: Raw, dialect: Dialect) -> None:
    text, converters = _joined(tuple(map(shape_of, steps)), dialect)
    try:
        await connection.fetch(text, *_values(steps, converters))
    except exceptions.DivisionByZeroError:
        raise StaleError from None


def _values(steps: Sequence[Step], converters: list[list[Converter]]) -> list[Any]:
    """Return what the parameters of a statement are to the driver."""
    found: list[Any] = []
    for step, names in zip(steps, converters, strict=True):
        given = parameters_of(step)
        found += [convert(given[name]) if convert else given[name] for name, convert in names]
    return found


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


def _to_json(value: object) -> str:
    """Return what `json.dumps` would: an audit entry is confirmed only in the form it is written in.

    The lists are of texts, at every audit entry two.
    """
    if isinstance(value, list):
        with suppress(TypeError):
            return f"[{', '.join(map(encode_basestring_ascii, value))}]"
    return json.dumps(value)


def _renumbered(text: str, by: int) -> str:
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + by}", text)
