"""The two processes of a service in production: one answers, one works in the background."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable

import uvicorn
from fastapi import FastAPI

from common import logs
from common.runtime import Runtime, open_runtime
from common.settings import PORTS, ServiceName, ServiceSettings


def serve_forever(
    name: ServiceName, settings: type[ServiceSettings], create_app: Callable[[Runtime], FastAPI]
) -> None:
    """Serve until SIGTERM. Settings come from PRAG_… variables."""
    logs.configure()
    runtime = open_runtime(name, settings())
    config = uvicorn.Config(
        create_app(runtime),
        port=runtime.settings.port_base + PORTS[name],
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=15,
        log_config=None,
    )
    uvicorn.Server(config).run()


def run_forever(
    name: ServiceName, settings: type[ServiceSettings], work: Callable[[Runtime], Awaitable[None]]
) -> None:
    """Work until SIGTERM; what is under way is finished or redone at the next start."""
    logs.configure()
    asyncio.run(_until_signalled(name, settings, work))


async def _until_signalled(
    name: ServiceName, settings: type[ServiceSettings], work: Callable[[Runtime], Awaitable[None]]
) -> None:
    runtime = open_runtime(name, settings())
    task = asyncio.ensure_future(work(runtime))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await runtime.database.close()
    await runtime.bus.close()
