"""Rows for every table of whatever revision a database stands at, and what becomes of them on its way up.

It knows no model: columns, keys and references are read from the database itself.
"""

import hashlib
import os
import signal
from collections.abc import Callable, Container, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import UUID

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import DeadlockDetected
from sqlalchemy import (
    CHAR,
    JSON,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Insert,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Uuid,
    create_engine,
    event,
    insert,
    inspect,
    text,
)
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from common.clock import monotonic
from common.migrations import upgrade
from tests.system.processes import PATIENCE
from tests.system.writing import AtWork

_START = datetime(2024, 3, 1, 12, tzinfo=UTC)
_SHORT = 12
_KINDS: Sequence[tuple[type[Any], Callable[[int, int], Any]]] = [
    (Uuid, lambda first, n: UUID(int=first + n, version=4)),
    (CHAR, lambda first, n: UUID(int=first + n, version=4).hex),
    (Boolean, lambda _, n: n % 2 == 0),
    (Integer, lambda _, n: n + 1),
    (DateTime, lambda _, n: _START + timedelta(minutes=n, microseconds=n)),
    (Date, lambda _, n: _START.date() + timedelta(days=n % 900)),
    (LargeBinary, lambda first, n: (first + n).to_bytes(32)),
    (JSON, lambda _, n: [f"Ћ{n}"]),
]
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SQLITE = "group_concat(quote({}), ';')"
_POSTGRES = "string_agg(quote_nullable({}::text), ';')"
_MARKS = ("INSERT INTO alembic_version", "UPDATE alembic_version")
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.migrating"])

Makers = dict[str, tuple[Callable[[int], Any], bool]]
"""Column → what makes its value in the row of a number, and whether it may be empty."""
Sums = dict[str, dict[str, str]]
"""Table → column → a checksum of its values in the order of the primary key; `` is of their number."""


def connect(url: str) -> Connection:
    return create_engine(url.replace("+asyncpg", "+psycopg"), poolclass=NullPool).connect()


class Inserting(AtWork):
    """Somebody of the release before: writes a row into each table that is there at the start, again and again.

    `first` is the number of the first row, above those of the rows there are.
    """

    def __init__(self, url: str, first: int) -> None:
        self._url, self._first = url, first
        self.rows = 0
        """How many each table was given."""
        self.longest = 0.0
        """The longest that a write took, in seconds."""
        self.refused: list[str] = []

    def work(self) -> None:
        with connect(self._url).execution_options(isolation_level="AUTOCOMMIT") as connection:
            makers = {table: _makers(table) for table in tables(connection)}
            while not self.rest(0.001):
                number = self._first + self.rows
                for table, makers_of in makers.items():
                    self._insert(connection, insert(table), _row(makers_of, number))
                self.rows += 1

    def _insert(self, connection: Connection, statement: Insert, row: dict[str, Any]) -> None:
        began = monotonic()
        try:
            self._insert_once(connection, statement, row)
        except DatabaseError as error:
            self.refused.append(str(error.orig))
        self.longest = max(self.longest, monotonic() - began)

    def _insert_once(self, connection: Connection, statement: Insert, row: dict[str, Any]) -> None:
        """Do a row again that a deadlock took back, as the services do."""
        try:
            connection.execute(statement, row)
        except OperationalError as error:
            if not isinstance(error.orig, DeadlockDetected):
                raise
            connection.execute(statement, row)


def revisions(folder: Path) -> list[str]:
    """Return the revisions of a migrations folder, the first one first."""
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    found = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()]
    return found[::-1]


def revision_of(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def tables(connection: Connection) -> list[Table]:
    """Return the tables there are, those first that others refer to."""
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]


def fill(url: str, done: Sums, rows_of: Callable[[str], int]) -> Sums:
    """Put rows into each table that is not `done` yet, as many as `rows_of` its name; return all sums."""
    with connect(url) as connection:
        new = [table for table in tables(connection) if table.name not in done]
        for table in new:
            connection.execute(insert(table), _rows(table, rows_of(table.name)))
        connection.commit()
        return done | sums(connection, {table.name for table in new})


