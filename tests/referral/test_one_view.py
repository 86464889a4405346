"""Every route tells the receiver's house the same of a referral: what GET of it tells."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from common.contracts.intake import CaseIdentityRecorded, ConsentGranted
from referral.schemas.referral import ReferralItem, ReferralPreview
from referral.worker import expire_overdue
from tests.kit import ELSEWHERE, Kit, if_match
from tests.referral.story import (
    NOW,
    SHELTER,
    Case,
    accepted,
    acknowledged,
    now_is,
    ready,
    receiver,
    sender,
    sent,
    step,
    withdrawn,
)

NOTE, WHY = "Мајка зна само сестру.", "Преселила се."
PLAIN = {"type", "title", "status", "detail", "code", "trace_id"}
"""What every problem has."""

READERS = [
    ("NGO_CASE_MANAGER", SHELTER),
    ("SHELTER_STAFF", SHELTER),
    ("POLICE_INVESTIGATOR", SHELTER),
    ("PROSECUTOR", SHELTER),
    ("NATIONAL_COORDINATOR", ELSEWHERE),
]
STEPS: dict[str, dict[str, str] | None] = {
    "acknowledge": None,
    "return_for_info": {"reason": "NEEDS_UNCLEAR"},
    "accept": None,
    "decline": {"reason": "NO_CAPACITY"},
    "complete": None,
}

Ended = tuple[UUID, httpx.Response | None]
Story = Callable[[Kit, Case, ConsentGranted], Awaitable[Ended]]


async def unread(kit: Kit, case: Case, _: ConsentGranted) -> Ended:
    return await sent(kit, case, note=NOTE, languages=["sq"]), None


async def declined(kit: Kit, case: Case, _: ConsentGranted) -> Ended:
    referral_id = await acknowledged(kit, case, note=NOTE, languages=["sq"])
    body = {"reason": "SAFETY_RISK", "note": WHY}
    return referral_id, await step(receiver(kit), referral_id, "decline", body)


async def cancelled(kit: Kit, case: Case, _: ConsentGranted) -> Ended:
    referral_id = await accepted(kit, case, note=NOTE, languages=["sq"])
    ended = await step(sender(kit), referral_id, "cancel", {"reason": "NEED_ENDED", "note": WHY})
    assert ended.json()["reason"] == "NEED_ENDED"
    return referral_id, None


async def cancelled_when_returned(kit: Kit, case: Case, _: ConsentGranted) -> Ended:
    referral_id = await acknowledged(kit, case, note=NOTE, languages=["sq"])
    await step(receiver(kit), referral_id, "return_for_info", {"reason": "NEEDS_UNCLEAR"})
    ended = await step(sender(kit), referral_id, "cancel", {"reason": "NEED_ENDED", "note": WHY})
    assert ended.status_code == 200, ended.text
    return referral_id, None


async def withdrawn_from(kit: Kit, case: Case, consent: ConsentGranted) -> Ended:
    referral_id = await accepted(kit, case, note=NOTE, languages=["sq"])
    await case.tell(kit, withdrawn(consent))
    return referral_id, None


async def withdrawn_when_returned(kit: Kit, case: Case, consent: ConsentGranted) -> Ended:
    referral_id = await acknowledged(kit, case, note=NOTE, languages=["sq"])
    await step(receiver(kit), referral_id, "return_for_info", {"reason": "NEEDS_UNCLEAR"})
    await case.tell(kit, withdrawn(consent))
    return referral_id, None


async def expired(kit: Kit, case: Case, _: ConsentGranted) -> Ended:
    referral_id = await acknowledged(kit, case, note=NOTE, languages=["sq"])
    now_is(NOW + timedelta(days=30))
    await expire_overdue(kit.runtime)
    return referral_id, None


async def withdrawn_after_completion(kit: Kit, case: Case, consent: ConsentGranted) -> Ended:
    referral_id = await accepted(kit, case, note=NOTE, languages=["sq"])
    done = await step(receiver(kit), referral_id, "complete")
    assert done.status_code == 200, done.text
    await case.tell(kit, withdrawn(consent))
    return referral_id, None


async def withdrawn_after_the_end(kit: Kit, case: Case, consent: ConsentGranted) -> Ended:
    referral_id, _ = await cancelled(kit, case, consent)
    await case.tell(kit, withdrawn(consent))
    return referral_id, None


@pytest.mark.row("F37", "F59")
@pytest.mark.parametrize(
    "story",
    [
        unread,
        declined,
        cancelled,
        cancelled_when_returned,
        expired,
        withdrawn_from,
        withdrawn_when_returned,
        withdrawn_after_the_end,
        withdrawn_after_completion,
    ],
)
async def test_no_route_tells_more_than_reading_the_referral(kit: Kit, story: Story) -> None:
    """Seeded: show reasons in lists, or leave in the feed the event that the sender is told."""
    is_closed = story is not unread
    case, consent = await ready(kit)
    referral_id, answer = await story(kit, case, consent)
    path = f"/v1/referrals/{referral_id}"
    for role, organisation_id in READERS:
        caller = kit.caller(role, organisation_id)
        read = await caller.get(path)
        known = _told(read.json())
        if is_closed:
            assert not {"sex", "age_group", "languages", "case_id", "reason"} & known.keys()
        _assert_silent(read, case)
        await _assert_listed_alike(caller, known)
        if is_closed:
            await _assert_refused_alike(caller, read, case)
        if organisation_id == SHELTER:
            kept = [e for e in await kit.feed(caller) if e.subject == referral_id]
            types = [event.type.split(".")[2] for event in kept]
            assert types == (["closed_to_receiver"] if is_closed else []), role
            for event in kept:
                bare = {"referral_id": str(referral_id), "status": known["status"]}
                assert event.data == bare, role
    if answer is not None:
        seen = (await receiver(kit).get(path)).json()
        assert _told(answer.json()).items() <= seen.items()


async def _assert_listed_alike(caller: httpx.AsyncClient, known: dict[str, Any]) -> None:
    hidden = ReferralItem.model_fields.keys() - ReferralPreview.model_fields
    for fields in (None, ",".join(ReferralItem.model_fields), "sex", *sorted(hidden)):
        query = {} if fields is None else {"fields": fields}
        [item] = (await caller.get("/v1/referrals", params=query)).json()["items"]
        expected = (
            known if fields is None else {k: v for k, v in known.items() if k in fields.split(",")}
        )
        assert _told(item) == expected, fields


async def _assert_refused_alike(
    caller: httpx.AsyncClient, read: httpx.Response, case: Case
) -> None:
    for verb, body in STEPS.items():
        for query in ("", "?validate_only=true"):
            path = f"/v1/referrals/{read.json()['id']}/{verb}{query}"
            refused = await caller.post(path, json=body, headers=if_match(read))
            assert not refused.is_success, verb
            assert {*refused.json()} - PLAIN <= {"legal", "side", "entitled"}, refused.text
            _assert_silent(refused, case)


def _assert_silent(answer: httpx.Response, case: Case) -> None:
    assert [text for text in (str(case.id), NOTE, WHY) if text in answer.text] == []


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if value not in (None, [])}


async def test_the_sender_is_told_what_happened_in_the_same_change(kit: Kit) -> None:
    """Seeded: tell the receiver's event alone, or under a version of its own."""
    case, consent = await ready(kit)
    referral_id, _ = await cancelled(kit, case, consent)

    [*_, ended, closed] = await kit.events(referral_id)
    own = await sender(kit).get(f"/v1/referrals/{referral_id}")
    read = [e.type for e in await kit.feed(sender(kit)) if e.subject == referral_id]
    seen = await receiver(kit).get(f"/v1/referrals/{referral_id}")

    assert (ended.type, ended.data["reason"]) == ("referral.referral.cancelled.v1", "NEED_ENDED")
    assert own.json()["reason"] == "NEED_ENDED"
    assert closed.type == "referral.referral.closed_to_receiver.v1"
    assert read[-1] == ended.type
    assert seen.headers["ETag"] == own.headers["ETag"] == f'"{closed.seq}"'


