"""The local issuer's public keys, where programs look for them (RFC 7517)."""

import json

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from prag.issuer import LocalIssuer


def router(issuer: LocalIssuer) -> APIRouter:
    """Return the route of the JWK set: public keys only, the newest last."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/.well-known/jwks.json")
    async def show_keys() -> Response:
        keys = json.loads(issuer.jwks_file.read_text())["keys"]
        return JSONResponse({"keys": keys}, headers={"Cache-Control": "public, max-age=60"})

    return routes
