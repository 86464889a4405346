"""What a service may ask of its database, and how a Unit's steps become statements."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import Any, Protocol

from sqlalchemy import Executable, Table, bindparam, delete, func, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from common.errors import UnavailableError
from common.sealing import SubjectKeyRing
from common.tables import OutboxMessage
from common.unit import AnySelect, Step, Unit

# What a database that is down looks like. asyncpg refuses a connection with a bare OSError.
OUTAGE = (OperationalError, InterfaceError, PoolTimeoutError, OSError, UnavailableError)

Parameters = Mapping[str, Any] | None
Where = tuple[tuple[str, bool], ...]
"""Columns of a condition, each with whether it asks for rows without a value."""
Shape = tuple[str, Table, tuple[str, ...], Where, int | None]


class OutageError(OSError):
    """The database says itself that it cannot serve just now: no room, shutting down, a lock."""


class Store(Protocol):
    """Where a Unit reads and is written: a database, or one open batch of it."""

    keys: SubjectKeyRing

    async def fetch(self, statement: AnySelect, parameters: Parameters = None) -> Sequence[Any]:
        """Return all rows of `statement`.

        A statement kept at module level with bind parameters costs a third of one built anew. What
        is asked with `parameters` is such a one: how it is asked is remembered as long as it lives.
        """
        ...

    async def write(self, unit: Unit) -> None:
        """Apply everything `unit` hands over in one transaction.

        StaleError and DuplicateError leave nothing behind. Returns after the commit is durable, or,
        in a batch, when the rows stand in its open transaction.
        """
        ...


class Database(Store, Protocol):
    """A service's own database. Reads see committed rows."""

    outbox_written: asyncio.Event
    """Set after each commit that may hold new events; a hint, never a promise."""

    def batch(self) -> AbstractAsyncContextManager[Store]:
        """Open one transaction for several Units, each all or nothing by itself.

        A Unit reads what earlier ones of the batch wrote. Leaving the block commits them all;
        an exception that leaves it undoes them all. Keep it short: other writers wait.
        """
        ...

    async def listen(self) -> None:
        """Have `outbox_written` set by commits of other processes too, as far as that can be done.

        Called before each look at the outbox: a connection that was lost is made again by it.
        """
        ...

    async def close(self) -> None: ...


def unit_of(database: Store, *, source: str, operation: str, trace_id: str = "") -> Unit:
    return Unit(database, database.keys, source=source, operation=operation, trace_id=trace_id)


def tells(unit: Unit) -> bool:
    """Say whether a Unit adds an event, of which the relay wants to hear."""
    return any(
        step.kind == "insert" and step.table.name == OutboxMessage.__tablename__
        for step in unit.steps
    )


def shape_of(step: Step) -> Shape:
    """Return what decides a step's statement: all but its values."""
    where = tuple((name, value is None) for name, value in step.where.items())
    return step.kind, step.table, tuple(step.values), where, step.expect


def parameters_of(step: Step) -> dict[str, Any]:
    if step.kind in {"insert", "put"}:
        return step.values
    return {f"v_{k}": v for k, v in step.values.items()} | {
        f"w_{k}": v for k, v in step.where.items() if v is not None
    }


@lru_cache(maxsize=1024)
def statement_of(shape: Shape, dialect: str) -> Executable:
    kind, table, values, where, _ = shape
    if kind == "insert":
        return insert(table)
    if kind == "put":
        return _put(table, values, where, dialect)
    if kind == "update_each":
        return _update_each(table, values, where)
    conditions = [
        table.c[name].is_(None)
        if is_null
        else table.c[name] == bindparam(f"w_{name}", type_=table.c[name].type)
        for name, is_null in where
    ]
    if kind == "delete":
        removal: Executable = delete(table).where(*conditions)
        return removal
    changes = {name: bindparam(f"v_{name}", type_=table.c[name].type) for name in values}
    change: Executable = update(table).where(*conditions).values(changes)
    return change


def _update_each(table: Table, values: tuple[str, ...], where: Where) -> Executable:
    """Return one statement for any number of rows; PostgreSQL only."""
    keys = [name for name, _ in where]
    lists = [
        bindparam(f"{kind}_{name}", type_=postgresql.ARRAY(table.c[name].type))
        for kind, names in (("v", values), ("w", keys))
        for name in names
    ]
    each = func.unnest(*lists).table_valued(*values, *keys).render_derived(name="each")
    changes = {name: each.c[name] for name in values}
    conditions = [table.c[name] == each.c[name] for name in keys]
    change: Executable = update(table).where(*conditions).values(changes)
    return change


def _put(table: Table, values: tuple[str, ...], where: Where, dialect: str) -> Executable:
    key = [name for name, _ in where]
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    rest = {name: statement.excluded[name] for name in values if name not in key}
    written: Executable = (
        statement.on_conflict_do_update(index_elements=key, set_=rest)
        if rest
        else statement.on_conflict_do_nothing(index_elements=key)
    )
    return written
