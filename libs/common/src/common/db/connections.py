"""The connections to PostgreSQL: asyncpg's own, a bounded number of them, lent one at a time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any

from asyncpg.exceptions import InternalClientError  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy.exc import EmulatedDBAPIException
from sqlalchemy.ext.asyncio import AsyncEngine

from common.clock import monotonic
from common.db.base import OutageError
from common.db.caller import CALLER, NOBODY, Caller

Raw = Any
"""asyncpg's connection."""

STATEMENTS = 128
"""How many prepared statements a connection keeps; the one unused longest goes first."""
ANSWER_SECONDS = 4.0
"""Who has not answered after so long is gone: a cut wire and a machine without power say nothing."""
_NAME = "SELECT set_config('prag.organisation', $1, false), set_config('prag.reach', $2, false)"
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"


def limits(patience: float = ANSWER_SECONDS) -> dict[str, Any]:
    """Return asyncpg's arguments with which no call on a connection lasts longer than `patience`."""
    settings = {
        # The server gives up first: then a slow statement costs no connection, and silence is a cut.
        "statement_timeout": f"{patience * 875:.0f}ms",
        # Else what a client holds that has vanished stays locked while TCP believes in it: for hours.
        "idle_in_transaction_session_timeout": "10s",
        "tcp_keepalives_idle": "5s",
        "tcp_keepalives_interval": "2s",
        "tcp_keepalives_count": "3",
    }
    return {"timeout": patience, "command_timeout": patience, "server_settings": settings}


async def connect(engine: AsyncEngine) -> Raw:
    """Open a connection as SQLAlchemy does, types and all, and take it out of its hands."""
    try:
        lent = await engine.raw_connection()
    except EmulatedDBAPIException as error:
        # What the driver said of a server that takes nobody in just now is told like all it says.
        raise error.driver_exception from None
    raw = lent.driver_connection
    lent.detach()
    return raw


class _Connection:
    """A connection, and whom it was told that it works for; None while that is not certain."""

    __slots__ = ("raw", "told")

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.told: Caller | None = NOBODY

    async def tell(self, caller: Caller) -> None:
        if self.told == caller:
            return
        # Cut off here, it is told anew by whoever comes next.
        self.told = None
        await self.raw.fetch(_NAME, *caller.settings)
        self.told = caller

    @property
    def is_sound(self) -> bool:
        return not self.raw.is_closed() and not self.raw.is_in_transaction()


class Connections:
    """Lends the connection used last, so that the statements of one request mostly share one."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Raw]],
        *,
        most: int = 10,
        patience: float = ANSWER_SECONDS,
    ) -> None:
        """At most `most` are open; who waits for one longer than `patience` seconds is refused.

        That is the wait for room and for the server's answer to a new connection, together.
        """
        self._connect = connect
        self._room = most
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._patience = patience
        self._is_closed = False
        self.idle: list[_Connection] = []

    def lent(self) -> "_Loan":
        """Give a connection in autocommit that knows the caller.

        One that was cut off in the middle of something is closed and not lent again. When the
        server took one away it may have taken all, so those at rest go too.
        """
        return _Loan(self)

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[Raw]:
        """Give a transaction that knows the caller; committed at the end, undone by an exception."""
        async with self.lent() as raw:
            await raw.execute(_BEGIN)
            try:
                yield raw
            except TimeoutError:
                raise  # who does not answer is not asked to undo: `lent` closes the connection
            except Exception:
                # What cannot even be undone is closed by `lent`, which undoes it too.
                with suppress(Exception):
                    await raw.execute("ROLLBACK")
                raise
            if await raw.execute("COMMIT") != "COMMIT":
                raise OutageError("the transaction was already undone")

    async def close(self) -> None:
        """Close those that nobody uses; the others close when they are given back."""
        self._is_closed = True
        idle, self.idle = self.idle, []
        closing = (connection.raw.close(timeout=self._patience) for connection in idle)
        await asyncio.gather(*closing, return_exceptions=True)  # a server that is away closes none

    async def take(self) -> _Connection:
        """Return a connection for one borrower, who gives it back with `give_back`."""
        deadline = monotonic() + self._patience
        await self._wait_for_room(deadline)
        try:
            return await self._rested_or_new(deadline)
        except BaseException:
            self._make_room()
            raise

    def give_back(self, connection: _Connection, error: BaseException | None) -> None:
        """Take a connection back after its use, which ended with `error` or well."""
        is_lost = isinstance(error, (OSError, InternalClientError))
        is_cut = is_lost or not (error is None or isinstance(error, Exception))
        if is_cut or self._is_closed or not connection.is_sound:
            if is_lost or connection.raw.is_closed():
                self._drop_idle()
            connection.raw.terminate()
        else:
            self.idle.append(connection)
        self._make_room()

    async def _wait_for_room(self, deadline: float) -> None:
        """Wait for one's turn: whoever waits longest is next. OutageError at the deadline."""
        if self._room:
            self._room -= 1
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        timer = loop.call_later(deadline - monotonic(), _give_up, turn)
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.exception() is None:  # it had just come
                self._make_room()
            raise
        finally:
            timer.cancel()

    def _make_room(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._room += 1

    def _drop_idle(self) -> None:
        while self.idle:
            self.idle.pop().raw.terminate()

    async def _rested_or_new(self, deadline: float) -> _Connection:
        while self.idle:
            connection = self.idle.pop()
            if not connection.raw.is_closed():
                return connection
        async with asyncio.timeout(deadline - monotonic()):
            return _Connection(await self._connect())


def _give_up(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_exception(OutageError("no connection is free"))


class _Loan:
    """One connection of the pool for one block; a class, for it is entered at every statement."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: Connections) -> None:
        self._pool = pool

    async def __aenter__(self) -> Raw:
        connection = self._connection = await self._pool.take()
        try:
            await connection.tell(CALLER.get()())
        except BaseException as error:
            self._pool.give_back(connection, error)
            raise
        return connection.raw

    async def __aexit__(
        self, _: object, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.give_back(self._connection, error)
