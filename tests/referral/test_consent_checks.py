"""No referral without a consent that covers it: at submission, at acceptance, at every reading."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from common.auth import Principal
from common.codelists import all_codes
from common.contracts.intake import CaseAssigned, CaseProfileChanged
from common.db.base import unit_of
from common.unit import StaleError, Unit
from referral.commands.answer import acknowledge_referral
from referral.commands.referral import draft_referral, submit_referral
from referral.consumers import on_consent_withdrawn
from referral.domain.calendar import Calendar
from referral.schemas.referral import ReferralCreate
from tests.kit import ELSEWHERE, HOME, Kit, if_match, told
from tests.referral.story import (
    NOW,
    SHELTER,
    TODAY,
    acknowledged,
    draft,
    drafted,
    granted,
    now_is,
    open_case,
    ready,
    receiver,
    register,
    sender,
    sent,
    step,
    withdrawn,
)

PURPOSES = sorted(all_codes("purposes"))
BELGRADE = Calendar("RS", "Europe/Belgrade")


async def refused(kit: Kit, referral_id: UUID, answer: httpx.Response) -> dict[str, Any]:
    """Check that the answer is the refusal and that nothing but the refusal was written."""
    assert (answer.status_code, answer.json()["code"]) == (403, "consent.missing")
    assert [event.data["status"] for event in await kit.events(referral_id)] == ["DRAFT"]
    assert await kit.audit(operation="submit_referral") == []
    body: dict[str, Any] = answer.json()
    return body


# F11, the whole table: every purpose of the code list with a receiver of every kind of the code list.
# Each pair is refused while everything is granted but that pair, and opened by that pair alone.
@pytest.mark.row("F11")
@pytest.mark.parametrize("kind", sorted(all_codes("organisation_kinds")))
async def test_every_pair_of_purpose_and_receiver_needs_its_own_consent(
    kit: Kit, kind: str
) -> None:
    is_law = kind in {"POLICE", "BORDER_POLICE", "PROSECUTION"}
    scope = "SHARE_LAW_ENFORCEMENT" if is_law else "SHARE_NATIONAL"
    other_scope = "SHARE_NATIONAL" if is_law else "SHARE_LAW_ENFORCEMENT"
    await register(kit, SHELTER, kind=kind)
    for purpose in PURPOSES:
        case = await open_case(kit)
        others = tuple(p for p in PURPOSES if p != purpose)
        await case.tell(
            kit,
            granted(case.id, SHELTER, scope=scope, purposes=others),
            granted(case.id, ELSEWHERE, scope=scope, purposes=(purpose,)),
            granted(case.id, SHELTER, scope=other_scope, purposes=(purpose,)),
        )
        referral_id = await drafted(kit, case, purpose=purpose)

        before = await step(sender(kit), referral_id, "submit")
        assert (before.status_code, before.json()["code"]) == (403, "consent.missing")
        assert before.json()["scope"] == scope
        assert len(await kit.events(referral_id)) == 1

        await case.tell(kit, granted(case.id, SHELTER, scope=scope, purposes=(purpose,)))
        after = await step(sender(kit), referral_id, "submit")
        assert after.status_code == 200, after.text


async def test_without_consent_nothing_is_sent_and_the_refusal_is_recorded(kit: Kit) -> None:
    await register(kit)
    case = await open_case(kit)
    referral_id = await drafted(kit, case, data_groups=["IDENTITY", "HEALTH"])

    body = await refused(kit, referral_id, await step(sender(kit), referral_id, "submit"))

    assert body["scope"] == "SHARE_NATIONAL"
    assert body["data_groups"] == ["HEALTH", "IDENTITY"]
    assert (body["purpose"], body["given_by"]) == ("ASSISTANCE", ["SELF"])
    assert body["case_version"] == case.seq
    [denial] = await kit.audit(decision="deny", operation="submit_referral")
    assert denial.object_ids == [str(referral_id)]


# The day is the country's: 23:30 UTC on the 3rd is the 4th in Belgrade.
@pytest.mark.parametrize(
    ("now", "terms", "is_covered"),
    [
        (NOW, {"granted_on": TODAY}, True),
        (NOW, {"granted_on": TODAY + timedelta(days=1)}, False),
        (NOW, {"expires_on": TODAY}, True),
        (NOW, {"expires_on": TODAY - timedelta(days=1)}, False),
        (datetime(2026, 5, 3, 23, 30, tzinfo=UTC), {"granted_on": TODAY}, True),
        (datetime(2026, 5, 4, 23, 30, tzinfo=UTC), {"expires_on": TODAY}, False),
    ],
)
async def test_a_consent_holds_on_the_local_days_it_was_given_for(
    kit: Kit, now: datetime, terms: dict[str, Any], *, is_covered: bool
) -> None:
    now_is(now)
    await register(kit)
    case = await open_case(kit)
    await case.tell(kit, granted(case.id, **terms))
    referral_id = await drafted(kit, case)

    answer = await step(sender(kit), referral_id, "submit")

    assert answer.status_code == (200 if is_covered else 403)


async def test_data_groups_that_no_consent_names_are_listed(kit: Kit) -> None:
    case, _ = await ready(kit)
    referral_id = await drafted(kit, case, data_groups=["IDENTITY", "CONTACT", "FAMILY"])

    body = await refused(kit, referral_id, await step(sender(kit), referral_id, "submit"))

    assert body["data_groups"] == ["CONTACT", "FAMILY"]


async def test_a_child_is_referred_with_the_guardians_consent_only(kit: Kit) -> None:
    case, _ = await ready(kit, is_minor=True, age_group="12-17")
    referral_id = await drafted(kit, case)

    body = await refused(kit, referral_id, await step(sender(kit), referral_id, "submit"))
    await case.tell(kit, granted(case.id, given_by="GUARDIAN"))
    after = await step(sender(kit), referral_id, "submit")

    assert body["given_by"] == ["GUARDIAN"]
    assert after.status_code == 200


# The age was corrected after the draft: what counts is what is known at submission.
async def test_a_person_found_to_be_a_child_needs_the_guardian_from_then_on(kit: Kit) -> None:
    case, _ = await ready(kit)
    referral_id = await drafted(kit, case)
    await case.tell(
        kit,
        CaseProfileChanged(
            case_id=case.id,
            beneficiary_kind="PRESUMED",
            sex="FEMALE",
            age_group="12-17",
            is_minor=True,
            urgency="HIGH",
        ),
    )

    await refused(kit, referral_id, await step(sender(kit), referral_id, "submit"))


async def test_a_withdrawn_consent_opens_nothing(kit: Kit) -> None:
    case, consent = await ready(kit)
    referral_id = await drafted(kit, case)
    await case.tell(kit, withdrawn(consent))

    await refused(kit, referral_id, await step(sender(kit), referral_id, "submit"))


# F34: inside one organisation nothing is disclosed.
async def test_a_referral_inside_one_organisation_asks_for_no_consent(kit: Kit) -> None:
    await register(kit, HOME)
    case = await open_case(kit)
    referral_id = await drafted(kit, case, HOME)

    for verb in ("submit", "acknowledge", "accept", "complete"):
        answer = await step(sender(kit), referral_id, verb)
        assert answer.status_code == 200, answer.text


# --- later disclosures


async def test_acceptance_checks_the_consent_of_its_own_day(kit: Kit) -> None:
    await register(kit)
    case = await open_case(kit)
    await case.tell(kit, granted(case.id, expires_on=TODAY))
    referral_id = await acknowledged(kit, case)
    events = await kit.events(referral_id)
    now_is(NOW + timedelta(days=1))

    answer = await step(receiver(kit), referral_id, "accept")

    assert (answer.status_code, answer.json()["code"]) == (403, "consent.missing")
    assert await kit.events(referral_id) == events


@pytest.mark.row("F11")
async def test_acknowledgement_checks_the_consent_of_its_own_day(kit: Kit) -> None:
    """Seeded: ask at submission and acceptance alone; the receiver learns the case in between."""
    await register(kit)
    case = await open_case(kit)
    await case.tell(kit, granted(case.id, expires_on=TODAY))
    referral_id = await sent(kit, case, urgency="LOW")
    now_is(NOW + timedelta(days=1))

    answer = await step(receiver(kit), referral_id, "acknowledge")
    seen = await receiver(kit).get(f"/v1/referrals/{referral_id}")

    assert (answer.status_code, answer.json()["code"]) == (403, "consent.missing")
    assert "case_id" not in seen.json()


@pytest.mark.row("F11")
@pytest.mark.parametrize("verb", ["acknowledge", "accept"])
async def test_who_has_become_police_needs_the_consent_for_police(kit: Kit, verb: str) -> None:
    """Seeded: go by the kind the receiver had when the referral was sent."""
    await register(kit, kind="NGO")
    case = await open_case(kit)
    await case.tell(kit, granted(case.id))
    referral_id = await (sent if verb == "acknowledge" else acknowledged)(kit, case)
    coordinator = kit.caller("NATIONAL_COORDINATOR", ELSEWHERE)
    entry = await coordinator.get(f"/v1/organisations/{SHELTER}")
    changed = await coordinator.patch(
        f"/v1/organisations/{SHELTER}", json={"kind": "POLICE"}, headers=if_match(entry)
    )
    assert changed.status_code == 200, changed.text

    answer = await step(receiver(kit), referral_id, verb)

    assert (answer.status_code, answer.json()["code"]) == (403, "consent.missing")
    # What is missing is not the receiver's to know: that it was this one shows when it is given.
    await case.tell(kit, granted(case.id, scope="SHARE_LAW_ENFORCEMENT"))
    taken = await step(receiver(kit), referral_id, verb)
    assert taken.status_code == 200, taken.text


# Fails when acknowledge_referral does not hold on to the consents it rests on.
async def test_an_acknowledgement_decided_before_a_withdrawal_is_not_written_after_it(
    kit: Kit,
) -> None:
    case, consent = await ready(kit)
    referral_id = await sent(kit, case)
    unit = submission(kit)
    worker = Principal("receiver-1", SHELTER, "SHELTER_STAFF")
    await acknowledge_referral(unit, referral_id, principal=worker, expected=2, calendar=BELGRADE)

    await case.tell(kit, withdrawn(consent))

    with pytest.raises(StaleError):
        await kit.runtime.database.write(unit)


@pytest.mark.row("F11")
async def test_the_receiver_reads_the_note_only_while_a_consent_holds(kit: Kit) -> None:
    await register(kit)
    case = await open_case(kit)
    await case.tell(kit, granted(case.id, expires_on=TODAY))
    referral_id = await acknowledged(kit, case, note="Needs a doctor in the morning.")
    path = f"/v1/referrals/{referral_id}"

    today = await receiver(kit).get(path)
    now_is(NOW + timedelta(days=1))
    tomorrow = await receiver(kit).get(path)
    sender_tomorrow = await sender(kit).get(path)

    assert today.json()["note"] == "Needs a doctor in the morning."
    assert tomorrow.json()["note"] is None
    assert sender_tomorrow.json()["note"] == "Needs a doctor in the morning."


# --- a decision and a withdrawal at the same moment: whichever is written second must look again


def submission(kit: Kit) -> Unit:
    return unit_of(kit.runtime.database, source=kit.runtime.source, operation="submit_referral")


# Fails when submit_referral does not hold on to the consents it rests on.
async def test_a_submission_decided_before_a_withdrawal_is_not_written_after_it(kit: Kit) -> None:
    case, consent = await ready(kit)
    referral_id = await drafted(kit, case)
    unit = submission(kit)
    worker = Principal("sender-1", HOME, "SOCIAL_WORKER")
    await submit_referral(unit, referral_id, principal=worker, expected=1, calendar=BELGRADE)

    await case.tell(kit, withdrawn(consent))

    with pytest.raises(StaleError):
        await kit.runtime.database.write(unit)
    assert [event.seq for event in await kit.events(referral_id)] == [1]


# Fails when a decision does not hold on to what it took the person to be: a child's own consent would
# do, or a case that has gone to another organisation could still be referred.
@pytest.mark.parametrize("decision", ["submit", "draft"])
async def test_a_decision_about_a_case_is_not_written_after_the_case_has_changed(
    kit: Kit, decision: str
) -> None:
    case, _ = await ready(kit)
    referral_id = await drafted(kit, case)
    worker = Principal("sender-1", HOME, "SOCIAL_WORKER", relations=frozenset({"own"}))
    unit = submission(kit)
    if decision == "submit":
        await submit_referral(unit, referral_id, principal=worker, expected=1, calendar=BELGRADE)
    else:
        body = ReferralCreate.model_validate(draft(case.id))
        await draft_referral(unit, body, principal=worker, calendar=BELGRADE)

    await case.tell(kit, CaseAssigned(case_id=case.id, organisation_id=ELSEWHERE, worker="w"))

    with pytest.raises(StaleError):
        await kit.runtime.database.write(unit)


# Fails when the withdrawal does not notice that a referral came to rest on the consent meanwhile.
async def test_a_withdrawal_decided_before_a_submission_looks_again(kit: Kit) -> None:
    case, consent = await ready(kit)
    referral_id = await drafted(kit, case)
    [event] = told("intake", case.id, withdrawn(consent), first_seq=3)
    unit = unit_of(kit.runtime.database, source=kit.runtime.source, operation="consume")
    await on_consent_withdrawn(unit, event)

    await step(sender(kit), referral_id, "submit")

    with pytest.raises(StaleError):
        await kit.runtime.database.write(unit)
    assert await kit.hear(event) == ["applied"]
    [*_, last] = await kit.events(referral_id)
    assert (last.data["status"], last.data["reason"]) == ("CANCELLED", "CONSENT_WITHDRAWN")
