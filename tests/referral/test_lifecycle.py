"""A referral from draft to end: each step's row, event and audit entry; each refusal leaves none."""

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from common import clock
from common.clock import new_id
from tests.kit import ELSEWHERE, HOME, Kit, if_match
from tests.referral.story import (
    SHELTER,
    Case,
    accepted,
    acknowledged,
    draft,
    drafted,
    granted,
    list_service,
    open_case,
    ready,
    receiver,
    register,
    sender,
    sent,
    service,
    step,
)

OPERATIONS = {
    "submit": "submit_referral",
    "resubmit": "resubmit_referral",
    "cancel": "cancel_referral",
    "acknowledge": "acknowledge_referral",
    "return_for_info": "return_referral",
    "accept": "accept_referral",
    "decline": "decline_referral",
    "complete": "complete_referral",
}
BODIES: dict[str, dict[str, Any]] = {
    "resubmit": {},
    "cancel": {"reason": "NEED_ENDED"},
    "return_for_info": {"reason": "NEEDS_UNCLEAR"},
    "decline": {"reason": "NO_CAPACITY"},
}
SENDERS = {"submit", "resubmit", "cancel"}


async def walk(kit: Kit, referral_id: UUID, verbs: Iterable[str]) -> None:
    for verb in verbs:
        caller = sender(kit) if verb in SENDERS else receiver(kit)
        answer = await step(caller, referral_id, verb, BODIES.get(verb))
        assert answer.status_code == 200, (verb, answer.text)


PATHS = {
    "DRAFT": [],
    "SUBMITTED": ["submit"],
    "ACKNOWLEDGED": ["submit", "acknowledge"],
    "RETURNED_FOR_INFO": ["submit", "acknowledge", "return_for_info"],
    "ACCEPTED": ["submit", "acknowledge", "accept"],
    "DECLINED": ["submit", "acknowledge", "decline"],
    "COMPLETED": ["submit", "acknowledge", "accept", "complete"],
    "CANCELLED": ["submit", "cancel"],
}


# --- drafting


async def test_a_draft_is_stored_told_and_audited(kit: Kit) -> None:
    case, _ = await ready(kit)
    body = draft(case.id)

    answer = await sender(kit).post("/v1/referrals", json=body)

    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/referrals/{body['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert answer.json()["status"] == "DRAFT"
    [event] = await kit.events(UUID(body["id"]))
    assert (event.type, event.seq) == ("referral.referral.drafted.v1", 1)
    assert event.data == {
        "referral_id": body["id"],
        "case_id": str(case.id),
        "sending_organisation_id": str(HOME),
        "receiving_organisation_id": str(SHELTER),
        "service_type": "SHELTER",
        "urgency": "HIGH",
        "status": "DRAFT",
        "previous_status": None,
        "reason": None,
        "on": str(clock.local_date("Europe/Belgrade")),
    }
    [entry] = await kit.audit(operation="draft_referral")
    assert (entry.action, entry.object_ids, entry.subject) == ("create", [body["id"]], case.id)
    assert (entry.actor, entry.organisation_id, entry.role) == ("sender-1", HOME, "SOCIAL_WORKER")


# Each row fails when its check is dropped.
@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"receiving_organisation_id": str(ELSEWHERE)}, 422, "referral.organisation_unknown"),
        ({"service_type": None}, 422, "referral.service_required"),
        ({"service_id": str(ELSEWHERE)}, 422, "referral.service_unknown"),
        ({"case_id": str(ELSEWHERE)}, 409, "referral.case_unknown"),
        ({"note": "x\x00"}, 422, "invalid"),
    ],
)
async def test_a_refused_draft_leaves_nothing(
    kit: Kit, changes: dict[str, Any], status: int, code: str
) -> None:
    case, _ = await ready(kit)
    body = draft(case.id) | changes

    answer = await sender(kit).post("/v1/referrals", json=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await kit.events(UUID(body["id"])) == []
    assert await kit.audit(operation="draft_referral") == []


async def test_a_service_of_another_organisation_or_type_is_refused(kit: Kit) -> None:
    case, _ = await ready(kit)
    await register(kit, ELSEWHERE)
    theirs = await list_service(kit, ELSEWHERE)
    ours = await list_service(kit)

    foreign = await sender(kit).post("/v1/referrals", json=draft(case.id, service_id=str(theirs)))
    other_type = await sender(kit).post(
        "/v1/referrals",
        json=draft(case.id, service_id=str(ours), service_type="COUNSELLING_INFORMATION"),
    )

    assert foreign.json()["code"] == "referral.service_unknown"
    assert other_type.json()["code"] == "referral.service_type_differs"


async def test_an_organisation_of_another_country_is_no_receiver_inside_the_country(
    kit: Kit,
) -> None:
    case, _ = await ready(kit)
    await register(kit, ELSEWHERE, country="MK")

    answer = await sender(kit).post("/v1/referrals", json=draft(case.id, ELSEWHERE))

    assert (answer.status_code, answer.json()["code"]) == (422, "referral.other_country")


# Fails when the refusal for a stranger's case differs in one byte from that for no case at all: it
# would tell that the person is in the system.
async def test_a_case_of_others_looks_like_no_case(kit: Kit) -> None:
    case, _ = await ready(kit)
    stranger = kit.caller("SOCIAL_WORKER", ELSEWHERE)
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}

    theirs = await stranger.post("/v1/referrals", json=draft(case.id), headers=trace)
    absent = await stranger.post("/v1/referrals", json=draft(new_id()), headers=trace)

    assert theirs.status_code == 409
    assert (theirs.content, theirs.headers) == (absent.content, absent.headers)


