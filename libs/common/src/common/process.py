"""The two processes of a service in production: one answers, one works in the background."""

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial

import structlog
import uvloop
from fastapi import FastAPI

from common import garbage, logs, recovery
from common.clock import Telling
from common.codelists import codes
from common.consumer import topics_of, with_audit_heads
from common.db import OUTAGE
from common.db.caller import CALLER, SERVICE
from common.db.head import head_of
from common.db.opening import is_sqlite
from common.db.tls import server_of
from common.federation.peers import check_own_keys
from common.http.health import worker_metrics
from common.http.introducing import Introducing
from common.http.server import Server
from common.inbox import Handlers
from common.key_mark import check_country, check_master_key
from common.ports import AddressError, PortError, listen
from common.runtime import Runtime, open_runtime
from common.settings import (
    EX_CONFIG,
    PORTS,
    ServiceName,
    ServiceSettings,
    SettingError,
    read_settings,
)

logger = structlog.get_logger(__name__)

Begin = Callable[[Runtime], Awaitable[None]]
"""What a service does at each start before it answers or works: see common.put_back."""

GRACE_SECONDS = 15
"""How long requests under way may take after the end was asked for."""


def serve_forever(
    name: ServiceName,
    settings: type[ServiceSettings],
    create_app: Callable[[Runtime], FastAPI],
    *,
    begin: Begin | None = None,
) -> None:
    """Serve until SIGTERM. Settings come from PRAG_… variables. `begin` comes before all else."""

    async def serve(runtime: Runtime) -> None:
        if begin is not None:
            await _as_service(begin(runtime))
        host, port = runtime.settings.host, runtime.settings.port_base + PORTS[name]
        held = _listen(host, port)
        app = create_app(runtime)
        app.add_middleware(Introducing, authorisation=runtime.authorisation)
        server = Server(
            app,
            host=host,
            port=port,
            grace_seconds=GRACE_SECONDS,
        )
        _on_signal(server.stop)
        garbage.look_seldom()
        await server.serve(sockets=[held])

    _run(name, "api", settings, serve)


def _listen(host: str, port: int) -> socket.socket:
    """Take the port; uvicorn would only log that something was wrong."""
    try:
        return listen(host, port)
    except AddressError as error:
        raise SettingError(f"PRAG_HOST {error}") from None
    except PortError as error:
        raise SettingError(f"PRAG_PORT_BASE: port {port} {error}") from None


async def _as_service(act: Awaitable[None]) -> None:
    before = CALLER.set(lambda: SERVICE)
    try:
        await act
    finally:
        CALLER.reset(before)


