"""The two processes of a service in production: one answers, one works in the background."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
import uvloop
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from common import logs
from common.runtime import Runtime, open_runtime
from common.settings import PORTS, ServiceName, ServiceSettings, read_settings

GRACE_SECONDS = 15
"""How long requests under way may take after the end was asked for."""


HEAD_SECONDS = 30
"""How long a connection may take until a request's head is there; then it is closed."""


class _Connection(HttpToolsProtocol):
    """Closes itself unless the head of a request comes in time; uvicorn would wait for ever."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        self._go_on()
        super().on_headers_complete()

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
        self, app: FastAPI, *, port: int, grace_seconds: int, most: int | None = None
    ) -> None:
        """At most `most` connections are served at a time; further ones are told 503."""
        super().__init__(
            uvicorn.Config(
                app,
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


def serve_forever(
    name: ServiceName, settings: type[ServiceSettings], create_app: Callable[[Runtime], FastAPI]
) -> None:
    """Serve until SIGTERM. Settings come from PRAG_… variables."""

    async def serve(runtime: Runtime) -> None:
        port = runtime.settings.port_base + PORTS[name]
        server = Server(create_app(runtime), port=port, grace_seconds=GRACE_SECONDS)
        _on_signal(server.stop)
        await server.serve()

    _run(name, settings, serve)


def run_forever(
    name: ServiceName, settings: type[ServiceSettings], work: Callable[[Runtime], Awaitable[None]]
) -> None:
    """Work until SIGTERM; what is under way is finished or redone at the next start."""

    async def work_until_told(runtime: Runtime) -> None:
        task = asyncio.ensure_future(work(runtime))
        _on_signal(task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    _run(name, settings, work_until_told)


def _run(
    name: ServiceName, settings: type[ServiceSettings], act: Callable[[Runtime], Awaitable[None]]
) -> None:
    async def run() -> None:
        runtime = open_runtime(name, read_settings(settings))
        try:
            await act(runtime)
        finally:
            await runtime.database.close()
            await runtime.bus.close()

    logs.configure()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def _on_signal(end: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