# The organisation that has the person in service may refer on; before it accepted it may not.
async def test_who_has_accepted_the_case_may_refer_it_on(kit: Kit) -> None:
    case, _ = await ready(kit)
    await register(kit, ELSEWHERE)
    referral_id = await acknowledged(kit, case)
    before = await receiver(kit).post("/v1/referrals", json=draft(case.id, ELSEWHERE))

    await walk(kit, referral_id, ["accept"])
    after = await receiver(kit).post("/v1/referrals", json=draft(case.id, ELSEWHERE))

    assert before.json()["code"] == "referral.case_unknown"
    assert after.status_code == 201
    assert after.json()["sending_organisation_id"] == str(SHELTER)


async def test_the_same_draft_twice_is_one_draft(kit: Kit) -> None:
    case, _ = await ready(kit)
    body = draft(case.id)
    key = {"Idempotency-Key": "draft-1"}

    answers = [await sender(kit).post("/v1/referrals", json=body, headers=key) for _ in range(3)]
    again = await sender(kit).post("/v1/referrals", json=body)

    assert {a.content for a in answers} == {answers[0].content}
    assert (again.status_code, again.json()["code"]) == (409, "already_exists")
    assert len(await kit.events(UUID(body["id"]))) == 1


# --- the steps


@pytest.mark.row("F33")
@pytest.mark.parametrize(
    ("start", "verb", "end"),
    [
        ("DRAFT", "submit", "SUBMITTED"),
        ("DRAFT", "cancel", "CANCELLED"),
        ("SUBMITTED", "acknowledge", "ACKNOWLEDGED"),
        ("SUBMITTED", "return_for_info", "RETURNED_FOR_INFO"),
        ("SUBMITTED", "cancel", "CANCELLED"),
        ("RETURNED_FOR_INFO", "resubmit", "SUBMITTED"),
        ("RETURNED_FOR_INFO", "cancel", "CANCELLED"),
        ("ACKNOWLEDGED", "accept", "ACCEPTED"),
        ("ACKNOWLEDGED", "decline", "DECLINED"),
        ("ACKNOWLEDGED", "return_for_info", "RETURNED_FOR_INFO"),
        ("ACKNOWLEDGED", "cancel", "CANCELLED"),
        ("ACCEPTED", "complete", "COMPLETED"),
        ("ACCEPTED", "cancel", "CANCELLED"),
    ],
)
async def test_a_step_changes_the_status_and_tells_and_audits_it(
    kit: Kit, start: str, verb: str, end: str
) -> None:
    case, _ = await ready(kit)
    referral_id = await drafted(kit, case)
    await walk(kit, referral_id, PATHS[start])
    before = await kit.events(referral_id)
    caller = sender(kit) if verb in SENDERS else receiver(kit)

    answer = await step(caller, referral_id, verb, BODIES.get(verb))

    assert answer.status_code == 200
    assert answer.json()["status"] == end
    assert answer.headers["ETag"] == f'"{len(before) + 1}"'
    [*_, event] = await kit.events(referral_id)
    assert event.seq == len(before) + 1
    assert event.type == f"referral.referral.{'drafted' if end == 'DRAFT' else end.lower()}.v1"
    assert (event.data["previous_status"], event.data["status"]) == (start, end)
    assert event.data["reason"] == BODIES.get(verb, {}).get("reason")
    entries = await kit.audit(operation=OPERATIONS[verb], action="update", object_type="referral")
    assert entries[-1].object_ids == [str(referral_id)]
    assert entries[-1].subject == case.id


