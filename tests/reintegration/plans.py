"""Plans as tests need them: what the other services tell, and the first steps through the API."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid5

import httpx
from sqlalchemy import select

from common import clock
from common.contracts.intake import CaseOpened
from common.contracts.referral import ReferralAccepted
from common.events import Event
from reintegration.models import Plan
from tests.kit import HOME, Kit, if_match, told

CENTRE = UUID("00000000-0000-4000-8000-00000000000c")
"""The centre for social work that owns the case and refers it to HOME."""

CASE = UUID("10000000-0000-4000-8000-000000000001")
REFERRAL = UUID("20000000-0000-4000-8000-000000000001")
PLAN = uuid5(REFERRAL, "plan")

ACCEPTED_ON = date(2026, 1, 15)
TERMS: dict[str, Any] = {
    "parties": ["PERSON", "CASE_WORKER", "ORGANISATION"],
    "duties": "She attends the course; we pay the fee.",
    "money": {"amount": "450.00", "currency": "EUR"},
    "review_on": "2027-03-01",
}


def today_is(day: date, hour: int = 10) -> None:
    """Set the clock to an hour (UTC) of a day."""
    now = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    clock.set_source(lambda: now)


def case_opened(
    case_id: UUID = CASE, *, is_minor: bool = False, organisation_id: UUID = CENTRE
) -> list[Event]:
    case = CaseOpened(
        case_id=case_id,
        organisation_id=organisation_id,
        country="RS",
        beneficiary_kind="PRESUMED",
        identification_status="PRESUMED",
        sex="FEMALE",
        age_group="12-17" if is_minor else "25-34",
        is_minor=is_minor,
        urgency="HIGH",
        legal_basis="LAW",
        opened_on=ACCEPTED_ON,
    )
    return told("intake", case_id, case)


def accepted(
    referral_id: UUID = REFERRAL,
    *,
    case_id: UUID = CASE,
    receiver: UUID = HOME,
    on: date = ACCEPTED_ON,
) -> list[Event]:
    """Return the acceptance as the only event of a referral whose earlier ones nobody needs."""
    event = ReferralAccepted(
        referral_id=referral_id,
        case_id=case_id,
        sending_organisation_id=CENTRE,
        receiving_organisation_id=receiver,
        service_type="SHELTER",
        urgency="HIGH",
        status="ACCEPTED",
        previous_status="ACKNOWLEDGED",
        on=on,
    )
    return told("referral", referral_id, event)


async def open_plan(kit: Kit, *, is_minor: bool = False) -> None:
    """Let the service hear of the case and of the referral that HOME has accepted."""
    outcomes = await kit.hear(*case_opened(is_minor=is_minor), *accepted())
    assert outcomes == ["applied", "applied"]


async def step(worker: httpx.AsyncClient, verb: str, **body: Any) -> httpx.Response:
    """Take a step of the plan at the version it has now."""
    shown = await worker.get(f"/v1/plans/{PLAN}")
    return await worker.post(f"/v1/plans/{PLAN}/{verb}", json=body, headers=if_match(shown))


async def start(worker: httpx.AsyncClient, entered_on: date = ACCEPTED_ON) -> httpx.Response:
    started = await step(worker, "start", entered_on=entered_on.isoformat())
    assert started.status_code == 200, started.text
    return started


def signed(*parties: str, on: date = ACCEPTED_ON) -> list[dict[str, str]]:
    return [{"party": party, "signed_on": on.isoformat()} for party in parties]


async def agree(worker: httpx.AsyncClient, *signatures: str, **terms: Any) -> httpx.Response:
    """Write an agreement, with the signatures of these parties."""
    body = {**TERMS, "signatures": signed(*signatures), **terms}
    created = await worker.post(f"/v1/plans/{PLAN}/agreements", json=body)
    assert created.status_code == 201, created.text
    return created


async def written(kit: Kit) -> tuple[int, int]:
    """Return how many events and how many entries of allowed acts there are."""
    changes = [entry for entry in await kit.audit() if entry.action not in {"read", "list"}]
    return len(await kit.events()), len(changes)


def types(events: Sequence[Event]) -> list[str]:
    """Return what the events tell, without service, aggregate and version."""
    return [event.type.split(".")[2] for event in events]


async def last_entry(kit: Kit, operation: str) -> Any:
    entries = await kit.audit(operation=operation)
    return entries[-1]


async def assert_told(kit: Kit, operation: str, event_type: str, **data: object) -> None:
    """The newest event is this one, and the act has an entry that names plan and case."""
    event = (await kit.events(PLAN))[-1]
    assert event.type == f"reintegration.plan.{event_type}.v1"
    assert event.data.items() >= {"plan_id": str(PLAN), "case_id": str(CASE), **data}.items()
    [plan] = await kit.rows(select(Plan).where(Plan.id == PLAN))
    assert event.seq == plan.version
    entry = await last_entry(kit, operation)
    assert (entry.action, entry.object_type, entry.object_ids) == ("update", "plan", [str(PLAN)])
    assert (entry.subject, entry.actor, entry.role) == (CASE, "worker-1", "NGO_CASE_MANAGER")
