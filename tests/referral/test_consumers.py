"""What intake tells is learnt once, in its order, and a withdrawn consent calls referrals off."""

from datetime import date
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from common.contracts.intake import (
    CaseAssigned,
    CaseIdentificationChanged,
    CaseIdentityRecorded,
    CaseProfileChanged,
)
from common.db.base import unit_of
from common.events import Event, EventData
from common.tables import SubjectKey
from common.unit import StaleError, Unit
from referral.consumers import HANDLERS, on_consent_granted
from referral.models import KnownCase, KnownConsent
from tests.kit import ELSEWHERE, HOME, Kit, told
from tests.referral.story import (
    TODAY,
    Case,
    accepted,
    acknowledged,
    draft,
    drafted,
    granted,
    last_told,
    opened,
    ready,
    receiver,
    register,
    sender,
    sent,
    step,
    withdrawn,
)

CASE = UUID("00000000-0000-4000-8000-0000000000ca")
CONSENT = granted(
    CASE, consent_id=UUID("00000000-0000-4000-8000-0000000000c0"), expires_on=date(2026, 12, 31)
)
HISTORY: list[EventData] = [
    opened(CASE),
    CaseAssigned(case_id=CASE, organisation_id=HOME, worker="sender-1"),
    CONSENT,
    CaseIdentityRecorded(case_id=CASE, age_group="18-24", is_minor=False),
    CaseIdentificationChanged(
        case_id=CASE,
        status="FORMAL_ASSESSMENT",
        previous_status="PRESUMED",
        decided_by="POLICE",
        legal_basis="LAW",
        decided_on=TODAY,
        rule_version="identification.2026-1",
        exploitation_types=(),
    ),
    CaseProfileChanged(
        case_id=CASE,
        beneficiary_kind="PRESUMED",
        sex="TRANS_FEMININE",
        age_group="12-17",
        is_minor=True,
        urgency="CRISIS",
    ),
    withdrawn(CONSENT),
]


def history() -> list[Event]:
    return told("intake", CASE, *HISTORY)


async def projection(kit: Kit) -> list[Any]:
    """Return what is known of cases and consents, for comparing."""
    return [
        tuple(row) for model in (KnownCase, KnownConsent) for row in await kit.rows(select(model))
    ]


def new_unit(kit: Kit) -> Unit:
    return unit_of(kit.runtime.database, source=kit.runtime.source, operation="consume")


async def known_case(kit: Kit) -> Any:
    [row] = await kit.rows(select(KnownCase))
    return row


async def test_a_case_is_known_by_its_codes_after_its_history(kit: Kit) -> None:
    outcomes = await kit.hear(*history())

    assert outcomes == ["applied"] * len(HISTORY)
    case = await known_case(kit)
    assert (case.case_id, case.organisation_id, case.country) == (CASE, HOME, "RS")
    assert (case.sex, case.age_group, case.is_minor) == ("TRANS_FEMININE", "12-17", True)
    assert (case.beneficiary_kind, case.urgency, case.version) == ("PRESUMED", "CRISIS", 6)
    [consent] = await kit.rows(select(KnownConsent))
    assert (consent.id, consent.case_id, consent.is_withdrawn) == (CONSENT.consent_id, CASE, True)
    assert (consent.purposes, consent.data_groups) == (["ASSISTANCE"], ["IDENTITY", "HEALTH"])
    assert (consent.granted_on, consent.expires_on) == (date(2026, 3, 1), date(2026, 12, 31))
    assert len(await kit.rows(select(SubjectKey))) == 1


async def test_an_identity_without_a_sex_keeps_the_one_known(kit: Kit) -> None:
    await kit.hear(*history()[:4])

    case = await known_case(kit)

    assert (case.sex, case.age_group, case.is_minor) == ("FEMALE", "18-24", False)


# Redelivery of every event, at once and after the whole history: no effect.
async def test_an_event_heard_again_changes_nothing(kit: Kit) -> None:
    events = history()
    twice = [event for event in events for _ in range(2)]
    await kit.hear(*twice)
    after = await projection(kit)

    outcomes = await kit.hear(*events)

    assert outcomes == ["duplicate"] * len(events)
    assert await projection(kit) == after


# Any order of arrival ends in the same picture: an early event waits for those before it.
@pytest.mark.parametrize(
    "order",
    [[6, 5, 4, 3, 2, 1, 0], [0, 6, 2, 5, 1, 4, 3], [3, 0, 1, 6, 5, 2, 4]],
)
async def test_events_in_any_order_lead_to_the_same_picture(kit: Kit, order: list[int]) -> None:
    events = history()
    other = Case()
    await other.tell(kit, opened(other.id))

    for place in order:
        await kit.hear(events[place])

    case = next(row for row in await kit.rows(select(KnownCase)) if row.case_id == CASE)
    [consent] = await kit.rows(select(KnownConsent))
    assert (case.sex, case.version, consent.is_withdrawn) == ("TRANS_FEMININE", 6, True)


