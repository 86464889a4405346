"""For whom a request asks the database, before anything asks it."""

from collections.abc import MutableMapping
from functools import cache
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from common.auth import Principal
from common.authz import Authorisation
from common.db.caller import CALLER, NOBODY, Caller


class Introducing:
    """Tell the database for whom each request asks, as soon as the edge has found it out.

    Outside everything else, so that no operation can be added that does without.
    """

    def __init__(self, app: ASGIApp, authorisation: Authorisation) -> None:
        self._app = app

        @cache
        def oversees(role: str) -> bool:
            rows = [name for name in authorisation.operations if not authorisation.is_public(name)]
            return any("all" in authorisation.granted(name, role) for name in rows)

        self._oversees = oversees

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The edge keeps the caller here; what is made now is shared with every copy of the scope.
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        before = CALLER.set(lambda: self._caller(state.get("principal")))
        try:
            await self._app(scope, receive, send)
        finally:
            CALLER.reset(before)

    def _caller(self, principal: Principal | None) -> Caller:
        if principal is None:
            return NOBODY
        if "all" in principal.relations:
            return Caller(principal.organisation_id, "all")
        return Caller(principal.organisation_id, "facts" if self._oversees(principal.role) else "")
