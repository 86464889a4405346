"""PostgreSQL through asyncpg: reads in autocommit, a Unit in one transaction."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from common.crash import crash
from common.db.base import OutageError, Parameters, check_count, duplicate, statements
from common.sealing import SubjectKeyRing
from common.unit import AnySelect, StaleError, Step, Unit

# SQLSTATE prefixes of what passes by itself: connection lost, no room or memory, a lock not to be
# had, shutting down, input and output, a standby that takes no writes yet.
_OUTAGES = ("08", "53", "55P03", "57", "58", "25006")
_ROLLED_BACK = "40"
"""Deadlock or serialization failure: the transaction is gone through no fault of its own."""

_MARK, _UNMARK, _BACK = "SAVEPOINT unit", "RELEASE SAVEPOINT unit", "ROLLBACK TO SAVEPOINT unit"


class PostgresDatabase:
    def __init__(self, url: str, keys: SubjectKeyRing) -> None:
        self.keys = keys
        self.outbox_written = asyncio.Event()
        self._engine = create_async_engine(url, pool_size=10, max_overflow=0, hide_parameters=True)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    async def fetch(self, statement: AnySelect, parameters: Parameters = None) -> Sequence[Any]:
        with _outages():
            async with self._reading.connect() as connection:
                rows: Sequence[Any] = (await connection.execute(statement, parameters)).all()
                return rows

    async def write(self, unit: Unit) -> None:
        if not unit.steps:
            return
        with _outages(rolled_back=StaleError):
            async with self._engine.begin() as connection:
                await _execute(unit.steps, connection)
                crash("db.before_commit")
        crash("db.after_commit")
        self.outbox_written.set()

    @asynccontextmanager
    async def batch(self) -> AsyncIterator["PostgresBatch"]:
        with _outages():
            async with self._engine.begin() as connection:
                await connection.exec_driver_sql(_MARK)
                yield PostgresBatch(connection, self.keys)
                crash("db.before_commit")
        crash("db.after_commit")
        self.outbox_written.set()

    async def close(self) -> None:
        await self._engine.dispose()


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
        with _outages():
            async with self._going_back():
                rows: Sequence[Any] = (await self._connection.execute(statement, parameters)).all()
                return rows

    async def write(self, unit: Unit) -> None:
        with _outages():
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
def _outages(*, rolled_back: type[Exception] = OutageError) -> Iterator[None]:
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
    for shape, statement, parameters in statements(steps, "postgresql"):
        try:
            result = await connection.execute(
                statement, parameters if len(parameters) > 1 else parameters[0]
            )
        except IntegrityError as error:
            raise (duplicate(shape, error) or error) from None
        if shape[4] is not None:
            check_count(shape, result.rowcount)
