"""Put one service's HTTP application together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common import contracts
from common.consumer import topics_of, with_audit_heads
from common.http import docs, health, problem, problems
from common.http.changes import changes_router
from common.http.codelists import router as codelists
from common.http.health import Gauges
from common.http.idempotency import InFlight
from common.http.methods import Head, operations
from common.http.openapi import install as install_openapi
from common.http.route import PragRoute
from common.inbox import Handlers
from common.runtime import Runtime
from common.telemetry import TRACEPARENT, new_trace_id

logger = structlog.get_logger(__name__)


def create_service(
    runtime: Runtime,
    routers: Sequence[APIRouter],
    *,
    title: str,
    description: str,
    pages: Sequence[APIRouter] = (),
    handlers: Handlers | None = None,
    gauges: Gauges | None = None,
) -> FastAPI:
    """Return the application; ValueError if an operation has no row in the authorisation table.

    `handlers` are those of the service's worker; its metrics tell how far they are behind. `gauges`
    sets what only this service measures.

    The limit on bodies is not FastAPI's own, which answers in plain text: see common.http.body.
    """
    app = FastAPI(
        title=title,
        description=description,
        version="1.0.0",
        # Its own spans would carry paths, queries and addresses; ours say less (common.telemetry).
        telemetry={"tracing": False, "metrics": False, "logs": False},
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        lifespan=_life,
    )
    app.state.runtime = runtime
    app.state.topics = topics_of(with_audit_heads(runtime.name, handlers or {}))
    app.state.gauges = gauges
    app.state.in_flight = InFlight()
    problem.install(app)
    for router in (*routers, changes_router()):
        # Not by include_router, which looks every request up twice and keeps what a route said at first.
        app.router.routes.extend(router.routes)
    for router in (codelists, health.router, problems.router, *pages):
        app.include_router(router)
    docs.install(app)
    install_openapi(app)
    _check_rows(app, runtime)
    app.add_middleware(Head)
    app.add_middleware(Trace)
    return app


@asynccontextmanager
async def _life(_: FastAPI) -> AsyncIterator[None]:
    logger.info("api.started")
    yield
    logger.info("api.stopped")


class Trace:
    """Give each request a trace id (W3C traceparent taken over) and return it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((v for k, v in scope["headers"] if k == b"traceparent"), b"").decode("latin-1")
        match = TRACEPARENT.fullmatch(given)
        state = scope.setdefault("state", {})
        state["trace_id"] = match[1] if match else new_trace_id()
        state["traceparent"] = given if match else None

        async def send_traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"trace-id", state["trace_id"].encode()),
                ]
            await send(message)

        await self._app(scope, receive, send_traced)


def _check_rows(app: FastAPI, runtime: Runtime) -> None:
    found = operations(app)
    rows = runtime.authorisation
    missing = set(found) - rows.operations
    idle = rows.operations - set(found)
    missing |= {
        n for n, r in found.items() if not isinstance(r, PragRoute) and not rows.is_public(n)
    }
    if missing or idle:
        raise ValueError(
            f"authz.json of {runtime.name}: no row for {sorted(missing)}, no operation for {sorted(idle)}"
        )
    told = {kind for kind in contracts.kinds() if kind.startswith(f"{runtime.name}.")}
    if not told <= rows.told:
        raise ValueError(f"feed.json of {runtime.name}: no row for {sorted(told - rows.told)}")
