"""One person's way from a case in one country to a case in the other, by those who work there.

Whoever has no answer asks again, with the same key, the same body and the same If-Match.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx

from common.clock import monotonic, new_id
from common.here import Here
from prag.issuer import LocalIssuer, organisation_id
from prag.manifest import TIME_ZONES
from tests.chaos.world import RECEIVER, SENDER, World
from tests.system.parts import Parts

PATIENCE = 180.0
"""Seconds for one step: brokers and processes come back within a few."""
STEPS = 12
"""Of one crossing; brokers die between them."""
CROSSING = "/v1/cross-border-referrals"
_NOT_YET = {404, 409, 403, 412, 428, 500, 502, 503}
"""What may be answered while news travels; `Actor.do` says which of them is the end."""
_UNHEARD = '"code":"reference.unknown"'
"""What names a record that this service has not heard of yet."""


class ChaosError(AssertionError):
    """A step was refused for good, or nobody answered in time."""


@dataclass
class Actor:
    """A worker of one country's organisation."""

    land: Parts
    role: str
    organisation: UUID
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20))
    _token: tuple[float, str] = (-1000.0, "")

    def get(self, service: str, path: str) -> dict[str, Any]:
        """Read until it is there."""
        content: dict[str, Any] = self._until("GET", service, path, None, {}).json()
        return content

    def do(self, method: str, service: str, path: str, body: Any = None, *, of: str = "") -> Any:
        """Change something, at the version that is read now; read again when that has passed."""
        key = str(new_id())
        while True:
            headers = {"Idempotency-Key": key} if method == "POST" else {}
            if of:
                headers["If-Match"] = self._until("GET", service, of, None, {}).headers["ETag"]
            answer = self._until(method, service, path, body, headers)
            if answer.status_code != httpx.codes.PRECONDITION_FAILED:
                return answer.json() if answer.content else None
            key = str(new_id())

    def _until(
        self, method: str, service: str, path: str, body: Any, headers: dict[str, str]
    ) -> httpx.Response:
        deadline, pause, said = monotonic() + PATIENCE, threading.Event(), "no answer"
        while monotonic() < deadline:
            try:
                answer = self._send(method, service, path, body, headers)
            except httpx.TransportError:
                pause.wait(0.1)
                continue
            if answer.is_success or (answer.status_code == 412 and method != "GET"):
                return answer
            said = f"{answer.status_code} {answer.text}"
            if answer.status_code not in _NOT_YET and _UNHEARD not in said:
                break
            pause.wait(0.1)
        raise ChaosError(f"{self.land.country} {method} {service}{path}: {said}")

    def _send(
        self, method: str, service: str, path: str, body: Any, headers: dict[str, str]
    ) -> httpx.Response:
        if monotonic() - self._token[0] > 300:
            issuer = LocalIssuer(self.land.home)
            self._token = monotonic(), issuer.token(self.role, self.organisation, "worker")
        signed = headers | {"Authorization": f"Bearer {self._token[1]}"}
        return self._http.request(method, self.land.url(service, path), json=body, headers=signed)

    def close(self) -> None:
        self._http.close()


