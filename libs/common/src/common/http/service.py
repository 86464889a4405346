"""Put one service's HTTP application together."""

import re
from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.clock import new_id
from common.http import docs, health, problem
from common.http.changes import changes_router
from common.http.codelists import router as codelists
from common.http.idempotency import InFlight
from common.http.openapi import install as install_openapi
from common.http.route import PragRoute
from common.runtime import Runtime

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def create_service(
    runtime: Runtime,
    routers: Sequence[APIRouter],
    *,
    title: str,
    description: str,
    pages: Sequence[APIRouter] = (),
) -> FastAPI:
    """Return the application; ValueError if an operation has no row in the authorisation table.

    The limit on bodies is not FastAPI's own, which answers in plain text: see common.http.body.
    """
    app = FastAPI(
        title=title,
        description=description,
        version="1.0.0",
        telemetry=None,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
    )
    app.state.runtime = runtime
    app.state.in_flight = InFlight()
    problem.install(app)
    for router in routers:
        # Not by include_router, which looks every request up twice.
        app.router.routes.extend(router.routes)
    for router in (codelists, changes_router(), health.router, *pages):
        app.include_router(router)
    docs.install(app)
    install_openapi(app)
    _check_rows(app, runtime)
    app.add_middleware(Trace)
    return app


class Trace:
    """Give each request a trace id (W3C traceparent taken over) and return it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((v for k, v in scope["headers"] if k == b"traceparent"), b"").decode("latin-1")
        match = _TRACEPARENT.fullmatch(given)
        trace_id = match[1] if match else new_id().hex
        scope.setdefault("state", {})["trace_id"] = trace_id

        async def send_traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Trace-Id"] = trace_id
            await send(message)

        await self._app(scope, receive, send_traced)


def operations(app: FastAPI) -> dict[str, APIRoute]:
    """Return every operation of the OpenAPI description by its name."""
    return {
        r.name: r for r in _routes(app.routes) if isinstance(r, APIRoute) and r.include_in_schema
    }


def _routes(routes: Sequence[object]) -> list[object]:
    found: list[object] = []
    for route in routes:
        inner = getattr(route, "original_router", None)
        found.extend(_routes(inner.routes) if inner is not None else [route])
    return found


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
