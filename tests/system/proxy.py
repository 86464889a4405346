"""A wire that can be cut: a TCP proxy before a real PostgreSQL or Kafka.

It runs in a thread of its own, so that what it cuts may be a process, a thread or this event loop.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import make_url

Upstream = tuple[str, int] | Path
"""Where the server listens: host and port, or a socket of this machine."""


class Way(Enum):
    """The two directions of a wire."""

    ASKED = "to the server"
    ANSWERED = "to the client"


class _Link:
    """One connection through the wire."""

    def __init__(
        self, client: asyncio.StreamWriter, server: asyncio.StreamWriter, *, is_struck: bool
    ) -> None:
        self.ends = {Way.ASKED: server, Way.ANSWERED: client}
        self.is_struck = is_struck
        """Whether what happens to the wire happens to this connection."""
        self.is_deaf = False
        """Whether the server's end is gone and nobody told the client."""

    def close(self) -> None:
        for writer in self.ends.values():
            writer.close()

    def reset(self) -> None:
        """Break both ends off without a goodbye."""
        for writer in self.ends.values():
            end = writer.get_extra_info("socket")
            if end is not None and end.family != socket.AF_UNIX and end.fileno() >= 0:
                # Closing without lingering sends RST.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """Carries bytes between clients and one server for as long as its context lasts.

    A cut wire loses nothing by itself, as TCP loses nothing: what was on its way comes once it is
    whole again, if both sides still wait for it. `held` is what was sent into the cut wire.
    """

    def __init__(self, upstream: Upstream, *, only: Callable[[int], bool] = lambda _: True) -> None:
        """`only` tells by a client's port whether what happens here strikes its connection."""
        self._upstream = upstream
        self._only = only
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_whole = {way: asyncio.Event() for way in Way}
        self._resets = False
        self._delay = 0.0
        self._over = asyncio.Event()
        self.held = bytearray()
        self.port = 0

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._on_loop(self._listen())
        self.heal()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._on_loop(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    # --- what happens to the wire

    def cut(self, *ways: Way) -> None:
        """Let nothing through any more; in one direction only if one is named. Nobody is told."""

        def cut() -> None:
            for way in ways or Way:
                self._is_whole[way].clear()

        self._now(cut)

    def heal(self) -> None:
        """Make the wire as it was; what was held comes out."""

        def heal() -> None:
            self._resets, self._delay = False, 0.0
            for whole in self._is_whole.values():
                whole.set()

        self._now(heal)

    def reset(self) -> None:
        """From now on break every connection off in the middle of the server's next words."""

        def reset() -> None:
            self._resets = True

        self._now(reset)

    def forget(self) -> None:
        """Let the server lose every connection there is, and no client learn of it: half-open."""

        def forget() -> None:
            for link in self._links:
                if link.is_struck:
                    link.is_deaf = True
                    link.ends[Way.ASKED].close()

        self._now(forget)

    def slow_down(self, seconds: float) -> None:
        """Let everything take so long on its way, in each direction."""

        def slow_down() -> None:
            self._delay = seconds

        self._now(slow_down)

    # --- the wire itself

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1")
        self.port = self._server.sockets[0].getsockname()[1]

    async def _carry(self, asks: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """Carry one connection until an end of it closes."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            is_struck = self._only(answers.get_extra_info("peername")[1])
            if is_struck:
                await self._is_whole[Way.ASKED].wait()
            there, to_server = await self._reach()
            link = _Link(answers, to_server, is_struck=is_struck)
            self._links.add(link)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(asks, link, Way.ASKED))
                    both.create_task(self._pump(there, link, Way.ANSWERED))
            finally:
                self._links.discard(link)
                link.close()
        except* (OSError, EOFError):
            answers.close()  # an end is gone, and so the other goes
        finally:
            self._tasks.discard(task)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._upstream, Path):
            return await asyncio.open_unix_connection(self._upstream)
        return await asyncio.open_connection(*self._upstream)

    async def _pump(self, source: asyncio.StreamReader, link: _Link, way: Way) -> None:
        """Carry bytes one way; EOFError at their end ends the other way too."""
        while chunk := await source.read(65536):
            if link.is_struck and not self._is_whole[way].is_set():
                self.held += chunk
                await self._is_whole[way].wait()
            if link.is_struck and self._delay:
                await self._pass(self._delay)
            if link.is_deaf:
                continue
            if link.is_struck and self._resets and way is Way.ANSWERED:
                link.ends[way].write(chunk[: len(chunk) // 2])
                link.reset()
                break
            link.ends[way].write(chunk)
            await link.ends[way].drain()
        if link.is_deaf and way is Way.ANSWERED:
            await self._over.wait()
        if link.is_struck:
            await self._is_whole[way].wait()  # a goodbye does not get through a cut wire either
        raise EOFError

    async def _pass(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return

    async def _close(self) -> None:
        self._server.close()
        self._over.set()
        for whole in self._is_whole.values():
            whole.set()
        for link in [*self._links]:
            link.reset()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _now(self, act: Callable[[], object]) -> None:
        async def acting() -> None:
            act()

        self._on_loop(acting())

    def _on_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()


def before_postgres(url: str) -> Proxy:
    """Return a wire to the server of a URL, which listens on a socket of this machine."""
    return Proxy(Path(str(make_url(url).query["host"])) / ".s.PGSQL.5432")


def through(proxy: Proxy, url: str) -> str:
    """Return the URL of a database as it is reached by the wire."""
    by_wire = make_url(url).set(host="127.0.0.1", port=proxy.port, query={})
    return by_wire.render_as_string(hide_password=False)