def run_forever(
    name: ServiceName,
    settings: type[ServiceSettings],
    work: Callable[[Runtime], Awaitable[None]],
    *,
    handlers: Handlers,
    begin: Begin | None = None,
    acts: Mapping[str, tuple[str, Callable[[Runtime], Awaitable[None]]]] | None = None,
) -> None:
    """Work until SIGTERM; what is under way is finished or redone at the next start.

    With `--replay` or `--resume` it does that once instead, for an operator: see common.recovery.
    `acts` are further options of the kind, each with its help. `begin` comes before all work.
    """
    further = acts or {}
    options = _worker_options(name, {option: text for option, (text, _) in further.items()})

    async def replay(runtime: Runtime) -> None:
        print(f"{await recovery.replay(runtime.database, runtime.bus)} events sent again")  # noqa: T201

    async def resume(runtime: Runtime) -> None:
        topics = topics_of(with_audit_heads(name, handlers))
        moved = await recovery.resume(runtime.database, runtime.bus, topics, service=name)
        print("\n".join(recovery.told(moved)))  # noqa: T201

    async def work_until_told(runtime: Runtime) -> None:
        async with _telling(runtime.settings.metrics_port):
            if begin is not None:
                await begin(runtime)
            garbage.look_seldom()
            task = asyncio.ensure_future(work(runtime))
            _on_signal(task.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def act(runtime: Runtime) -> None:
        CALLER.set(lambda: SERVICE)
        own = {option: act for option, (_, act) in further.items()}
        once = {"--replay": replay, "--resume": resume, **own}.get(options.once, work_until_told)
        await once(runtime)

    _run(name, "worker", settings, act)


@contextlib.asynccontextmanager
async def _telling(port: int | None) -> AsyncIterator[None]:
    """Answer a scraper on this machine, in the worker's own loop: if that stands still, it is missed."""
    if port is None:
        yield
        return
    try:
        held = listen("127.0.0.1", port)
    except PortError as error:
        raise SettingError(f"PRAG_METRICS_PORT: port {port} {error}") from None
    server = Server(worker_metrics, port=port, grace_seconds=1)
    serving = asyncio.ensure_future(server.serve(sockets=[held]))
    try:
        yield
    finally:
        server.stop()
        await serving


def _worker_options(name: ServiceName, further: Mapping[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {name}.worker")
    once = parser.add_mutually_exclusive_group()
    acts = {
        "--replay": "send the whole archive again, and end",
        "--resume": "read on where a position lies outside its log, and end; the worker must not run",
        **further,
    }
    for option, text in acts.items():
        once.add_argument(option, action="store_const", const=option, dest="once", help=text)
    return parser.parse_args()


def _run(
    name: ServiceName,
    process: str,
    settings: type[ServiceSettings],
    act: Callable[[Runtime], Awaitable[None]],
) -> None:
    async def run() -> None:
        read = read_settings(settings)
        if read.country not in codes("countries"):
            raise SettingError("PRAG_COUNTRY is no country of the code list countries")
        await _check_database(name, read.database_url)
        runtime = open_runtime(name, read)
        try:
            await _check_own_keys(runtime)
            for check in (check_master_key, check_country):
                await _as_service(_in_time(read.database_url, partial(check, runtime)))
            await act(runtime)
        finally:
            await runtime.database.close()
            await runtime.bus.close()

    logs.configure(speaker={"service": name, "process": process})
    refused: BaseExceptionGroup[SettingError] | None = None
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except* SettingError as group:
        refused = group
    if refused is not None:  # not in the clause: Python before 3.11.4 wraps what is raised there
        print(f"{name}: {_first_of(refused)}", file=sys.stderr)  # noqa: T201
        sys.exit(EX_CONFIG)


async def _check_database(name: ServiceName, url: str) -> None:
    """SettingError if the process must not work on its database as it is."""
    if is_sqlite(url):
        return
    from common.db.checks import check_postgres  # noqa: PLC0415  its driver

    head = head_of(name)
    await _in_time(url, lambda: check_postgres(url, service=name, head=head))


async def _check_own_keys(runtime: Runtime) -> None:
    """SettingError if the service lacks what others use; while its files cannot be read, wait."""
    read = runtime.settings

    async def check() -> None:
        check_own_keys(read.peers_folder, read.own_keys_file, runtime.master, runtime.name)

    await _patiently(check, "peers.wait", setting="PRAG_PEERS_FOLDER, PRAG_OWN_KEYS_FILE")


async def _in_time(url: str, act: Callable[[], Awaitable[None]]) -> None:
    """Do `act`; while the database does not answer, wait and do it again."""
    server, setting = server_of(url), "PRAG_DATABASE_URL"
    await _patiently(act, "database.waits", server=server, setting=setting)


async def _patiently(act: Callable[[], Awaitable[None]], event: str, **named: str) -> None:
    """Do `act`; in an outage wait, tell of it as `event`, and do it again."""
    seconds, telling = 0.25, Telling()
    while True:
        try:
            await act()
        except OUTAGE as error:
            if telling.is_due():
                logger.warning(event, error=type(error).__name__, **named)
            await asyncio.sleep(seconds)
            seconds = min(seconds * 2, 10)
        else:
            return


def _first_of(group: BaseExceptionGroup[SettingError]) -> BaseException:
    """Return the first error of a group, however deep it lies."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _on_signal(end: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
