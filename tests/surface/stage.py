"""The state an operation needs before it can be called, reached as its users reach it.

A builder makes what the operation's body names and the record its path names, through the API and
through the events other services would tell, and returns the call that is then possible.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from typing import Any
from uuid import UUID

import httpx

from common import clock
from common.clock import new_id
from common.events import Event
from common.relay import Relay
from tests.kit import ELSEWHERE, HOME, Kit
from tests.surface.operations import Operation

NOW = datetime(2026, 11, 16, 10, tzinfo=UTC)
"""The time of these tests: after every day the examples name as past, before the days to come."""

PARTNER = UUID("0f9d6a34-7c1b-4c58-8f21-6b4c2f0f7e02")
"""The second organisation that knows the record: the shelter of the examples."""

IDENTITIES: Mapping[str, tuple[UUID, str]] = {
    "own": (HOME, "colleague-1"),
    "assigned": (HOME, "worker-1"),
    "partner": (PARTNER, "partner-1"),
    "other": (ELSEWHERE, "stranger-1"),
    "former": (ELSEWHERE, "worker-1"),
}
"""Who asks, as organisation and subject. `former` carried the case and went to another one."""

WHOLE_LIST = {"limit": "200"}
WHOLE_FEED = {"limit": "500"}
"""So that what is looked for is not on a later page."""

Relations = Mapping[str, frozenset[str]]
"""Identity → its relations to a record, in the words of authz.json."""

Answer = tuple[int, str]
"""Status and problem code."""


@dataclass(frozen=True, slots=True)
class Who:
    """A caller."""

    role: str
    organisation_id: UUID = HOME
    subject: str = "colleague-1"

    @classmethod
    def of(cls, role: str, identity: str) -> "Who":
        return cls(role, *IDENTITIES[identity])


def related(*, all_too: bool = True, **relations: str) -> Relations:
    """Return the relations of each identity; `all_too`: national roles may see the record."""
    everybody = {"all"} if all_too else set()
    return {name: frozenset({*relations.get(name, "").split()} | everybody) for name in IDENTITIES}


Judge = Callable[[str, str, bool], Answer | None]
"""Takes a role, an identity, and whether one of their relations opens the record."""


def no_judgement(_role: str, _identity: str, _is_open: bool) -> Answer | None:  # noqa: FBT001
    return None


@dataclass(frozen=True, slots=True)
class Ready:
    """A call that would be answered 2xx if `by` made it now.

    `relations` is None where the call is about no record. `judge` names the answer to a role and
    identity where more than the authorisation table decides; None leaves it to the table. `listed`
    is the record that a list shows to those who may see it, and `listed_by` its member that names
    it; `readers` are the roles to whom such a record is open where the list shows several kinds.
    """

    by: Who
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str | list[str]] = field(default_factory=dict)
    version: int | None = None
    body: Any = None
    relations: Relations | None = None
    judge: Judge = no_judgement
    listed: str | None = None
    listed_by: str = "id"
    readers: frozenset[str] | None = None


class Stage:
    """One service on which calls are made; tokens are made once for each caller."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self._made: set[str] = set()
        self._tokens: dict[Who, str] = {}
        transport = httpx.ASGITransport(app=kit.app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://prag")

    def is_new(self, name: object) -> bool:
        """Tell, once, that what goes by this name is not made yet."""
        is_new = str(name) not in self._made
        self._made.add(str(name))
        return is_new

    async def hear(self, events: list[Event]) -> None:
        """Let the service hear what another service tells."""
        assert set(await self.kit.hear(*events)) == {"applied"}

    async def publish(self) -> None:
        """Publish what the service has to tell, as its relay does."""
        runtime = self.kit.runtime
        relay = Relay(runtime.database, runtime.bus, service=runtime.name)
        await relay.lead()
        while await relay.publish_waiting():
            pass

    # --- calls

    async def request(
        self,
        method: str,
        path: str,
        who: Who | None,
        *,
        headers: Mapping[str, str | bytes] | None = None,
        **content: Any,
    ) -> httpx.Response:
        """Send a request as `who`; a POST has its own Idempotency-Key."""
        sent: dict[str, str | bytes] = {}
        if method == "POST":
            sent["Idempotency-Key"] = str(new_id())
        if who is not None:
            sent["Authorization"] = f"Bearer {self.token(who)}"
        pairs = [
            (name.encode(), value.encode() if isinstance(value, str) else value)
            for name, value in (sent | {**(headers or {})}).items()
        ]
        return await self._http.request(method, path, headers=pairs, **content)

    def token(self, who: Who) -> str:
        if who not in self._tokens:
            token = self.kit.issuer.token(who.role, who.organisation_id, who.subject)
            self._tokens[who] = token
        return self._tokens[who]

    async def call(
        self,
        operation: Operation,
        ready: Ready,
        who: Who | None,
        *,
        headers: Mapping[str, str | bytes] | None = None,
        validate_only: bool = False,
        **content: Any,
    ) -> httpx.Response:
        """Make the call that is ready; `content` replaces its body."""
        query = dict(ready.query) | ({"validate_only": "true"} if validate_only else {})
        version: dict[str, str | bytes] = {}
        if ready.version is not None:
            version["If-Match"] = f'"{ready.version}"'
        if not content and ready.body is not None:
            content = {"json": ready.body}
        return await self.request(
            operation.method,
            operation.path.format(**ready.path),
            who,
            headers=version | {**(headers or {})},
            params=query,
            **content,
        )

    async def do(
        self, method: str, path: str, who: Who, body: Any = None, version: int | None = None
    ) -> httpx.Response:
        """Take a step on the way to the state; it must succeed."""
        headers = None if version is None else {"If-Match": f'"{version}"'}
        content = {} if body is None else {"json": body}
        response = await self.request(method, path, who, headers=headers, **content)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response


Builder = Callable[[Stage, Any], Awaitable[Ready]]
"""Takes the body to be sent, None where there is none."""


def builder_of(operation: Operation) -> Builder:
    """Return the builder of an operation: the function of its name in its service's module."""
    for module in (operation.service, "everywhere"):
        found = getattr(import_module(f"tests.surface.{module}"), operation.name, None)
        if found is not None:
            builder: Builder = found
            return builder
    raise LookupError(f"{operation}: tests/surface/{operation.service}.py has no builder for it")


def version_of(response: httpx.Response) -> int:
    return int(response.headers["ETag"].strip('"'))


def time_stands_still() -> None:
    clock.set_source(lambda: NOW)
