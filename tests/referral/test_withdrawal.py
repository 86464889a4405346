"""A withdrawal travels to every recipient, also to one whose referral had ended long ago."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from common.tables import OutboxMessage
from tests.kit import HOME, Kit
from tests.referral.story import (
    SHELTER,
    TODAY,
    Case,
    accepted,
    acknowledged,
    drafted,
    granted,
    ready,
    receiver,
    sender,
    sent,
    step,
    withdrawn,
)

CALLED_OFF = {"reason": "NEED_ENDED"}
DECLINED = {"reason": "NO_CAPACITY"}


async def completed(kit: Kit, case: Case, **fields: Any) -> UUID:
    referral_id = await accepted(kit, case, **fields)
    answer = await step(receiver(kit), referral_id, "complete")
    assert answer.status_code == 200, answer.text
    return referral_id


async def test_the_receiver_of_a_completed_referral_is_left_with_the_fact_and_the_date(
    kit: Kit,
) -> None:
    """Seeded: withdraw from open referrals only; the shelter reads the case for ever."""
    case, consent = await ready(kit)
    referral_id = await completed(kit, case, note="Needs insulin.")
    path = f"/v1/referrals/{referral_id}"
    before = (await receiver(kit).get(path)).json()

    await case.tell(kit, withdrawn(consent))

    seen = (await receiver(kit).get(path)).json()
    found = (await receiver(kit).get("/v1/referrals", params={"case_id": str(case.id)})).json()
    [item] = (await receiver(kit).get("/v1/referrals")).json()["items"]
    by_sender = (await sender(kit).get(path)).json()
    assert (before["case_id"], before["note"]) == (str(case.id), "Needs insulin.")
    assert (seen["status"], seen["consent_withdrawn_on"]) == ("COMPLETED", TODAY.isoformat())
    assert not {"case_id", "note", "purpose", "data_groups"} & seen.keys()
    assert (seen["sex"], seen["age_group"], seen["languages"]) == (None, None, [])
    assert found["items"] == []
    assert (item["case_id"], item["sex"]) == (None, None)
    assert item["consent_withdrawn_on"] == TODAY.isoformat()
    assert (by_sender["status"], by_sender["case_id"]) == ("COMPLETED", str(case.id))


async def test_the_withdrawal_of_a_completed_referral_is_told_once_to_each_side(kit: Kit) -> None:
    """Seeded: tell it again with each consent withdrawn, or to the sender alone."""
    case, consent = await ready(kit)
    more = granted(case.id, data_groups=("CONTACT",))
    await case.tell(kit, more)
    referral_id = await completed(kit, case, data_groups=["IDENTITY", "CONTACT"])

    await case.tell(kit, withdrawn(consent), withdrawn(more))

    [*_, before, event, closed] = await kit.events(referral_id)
    assert before.type == "referral.referral.completed.v1"
    assert event.type == "referral.referral.consent_withdrawn.v1"
    told = (event.data["status"], event.data["reason"], event.data["on"])
    assert told == ("COMPLETED", "CONSENT_WITHDRAWN", TODAY.isoformat())
    assert closed.type == "referral.referral.closed_to_receiver.v1"
    rows = await kit.rows(
        select(OutboxMessage)
        .where(OutboxMessage.event_id.in_([event.id, closed.id]))
        .order_by(OutboxMessage.seq)
    )
    read_by = [(row.organisation_id, row.other_organisation_id) for row in rows]
    assert read_by == [(HOME, None), (None, SHELTER)]
    [entry] = await kit.audit(operation="consume", object_ids=[str(referral_id)])
    assert (entry.actor, entry.action, entry.subject) == ("system", "update", case.id)


@pytest.mark.parametrize(
    ("end", "body", "is_told"),
    [
        ("decline", DECLINED, True),
        ("cancel", CALLED_OFF, True),
        ("cancel unread", CALLED_OFF, False),
    ],
)
async def test_who_had_learnt_of_the_person_and_is_no_longer_concerned_is_told_too(
    kit: Kit, end: str, body: dict[str, str], *, is_told: bool
) -> None:
    """Seeded: tell only whoever took the person in; what others read they would keep."""
    case, consent = await ready(kit)
    verb, _, unread = end.partition(" ")
    referral_id = await (sent if unread else acknowledged)(kit, case)
    caller = receiver(kit) if verb == "decline" else sender(kit)
    ended = await step(caller, referral_id, verb, body)
    assert ended.status_code == 200, ended.text

    await case.tell(kit, withdrawn(consent))

    types = [event.type for event in await kit.events(referral_id)]
    assert ("referral.referral.consent_withdrawn.v1" in types) is is_told
    read = [e.type.split(".")[2] for e in await kit.feed(receiver(kit)) if e.subject == referral_id]
    assert read == (["closed_to_receiver"] if is_told else [])
    shown = (await sender(kit).get(f"/v1/referrals/{referral_id}")).json()
    assert shown["status"] == ended.json()["status"]
    assert shown["consent_withdrawn_on"] == (TODAY.isoformat() if is_told else None)


async def test_a_cancelled_referral_tells_since_when(kit: Kit) -> None:
    case, consent = await ready(kit)
    referral_id = await accepted(kit, case)

    await case.tell(kit, withdrawn(consent))

    seen = (await receiver(kit).get(f"/v1/referrals/{referral_id}")).json()
    assert (seen["status"], seen["consent_withdrawn_on"]) == ("CANCELLED", TODAY.isoformat())


async def test_a_new_consent_does_not_open_what_was_withdrawn(kit: Kit) -> None:
    """Seeded: look at the consents of today; a later one, for something else, opens the past."""
    case, consent = await ready(kit)
    referral_id = await completed(kit, case)
    draft_id = await drafted(kit, case)

    await case.tell(kit, withdrawn(consent), granted(case.id))

    seen = (await receiver(kit).get(f"/v1/referrals/{referral_id}")).json()
    assert "case_id" not in seen
    anew = await step(sender(kit), draft_id, "submit")
    assert anew.status_code == 200, anew.text
