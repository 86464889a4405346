"""What was sent of a person is what is shown of her, until it is sent again."""

from uuid import UUID

import pytest

from common.contracts.intake import (
    CaseIdentityRecorded,
    CaseProfileChanged,
)
from tests.kit import HOME, Kit
from tests.referral.story import (
    drafted,
    ready,
    receiver,
    sent,
    step,
)

VERBS = {
    "SUBMITTED": [],
    "ACKNOWLEDGED": ["acknowledge"],
    "COMPLETED": ["acknowledge", "accept", "complete"],
}


def older(case_id: UUID) -> CaseProfileChanged:
    return CaseProfileChanged(
        case_id=case_id,
        beneficiary_kind="PRESUMED",
        sex="MALE",
        age_group="35+",
        is_minor=False,
        urgency="HIGH",
    )


def path(referral_id: UUID) -> str:
    return f"/v1/referrals/{referral_id}"


@pytest.mark.row("F81")
@pytest.mark.parametrize("end", ["SUBMITTED", "ACKNOWLEDGED", "COMPLETED"])
async def test_a_referral_shows_under_one_etag_one_sex_and_age(kit: Kit, end: str) -> None:
    """Seeded: let the case's events write sex and age into its referrals."""
    case, _ = await ready(kit)
    referral_id = await sent(kit, case)
    for verb in VERBS[end]:
        await step(receiver(kit), referral_id, verb)
    callers = (kit.caller("SOCIAL_WORKER", HOME), receiver(kit))
    before = [await caller.get(path(referral_id)) for caller in callers]

    identity = CaseIdentityRecorded(case_id=case.id, sex="MALE", age_group="35+", is_minor=False)
    await case.tell(kit, older(case.id), identity)

    after = [await caller.get(path(referral_id)) for caller in callers]
    assert [(a.headers["ETag"], a.json()) for a in after] == [
        (b.headers["ETag"], b.json()) for b in before
    ]
    assert {a.json()["sex"] for a in after} == {"FEMALE"}


@pytest.mark.parametrize("status", ["DRAFT", "RETURNED_FOR_INFO"])
async def test_a_sending_brings_sex_and_age_up_to_date(kit: Kit, status: str) -> None:
    """Seeded: freeze them at drafting; a service would be chosen for another person."""
    case, _ = await ready(kit)
    home = kit.caller("SOCIAL_WORKER", HOME)
    referral_id = await (drafted if status == "DRAFT" else sent)(kit, case)
    if status != "DRAFT":
        await step(receiver(kit), referral_id, "return_for_info", {"reason": "NEEDS_UNCLEAR"})
    await case.tell(kit, older(case.id))

    if status == "DRAFT":
        answer = await step(home, referral_id, "submit")
    else:
        answer = await step(home, referral_id, "resubmit", {})

    seen = (await receiver(kit).get(path(referral_id))).json()
    assert answer.status_code == 200, answer.text
    assert (seen["sex"], seen["age_group"]) == ("MALE", "35+")