# A referral made before its case was heard of waits; afterwards the same body is taken.
async def test_a_draft_waits_until_the_case_is_known(kit: Kit) -> None:
    await register(kit)
    body = draft(CASE)
    early = await sender(kit).post("/v1/referrals", json=body)

    await kit.hear(*history()[:1])
    later = await sender(kit).post("/v1/referrals", json=body)

    assert (early.status_code, early.json()["code"]) == (409, "referral.case_unknown")
    assert later.status_code == 201


async def test_who_carries_the_case_now_may_refer_it(kit: Kit) -> None:
    await register(kit)
    await kit.hear(*told("intake", CASE, opened(CASE, organisation_id=ELSEWHERE)))
    before = await sender(kit).post("/v1/referrals", json=draft(CASE))

    assigned = CaseAssigned(case_id=CASE, organisation_id=HOME, worker="sender-1")
    await kit.hear(*told("intake", CASE, assigned, first_seq=2))
    after = await sender(kit).post("/v1/referrals", json=draft(CASE))

    assert (before.status_code, after.status_code) == (409, 201)


# --- a withdrawn consent


async def test_a_withdrawal_calls_off_what_rests_on_the_consent_and_nothing_else(
    kit: Kit,
) -> None:
    case, consent = await ready(kit)
    other = granted(case.id, purposes=("PROTECTION",))
    await case.tell(kit, other)
    draft_id = await drafted(kit, case)
    sent_id, read_id = await sent(kit, case), await acknowledged(kit, case)
    taken_id = await accepted(kit, case)
    asked_id = await sent(kit, case)
    await step(receiver(kit), asked_id, "return_for_info", {"reason": "NEEDS_UNCLEAR"})
    done_id = await accepted(kit, case)
    await step(receiver(kit), done_id, "complete")
    kept_id = await sent(kit, case, purpose="PROTECTION")

    assert await case.tell(kit, withdrawn(consent, on=date(2026, 5, 2))) == ["applied"]

    for referral_id in (sent_id, read_id, taken_id, asked_id):
        event = await last_told(kit, referral_id)
        assert event.type == "referral.referral.cancelled.v1"
        assert event.source == "/RS/referral"
        assert event.data["reason"] == "CONSENT_WITHDRAWN"
        assert event.data["on"] == "2026-05-02"
        [entry] = await kit.audit(operation="consume", object_ids=[str(referral_id)])
        assert (entry.actor, entry.action, entry.subject) == ("system", "update", case.id)
    statuses = [
        (await kit.events(referral_id))[-1].data["status"]
        for referral_id in (draft_id, done_id, kept_id)
    ]
    assert statuses == ["DRAFT", "COMPLETED", "SUBMITTED"]
    seen = (await receiver(kit).get(f"/v1/referrals/{taken_id}")).json()
    assert (seen["status"], seen["sex"], seen["age_group"]) == ("CANCELLED", None, None)


async def test_a_withdrawal_heard_twice_calls_off_once(kit: Kit) -> None:
    case, consent = await ready(kit)
    referral_id = await sent(kit, case)
    [event] = told("intake", case.id, withdrawn(consent), first_seq=3)

    assert await kit.hear(event, event) == ["applied", "duplicate"]

    assert [e.data["status"] for e in await kit.events(referral_id)] == [
        "DRAFT",
        "SUBMITTED",
        "CANCELLED",
    ]


async def test_a_new_consent_lets_the_sender_refer_anew(kit: Kit) -> None:
    case, consent = await ready(kit)
    await sent(kit, case)
    await case.tell(kit, withdrawn(consent), granted(case.id))

    anew = await sent(kit, case)

    assert (await kit.events(anew))[-1].data["status"] == "SUBMITTED"


# A grant that comes again after the withdrawal (a rebuild, a restored log) must not undo it.
async def test_an_old_grant_never_revives_a_withdrawn_consent(kit: Kit) -> None:
    await kit.hear(*history())
    before = await projection(kit)
    unit = new_unit(kit)

    await on_consent_granted(unit, history()[2])
    await kit.runtime.database.write(unit)

    assert await projection(kit) == before


# Fails when a gap in a case's history is passed over: what it said would be lost for good.
async def test_a_history_without_its_beginning_is_refused(kit: Kit) -> None:
    for event in (history()[1], history()[3], history()[5]):
        unit = new_unit(kit)
        await HANDLERS[event.type](unit, event)
        with pytest.raises(StaleError):
            await kit.runtime.database.write(unit)
    unit = new_unit(kit)
    with pytest.raises(LookupError):
        await HANDLERS[history()[6].type](unit, history()[6])