@dataclass
class Handover:
    """One crossing. `case_there` is known once the other country has opened it."""

    world: World
    case: UUID = field(default_factory=new_id)
    referral: UUID = field(default_factory=new_id)
    case_there: str = ""
    steps: int = 0
    """How many of its steps were answered."""
    identity: Mapping[str, Any] = field(default_factory=lambda: _IDENTITY)
    groups: Sequence[str] = ("IDENTITY",)
    """What of it crosses."""

    def __post_init__(self) -> None:
        sender, receiver = self.world.sender, self.world.receiver
        here = organisation_id("csr-beograd", sender.country)
        self.centre = organisation_id("qps-prishtine", receiver.country)
        self.worker = Actor(sender, "SOCIAL_WORKER", here)
        self.contact = Actor(receiver, "NATIONAL_CONTACT_POINT", organisation_id("ministria", "XK"))
        self.taker = Actor(receiver, "SOCIAL_WORKER", self.centre)

    def close(self) -> None:
        for actor in (self.worker, self.contact, self.taker):
            actor.close()

    def prepare(self) -> None:
        """Register who takes people in over there; once is enough."""
        body = {
            "id": str(self.centre),
            "country": RECEIVER,
            "name": "Qendra",
            "kind": "CSW",
            "sector": "STATE",
            "languages": ["sq"],
        }
        self.contact.do("POST", "referral", "/v1/organisations", body)

    def offer(self) -> None:
        """Go as far as the sending country goes by itself: her case, her consents, the offer."""
        case, crossing = f"/v1/cases/{self.case}", f"{CROSSING}/{self.referral}"
        self._do(self.worker, "intake", "/v1/cases", case_body(self.case))
        self._do(self.worker, "intake", f"{case}/consents", _consent("DATA_RECORD"))
        self.worker.do("PUT", "intake", f"{case}/identity", self.identity, of=case)
        share = {
            "recipient_kinds": ["CSW"],
            "recipient_countries": [RECEIVER],
            "purposes": ["RETURN"],
            "data_groups": [*self.groups],
            "risk_information_given": True,
        }
        consent = _consent("SHARE_CROSS_BORDER") | share
        self._do(self.worker, "intake", f"{case}/consents", consent)
        body = draft(self.referral, self.case) | {"data_groups": [*self.groups]}
        self._do(self.worker, "referral", CROSSING, body)
        self._do(self.worker, "referral", f"{crossing}/submit", of=crossing)

    def run(self) -> None:
        """Go the whole way; return when both countries say that the case is handed over."""
        self.offer()
        case, crossing = f"/v1/cases/{self.case}", f"{CROSSING}/{self.referral}"
        self._do(self.contact, "referral", f"{crossing}/acknowledge", of=crossing)
        taker = {"organisation_id": str(self.centre)}
        self._do(self.contact, "referral", f"{crossing}/accept", taker, of=crossing)
        told = {"referral_id": str(self.referral)}
        self._do(self.worker, "intake", f"{case}/release", told, of=case)
        self._do(self.worker, "referral", f"{crossing}/plan-transfer", _plan(), of=crossing)
        self._do(self.worker, "referral", f"{crossing}/depart", of=crossing)
        self._do(self.taker, "referral", f"{crossing}/confirm-arrival", of=crossing)
        self.case_there = self.taker.get("referral", crossing)["case_id"]
        there = f"/v1/cases/{self.case_there}"
        name = self.taker.get("intake", f"{there}/identity?purpose=ASSISTANCE")["family_name"]
        if name["value"] != self.identity["family_name"]["value"]:
            raise ChaosError(f"{self.referral}: her name did not arrive")
        self._do(self.worker, "intake", f"{case}/give", told | {"epoch": 1}, of=case)
        if self.steps != STEPS:
            raise ChaosError(f"{self.referral}: it took {self.steps} steps, not {STEPS}")
        self._wait_handed_over(crossing)
        self.taker.do("PATCH", "intake", there, {"urgency": "NORMAL"}, of=there)

    def _do(self, actor: Actor, service: str, path: str, body: Any = None, *, of: str = "") -> None:
        actor.do("POST", service, path, body, of=of)
        self.steps += 1

    def _wait_handed_over(self, crossing: str) -> None:
        deadline, pause = monotonic() + PATIENCE, threading.Event()
        while {a.get("referral", crossing)["status"] for a in (self.worker, self.taker)} != {
            "HANDED_OVER"
        }:
            pause.wait(0.2)
            if monotonic() > deadline:
                raise ChaosError(f"{self.referral} was not handed over")


def case_body(case: UUID) -> dict[str, Any]:
    """Return the body of a new case."""
    return {
        "id": str(case),
        "beneficiary_kind": "PRESUMED",
        "sex": "FEMALE",
        "urgency": "HIGH",
        "legal_basis": "PUBLIC_TASK",
        "birth_date": "1997",
    }


def _today() -> str:
    """Return the day at the sender, which a journey may not be planned before."""
    return Here(SENDER, TIME_ZONES[SENDER]).today.isoformat()


def _consent(scope: str) -> dict[str, Any]:
    return {"scope": scope, "given_by": "SELF", "language": "sq", "granted_on": _today()}


_IDENTITY: Mapping[str, Any] = {
    "given_name": {"value": "Мила", "script": "Cyrl"},
    "family_name": {"value": "Маринковић", "script": "Cyrl"},
}


def draft(referral: UUID, case: UUID) -> dict[str, Any]:
    """Return the body of a referral to the other country."""
    return {
        "id": str(referral),
        "case_id": str(case),
        "peer_country": RECEIVER,
        "requested_kind": "CSW",
        "needs": ["SHELTER"],
        "languages": ["sq"],
        "urgency": "HIGH",
        "purpose": "RETURN",
        "transfer_basis": "EXPLICIT_CONSENT",
        "risk_assessed_on": _today(),
        "needs_assessed_on": _today(),
    }


def _plan() -> dict[str, Any]:
    return {
        "precondition": "WISH_TO_RETURN",
        "has_informed_decision": True,
        "took_part_in_planning": True,
        "has_travel_documents": True,
        "planned_on": _today(),
    }
