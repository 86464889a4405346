"""Methods of a path: HEAD wherever GET is, and an Allow that names all there are (RFC 9110)."""

from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """Answer HEAD as GET is answered, without the body: same headers, authorisation and audit.

    Whoever may not read a record may not ask about it either, and whoever asks has an entry.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # A copy: the server goes on knowing that it was HEAD.
        await self._app({**scope, "method": "GET"}, receive, send_head)


def allowed(request: Request) -> str:
    """Return the Allow header of the path asked for: the methods of all its routes."""
    path = request.scope["path"]
    found: set[str] = set()
    for route in routes_of(request.app.routes):
        if isinstance(route, Route) and route.path_regex.match(path):
            found |= route.methods or set()
    return ", ".join(sorted(found | ({"HEAD"} if "GET" in found else set())))


def operations(app: FastAPI) -> dict[str, APIRoute]:
    """Return every operation of the OpenAPI description by its name."""
    return {
        r.name: r for r in routes_of(app.routes) if isinstance(r, APIRoute) and r.include_in_schema
    }


def routes_of(routes: Sequence[object]) -> list[object]:
    """Return the routes themselves, those of included routers too."""
    found: list[object] = []
    for route in routes:
        inner = getattr(route, "original_router", None)
        found.extend(routes_of(inner.routes) if inner is not None else [route])
    return found
