"""Calls the instance's own API, in the name of people who do not exist."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI

from common.settings import ServiceName
from prag.issuer import MAX_MINUTES, LocalIssuer
from prag.samples.past import at


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `key` is its Idempotency-Key, `version` the one it is decided on (If-Match)."""

    service: ServiceName
    method: str
    path: str
    body: dict[str, Any] | None = None
    key: str = ""
    version: int | None = None

    @property
    def record(self) -> str:
        """The path of the record the call is about: `/v1/cases/{id}` of `/v1/cases/{id}/assign`."""
        return "/".join(self.path.split("/")[:4])


class SampleError(Exception):
    """A call was not answered as a sample needs it; says which and with what code, never what was sent."""

    def __init__(self, call: Call, status: int, code: str) -> None:
        super().__init__(f"{call.method} {call.path}: {status} {code}")
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who calls: the `sub`, role and organisation of the token."""

    name: str
    role: str
    organisation_id: UUID


@dataclass(frozen=True, slots=True)
class Answer:
    body: dict[str, Any]
    version: int
    """The version of the record the answer is about, from its ETag; 0 without one."""


class Caller:
    """Speaks to the four applications in this process, each call at a moment of its own."""

    def __init__(self, apps: dict[ServiceName, FastAPI], issuer: LocalIssuer) -> None:
        self._clients = {
            name: httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")
            for name, app in apps.items()
        }
        self._issuer = issuer
        self._tokens: dict[tuple[Actor, datetime], str] = {}

    async def call(self, actor: Actor, moment: datetime, call: Call) -> Answer:
        """Make one call; SampleError for an answer that is not 2xx.

        A key that was used at that moment before is answered as it was then.
        """
        headers = {"Authorization": f"Bearer {self._token(actor, moment)}"}
        if call.key:
            headers["Idempotency-Key"] = call.key
        if call.version is not None:
            headers["If-Match"] = f'"{call.version}"'
        with at(moment):
            response = await self._clients[call.service].request(
                call.method, call.path, json=call.body, headers=headers
            )
        if response.is_success:
            return Answer(response.json(), int(response.headers.get("etag", '"0"').strip('"')))
        raise SampleError(call, response.status_code, response.json()["code"])

    def _token(self, actor: Actor, moment: datetime) -> str:
        # Made for the quarter of an hour in which the moment lies, a token lives as long as that.
        quarter = moment.replace(minute=moment.minute - moment.minute % MAX_MINUTES, second=0)
        if (actor, quarter) not in self._tokens:
            with at(quarter.replace(microsecond=0)):
                self._tokens[actor, quarter] = self._issuer.token(
                    actor.role, actor.organisation_id, actor.name
                )
        return self._tokens[actor, quarter]
