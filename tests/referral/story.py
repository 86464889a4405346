"""The few things that must be true before a referral can be: organisations, a case, a consent."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import httpx

from common import clock
from common.clock import new_id
from common.contracts.intake import CaseOpened, ConsentGranted, ConsentWithdrawn
from common.contracts.referral import ReferralClosedToReceiver, ReferralClosedToSender
from common.events import Event, EventData
from common.inbox import Outcome
from tests.kit import HOME, Kit, if_match, told

SHELTER = UUID("00000000-0000-4000-8000-0000000000c1")
"""The organisation most referrals go to."""

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
"""The time of a test unless it says otherwise: a Monday noon in Belgrade."""

TODAY = NOW.date()


def now_is(time: datetime) -> None:
    clock.set_source(lambda: time)


@dataclass
class Case:
    """A case at intake, seen through the events by which it is told."""

    id: UUID = field(default_factory=new_id)
    seq: int = 0

    async def tell(self, kit: Kit, *payloads: EventData) -> list[Outcome]:
        events = told("intake", self.id, *payloads, first_seq=self.seq + 1)
        self.seq += len(payloads)
        return await kit.hear(*events)


def opened(case_id: UUID, **changes: Any) -> CaseOpened:
    facts: dict[str, Any] = {
        "organisation_id": HOME,
        "country": "RS",
        "beneficiary_kind": "PRESUMED",
        "identification_status": "PRESUMED",
        "sex": "FEMALE",
        "age_group": "25-34",
        "is_minor": False,
        "urgency": "HIGH",
        "legal_basis": "CONSENT",
        "opened_on": date(2026, 3, 1),
    }
    return CaseOpened(case_id=case_id, **(facts | changes))


def granted(case_id: UUID, to: UUID | None = SHELTER, **changes: Any) -> ConsentGranted:
    """Return the grant of an adult's own consent to show `to` who the person is, for assistance."""
    terms: dict[str, Any] = {
        "consent_id": new_id(),
        "scope": "SHARE_NATIONAL",
        "recipient_countries": (),
        "purposes": ("ASSISTANCE",),
        "data_groups": ("IDENTITY", "HEALTH"),
        "given_by": "SELF",
        "granted_on": date(2026, 3, 1),
    }
    return ConsentGranted(case_id=case_id, recipient_organisation_id=to, **(terms | changes))


def withdrawn(consent: ConsentGranted, on: date = TODAY) -> ConsentWithdrawn:
    return ConsentWithdrawn(
        case_id=consent.case_id,
        consent_id=consent.consent_id,
        scope=consent.scope,
        withdrawn_on=on,
    )


async def open_case(kit: Kit, **facts: Any) -> Case:
    case = Case()
    await case.tell(kit, opened(case.id, **facts))
    return case


# --- the directory


def organisation(organisation_id: UUID, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(organisation_id),
        "name": "Sigurna kuća Oaza",
        "kind": "SHELTER",
        "sector": "CIVIL_SOCIETY",
        "country": "RS",
        "languages": ["sr-Latn"],
    } | changes


def service(organisation_id: UUID = SHELTER, **changes: Any) -> dict[str, Any]:
    """Return a shelter for adult women with four places, two of them free."""
    return {
        "id": str(new_id()),
        "organisation_id": str(organisation_id),
        "service_type": "SHELTER",
        "sexes": ["FEMALE"],
        "age_groups": ["18-24", "25-34", "35+"],
        "languages": ["sr-Latn", "sq"],
        "capacity": 4,
        "free_places": 2,
    } | changes


async def register(kit: Kit, organisation_id: UUID = SHELTER, **entry: Any) -> None:
    coordinator = kit.caller("NATIONAL_COORDINATOR", new_id())
    body = organisation(organisation_id, **entry)
    answer = await coordinator.post("/v1/organisations", json=body)
    assert answer.status_code == 201, answer.text


async def list_service(kit: Kit, organisation_id: UUID = SHELTER, **entry: Any) -> UUID:
    coordinator = kit.caller("NATIONAL_COORDINATOR", new_id())
    body = service(organisation_id, **entry)
    answer = await coordinator.post("/v1/services", json=body)
    assert answer.status_code == 201, answer.text
    return UUID(body["id"])


# --- referrals


def sender(kit: Kit, organisation_id: UUID = HOME) -> httpx.AsyncClient:
    return kit.caller("SOCIAL_WORKER", organisation_id, "sender-1")


def receiver(kit: Kit, organisation_id: UUID = SHELTER) -> httpx.AsyncClient:
    """Return who answers for an organisation, in a role to which every data group is open."""
    return kit.caller("NGO_CASE_MANAGER", organisation_id, "receiver-1")


def draft(case_id: UUID, to: UUID = SHELTER, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(new_id()),
        "case_id": str(case_id),
        "receiving_organisation_id": str(to),
        "service_type": "SHELTER",
        "urgency": "HIGH",
        "purpose": "ASSISTANCE",
        "data_groups": ["IDENTITY"],
    } | changes


async def step(
    caller: httpx.AsyncClient, referral_id: UUID, verb: str, body: dict[str, Any] | None = None
) -> httpx.Response:
    """Take a step on the version the caller sees now; what was refused to see has version 1."""
    seen = await caller.get(f"/v1/referrals/{referral_id}")
    headers = if_match(seen) if seen.status_code == 200 else {"If-Match": '"1"'}
    return await caller.post(f"/v1/referrals/{referral_id}/{verb}", json=body, headers=headers)


async def last_told(kit: Kit, referral_id: UUID) -> Event:
    """Return the newest event that tells what happened, not only that a side is shut out."""
    told = await kit.events(referral_id)
    shut = {ReferralClosedToReceiver.type, ReferralClosedToSender.type}
    return [e for e in told if e.type not in shut][-1]


async def drafted(kit: Kit, case: Case, to: UUID = SHELTER, **fields: Any) -> UUID:
    body = draft(case.id, to, **fields)
    answer = await sender(kit).post("/v1/referrals", json=body)
    assert answer.status_code == 201, answer.text
    return UUID(body["id"])


async def sent(kit: Kit, case: Case, to: UUID = SHELTER, **fields: Any) -> UUID:
    """Draft a referral and submit it."""
    referral_id = await drafted(kit, case, to, **fields)
    answer = await step(sender(kit), referral_id, "submit")
    assert answer.status_code == 200, answer.text
    return referral_id


async def acknowledged(kit: Kit, case: Case, **fields: Any) -> UUID:
    """Draft a referral to the shelter, submit it, and let the shelter acknowledge it."""
    referral_id = await sent(kit, case, **fields)
    answer = await step(receiver(kit), referral_id, "acknowledge")
    assert answer.status_code == 200, answer.text
    return referral_id


async def accepted(kit: Kit, case: Case, **fields: Any) -> UUID:
    """Take a referral to the shelter as far as its acceptance."""
    referral_id = await acknowledged(kit, case, **fields)
    answer = await step(receiver(kit), referral_id, "accept")
    assert answer.status_code == 200, answer.text
    return referral_id


async def ready(kit: Kit, **facts: Any) -> tuple[Case, ConsentGranted]:
    """Register the shelter, open a case, and let the person consent to its referral there."""
    await register(kit)
    case = await open_case(kit, **facts)
    consent = granted(case.id)
    await case.tell(kit, consent)
    return case, consent
