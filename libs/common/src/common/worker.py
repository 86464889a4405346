"""The background half of a service: relay, consumer, audit sealer, and jobs by the clock."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog

from common.audit import Sealer
from common.clock import monotonic
from common.consumer import Consumer, with_audit_heads
from common.db import OUTAGE
from common.inbox import Handlers
from common.relay import Relay
from common.runtime import Runtime
from common.telemetry import STALE_EPOCH
from common.unit import StaleError

logger = structlog.get_logger(__name__)

Job = Callable[[Runtime], Awaitable[None]]

LINK_SECONDS = 1.0
HEAD_SECONDS = 60.0


async def run_worker(
    runtime: Runtime,
    handlers: Handlers,
    *,
    jobs: Mapping[str, tuple[float, Job]] | None = None,
    anchor_file: Path | None = None,
) -> None:
    """Run until cancelled. `jobs` maps a name to (seconds between runs, what to do)."""
    consumer = Consumer(
        runtime.database,
        with_audit_heads(runtime.name, handlers),
        service=runtime.name,
        box=runtime.box,
        source=runtime.source,
    )
    sealer = Sealer(runtime.database, runtime.master, service=runtime.name, anchor_file=anchor_file)
    logger.info("worker.started", service=runtime.name)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_lead(runtime), name=f"{runtime.name}-relay")
            tasks.create_task(consumer.run(runtime.bus), name=f"{runtime.name}-consumer")
            tasks.create_task(_seal(sealer), name=f"{runtime.name}-sealer")
            for name, (seconds, job) in (jobs or {}).items():
                task = _repeat(runtime, name, seconds, job)
                tasks.create_task(task, name=f"{runtime.name}-{name}")
    finally:
        logger.info("worker.stopped", service=runtime.name)


async def _lead(runtime: Runtime) -> None:
    """Relay; when another relay took the lead, stand for it again."""
    while True:
        relay = Relay(runtime.database, runtime.bus, service=runtime.name)
        try:
            await relay.run()
        except (StaleError, *OUTAGE) as error:
            if isinstance(error, StaleError):
                STALE_EPOCH.labels(runtime.name).inc()
            logger.warning("relay.lost_lead", service=runtime.name, error=type(error).__name__)
            await asyncio.sleep(1)


async def _seal(sealer: Sealer) -> None:
    next_head = 0.0
    while True:
        try:
            await sealer.link_waiting()
            if monotonic() >= next_head:
                await sealer.seal_head()
                next_head = monotonic() + HEAD_SECONDS
        except OUTAGE as error:
            logger.warning("audit.waits", error=type(error).__name__)
        await asyncio.sleep(LINK_SECONDS)


async def _repeat(runtime: Runtime, name: str, seconds: float, job: Job) -> None:
    while True:
        try:
            await job(runtime)
        except OUTAGE as error:
            logger.warning("job.waits", operation=name, error=type(error).__name__)
        except Exception as error:  # noqa: BLE001  one bad record must not stop a country
            logger.error(  # noqa: TRY400  its text may hold values
                "job.failed", service=runtime.name, operation=name, error=type(error).__name__
            )
        await asyncio.sleep(seconds)
