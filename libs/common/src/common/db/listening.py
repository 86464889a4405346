"""Commits of other processes, told and heard on PostgreSQL by connections that do nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from common.clock import monotonic

logger = structlog.get_logger(__name__)

CHANNEL = "prag_outbox"
_NOTIFY = f"NOTIFY {CHANNEL}"
"""It says nothing but that there is something: whoever may enter the database may listen."""

_SURE_SECONDS = 30.0
"""How long a silent connection is believed; one that was cut without a word looks the same."""
_ANSWER_SECONDS = 5.0
_TOGETHER_SECONDS = 0.005
"""Where one commit follows the other, those of so long are told together; a lone one is told at once."""
_REST_SECONDS = 5.0
"""Between two attempts to listen that failed."""


class Herald:
    """Tells of commits with events: once for all of them that came while it was telling.

    Not in the transactions that write them: PostgreSQL lets those that notify commit one by one, each
    with its own wait for the disk. What was not told is found by the look every second.
    """

    def __init__(self, connect: Callable[[], Awaitable[Any]]) -> None:
        self._connect = connect
        self._connection: Any = None
        self._is_due = False
        self._telling: asyncio.Task[None] | None = None

    def tell(self) -> None:
        self._is_due = True
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def close(self) -> None:
        if self._telling is not None:
            await self._telling
        self._drop()

    async def _tell(self) -> None:
        while self._is_due:
            self._is_due = False
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    if self._connection is None or self._connection.is_closed():
                        self._connection = await self._connect()
                    await self._connection.execute(_NOTIFY)
            except Exception as error:  # noqa: BLE001  whatever it is, events are found without
                logger.warning("outbox.untold", error=type(error).__name__)
                self._drop()
            if self._is_due:
                await asyncio.sleep(_TOGETHER_SECONDS)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


class Listener:
    """Calls `heard` whenever a transaction with events has committed, and when it may have missed one."""

    def __init__(self, connect: Callable[[], Awaitable[Any]], heard: Callable[[], None]) -> None:
        """`connect` opens a connection of asyncpg's."""
        self._connect = connect
        self._heard = heard
        self._connection: Any = None
        self._next_look = 0.0

    async def keep(self) -> None:
        """See to it that a connection listens. Where none can be had, it is tried again later."""
        is_open = self._connection is not None and not self._connection.is_closed()
        now = monotonic()
        if now < self._next_look and (is_open or self._connection is None):
            return
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                if is_open:
                    await self._connection.execute("SELECT 1")
                else:
                    await self._listen()
        except Exception as error:  # noqa: BLE001  whatever it is, events are found without
            logger.warning("outbox.unheard", error=type(error).__name__)
            self._drop()
            self._next_look = now + _REST_SECONDS
        else:
            self._next_look = now + _SURE_SECONDS

    async def close(self) -> None:
        self._drop()

    async def _listen(self) -> None:
        self._connection = connection = await self._connect()
        connection.add_termination_listener(self._was_cut)
        await connection.add_listener(CHANNEL, lambda *_: self._heard())

    def _was_cut(self, connection: object) -> None:
        if connection is self._connection:
            self._heard()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