def sums(connection: Connection, of: Container[str] | None = None) -> Sums:
    """Read what every column of each table holds, or of these; two differ when one value does."""
    found: Sums = {}
    seen = inspect(connection)
    keys = seen.get_multi_pk_constraint()
    quoted = _SQLITE if connection.dialect.name == "sqlite" else _POSTGRES
    name = connection.dialect.identifier_preparer.quote
    for (_, table), described in seen.get_multi_columns().items():
        if table == "alembic_version" or (of is not None and table not in of):
            continue
        columns = [column["name"] for column in described]
        every = ", ".join(quoted.format(name(column)) for column in columns)
        order = ", ".join(map(name, keys[None, table]["constrained_columns"]))
        query = f"SELECT count(*), {every} FROM (SELECT * FROM {table} ORDER BY {order}) AS t"  # noqa: S608
        [(count, *values)] = connection.exec_driver_sql(query)
        hashed = [hashlib.sha256((value or "").encode()).hexdigest() for value in values]
        found[table] = {"": str(count), **dict(zip(columns, hashed, strict=True))}
    return found


def shape(connection: Connection) -> set[tuple[Any, ...]]:
    """Read everything about the schema that a half-done step could leave behind."""
    if connection.dialect.name == "sqlite":
        return {
            tuple(row) for row in connection.execute(text("SELECT name, sql FROM sqlite_master"))
        }
    columns = (
        "SELECT attrelid::regclass::text, attname, atttypid::regtype::text, attnotnull, atthasdef "
        "FROM pg_attribute JOIN pg_class c ON c.oid = attrelid "
        "WHERE c.relnamespace = 'public'::regnamespace AND attnum > 0"
    )
    queries = (
        columns,
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT conrelid::regclass::text, conname, contype::text FROM pg_constraint",
        "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal",
        "SELECT tablename, policyname, qual FROM pg_policies",
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    )
    return {tuple(row) for query in queries for row in connection.execute(text(query))}


def lost(before: Sums, after: Sums) -> list[str]:
    """Return what a step changed of what was there: tables, columns, numbers of rows and values."""
    found = []
    for table, columns in before.items():
        if table not in after:
            found.append(table)
            continue
        if columns[""] != after[table][""]:
            found.append(f"{table}: {columns['']} rows became {after[table]['']}")
            continue
        found += [f"{table}.{c}" for c, value in columns.items() if after[table].get(c) != value]
    return found


def killed(folder: Path, url: str, revision: str) -> int | None:
    """Bring the database to `revision` in a process of its own; return its exit code.

    It is killed when all of the step is done, but for saying so.
    """
    process = _FORKS.Process(target=_upgrade_and_die, args=(folder, url, revision))
    process.start()
    process.join(PATIENCE)
    return process.exitcode


def _upgrade_and_die(folder: Path, url: str, revision: str) -> None:
    @event.listens_for(Engine, "before_cursor_execute")
    def die(_1: Any, _2: Any, statement: str, *_3: Any) -> None:
        if statement.startswith(_MARKS):
            os.kill(os.getpid(), signal.SIGKILL)

    upgrade(folder, url, revision)


def _rows(table: Table, count: int) -> list[dict[str, Any]]:
    makers = _makers(table)
    return [_row(makers, number) for number in range(count)]


def _makers(table: Table) -> Makers:
    referring = {key.parent.name: key.column for key in table.foreign_keys}
    # A reference means the row of its own number.
    return {c.name: (_maker(referring.get(c.name, c)), bool(c.nullable)) for c in table.columns}


def _row(makers: Makers, number: int) -> dict[str, Any]:
    """Return a row with values of no other row, and nothing in every third where that may be."""
    return {
        name: None if number % 3 == 0 and may_be_empty else make(number)
        for name, (make, may_be_empty) in makers.items()
    }


def _maker(column: Column[Any]) -> Callable[[int], Any]:
    """Return what makes the column's values, another for each number as far as its kind has so many."""
    name = f"{column.table.name}.{column.name}"
    first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:15])
    for kind, make in _KINDS:
        if isinstance(column.type, kind):
            return partial(make, first)
    length = getattr(column.type, "length", None) or _SHORT
    return partial(_short, length) if length < _SHORT else "ć'\"%{}".format


def _short(length: int, number: int) -> str:
    letters = ""
    for _ in range(length):
        number, digit = divmod(number, len(_LETTERS))
        letters = _LETTERS[digit] + letters
    return letters
