"""What must be so before a referral leaves the country, and before a person does (domain.md section 4)."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from common.clock import new_id
from common.contracts.intake import CaseAssigned
from tests.kit import ELSEWHERE, HOME, if_match
from tests.referral.crossing import REFUGE, URL, Crossing, agreed, draft, open_crossing, plan
from tests.referral.story import (
    NOW,
    TODAY,
    Case,
    drafted,
    now_is,
    opened,
    register,
    sender,
    step,
    withdrawn,
)
from tests.referral.story import draft as draft_at_home


@pytest.fixture
async def crossing(tmp_path: Path) -> AsyncIterator[Crossing]:
    now_is(NOW)
    async with open_crossing(tmp_path) as ready:
        yield ready


async def refused(crossing: Crossing, case: Case, **fields: Any) -> dict[str, Any]:
    """Draft, try to submit, and see that nothing left; return the refusal."""
    referral_id = await crossing.drafted(case, **fields)

    answer = await crossing.s.step(referral_id, "submit")

    assert answer.status_code in {403, 409}, answer.text
    assert await crossing.s.status(referral_id) == "DRAFT"
    assert await crossing.s.letters(referral_id) == []
    assert [e.data["status"] for e in await crossing.s.kit.events(referral_id)] == ["DRAFT"]
    body: dict[str, Any] = answer.json()
    return body


# --- whom one may write to


async def test_a_country_without_a_descriptor_is_no_peer(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    sender = crossing.s.by("submit")

    for country in ("BA", "RS"):
        answer = await sender.post(URL, json=draft(case.id, peer_country=country))
        assert (answer.status_code, answer.json()["code"]) == (422, "peer.unknown")
        assert answer.json()["errors"][0]["pointer"] == "/peer_country"


async def test_who_removes_a_peer_writes_to_it_no_more(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    folder = crossing.s.kit.runtime.settings.peers_folder
    assert folder is not None
    (folder / "XK.json").unlink()

    answer = await crossing.s.by("submit").post(URL, json=draft(case.id))

    assert answer.json()["code"] == "peer.unknown"


async def test_only_who_has_the_case_may_refer_it(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    elsewhere = crossing.s.caller("SOCIAL_WORKER", ELSEWHERE)

    for caller, case_id in ((elsewhere, case.id), (crossing.s.by("submit"), new_id())):
        answer = await caller.post(URL, json=draft(case_id))
        assert (answer.status_code, answer.json()["code"]) == (409, "referral.case_unknown")


@pytest.mark.row("C1")
async def test_a_case_that_another_country_has_is_referred_by_nobody_here(
    crossing: Crossing,
) -> None:
    """Seeded: do not look whether the case was given away; forget that a refusal brings it back."""
    case, _ = await crossing.ready()
    s = crossing.s
    await register(s.kit)
    abroad, at_home = await crossing.drafted(case), await drafted(s.kit, case)
    referral_id = await crossing.arrived(case)

    async def assert_not_here() -> None:
        answers = [
            await s.by("submit").post(URL, json=draft(case.id)),
            await s.step(abroad, "submit"),
            await sender(s.kit).post("/v1/referrals", json=draft_at_home(case.id)),
            await step(sender(s.kit), at_home, "submit"),
        ]
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (409, "ownership.not_here")

    await crossing.give(case, referral_id)
    await assert_not_here()
    await crossing.answer(referral_id, "TAKEN")
    await assert_not_here()
    await crossing.answer(referral_id, "REFUSED")  # what was taken is not refused any more
    await assert_not_here()


@pytest.mark.row("C1")
async def test_a_case_that_was_refused_is_here_again(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.arrived(case)
    await crossing.give(case, referral_id)

    await crossing.answer(referral_id, "REFUSED")

    await crossing.s.do(await crossing.drafted(case), "submit")


# --- preparation


OLD = (TODAY - timedelta(days=30)).isoformat()
FRESH = (TODAY - timedelta(days=29)).isoformat()


@pytest.mark.parametrize(
    ("fields", "lacking"),
    [
        ({"risk_assessed_on": None}, ["RISK_ASSESSMENT"]),
        ({"risk_assessed_on": OLD}, ["RISK_ASSESSMENT"]),
        ({"risk_assessed_on": "2026-05-05"}, ["RISK_ASSESSMENT"]),
        ({"needs_assessed_on": None}, ["NEEDS_ASSESSMENT"]),
        ({"needs_assessed_on": OLD}, ["NEEDS_ASSESSMENT"]),
        ({"transfer_basis": None}, ["TRANSFER_BASIS"]),
        (
            {"transfer_basis": None, "risk_assessed_on": None, "needs_assessed_on": None},
            ["RISK_ASSESSMENT", "NEEDS_ASSESSMENT", "TRANSFER_BASIS"],
        ),
    ],
)
async def test_a_draft_that_is_not_prepared_is_not_sent(
    crossing: Crossing, fields: dict[str, Any], lacking: list[str]
) -> None:
    """Seeded: let an assessment of 30 days ago count; take a day to come for one that is over."""
    case, _ = await crossing.ready()

    refusal = await refused(crossing, case, **fields)

    assert (refusal["code"], refusal["lacking"]) == ("cross_border.not_ready", lacking)


async def test_assessments_of_29_days_ago_are_young_enough(crossing: Crossing) -> None:
    case, _ = await crossing.ready()

    referral_id = await crossing.sent(case, risk_assessed_on=FRESH, needs_assessed_on=FRESH)

    assert await crossing.r.status(referral_id) == "SUBMITTED"


async def test_a_child_is_referred_with_a_guardian_s_consent_and_a_guardian(
    crossing: Crossing,
) -> None:
    case = Case()
    consent = agreed(case.id, given_by="GUARDIAN", guardian="APPOINTED")
    facts = opened(case.id, is_minor=True, age_group="12-17")
    await case.tell(crossing.s.kit, facts, consent)

    refusal = await refused(crossing, case)
    too_early = await refused(crossing, case, guardian_appointed_on="2026-05-05")
    referral_id = await crossing.sent(case, guardian_appointed_on="2026-04-02")

    assert (refusal["code"], refusal["lacking"]) == ("cross_border.not_ready", ["GUARDIAN"])
    assert too_early["lacking"] == ["GUARDIAN"]
    assert (await crossing.r.row(referral_id)).age_group == "12-17"


# --- consent


@pytest.mark.parametrize(
    "terms",
    [
        {"scope": "SHARE_NATIONAL"},
        {"recipient_countries": ("BA",)},
        {"recipient_kinds": ("NGO",)},
        {"recipient_kinds": ()},
        {"purposes": ("RETURN",)},
        {"data_groups": ("IDENTITY",)},
        {"expires_on": TODAY - timedelta(days=1)},
        {"granted_on": TODAY + timedelta(days=1)},
        {"given_by": "GUARDIAN", "guardian": "PARENT"},
    ],
)
async def test_without_a_consent_that_covers_it_whole_it_is_not_sent(
    crossing: Crossing, terms: dict[str, Any]
) -> None:
    case = Case()
    await case.tell(crossing.s.kit, opened(case.id), agreed(case.id, **terms))

    refusal = await refused(crossing, case)

    assert refusal["code"] == "consent.missing"
    assert (refusal["scope"], refusal["purpose"]) == ("SHARE_CROSS_BORDER", "ASSISTANCE")
    assert refusal["case_version"] == 2


async def test_a_withdrawn_consent_covers_nothing(crossing: Crossing) -> None:
    case, consent = await crossing.ready()
    await case.tell(crossing.s.kit, withdrawn(consent))

    assert (await refused(crossing, case))["code"] == "consent.missing"


async def test_a_consent_may_name_the_organisation_abroad(crossing: Crossing) -> None:
    case = Case()
    terms = {"recipient_kinds": (), "recipient_organisation_id": REFUGE}
    consent = agreed(case.id).model_copy(update=terms)
    await case.tell(crossing.s.kit, opened(case.id), consent)

    refusal = await refused(crossing, case)
    named = await crossing.sent(case, requested_organisation_id=str(REFUGE), requested_kind=None)

    assert refusal["code"] == "consent.missing"
    assert await crossing.r.status(named) == "SUBMITTED"


async def test_a_resubmission_is_checked_as_the_first_one_was(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    await crossing.r.do(referral_id, "return", {"reason": "RISK_UNCLEAR"})
    await crossing.post()
    now_is(NOW + timedelta(days=20))

    stale = await crossing.s.step(referral_id, "resubmit", {})
    fresh = {"risk_assessed_on": "2026-05-23", "needs_assessed_on": "2026-05-23"}
    answer = await crossing.s.step(referral_id, "resubmit", fresh)

    assert stale.json()["code"] == "cross_border.not_ready"
    assert (answer.status_code, answer.json()["risk_assessed_on"]) == (200, "2026-05-23")


async def test_a_case_that_went_to_another_organisation_is_not_sent(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    moved = CaseAssigned(case_id=case.id, organisation_id=ELSEWHERE, worker="w-1")
    await case.tell(crossing.s.kit, moved)

    answer = await crossing.s.step(referral_id, "submit")

    assert (answer.status_code, answer.json()["code"]) == (409, "referral.case_unknown")


# --- the journey


@pytest.mark.parametrize(
    ("changed", "code", "pointer"),
    [
        ({"has_informed_decision": False}, "cross_border.not_safe", "/has_informed_decision"),
        ({"took_part_in_planning": False}, "cross_border.not_safe", "/took_part_in_planning"),
        ({"has_travel_documents": False}, "cross_border.not_safe", "/has_travel_documents"),
        ({"planned_on": "2026-05-03"}, "cross_border.planned_in_past", "/planned_on"),
    ],
)
async def test_a_journey_that_is_not_safe_is_not_planned(
    crossing: Crossing, changed: dict[str, Any], code: str, pointer: str
) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.packaged(case)

    answer = await crossing.s.step(referral_id, "plan-transfer", plan(**changed))

    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert await crossing.s.status(referral_id) == "ACCEPTED"


async def test_no_precondition_no_journey(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.packaged(case)
    without = {name: value for name, value in plan().items() if name != "precondition"}

    for body in (without, plan(precondition="NOBODY_ASKED")):
        answer = await crossing.s.step(referral_id, "plan-transfer", body)
        assert (answer.status_code, await crossing.s.status(referral_id)) == (422, "ACCEPTED")


async def test_a_step_needs_the_version_it_was_decided_on(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    sender = crossing.s.by("submit")
    seen = await sender.get(f"{URL}/{referral_id}")
    await crossing.s.do(referral_id, "submit")

    stale = await sender.post(
        f"{URL}/{referral_id}/cancel", json={"reason": "OTHER"}, headers=if_match(seen)
    )
    without = await sender.post(f"{URL}/{referral_id}/cancel", json={"reason": "OTHER"})

    assert (stale.status_code, without.status_code) == (412, 428)
    assert (await crossing.s.row(referral_id)).organisation_id == HOME


async def test_nobody_arrives_in_a_country_that_has_no_case_of_her(crossing: Crossing) -> None:
    """Seeded: take the step: S could hand over what R's register cannot take, and nobody could write."""
    case, _ = await crossing.ready()
    referral_id = await crossing.accepted(case)
    await crossing.s.do(referral_id, "plan-transfer", plan())
    await crossing.s.do(referral_id, "depart")
    await crossing.post()

    answer = await crossing.r.step(referral_id, "confirm-arrival")

    assert (answer.status_code, answer.json()["code"]) == (409, "cross_border.case_missing")
    assert await crossing.r.status(referral_id) == "IN_TRANSFER"
