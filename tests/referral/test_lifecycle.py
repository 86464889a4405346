"""A referral from its draft to its end: each step's event and audit entry; a refusal leaves none."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest

from common.clock import new_id
from referral.domain.referral import CALLED_OFF
from tests.kit import ELSEWHERE, Kit
from tests.referral.story import (
    SHELTER,
    accepted,
    acknowledged,
    draft,
    drafted,
    list_service,
    ready,
    receiver,
    register,
    sender,
    sent,
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
    # A receiver that had acknowledged is told beside it that the referral is closed to it.
    is_shut = end in CALLED_OFF and "acknowledge" in PATHS[start]
    assert answer.headers["ETag"] == f'"{len(before) + 1 + is_shut}"'
    event, *closed = (await kit.events(referral_id))[len(before) :]
    assert [e.type.split(".")[2] for e in closed] == ["closed_to_receiver"] * is_shut
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


@pytest.mark.parametrize("verb", [*OPERATIONS])
async def test_a_step_names_the_version_it_was_decided_on(kit: Kit, verb: str) -> None:
    case, _ = await ready(kit)
    referral_id = await sent(kit, case)
    caller = sender(kit) if verb in SENDERS else receiver(kit)
    path = f"/v1/referrals/{referral_id}/{verb}"

    without = await caller.post(path, json=BODIES.get(verb))
    stale = await caller.post(path, json=BODIES.get(verb), headers={"If-Match": '"1"'})

    assert (without.status_code, stale.status_code) == (428, 412)
    assert len(await kit.events(referral_id)) == 2


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("cancel", {}),
        ("cancel", {"reason": "NO_CAPACITY"}),
        ("decline", {"reason": "SENT_BY_MISTAKE"}),
        ("return_for_info", {"reason": None}),
        ("resubmit", {"status": "ACCEPTED"}),
    ],
)
async def test_a_reason_comes_from_the_list_of_its_step(
    kit: Kit, verb: str, body: dict[str, Any]
) -> None:
    case, _ = await ready(kit)
    referral_id = await sent(kit, case)
    caller = sender(kit) if verb in SENDERS else receiver(kit)

    answer = await step(caller, referral_id, verb, body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert len(await kit.events(referral_id)) == 2


# Fails when only the worker who acknowledged, or one named in the referral, may go on with it.
@pytest.mark.row("F34")
async def test_any_worker_of_the_receiving_organisation_may_answer(kit: Kit) -> None:
    case, _ = await ready(kit)
    referral_id = await sent(kit, case)

    for number, (verb, role) in enumerate(
        [
            ("acknowledge", "SHELTER_STAFF"),
            ("accept", "NGO_CASE_MANAGER"),
            ("complete", "SOCIAL_WORKER"),
        ]
    ):
        worker = kit.caller(role, SHELTER, f"colleague-{number}")
        answer = await step(worker, referral_id, verb)
        assert answer.status_code == 200, answer.text

    entries = await kit.audit(object_type="referral", action="update", organisation_id=SHELTER)
    assert [entry.actor for entry in entries] == ["colleague-0", "colleague-1", "colleague-2"]


# Who has the person in service hands the case on inside the house: nothing is disclosed, so nobody
# is asked for consent again.
@pytest.mark.row("F34")
async def test_the_receiver_refers_on_inside_its_own_house_without_a_new_consent(kit: Kit) -> None:
    case, _ = await ready(kit)
    await accepted(kit, case)
    inside = draft(case.id, SHELTER, service_type="COUNSELLING_INFORMATION")
    answer = await receiver(kit).post("/v1/referrals", json=inside)
    assert answer.status_code == 201

    for verb in ("submit", "acknowledge", "accept"):
        answer = await step(receiver(kit), UUID(inside["id"]), verb)
        assert answer.status_code == 200, answer.text


@pytest.mark.row("F34")
async def test_a_referral_names_an_organisation_and_one_of_its_services(kit: Kit) -> None:
    case, _ = await ready(kit)
    service_id = await list_service(kit)

    referral_id = await drafted(kit, case, service_id=str(service_id), service_type=None)

    seen = (await sender(kit).get(f"/v1/referrals/{referral_id}")).json()
    assert seen["receiving_organisation_id"] == str(SHELTER)
    assert (seen["service_id"], seen["service_type"]) == (str(service_id), "SHELTER")


@pytest.mark.row("X5")
async def test_a_declining_receiver_gives_a_reason_and_names_another_service(kit: Kit) -> None:
    case, _ = await ready(kit)
    await register(kit, ELSEWHERE)
    instead = await list_service(kit, ELSEWHERE)
    referral_id = await acknowledged(kit, case)
    body = {"reason": "NO_CAPACITY", "suggested_service_id": str(instead)}

    answer = await step(receiver(kit), referral_id, "decline", body)

    seen = (await sender(kit).get(f"/v1/referrals/{referral_id}")).json()
    assert answer.status_code == 200
    assert (seen["reason"], seen["suggested_service_id"]) == ("NO_CAPACITY", str(instead))


async def test_a_suggested_service_must_be_listed(kit: Kit) -> None:
    case, _ = await ready(kit)
    referral_id = await acknowledged(kit, case)
    body = {"reason": "NO_CAPACITY", "suggested_service_id": str(new_id())}

    answer = await step(receiver(kit), referral_id, "decline", body)

    assert (answer.status_code, answer.json()["code"]) == (422, "service.unknown")
    assert len(await kit.events(referral_id)) == 3
    assert await kit.audit(operation="decline_referral") == []


async def test_checking_a_step_takes_none(kit: Kit) -> None:
    case, _ = await ready(kit)
    referral_id = await drafted(kit, case)
    path = f"/v1/referrals/{referral_id}/submit"

    answer = await sender(kit).post(
        path, params={"validate_only": "true"}, headers={"If-Match": '"1"'}
    )

    assert (answer.status_code, answer.json()) == (200, {"valid": True})
    assert len(await kit.events(referral_id)) == 1
