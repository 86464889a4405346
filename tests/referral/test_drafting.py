"""A draft: whose case may be referred to whom, and what a refused one leaves behind."""

from typing import Any
from uuid import UUID

import pytest

from common.clock import new_id
from common.here import Here
from tests.kit import ELSEWHERE, HOME, Kit
from tests.referral.story import (
    SHELTER,
    acknowledged,
    draft,
    list_service,
    ready,
    receiver,
    register,
    sender,
    step,
)


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
        "on": str(Here("RS", "Europe/Belgrade").today),
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

    await step(receiver(kit), referral_id, "accept")
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
