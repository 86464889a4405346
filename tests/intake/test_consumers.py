"""What intake learns of referrals: whom a case was referred to, and how far that is."""

from datetime import date
from uuid import UUID

import pytest
from sqlalchemy import select

from common.contracts.referral import (
    EVENT_BY_STATUS,
    REFERRAL_EVENTS,
    OrganisationChanged,
    OrganisationRegistered,
    ReferralConsentWithdrawn,
    ReferralEvent,
)
from intake.consumers import HANDLERS
from intake.models import KnownOrganisation, KnownReferral
from tests.conftest import fixed_id
from tests.intake.bodies import CASE, SHELTER, opened, referred
from tests.kit import HOME, Kit, told

REFERRAL = fixed_id(5)


def step(status: str, *, referral: UUID = REFERRAL) -> ReferralEvent:
    return EVENT_BY_STATUS[status](
        referral_id=referral,
        case_id=CASE,
        sending_organisation_id=HOME,
        receiving_organisation_id=SHELTER,
        service_type="SHELTER",
        urgency="HIGH",
        status=status,
        on=date(2026, 11, 21),
    )


def test_every_event_of_a_referral_is_listened_to() -> None:
    """Seeded: leave one out; a referral would stay open here for ever."""
    assert HANDLERS.keys() >= {kind.type for kind in REFERRAL_EVENTS}


@pytest.mark.parametrize(
    ("status", "may_see"),
    [
        ("DRAFT", False),
        ("SUBMITTED", False),
        ("ACKNOWLEDGED", False),
        ("RETURNED_FOR_INFO", False),
        ("ACCEPTED", True),
        ("DECLINED", False),
        ("COMPLETED", True),
        ("CANCELLED", False),
        ("EXPIRED", False),
    ],
)
async def test_the_facts_open_to_a_receiver_that_took_the_person_on(
    *, kit: Kit, status: str, may_see: bool
) -> None:
    """Seeded: let SUBMITTED open the case; a referral sent by mistake shows a person."""
    await opened(kit.caller("SOCIAL_WORKER"))
    await referred(kit, status=status)

    shelter = kit.caller("SHELTER_STAFF", SHELTER, "staff-1")
    response = await shelter.get(f"/v1/cases/{CASE}")
    listed = (await shelter.get("/v1/cases")).json()["items"]

    assert response.status_code == (200 if may_see else 404)
    assert len(listed) == int(may_see)
    foreign = kit.caller("SHELTER_STAFF", fixed_id(99), "staff-1")
    assert (await foreign.get(f"/v1/cases/{CASE}")).status_code == 404


async def test_the_door_closes_with_the_referral(kit_on_each: Kit) -> None:
    kit = kit_on_each
    await opened(kit.caller("SOCIAL_WORKER"))
    shelter = kit.caller("SHELTER_STAFF", SHELTER, "staff-1")
    await referred(kit, status="ACCEPTED")
    assert (await shelter.get(f"/v1/cases/{CASE}")).status_code == 200

    await kit.hear(*told("referral", REFERRAL, step("CANCELLED"), first_seq=5))

    assert (await shelter.get(f"/v1/cases/{CASE}")).status_code == 404
    [known] = await kit.rows(select(KnownReferral))
    assert (known.case_id, known.receiving_organisation_id, known.status) == (
        CASE,
        SHELTER,
        "CANCELLED",
    )


async def test_a_withdrawal_shuts_the_door_after_completion_too(kit_on_each: Kit) -> None:
    """Seeded: look at the status alone; who once completed a referral reads the case for ever."""
    kit = kit_on_each
    await opened(kit.caller("SOCIAL_WORKER"))
    shelter = kit.caller("SHELTER_STAFF", SHELTER, "staff-1")
    await referred(kit, status="COMPLETED")
    before = await shelter.get(f"/v1/cases/{CASE}")
    told_of = step("COMPLETED").model_dump() | {"reason": "CONSENT_WITHDRAWN"}
    withdrawn = ReferralConsentWithdrawn.model_validate(told_of)

    outcomes = await kit.hear(*told("referral", REFERRAL, withdrawn, first_seq=6))

    assert (before.status_code, outcomes) == (200, ["applied"])
    assert (await shelter.get(f"/v1/cases/{CASE}")).status_code == 404
    assert (await shelter.get("/v1/cases")).json()["items"] == []
    assert (await shelter.get(f"/v1/cases/{CASE}/consents")).status_code == 404
    [known] = await kit.rows(select(KnownReferral))
    assert (known.status, known.consent_withdrawn_on) == ("COMPLETED", date(2026, 11, 21))


async def test_the_kind_of_an_organisation_is_the_one_last_told(kit_on_each: Kit) -> None:
    kit = kit_on_each
    entry = {"organisation_id": SHELTER, "country": "RS", "sector": "CIVIL_SOCIETY"}
    registered = OrganisationRegistered.model_validate(entry | {"kind": "NGO"})
    changed = OrganisationChanged.model_validate(entry | {"kind": "SHELTER"})
    first, second = told("referral", SHELTER, registered, changed)

    outcomes = await kit.hear(second, first, first)

    assert outcomes == ["pending", "applied", "duplicate"]
    [known] = await kit.rows(select(KnownOrganisation))
    assert (known.organisation_id, known.kind) == (SHELTER, "SHELTER")


async def test_events_come_twice_early_and_before_the_case(kit_on_each: Kit) -> None:
    """A referral may be heard of before its case: the bus keeps order within one aggregate only."""
    kit = kit_on_each
    events = told("referral", REFERRAL, *(step(s) for s in ("DRAFT", "SUBMITTED", "ACCEPTED")))

    outcomes = await kit.hear(events[0], events[0], events[2], events[1])
    await opened(kit.caller("SOCIAL_WORKER"))

    assert outcomes == ["applied", "duplicate", "pending", "applied"]
    [known] = await kit.rows(select(KnownReferral))
    assert known.status == "ACCEPTED"
    shelter = kit.caller("SHELTER_STAFF", SHELTER, "staff-1")
    assert (await shelter.get(f"/v1/cases/{CASE}")).status_code == 200


async def test_two_referrals_of_one_case_are_kept_apart(kit: Kit) -> None:
    await opened(kit.caller("SOCIAL_WORKER"))
    await referred(kit, status="ACCEPTED")
    other = fixed_id(50)
    declined = (step(s, referral=other) for s in ("DRAFT", "SUBMITTED", "DECLINED"))

    await kit.hear(*told("referral", other, *declined))

    shelter = kit.caller("SHELTER_STAFF", SHELTER, "staff-1")
    assert (await shelter.get(f"/v1/cases/{CASE}")).status_code == 200