async def test_who_never_acknowledged_is_told_of_no_end(kit: Kit) -> None:
    """Seeded: tell every receiver; it had read nothing of the referral in the feed."""
    case, _ = await ready(kit)
    referral_id = await sent(kit, case)
    ended = await step(sender(kit), referral_id, "cancel", {"reason": "NEED_ENDED"})
    assert ended.status_code == 200, ended.text

    assert (await kit.events(referral_id))[-1].type == "referral.referral.cancelled.v1"
    assert [e for e in await kit.feed(receiver(kit)) if e.subject == referral_id] == []


@pytest.mark.row("F37")
@pytest.mark.parametrize("verb", ["acknowledge", "accept"])
async def test_a_missing_consent_tells_the_receiver_nothing_of_the_person(
    kit: Kit, verb: str
) -> None:
    """Seeded: name purpose, groups and whom to ask; a preview then tells a child from an adult."""
    case, _ = await ready(kit)
    referral_id = await (sent if verb == "acknowledge" else acknowledged)(kit, case)
    child = CaseIdentityRecorded(case_id=case.id, sex="FEMALE", age_group="12-17", is_minor=True)
    await case.tell(kit, child)
    seen = await receiver(kit).get(f"/v1/referrals/{referral_id}")

    for query in ("?validate_only=true", ""):
        path = f"/v1/referrals/{referral_id}/{verb}{query}"
        refused = await receiver(kit).post(path, headers=if_match(seen))

        assert (refused.status_code, refused.json()["code"]) == (403, "consent.missing")
        assert {*refused.json()} == PLAIN
