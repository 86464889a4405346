"""Bodies the tests of intake send, whole and valid; a test names what matters to it."""

from datetime import date
from typing import Any
from uuid import UUID

import httpx

from common.contracts.referral import EVENT_BY_STATUS
from tests.conftest import fixed_id
from tests.kit import HOME, Kit, if_match, told

TODAY = "2026-11-22"
CASE = UUID("10000000-0000-4000-8000-000000000001")
OTHER = UUID("10000000-0000-4000-8000-000000000002")
SHELTER = UUID("20000000-0000-4000-8000-000000000001")
"""An organisation to which cases are referred."""
DESK = UUID("20000000-0000-4000-8000-00000000000d")

PERSON: dict[str, Any] = {
    "given_name": {"value": "Милица"},
    "family_name": {"value": "Đorđević"},
    "other_names": [{"value": "Blerta Hoxhë"}, {"value": "Țăndărică"}],
    "birth_date": "1994-03-07",
    "birth_place": "Ѓорче Петров",
    "address": "Ulica skrivena 17, Vranje",
    "phones": ["+381641112223"],
    "email": "skrivena@example.org",
    "documents": [{"kind": "PASSPORT", "number": "P77788899", "country": "XK"}],
}
"""An identity with every field, in the scripts of the region."""


def notice(**fields: Any) -> dict[str, Any]:
    return {"source": "SCHOOL", "country": "RS", "urgency": "NORMAL"} | fields


def case(id_: UUID = CASE, **fields: Any) -> dict[str, Any]:
    """An adult at risk, unless told otherwise."""
    return {
        "id": str(id_),
        "beneficiary_kind": "AT_RISK",
        "sex": "FEMALE",
        "urgency": "NORMAL",
        "legal_basis": "PUBLIC_TASK",
        "birth_date": "1990-05-17",
    } | fields


def consent(scope: str = "DATA_RECORD", **fields: Any) -> dict[str, Any]:
    """A consent of an adult, given some days ago."""
    return {
        "scope": scope,
        "given_by": "SELF",
        "language": "sr-Cyrl",
        "granted_on": "2026-11-20",
    } | fields


def guardian(**fields: Any) -> dict[str, Any]:
    """What makes a consent a guardian's."""
    return {
        "given_by": "GUARDIAN",
        "guardian": "APPOINTED",
        "guardian_suspected": False,
        "assent": "GIVEN",
    } | fields


def sharing(**fields: Any) -> dict[str, Any]:
    """A consent that the shelter may know who the person is, to help her."""
    return (
        consent(
            "SHARE_NATIONAL",
            recipient_organisation_id=str(SHELTER),
            purposes=["ASSISTANCE"],
            data_groups=["IDENTITY"],
        )
        | fields
    )


def decision(status: str, **fields: Any) -> dict[str, Any]:
    return {
        "status": status,
        "decided_by": "NON_POLICE_GOVERNMENTAL_ORGANIZATION",
        "legal_basis": "NATIONAL_SOP",
        "decided_on": TODAY,
    } | fields


async def opened(caller: httpx.AsyncClient, id_: UUID = CASE, **fields: Any) -> httpx.Response:
    """Open a case and return the answer, whose ETag is the case's version."""
    response = await caller.post("/v1/cases", json=case(id_, **fields))
    assert response.status_code == 201, response.text
    return response


async def version(caller: httpx.AsyncClient, id_: UUID = CASE) -> dict[str, str]:
    """Return the If-Match header for a case as it is now."""
    return if_match(await caller.get(f"/v1/cases/{id_}"))


async def identified(caller: httpx.AsyncClient, **fields: Any) -> None:
    """Record a consent and a name for an open case."""
    granted = await caller.post(f"/v1/cases/{CASE}/consents", json=consent())
    assert granted.status_code == 201, granted.text
    name: dict[str, Any] = {"given_name": {"value": "Милица"}} | fields
    written = await caller.put(f"/v1/cases/{CASE}/identity", json=name, headers=if_match(granted))
    assert written.status_code == 200, written.text


async def referred(kit: Kit, *, status: str = "ACCEPTED", to: UUID = SHELTER) -> None:
    """Let the service hear of a referral of the case, from its draft to `status`."""
    steps = ["DRAFT", "SUBMITTED", "ACKNOWLEDGED", "ACCEPTED", "COMPLETED"]
    path = [*steps[: steps.index(status) + 1]] if status in steps else [*steps[:3], status]
    payloads = [
        EVENT_BY_STATUS[step](
            referral_id=fixed_id(5),
            case_id=CASE,
            sending_organisation_id=fixed_id(6),
            receiving_organisation_id=to,
            service_type="SHELTER",
            urgency="NORMAL",
            status=step,
            on=date(2026, 11, 21),
        )
        for step in path
    ]
    assert set(await kit.hear(*told("referral", fixed_id(5), *payloads))) == {"applied"}


def triage(decision: str, case_id: UUID | None = None, **fields: Any) -> dict[str, Any]:
    named = {} if case_id is None else {"case_id": str(case_id)}
    return {"decision": decision} | named | fields


def opening(**fields: Any) -> dict[str, Any]:
    return triage("OPEN_CASE", CASE, legal_basis="PUBLIC_TASK") | fields


def desk(kit: Kit) -> httpx.AsyncClient:
    """The national desk that triages."""
    return kit.caller("IDENTIFICATION_OFFICER", DESK, "officer-1")


def partner(kit: Kit, organisation_id: UUID = HOME) -> httpx.AsyncClient:
    """A partner that only reports."""
    return kit.caller("FIRST_RESPONDER", organisation_id, "teacher-1")


async def received(caller: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    response = await caller.post("/v1/notices", json=notice(**fields))
    assert response.status_code == 201, response.text
    return response
