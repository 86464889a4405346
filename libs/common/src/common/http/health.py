"""Health for supervisors, metrics for a scraper on the same machine."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from common.backlog import measure
from common.db import OUTAGE
from common.errors import NotFoundError
from common.http.request import runtime_of
from common.runtime import Runtime
from common.tables import RelayLease
from common.telemetry import ISSUER_KEYS_AGE_SECONDS, ISSUER_KEYS_KNOWN

Gauges = Callable[[Runtime], Awaitable[None]]
"""Sets gauges of one service from its database, when a scraper asks."""

router = APIRouter(include_in_schema=False)


@router.get("/livez")
async def livez() -> Response:
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Ready means: the database answers. The bus is not asked: without it the service works on.

    Nor is it less ready while the identity provider's keys are awaited, but it says so.
    """
    runtime = runtime_of(request)
    try:
        await runtime.database.fetch(select(RelayLease.id).limit(1))
    except OUTAGE:
        return JSONResponse({"status": "unavailable"}, status_code=503)
    if not runtime.tokens.knows_keys():
        return JSONResponse({"status": "ok", "keys": "awaited"})
    return JSONResponse({"status": "ok"})


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    if request.client is None or request.client.host not in {"127.0.0.1", "::1", "testclient"}:
        raise NotFoundError
    runtime = runtime_of(request)
    _measure_keys(runtime)
    topics: list[str] = request.app.state.topics
    is_told = await measure(
        runtime.database,
        runtime.bus,
        topics,
        service=runtime.name,
        database_url=runtime.settings.database_url,
    )
    gauges: Gauges | None = request.app.state.gauges
    if gauges is not None and is_told:
        with suppress(*OUTAGE):  # of which `measure` has told
            await gauges(runtime)
    return await _counted(request)


def _measure_keys(runtime: Runtime) -> None:
    ISSUER_KEYS_KNOWN.labels(runtime.name).set(runtime.tokens.knows_keys())
    if (age := runtime.tokens.keys_age()) is not None:
        ISSUER_KEYS_AGE_SECONDS.labels(runtime.name).set(age)


async def _counted(_: Request) -> Response:
    """Tell what this process has counted by itself."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


worker_metrics = Starlette(routes=[Route("/metrics", _counted)])
"""What a worker tells, which has nothing else to answer: for the loopback only."""