@pytest.mark.row("F33")
@pytest.mark.parametrize(
    ("start", "verb", "legal"),
    [
        ("SUBMITTED", "submit", ["cancel"]),
        ("DRAFT", "resubmit", ["submit", "cancel"]),
        ("COMPLETED", "cancel", []),
        ("ACKNOWLEDGED", "acknowledge", ["accept", "decline", "return_for_info"]),
        ("RETURNED_FOR_INFO", "return_for_info", []),
        ("SUBMITTED", "accept", ["acknowledge", "return_for_info"]),
        ("SUBMITTED", "decline", ["acknowledge", "return_for_info"]),
        ("ACKNOWLEDGED", "complete", ["accept", "decline", "return_for_info"]),
        ("DECLINED", "accept", []),
        ("CANCELLED", "cancel", []),
    ],
)
async def test_an_illegal_step_is_refused_with_the_legal_ones_and_leaves_nothing(
    kit: Kit, start: str, verb: str, legal: list[str]
) -> None:
    case, _ = await ready(kit)
    referral_id = await drafted(kit, case)
    await walk(kit, referral_id, PATHS[start])
    events = await kit.events(referral_id)
    entries = await kit.audit(operation=OPERATIONS[verb])
    caller = sender(kit) if verb in SENDERS else receiver(kit)

    answer = await step(caller, referral_id, verb, BODIES.get(verb))

    assert (answer.status_code, answer.json()["code"]) == (409, "referral.illegal_step")
    assert answer.json()["legal"] == legal
    assert await kit.events(referral_id) == events
    assert await kit.audit(operation=OPERATIONS[verb]) == entries


# Fails when a sender can answer in the receiver's name, or the other way round.
@pytest.mark.parametrize(
    ("start", "verb", "side"),
    [
        ("SUBMITTED", "acknowledge", "RECEIVER"),
        ("ACKNOWLEDGED", "accept", "RECEIVER"),
        ("ACCEPTED", "complete", "RECEIVER"),
        ("SUBMITTED", "cancel", "SENDER"),
        ("RETURNED_FOR_INFO", "resubmit", "SENDER"),
    ],
)
async def test_the_other_sides_step_is_forbidden_and_the_refusal_is_recorded(
    kit: Kit, start: str, verb: str, side: str
) -> None:
    case, _ = await ready(kit)
    referral_id = await drafted(kit, case)
    await walk(kit, referral_id, PATHS[start])
    events = await kit.events(referral_id)
    wrong = receiver(kit) if side == "SENDER" else sender(kit)

    answer = await step(wrong, referral_id, verb, BODIES.get(verb))

    assert (answer.status_code, answer.json()["code"]) == (403, "referral.other_side")
    assert answer.json()["side"] == side
    assert await kit.events(referral_id) == events
    [denial] = await kit.audit(decision="deny", operation=OPERATIONS[verb])
    assert denial.object_ids == [str(referral_id)]
