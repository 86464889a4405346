"""Who has a case by a consent loses with it what it passed on, and may pass on nothing more."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from common.auth import Principal
from common.contracts.intake import (
    CaseAssigned,
    CaseProfileChanged,
    ConsentGranted,
)
from common.db.base import unit_of
from common.unit import StaleError, Unit
from referral.commands.referral import draft_referral, submit_referral
from referral.domain.calendar import Calendar
from referral.models import Referral
from referral.schemas.referral import ReferralCreate
from tests.kit import ELSEWHERE, HOME, Kit
from tests.referral.story import (
    SHELTER,
    TODAY,
    Case,
    accepted,
    draft,
    drafted,
    granted,
    last_told,
    list_service,
    ready,
    receiver,
    register,
    step,
    withdrawn,
)

NOTE = "Треба јој лекар."
VERBS = {
    "DRAFT": [],
    "SUBMITTED": ["submit"],
    "RETURNED_FOR_INFO": ["submit", "return_for_info"],
    "ACKNOWLEDGED": ["submit", "acknowledge"],
    "ACCEPTED": ["submit", "acknowledge", "accept"],
    "COMPLETED": ["submit", "acknowledge", "accept", "complete"],
    "DECLINED": ["submit", "acknowledge", "decline"],
}
REASONS = {"return_for_info": "NEEDS_UNCLEAR", "decline": "NO_CAPACITY"}


async def in_service(kit: Kit) -> tuple[Case, ConsentGranted, UUID]:
    """Let the shelter take a person in, who agrees to be known ELSEWHERE as well."""
    case, consent = await ready(kit)
    await register(kit, ELSEWHERE)
    referral_id = await accepted(kit, case)
    await case.tell(kit, granted(case.id, ELSEWHERE))
    return case, consent, referral_id


async def passed_on(
    kit: Kit, case: Case, verbs: Sequence[str], to: UUID = ELSEWHERE, **fields: Any
) -> UUID:
    """Let the shelter refer the case on, and take the referral through `verbs`."""
    body = draft(case.id, to, note=NOTE, **fields)
    answer = await receiver(kit).post("/v1/referrals", json=body)
    assert answer.status_code == 201, answer.text
    for verb in verbs:
        caller = receiver(kit, SHELTER if verb == "submit" else to)
        reason = {"reason": REASONS[verb]} if verb in REASONS else None
        taken = await step(caller, UUID(body["id"]), verb, reason)
        assert taken.status_code == 200, taken.text
    return UUID(body["id"])


def path(referral_id: UUID) -> str:
    return f"/v1/referrals/{referral_id}"


def unit(kit: Kit) -> Unit:
    return unit_of(kit.runtime.database, source=kit.runtime.source, operation="draft_referral")


def older() -> CaseProfileChanged:
    return CaseProfileChanged(
        case_id=UUID(int=0),
        beneficiary_kind="PRESUMED",
        sex="MALE",
        age_group="35+",
        is_minor=False,
        urgency="HIGH",
    )


@pytest.mark.row("F11")
@pytest.mark.parametrize(
    "status", ["DRAFT", "SUBMITTED", "RETURNED_FOR_INFO", "ACKNOWLEDGED", "ACCEPTED"]
)
async def test_with_the_consent_falls_what_its_receiver_had_passed_on(
    kit: Kit, status: str
) -> None:
    """Seeded: look only at referrals that rest on the consent; the shelter goes on sending."""
    case, consent, _ = await in_service(kit)
    onward = await passed_on(kit, case, VERBS[status])

    await case.tell(kit, withdrawn(consent, on=date(2026, 5, 2)))

    event = await last_told(kit, onward)
    told = (event.type, event.data["reason"], event.data["on"], event.data["previous_status"])
    cancelled = "referral.referral.cancelled.v1"
    assert told == (cancelled, "CONSENT_WITHDRAWN", "2026-05-02", status)
    for verb in ("submit", "resubmit"):
        again = await step(receiver(kit), onward, verb, {} if verb == "resubmit" else None)
        assert (again.status_code, again.json()["code"]) == (409, "referral.illegal_step")
    for verb in ("acknowledge", "accept"):
        taken = await step(receiver(kit, ELSEWHERE), onward, verb)
        assert taken.status_code in {404, 409}, taken.text


@pytest.mark.parametrize("status", ["DRAFT", "ACCEPTED", "COMPLETED", "DECLINED"])
async def test_of_what_it_passed_on_an_ex_receiver_keeps_the_fact_and_the_date(
    kit: Kit, status: str
) -> None:
    """Seeded: close what is open alone; the shelter reads the case and its note for ever."""
    case, consent, _ = await in_service(kit)
    onward = await passed_on(kit, case, VERBS[status], languages=["sq"])
    before = await receiver(kit).get(path(onward))

    await case.tell(kit, withdrawn(consent))

    after = await receiver(kit).get(path(onward))
    seen = after.json()
    found = (await receiver(kit).get("/v1/referrals", params={"case_id": str(case.id)})).json()
    listed = (await receiver(kit).get("/v1/referrals")).json()["items"]
    [item] = [item for item in listed if item["id"] == str(onward)]
    assert (before.json()["case_id"], before.json()["note"]) == (str(case.id), NOTE)
    assert str(case.id) not in after.text
    assert not {"case_id", "note", "purpose", "data_groups"} & seen.keys()
    assert (seen["sex"], seen["age_group"], seen["languages"]) == (None, None, [])
    assert found["items"] == []
    assert (item["case_id"], item["sex"], item["languages"]) == (None, None, [])
    assert after.headers["ETag"] != before.headers["ETag"]


async def test_what_had_ended_stands_for_its_receiver_and_the_sender_is_told(kit: Kit) -> None:
    """Seeded: tell it as a withdrawal; ELSEWHERE, to which the person still agrees, loses her."""
    case, consent, _ = await in_service(kit)
    onward = await passed_on(kit, case, VERBS["COMPLETED"])

    await case.tell(kit, withdrawn(consent))

    [*_, event] = await kit.events(onward)
    seen = (await receiver(kit, ELSEWHERE).get(path(onward))).json()
    mine, theirs = [
        [e.type.split(".")[2] for e in await kit.feed(client) if e.subject == onward]
        for client in (receiver(kit), receiver(kit, ELSEWHERE))
    ]
    assert event.type == "referral.referral.closed_to_sender.v1"
    assert event.data.keys() == {"referral_id", "sending_organisation_id", "status"}
    assert event.data["status"] == "COMPLETED"
    assert (seen["status"], seen["case_id"], seen["note"]) == ("COMPLETED", str(case.id), NOTE)
    assert seen["consent_withdrawn_on"] is None
    assert mine == ["closed_to_sender"]
    assert theirs == ["acknowledged", "accepted", "completed"]


async def test_what_falls_is_told_once_and_gives_its_place_back(kit: Kit) -> None:
    case, consent, _ = await in_service(kit)
    service_id = await list_service(kit, ELSEWHERE)
    onward = await passed_on(kit, case, VERBS["ACCEPTED"], service_id=str(service_id))
    more = granted(case.id)
    await case.tell(kit, more, withdrawn(consent), withdrawn(more))

    types = [event.type.split(".")[2] for event in await kit.events(onward)]
    service = (await receiver(kit, ELSEWHERE).get(f"/v1/services/{service_id}")).json()

    assert types[3:] == ["accepted", "cancelled", "closed_to_receiver", "closed_to_sender"]
    mine = [e for e in await kit.feed(receiver(kit)) if e.subject == onward]
    assert [e.type.split(".")[2] for e in mine] == ["closed_to_sender"]
    assert str(case.id) not in mine[0].to_bytes().decode()
    assert service["free_places"] == 2


async def test_what_was_passed_on_twice_falls_as_well(kit: Kit) -> None:
    """Seeded: look one link far; the third organisation goes on without the second."""
    case, consent, _ = await in_service(kit)
    third = UUID(int=0xD1 << 120 | 4 << 76 | 2 << 62)
    await register(kit, third)
    await case.tell(kit, granted(case.id, third))
    await passed_on(kit, case, VERBS["ACCEPTED"])
    body = draft(case.id, third)
    await receiver(kit, ELSEWHERE).post("/v1/referrals", json=body)
    await step(receiver(kit, ELSEWHERE), UUID(body["id"]), "submit")

    await case.tell(kit, withdrawn(consent))

    [*_, event] = await kit.events(UUID(body["id"]))
    assert event.data["status"] == "CANCELLED"


async def test_a_referral_inside_its_own_house_keeps_nobody_in(kit: Kit) -> None:
    """Seeded: count it as a hold of the case; the shelter hands the case to itself and stays."""
    case, consent, _ = await in_service(kit)
    inside = await passed_on(kit, case, VERBS["ACCEPTED"], SHELTER)
    done = await passed_on(kit, case, VERBS["COMPLETED"], SHELTER)
    onward = await passed_on(kit, case, VERBS["SUBMITTED"])

    await case.tell(kit, withdrawn(consent))

    last = {r: (await last_told(kit, r)).type.split(".")[2] for r in (inside, done, onward)}
    assert last == {inside: "cancelled", done: "consent_withdrawn", onward: "cancelled"}
    for referral_id in last:
        assert str(case.id) not in (await receiver(kit).get(path(referral_id))).text


@pytest.mark.parametrize("hold", ["another referral", "ownership"])
async def test_who_has_the_case_otherwise_keeps_what_it_passed_on(kit: Kit, hold: str) -> None:
    """Seeded: cancel whatever the receiver of a withdrawn referral ever sent."""
    case, consent = await ready(kit)
    await register(kit, ELSEWHERE)
    await case.tell(kit, granted(case.id, ELSEWHERE))
    await accepted(kit, case)
    onward = await passed_on(kit, case, VERBS["SUBMITTED"])
    if hold == "ownership":
        assigned = CaseAssigned(case_id=case.id, organisation_id=SHELTER, worker="w")
        await case.tell(kit, assigned)
    else:
        await case.tell(kit, granted(case.id, purposes=("PROTECTION",)))
        await accepted(kit, case, purpose="PROTECTION")

    await case.tell(kit, withdrawn(consent))

    seen = (await receiver(kit).get(path(onward))).json()
    assert (seen["status"], seen["case_id"]) == ("SUBMITTED", str(case.id))
    taken = await step(receiver(kit, ELSEWHERE), onward, "acknowledge")
    assert taken.status_code == 200, taken.text


async def test_later_facts_of_the_case_reach_no_ex_receiver(kit: Kit) -> None:
    case, consent, _ = await in_service(kit)
    onward = await passed_on(kit, case, VERBS["SUBMITTED"])
    await case.tell(kit, withdrawn(consent))
    before = await receiver(kit).get(path(onward))

    await case.tell(kit, older().model_copy(update={"case_id": case.id}))

    after = await receiver(kit).get(path(onward))
    assert (after.headers["ETag"], after.json()) == (before.headers["ETag"], before.json())


# --- every step of a referral asks whether its sender still has the case


@pytest.mark.parametrize("status", ["DRAFT", "RETURNED_FOR_INFO"])
async def test_who_is_done_with_a_person_passes_her_on_no_more(kit: Kit, status: str) -> None:
    """Seeded: ask at drafting alone, or take a completed referral for one in service."""
    case, _, referral_id = await in_service(kit)
    onward = await passed_on(kit, case, VERBS[status])
    await step(receiver(kit), referral_id, "complete")

    verb = "submit" if status == "DRAFT" else "resubmit"
    answer = await step(receiver(kit), onward, verb, {} if verb == "resubmit" else None)
    anew = await receiver(kit).post("/v1/referrals", json=draft(case.id, ELSEWHERE))

    assert (answer.status_code, answer.json()["code"]) == (409, "referral.sender_without_case")
    assert (anew.status_code, anew.json()["code"]) == (409, "referral.case_unknown")


async def test_whom_a_receiver_passed_on_before_it_was_done_may_be_taken_in(kit: Kit) -> None:
    """Seeded: ask for a sender in service at acceptance; a handover would leave her with nobody."""
    case, _, referral_id = await in_service(kit)
    onward = await passed_on(kit, case, VERBS["SUBMITTED"])
    await step(receiver(kit), referral_id, "complete")

    for verb in ("acknowledge", "accept"):
        answer = await step(receiver(kit, ELSEWHERE), onward, verb)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("status", "verb"), [("SUBMITTED", "acknowledge"), ("ACKNOWLEDGED", "accept")]
)
async def test_nobody_takes_from_a_sender_what_it_has_no_more(
    kit: Kit, status: str, verb: str
) -> None:
    """Seeded: leave out the question at acknowledgement or at acceptance."""
    case, _, referral_id = await in_service(kit)
    onward = await passed_on(kit, case, VERBS[status])
    await step(kit.caller("SOCIAL_WORKER", HOME), referral_id, "cancel", {"reason": "NEED_ENDED"})

    answer = await step(receiver(kit, ELSEWHERE), onward, verb)

    assert (answer.status_code, answer.json()["code"]) == (409, "referral.sender_without_case")
    assert (await kit.events(onward))[-1].data["status"] == status


async def test_a_case_that_went_to_others_is_submitted_by_its_old_owner_no_more(kit: Kit) -> None:
    case, _ = await ready(kit)
    referral_id = await drafted(kit, case)
    await case.tell(kit, CaseAssigned(case_id=case.id, organisation_id=ELSEWHERE, worker="w"))

    answer = await step(kit.caller("SOCIAL_WORKER", HOME), referral_id, "submit")

    assert (answer.status_code, answer.json()["code"]) == (409, "referral.sender_without_case")


# Fails when drafting does not hold on to the referral by which its sender has the case.
@pytest.mark.parametrize("end", ["completion", "withdrawal"])
async def test_a_draft_is_not_written_after_the_end_of_what_it_rests_on(kit: Kit, end: str) -> None:
    case, consent, referral_id = await in_service(kit)
    relations = frozenset({"own", "referred"})
    worker = Principal("receiver-1", SHELTER, "SHELTER_STAFF", relations=relations)
    body = ReferralCreate.model_validate(draft(case.id, ELSEWHERE))
    decided = unit(kit)
    await draft_referral(
        decided, body, principal=worker, calendar=Calendar("RS", "Europe/Belgrade")
    )

    if end == "completion":
        await step(receiver(kit), referral_id, "complete")
    else:
        # A withdrawal raises the case's version only with its next change; the referral's at once.
        await case.tell(kit, withdrawn(consent))

    with pytest.raises(StaleError):
        await kit.runtime.database.write(decided)
    assert await kit.events(body.id) == []


# Fails when a submission does not hold on to the referral by which its sender has the case.
async def test_a_submission_is_not_written_after_the_end_of_what_it_rests_on(kit: Kit) -> None:
    case, _, referral_id = await in_service(kit)
    onward = await passed_on(kit, case, [])
    worker = Principal("receiver-1", SHELTER, "SHELTER_STAFF")
    decided = unit(kit)
    calendar = Calendar("RS", "Europe/Belgrade")
    await submit_referral(decided, onward, principal=worker, expected=1, calendar=calendar)

    await step(receiver(kit), referral_id, "complete")

    with pytest.raises(StaleError):
        await kit.runtime.database.write(decided)


# What was sent while the withdrawal was being worked out outlives it, and is of no use to anybody.
async def test_a_completed_referral_without_its_consent_is_no_hold_of_the_case(kit: Kit) -> None:
    """Seeded: count what is completed whatever became of its consent."""
    case, _, referral_id = await in_service(kit)
    onward = await passed_on(kit, case, VERBS["SUBMITTED"])
    await step(receiver(kit), referral_id, "complete")
    late = unit(kit)
    late.update(Referral, {"id": referral_id}, expect=1, consent_withdrawn_on=TODAY)
    await kit.runtime.database.write(late)

    answer = await step(receiver(kit, ELSEWHERE), onward, "acknowledge")

    assert (answer.status_code, answer.json()["code"]) == (409, "referral.sender_without_case")
