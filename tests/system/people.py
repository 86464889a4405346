"""People who use a country from outside, and a record of all they were told is done.

When the country goes away in the middle, everybody waits until it is back and sends the request
that was not answered again, with the same key, the same body and the same If-Match.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from common.clock import new_id
from prag.issuer import LocalIssuer
from tests.system.processes import PATIENCE, SERVICES, poll

Told = tuple[tuple[UUID, str], ...]
"""Events by their aggregate and their type without service and version: `case.opened`."""


@dataclass(frozen=True, slots=True)
class Done:
    """A change that was answered with success."""

    service: str
    trace_id: str
    told: Told
    """The first one's aggregate is the one whose version was answered."""
    version: int
    part: tuple[str, UUID] | None = None
    """Table and id of a row that has no version of its own."""
    is_post: bool = True


class Site:
    """The country as its users know it: four addresses, up or down; and what they were told."""

    def __init__(self, home: Path, port_base: int, done: Sequence[Done] = ()) -> None:
        """`done` is what was answered before in the folder this one is a copy of."""
        self.port_base = port_base
        self.done = [*done]
        self.repeated = 0
        """Requests sent again because no answer had come."""
        self._people: list[Person] = []
        self._starts = 0
        self._is_closed = False
        self._changed = threading.Condition()
        self._issuer = LocalIssuer(home)

    def is_up(self) -> None:
        with self._changed:
            self._starts += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Send everybody home, also those who wait for the country to come back."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for person in self._people:
            person.close()

    def wait_up(self, after: int) -> int:
        """Wait for another start than the one called `after`; return its number."""
        with self._changed:
            self._changed.wait_for(lambda: self._starts > after or self._is_closed, 2 * PATIENCE)
            assert self._starts > after, "the country did not come back"
            return self._starts

    def person(self, role: str, organisation: UUID, name: str) -> "Person":
        person = Person(self, self._issuer.token(role, organisation, name))
        self._people.append(person)
        return person


class Person:
    """Somebody with a token. Belongs to one thread."""

    def __init__(self, site: Site, token: str) -> None:
        self._site = site
        self._token = token
        self._start = 0
        self._http = httpx.Client(timeout=PATIENCE)

    def close(self) -> None:
        self._http.close()

    def get(self, service: str, path: str) -> dict[str, Any]:
        answer, _ = self._send("GET", service, path, None, {})
        assert answer.status_code == 200, f"GET {path}: {answer.text}"
        content: dict[str, Any] = answer.json()
        return content

    def create(
        self, service: str, path: str, body: dict[str, Any], event: str, **more: Any
    ) -> tuple[UUID, int]:
        """Make a record; return its id and version. `event` tells of it."""
        answer, trace_id = self._write("POST", service, path, body, **more)
        assert answer.status_code == 201, f"POST {path}: {answer.text}"
        record = UUID(answer.json()["id"])
        version = _version(answer)
        self._site.done.append(Done(service, trace_id, ((record, event),), version))
        return record, version

    def change(
        self,
        service: str,
        path: str,
        body: dict[str, Any] | None,
        *told: tuple[UUID, str],
        expected: int | None = None,
        method: str = "POST",
        part: tuple[str, UUID] | None = None,
        **more: Any,
    ) -> int | None:
        """Change a record; return its new version, or None when somebody else was faster."""
        before = self._site.repeated
        answer, trace_id = self._write(method, service, path, body, expected=expected, **more)
        if answer.status_code == 412:
            if method == "POST" or self._site.repeated == before:
                return None
            # A PUT or PATCH has no key: its second sending meets the effect of the first.
            version = self.get(service, path.removesuffix("/identity"))["version"]
            assert version == (expected or 0) + 1, f"{path}: at {version}, {expected} expected"
        else:
            assert answer.status_code in {200, 201}, f"{method} {path}: {answer.text}"
            version = _version(answer)
        self._site.done.append(Done(service, trace_id, told, version, part, method == "POST"))
        return int(version)

    def _write(
        self,
        method: str,
        service: str,
        path: str,
        body: dict[str, Any] | None,
        *,
        expected: int | None = None,
        while_told: str = "",
    ) -> tuple[httpx.Response, str]:
        """Send a change until it is answered; `while_told` is the code of "not yet": news travels."""
        key = new_id()
        # The same trace in every sending, so that each effect it had can be found.
        headers = {"traceparent": f"00-{key.hex}-0000000000000001-01"}
        if method == "POST":
            headers["Idempotency-Key"] = str(key)
        if expected is not None:
            headers["If-Match"] = f'"{expected}"'
        answers: list[httpx.Response] = []

        def settled() -> bool:
            answer, _ = self._send(method, service, path, body, headers)
            answers.append(answer)
            return answer.status_code < 400 or answer.json()["code"] != while_told

        poll(settled)
        return answers[-1], key.hex

    def _send(
        self,
        method: str,
        service: str,
        path: str,
        body: dict[str, Any] | None,
        headers: dict[str, str],
    ) -> tuple[httpx.Response, int]:
        url = f"http://127.0.0.1:{self._site.port_base + SERVICES.index(service)}{path}"
        if self._start == 0:
            self._start = self._site.wait_up(0)
        signed = {**headers, "Authorization": f"Bearer {self._token}"}
        while True:
            try:
                return self._http.request(method, url, json=body, headers=signed), self._start
            except httpx.TransportError:
                self._start = self._site.wait_up(self._start)
                self._site.repeated += 1


def _version(answer: httpx.Response) -> int:
    return int(answer.headers["ETag"].strip('"'))
