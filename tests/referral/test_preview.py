"""Who sees how much of a referral: the sender all, the receiver a preview first, others nothing."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from common.clock import new_id
from common.relay import Relay
from referral.schemas.referral import ReferralPreview
from tests.kit import ELSEWHERE, HOME, Kit
from tests.referral.story import (
    SHELTER,
    accepted,
    acknowledged,
    drafted,
    ready,
    receiver,
    sender,
    sent,
    step,
)

NOTE = "Мајка зна само шта је рекла сестра; needs insulin."
TRACE = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}


def path(referral_id: UUID) -> str:
    return f"/v1/referrals/{referral_id}"


async def listed(caller: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await caller.get("/v1/referrals", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


# --- F37


@pytest.mark.row("F37")
async def test_before_acknowledgement_the_receiver_sees_band_sex_need_language_and_urgency(
    kit: Kit,
) -> None:
    case, _ = await ready(kit)
    referral_id = await sent(kit, case, note=NOTE, languages=["sq"], urgency="CRISIS")

    answer = await receiver(kit).get(path(referral_id))

    assert answer.json() == {
        "id": str(referral_id),
        "version": 2,
        "status": "SUBMITTED",
        "sending_organisation_id": str(HOME),
        "receiving_organisation_id": str(SHELTER),
        "service_id": None,
        "service_type": "SHELTER",
        "urgency": "CRISIS",
        "sex": "FEMALE",
        "age_group": "25-34",
        "languages": ["sq"],
        "submitted_at": "2026-05-04T10:00:00Z",
        "respond_by": "2026-05-05T10:00:00Z",
        "consent_withdrawn_on": None,
    }
    assert set(answer.json()) == set(ReferralPreview.model_fields)
    assert str(case.id) not in answer.text
    [item] = await listed(receiver(kit))
    assert item["case_id"] is None


@pytest.mark.row("F37", "F15")
async def test_after_acknowledgement_the_receiver_sees_case_and_note_and_that_is_recorded(
    kit: Kit,
) -> None:
    case, _ = await ready(kit)
    referral_id = await acknowledged(kit, case, note=NOTE)

    answer = await receiver(kit).get(path(referral_id))

    assert answer.json()["note"] == NOTE
    assert answer.json()["case_id"] == str(case.id)
    [*_, entry] = await kit.audit(operation="get_referral", organisation_id=SHELTER)
    assert (entry.action, entry.object_ids, entry.subject) == (
        "read",
        [str(referral_id)],
        case.id,
    )
    assert (entry.data_groups, entry.purpose) == (["IDENTITY"], "ASSISTANCE")
    assert entry.legal_basis == "CONSENT"


@pytest.mark.row("F15")
@pytest.mark.parametrize("shown", ["preview", "without a note"])
async def test_a_reading_that_opens_nothing_is_recorded_with_its_legal_basis(
    kit: Kit, shown: str
) -> None:
    """Seeded: name basis and purpose only where a note was opened."""
    case, _ = await ready(kit)
    if shown == "preview":
        referral_id = await sent(kit, case, note=NOTE)
    else:
        referral_id = await acknowledged(kit, case)

    await receiver(kit).get(path(referral_id))

    [*_, entry] = await kit.audit(operation="get_referral", organisation_id=SHELTER)
    assert (entry.action, entry.data_groups, entry.subject) == ("read", [], case.id)
    assert (entry.legal_basis, entry.purpose) == ("CONSENT", "ASSISTANCE")


async def test_the_sender_sees_all_of_it_at_any_time(kit: Kit) -> None:
    case, _ = await ready(kit)
    referral_id = await drafted(kit, case, note=NOTE)

    answer = await sender(kit).get(path(referral_id))

    assert (answer.json()["status"], answer.json()["note"]) == ("DRAFT", NOTE)


# --- after the end


@pytest.mark.parametrize("end", ["decline", "cancel"])
async def test_who_was_called_off_keeps_the_fact_and_the_date_and_nothing_of_the_person(
    kit: Kit, end: str
) -> None:
    case, _ = await ready(kit)
    referral_id = await acknowledged(kit, case, note=NOTE, languages=["sq"])
    caller = receiver(kit) if end == "decline" else sender(kit)
    answer = await step(caller, referral_id, end, {"reason": "SAFETY_RISK", "note": "Известно."})
    assert answer.status_code == 200

    seen = (await receiver(kit).get(path(referral_id))).json()
    [item] = await listed(receiver(kit))

    assert (seen["sex"], seen["age_group"], seen["languages"]) == (None, None, [])
    assert (item["case_id"], item["sex"], item["age_group"]) == (None, None, None)
    assert seen["submitted_at"] == "2026-05-04T10:00:00Z"
    assert not {"note", "reason_note", "case_id"} & set(seen)


async def test_the_sender_reads_why_and_what_instead(kit: Kit) -> None:
    case, _ = await ready(kit)
    referral_id = await acknowledged(kit, case)
    await step(receiver(kit), referral_id, "decline", {"reason": "OTHER", "note": "Реновирање."})

    seen = (await sender(kit).get(path(referral_id))).json()

    assert (seen["reason"], seen["reason_note"]) == ("OTHER", "Реновирање.")


# --- what is stored and what is told


async def test_a_note_is_stored_sealed_and_told_to_nobody(kit: Kit) -> None:
    case, _ = await ready(kit)
    referral_id = await acknowledged(kit, case, note=NOTE)
    question = {"reason": "NEEDS_UNCLEAR", "note": "Које лекове узима?"}
    await step(receiver(kit), referral_id, "return_for_info", question)
    await step(sender(kit), referral_id, "resubmit", {"note": "Само аспирин."})

    stored = kit.stored_bytes()

    for text in (NOTE, "Које лекове узима?", "Само аспирин."):
        assert text.encode() not in stored
    read = (await receiver(kit).get(path(referral_id))).json()
    assert (read["note"], read["reason_note"]) == ("Само аспирин.", None)


# Until it acknowledges, a receiver sees a preview without the case; the feed must not undo that.
# Fails when an event before the acknowledgement names the receiver among its readers.
async def test_the_change_feed_tells_the_receiver_of_a_referral_from_its_acknowledgement_on(
    kit: Kit,
) -> None:
    case, _ = await ready(kit)
    kept_back = await drafted(kit, case)
    await step(sender(kit), kept_back, "cancel", {"reason": "NEED_ENDED"})
    await sent(kit, case)
    referral_id = await sent(kit, case)
    await step(receiver(kit), referral_id, "acknowledge")
    relay = Relay(kit.runtime.database, kit.runtime.bus)
    await relay.lead()
    await relay.publish_waiting()

    told = {
        caller: [
            (item["subject"], item["type"])
            for item in (await client.get("/v1/changes")).json()["items"]
            if item["type"].startswith("referral.referral.")
        ]
        for caller, client in (("sender", sender(kit)), ("receiver", receiver(kit)))
    }

    assert told["receiver"] == [(str(referral_id), "referral.referral.acknowledged.v1")]
    assert len(told["sender"]) == 7


async def test_once_called_off_the_receivers_feed_keeps_the_end_alone(kit: Kit) -> None:
    """Seeded: leave the earlier steps, with the case in them, beside a preview without it."""
    case, _ = await ready(kit)
    referral_id = await acknowledged(kit, case)
    await step(sender(kit), referral_id, "cancel", {"reason": "NEED_ENDED"})

    mine, theirs = [
        [
            event.type.split(".")[2]
            for event in await kit.feed(client)
            if event.subject == referral_id
        ]
        for client in (sender(kit), receiver(kit))
    ]

    assert mine == ["drafted", "submitted", "acknowledged", "cancelled"]
    assert theirs == ["closed_to_receiver"]


async def test_a_role_that_reads_as_receiver_is_not_told_what_its_organisation_sent(
    kit: Kit,
) -> None:
    """Seeded: let every relation open both columns of the feed."""
    case, _ = await ready(kit)
    await acknowledged(kit, case)

    told = await kit.feed(kit.caller("PROSECUTOR", HOME))

    assert [event for event in told if event.subject != SHELTER] == []


# --- nothing at all


# Fails when a refusal to see differs in one byte from a referral that does not exist.
@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [
        ("GET", "", None),
        ("POST", "/submit", None),
        ("POST", "/resubmit", {}),
        ("POST", "/cancel", {"reason": "OTHER"}),
        ("POST", "/acknowledge", None),
        ("POST", "/return_for_info", {"reason": "OTHER"}),
        ("POST", "/accept", None),
        ("POST", "/decline", {"reason": "OTHER"}),
        ("POST", "/complete", None),
    ],
)
async def test_what_may_not_be_seen_looks_like_what_is_not_there(
    kit: Kit, method: str, suffix: str, body: dict[str, Any] | None
) -> None:
    case, _ = await ready(kit)
    draft_id, sent_id = await drafted(kit, case), await sent(kit, case)
    stranger = kit.caller("SHELTER_STAFF", ELSEWHERE)
    headers = {"If-Match": '"1"', **TRACE}

    absent = await stranger.request(method, path(new_id()) + suffix, json=body, headers=headers)
    hidden = await stranger.request(method, path(sent_id) + suffix, json=body, headers=headers)
    # The receiver of a draft is a stranger to it as well.
    early = await receiver(kit).request(method, path(draft_id) + suffix, json=body, headers=headers)

    assert absent.status_code == 404
    for answer in (hidden, early):
        assert (answer.status_code, answer.content) == (404, absent.content)
        assert answer.headers == absent.headers


# --- lists


async def test_a_list_shows_what_an_organisation_sent_and_received(kit: Kit) -> None:
    case, _ = await ready(kit)
    draft_id, sent_id = await drafted(kit, case), await sent(kit, case)

    ids = {
        name: {item["id"] for item in await listed(client, **query)}
        for name, client, query in [
            ("sender", sender(kit), {}),
            ("sent", sender(kit), {"direction": "SENT"}),
            ("none", sender(kit), {"direction": "RECEIVED"}),
            ("receiver", receiver(kit), {"direction": "RECEIVED"}),
            ("drafts", sender(kit), {"status": "DRAFT"}),
            ("stranger", kit.caller("SHELTER_STAFF", ELSEWHERE), {}),
        ]
    }

    both = {str(draft_id), str(sent_id)}
    assert ids == {
        "sender": both,
        "sent": both,
        "none": set(),
        "receiver": {str(sent_id)},
        "drafts": {str(draft_id)},
        "stranger": set(),
    }


# Fails when a receiver can ask whether a person it knows is behind a preview.
async def test_a_receiver_finds_a_case_only_where_it_may_know_it(kit: Kit) -> None:
    case, _ = await ready(kit)
    known = await accepted(kit, case)
    unread = await sent(kit, case)

    found = await listed(receiver(kit), case_id=str(case.id))
    of_sender = await listed(sender(kit), case_id=str(case.id))

    assert [item["id"] for item in found] == [str(known)]
    assert {item["id"] for item in of_sender} == {str(known), str(unread)}
    await step(sender(kit), known, "cancel", {"reason": "CASE_CLOSED"})
    assert await listed(receiver(kit), case_id=str(case.id)) == []


async def test_the_contact_point_sees_every_submitted_referral_without_the_case(kit: Kit) -> None:
    case, _ = await ready(kit)
    await drafted(kit, case)
    sent_id = await acknowledged(kit, case, note=NOTE)
    contact_point = kit.caller("NATIONAL_CONTACT_POINT", new_id())

    items = await listed(contact_point)
    seen = await contact_point.get(path(sent_id))

    assert [(item["id"], item["case_id"]) for item in items] == [(str(sent_id), None)]
    assert set(seen.json()) == set(ReferralPreview.model_fields)
    assert await listed(contact_point, case_id=str(case.id)) == []


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"colour": "red"}, 400, "filter.unknown"),
        ({"status": "LOST"}, 400, "filter.invalid"),
        ({"respond_by.lt": "soon"}, 400, "filter.invalid"),
        ({"direction": "UP"}, 400, "query.invalid"),
        ({"limit": 0}, 400, "query.invalid"),
    ],
)
async def test_a_list_refuses_what_it_cannot_read(
    kit: Kit, query: dict[str, Any], status: int, code: str
) -> None:
    answer = await sender(kit).get("/v1/referrals", params=query)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
