"""The server below an application: what uvicorn does not do for callers that are slow."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from common.http.body import ARRIVED

HEAD_SECONDS = 30
"""How long a connection may take until a request's head is there; then it is closed."""


class _Joining:
    """A transport that sends an answer's head with its body: to send costs more than to build both."""

    __slots__ = ("_call_soon", "_held", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._call_soon = loop.call_soon
        self._held = b""

    def write(self, data: bytes) -> None:
        if self._held:
            self._transport.write(self._held + data)
            self._held = b""
        else:
            self._held = data
            self._call_soon(self._flush)  # the body may be long in coming

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            self._transport.write(self._held)
            self._held = b""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._transport, name)


class _Connection(HttpToolsProtocol):
    """Closes itself unless the head of a request comes in time; uvicorn would wait for ever."""

    _waiting: asyncio.TimerHandle | None = None
    _lacks_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, _Joining(transport, self.loop)))
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._lacks_head:  # most heads come in one piece, and need no timer
            self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._lacks_head = True

    def on_headers_complete(self) -> None:
        self._lacks_head = False
        self._go_on()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.scope[ARRIVED] = True  # type: ignore[literal-required]

    def connection_lost(self, exc: Exception | None) -> None:
        self._go_on()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _go_on(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class Server(uvicorn.Server):
    """Serves one application; the signals are left to the process, which may have more to end."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str = "127.0.0.1",
        port: int,
        grace_seconds: int,
        most: int | None = None,
    ) -> None:
        """At most `most` connections are served at a time; further ones are told 503."""
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                http=_Connection,
                ws="none",
                access_log=False,
                server_header=False,
                log_config=None,
                limit_concurrency=most,
                timeout_graceful_shutdown=grace_seconds,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Take no more requests, finish those under way, then return from `serve`."""
        self.should_exit = True
