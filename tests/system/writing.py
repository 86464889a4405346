"""Somebody who opens case after case, and notes how each call ended and how long it took."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

from common.clock import monotonic, new_id
from prag.issuer import LocalIssuer, organisation_id
from tests.system.parts import Parts
from tests.system.processes import PATIENCE, SERVICES, poll

_DONE = {200, 201, 412}
_REFUSAL = (503, "application/problem+json")
FIGURES = Path(__file__).parents[2] / "build" / "faults.txt"


def first_and_others(cases: Iterable[Any]) -> list[Any]:
    """Return the cases of a fault: the first runs with `make test-kafka`, the others take minutes."""
    first, *others = cases
    return [first, *(pytest.param(each, marks=pytest.mark.faults) for each in others)]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the writer's, and how it was answered."""

    began: float
    seconds: float
    status: int
    media_type: str

    @property
    def ended(self) -> float:
        return self.began + self.seconds


class AtWork:
    """Somebody who works in a thread of their own for as long as the context lasts."""

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self.work)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def work(self) -> None:
        raise NotImplementedError

    def rest(self, seconds: float) -> bool:
        """Pause; return whether the context is over."""
        return self._over.wait(seconds)


@dataclass
class Writer(AtWork):
    """Writes from the entry of its context to the exit; whoever is told 503 asks again.

    `ids` are the cases that were acknowledged. Each is changed so many times after it was opened.
    """

    country: Parts
    changes: int = 0
    calls: list[Call] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    @property
    def statuses(self) -> list[int]:
        return [call.status for call in self.calls]

    @property
    def refused(self) -> list[Call]:
        """The calls that were not done; every one must have been told so as it should."""
        found = [call for call in self.calls if call.status not in _DONE]
        assert {(each.status, each.media_type) for each in found} <= {_REFUSAL}
        return found

    def slowest(self, first: int = 0, last: int | None = None) -> float:
        """Return the seconds of which 99 of 100 calls took no more."""
        found = sorted(call.seconds for call in self.calls[first:last])
        return found[int(len(found) * 0.99)]

    def work(self) -> None:
        issuer = LocalIssuer(self.country.home)
        centre = organisation_id("csr-beograd", "RS")
        base = self.country.port_base + SERVICES.index("intake")
        began = -1000.0
        with httpx.Client(base_url=f"http://127.0.0.1:{base}", timeout=PATIENCE) as http:
            while not self.rest(0.02):
                if monotonic() - began > 300:
                    began, token = monotonic(), issuer.token("SOCIAL_WORKER", centre, "mila")
                    http.headers["Authorization"] = f"Bearer {token}"
                self._write_one(http, str(new_id()))

    def _write_one(self, http: httpx.Client, case: str) -> None:
        body = {
            "id": case,
            "beneficiary_kind": "PRESUMED",
            "sex": "FEMALE",
            "urgency": "HIGH",
            "legal_basis": "PUBLIC_TASK",
            "birth_date": "1997",
        }
        shown = self._ask(http, "POST", "/v1/cases", {"Idempotency-Key": case}, body)
        if shown is None:
            return
        self.ids.append(case)
        for urgency in islice(cycle(("NORMAL", "HIGH")), self.changes):
            seen = {"If-Match": shown.headers["ETag"]}
            changed = self._ask(http, "PATCH", f"/v1/cases/{case}", seen, {"urgency": urgency})
            if changed is not None and changed.status_code == httpx.codes.PRECONDITION_FAILED:
                # It was done before, and its answer lost.
                changed = self._ask(http, "GET", f"/v1/cases/{case}", {}, None)
            if changed is None:
                return
            shown = changed

    def _ask(
        self, http: httpx.Client, method: str, path: str, headers: dict[str, str], body: Any
    ) -> httpx.Response | None:
        """Return the first answer that is not 503; None where the end comes before one."""
        while True:
            sent = monotonic()
            answer = http.request(method, path, json=body, headers=headers)
            media_type = answer.headers.get("Content-Type", "")
            self.calls.append(Call(sent, monotonic() - sent, answer.status_code, media_type))
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer
            if self.rest(0.02):
                return None


def away(seconds: float) -> None:
    """Let an outage last."""
    end = monotonic() + seconds
    poll(lambda: monotonic() > end, patience=seconds + PATIENCE)


def arrived(country: Parts, writer: Writer) -> bool:
    """Tell whether analytics has heard of every case that was acknowledged, once. Nobody writes now."""
    return heard(country) == set(writer.ids)


def heard(country: Parts) -> set[str]:
    """Return the cases that analytics has heard of, each once."""
    query = "SELECT subject FROM inbox_message WHERE topic = 'intake.case' AND outcome = 'applied'"
    found = [str(subject) for (subject,) in country.rows("analytics", query)]
    assert len(found) == len(set(found))
    return set(found)


def write_down(figures: str) -> None:
    """Keep what was measured beside the other figures of the build."""
    FIGURES.parent.mkdir(exist_ok=True)
    with FIGURES.open("a") as file:
        file.write(figures + "\n")
