"""Four services in one event loop: started together, watched, ended in order."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Iterator, Sequence

import uvloop
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from common import garbage, logs
from common.bus import open_bus
from common.clock import monotonic
from common.crash import crash
from common.db import OUTAGE
from common.http.server import Server
from common.runtime import Runtime, open_runtime
from common.settings import ServiceName
from common.tables import OutboxMessage
from common.worker import sealer_of
from prag import landing, wellknown
from prag.greeting import greet
from prag.instance import Instance
from prag.parts import PARTS
from prag.probe import all_ready
from prag.process import StopSignal

GRACE_SECONDS = 5
"""How long requests under way may take after the end was asked for."""
_RELAY_SECONDS = 2.0
_MAX_CONNECTIONS = 1000
_BROKEN = (*OUTAGE, SQLAlchemyError)
"""What a database may answer with at the end; then it is left to the checks of the next start."""
_LOG_BYTES = 10 * 1024 * 1024


def run(instance: Instance, sockets: Sequence[socket.socket], stop: StopSignal) -> int:
    """Run until a signal comes or a task dies; return the exit code."""
    log = instance.files.log
    log.parent.mkdir(mode=0o700, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".1.log"))
    with log.open("a", buffering=1) as stream:
        logs.configure(stream)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_Country(instance, sockets, stop).live())


class _Country:
    def __init__(
        self, instance: Instance, sockets: Sequence[socket.socket], stop: StopSignal
    ) -> None:
        self._instance = instance
        self._sockets = sockets
        self._stop = stop
        self._bus = open_bus(f"local://{instance.files.bus}")
        self._runtimes: dict[ServiceName, Runtime] = {}
        self._apps: dict[ServiceName, FastAPI] = {}
        self._servers: list[Server] = []
        self._serving: list[asyncio.Task[None]] = []
        self._working: list[asyncio.Task[None]] = []

    async def live(self) -> int:
        stopped = asyncio.Event()
        for number in StopSignal.NUMBERS:
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        if self._stop.is_asked:
            stopped.set()
        self._open()
        for name, runtime in self._runtimes.items():
            begin = PARTS[name].begin
            with logs.speaking(name, "worker"):
                if begin is not None:
                    await begin(runtime, anchor_file=self._instance.files.anchor(name))
                await self._link_audit(name)
        self._start()
        garbage.look_seldom()
        greeting = asyncio.create_task(self._greet(), name="start")
        stopping = asyncio.create_task(stopped.wait(), name="stop")
        dead = await self._first_to_end(greeting, stopping)
        for task in (greeting, stopping):
            task.cancel()
        await asyncio.gather(greeting, stopping, return_exceptions=True)
        for line in dead:
            print(line, file=sys.stderr, flush=True)
        await self._end()
        if not dead:
            # Unbuffered: whoever reads may be gone by now, and that is no failure of the country.
            with contextlib.suppress(OSError):
                os.write(1, f"stopped; the data are in {self._instance.home}\n".encode())
        return 1 if dead else 0

    def _open(self) -> None:
        for name, part in PARTS.items():
            settings = self._instance.settings(name, part)
            self._runtimes[name] = open_runtime(name, settings, bus=self._bus)

    def _start(self) -> None:
        pages = landing.router(self._instance.country, self._instance.port_base)
        for (name, runtime), held in zip(self._runtimes.items(), self._sockets, strict=True):
            app = self._apps[name] = PARTS[name].create_app(runtime)
            app.include_router(pages)
            app.include_router(wellknown.router(self._instance.issuer))
            port = self._instance.port_base + len(self._servers)
            server = Server(app, port=port, grace_seconds=GRACE_SECONDS, most=_MAX_CONNECTIONS)
            self._servers.append(server)
            with logs.speaking(name, "api"):
                serving = asyncio.create_task(server.serve(sockets=[held]), name=f"{name}-api")
            self._serving.append(serving)
            work = PARTS[name].work(runtime, anchor_file=self._instance.files.anchor(name))
            with logs.speaking(name, "worker"):
                self._working.append(asyncio.create_task(work, name=f"{name}-worker"))

    async def _greet(self) -> None:
        await all_ready(self._instance.port_base)
        crash("start.before_ready")
        greet(self._instance)
        if self._instance.files.samples.exists():
            from prag.samples.loading import load  # noqa: PLC0415  needed at the first start only

            print("Loading sample cases …", flush=True)
            told, count = await load(self._instance, self._apps, self._runtimes)
            print(f"Sample cases: {told} of {count} loaded.", flush=True)

    async def _first_to_end(
        self, greeting: asyncio.Task[None], stopping: asyncio.Task[bool]
    ) -> list[str]:
        """Return when the end is asked for, or when a task died; then a line for each such task."""
        watched: set[asyncio.Task[None]] = {*self._serving, *self._working, greeting}
        while not stopping.done():
            done, _ = await asyncio.wait([*watched, stopping], return_when=asyncio.FIRST_COMPLETED)
            if greeting in done and not greeting.cancelled() and greeting.exception() is None:
                watched.discard(greeting)
            dead = [task for task in watched if task.done()]
            if dead:
                return [f"prag up: {task.get_name()} died ({_cause(task)})" for task in dead]
        return []

    async def _end(self) -> None:
        """Let requests finish, then what they told the world, then the audit chain; then let go."""
        for server in self._servers:
            server.stop()
        await asyncio.gather(*self._serving, return_exceptions=True)
        crash("shutdown.before_relay")
        await self._await_relays()
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        for name in self._runtimes:
            with contextlib.suppress(*_BROKEN):
                await self._link_audit(name, seal=True)
        for runtime in self._runtimes.values():
            crash("shutdown.before_close")
            await runtime.database.close()
        await self._bus.close()

    async def _await_relays(self) -> None:
        """Wait until no committed event waits for the bus, but not for long: the next start goes on."""
        deadline = monotonic() + _RELAY_SECONDS
        for runtime, worker in zip(self._runtimes.values(), self._working, strict=True):
            with contextlib.suppress(*_BROKEN):
                while not worker.done() and await _has_waiting_events(runtime):
                    if monotonic() > deadline:
                        return
                    await asyncio.sleep(0.02)

    async def _link_audit(self, name: ServiceName, *, seal: bool = False) -> None:
        """Link what a killed process left out of the audit chain, or what was written last."""
        sealer = sealer_of(self._runtimes[name], self._instance.files.anchor(name))
        while await sealer.link_waiting():
            pass
        if seal:
            await sealer.seal_head()


async def _has_waiting_events(runtime: Runtime) -> bool:
    waiting = select(OutboxMessage.id).where(OutboxMessage.published_at.is_(None)).limit(1)
    return bool(await runtime.database.fetch(waiting))


def _cause(task: asyncio.Task[None]) -> str:
    """Name the kinds of errors that ended a task; their texts may hold personal data."""
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    kinds = [type(leaf).__name__ for leaf in _leaves(error)] if error else ["ended"]
    return ", ".join(dict.fromkeys(kinds))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
