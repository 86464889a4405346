"""What is left of a plan when the person withdraws consent, and what brings it back."""

from datetime import date
from uuid import UUID, uuid5

import httpx
import pytest
from sqlalchemy import select

from common.contracts.referral import (
    ReferralCancelled,
    ReferralCompleted,
    ReferralConsentWithdrawn,
)
from common.events import Event
from reintegration.domain.phases import Phase
from reintegration.models import Plan, PlanReferral
from reintegration.schemas import PlanDetail
from tests.kit import ELSEWHERE, HOME, Kit, if_match, told
from tests.reintegration.plans import (
    CASE,
    CENTRE,
    PLAN,
    REFERRAL,
    TERMS,
    accepted,
    agree,
    open_plan,
    start,
    step,
    today_is,
    types,
    written,
)

SECOND = UUID("20000000-0000-4000-8000-000000000002")
WITHDRAWN_ON = date(2026, 2, 2)
AGREEMENTS = f"/v1/plans/{PLAN}/agreements"
OF_A_GROUP = {name for name in PlanDetail.model_fields if PlanDetail.group_of(name) is not None}
STOPPED = ["opened", "suspended", "closed_to_organisation"]


def ended(
    referral_id: UUID = REFERRAL,
    *,
    reason: str | None = "CONSENT_WITHDRAWN",
    receiver: UUID = HOME,
) -> list[Event]:
    """Return the end of an accepted referral: cancelled with a reason, or completed with none."""
    event_type = ReferralCompleted if reason is None else ReferralCancelled
    event = event_type(
        referral_id=referral_id,
        case_id=CASE,
        sending_organisation_id=CENTRE,
        receiving_organisation_id=receiver,
        service_type="SHELTER",
        urgency="HIGH",
        status="COMPLETED" if reason is None else "CANCELLED",
        previous_status="ACCEPTED",
        reason=reason,
        on=WITHDRAWN_ON,
    )
    return told("referral", referral_id, event, first_seq=2)


def completed_then_withdrawn(referral_id: UUID = REFERRAL) -> list[Event]:
    """Return the completion of an accepted referral, and the withdrawal that came after it."""
    [completed] = ended(referral_id, reason=None)
    withdrawn = ReferralConsentWithdrawn.model_validate(
        completed.data | {"previous_status": "COMPLETED", "reason": "CONSENT_WITHDRAWN"}
    )
    return [completed, *told("referral", referral_id, withdrawn, first_seq=3)]


def plan_of(referral_id: UUID) -> UUID:
    return uuid5(referral_id, "plan")


@pytest.fixture
async def worker(kit: Kit) -> httpx.AsyncClient:
    """A case manager with a started plan that has an agreement and a note."""
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    await start(worker)
    await agree(worker, "PERSON")
    await step(worker, "suspend", note="In hospital.")
    await step(worker, "resume")
    today_is(WITHDRAWN_ON)
    return worker


async def withdrawn_on(kit: Kit) -> date | None:
    [plan] = await kit.rows(select(Plan))
    assert plan.is_suspended is (plan.consent_withdrawn_on is not None)
    day: date | None = plan.consent_withdrawn_on
    return day


async def test_a_withdrawal_leaves_the_fact_and_the_dates(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    await kit.hear(*ended())

    shown = (await worker.get(f"/v1/plans/{PLAN}")).json()
    assert (shown["is_suspended"], shown["consent_withdrawn_on"]) == (True, "2026-02-02")
    assert (shown["opened_on"], shown["entered_on"]) == ("2026-01-15", "2026-01-15")
    [listed] = (await worker.get("/v1/plans")).json()["items"]
    assert shown == listed
    assert not OF_A_GROUP & shown.keys()
    assert (await worker.get(f"/v1/plans/{PLAN}/notes")).json() == {"items": []}
    [agreement] = (await worker.get(AGREEMENTS)).json()["items"]
    assert agreement.keys() == {"id", "plan_id", "agreement_version", "effective_on"}
    opened = [entry for entry in await kit.audit(action="read") if entry.data_groups]
    assert opened == []
    # Seeded: leave the phases in the feed of who keeps the fact, or take them from the case's owner.
    [closed] = await kit.feed(worker)
    assert closed.type == "reintegration.plan.closed_to_organisation.v1"
    assert closed.data == {"plan_id": str(PLAN)}
    assert len(await kit.feed(kit.caller("SOCIAL_WORKER", CENTRE))) == len(await kit.events(PLAN))
    [*_, why, last] = await kit.events(PLAN)
    assert (why.type, last.id) == ("reintegration.plan.suspended.v1", closed.id)
    assert (why.data["suspended_on"], why.data["reason"]) == ("2026-02-02", "CONSENT_WITHDRAWN")


async def test_a_withdrawal_stops_every_step_and_agreement(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    [agreement] = (await worker.get(AGREEMENTS)).json()["items"]
    await kit.hear(*ended())
    before = await written(kit)
    version = if_match(await worker.get(f"/v1/plans/{PLAN}"))

    refused = [
        await step(worker, "start", entered_on="2026-02-02"),
        await step(worker, "phase", to_phase="TRANSITION", reason="READY_EARLY"),
        await step(worker, "suspend"),
        await step(worker, "resume"),
        await step(worker, "close", reason="WITHDREW", closed_on="2026-02-02"),
        await step(worker, "reopen", reason="RELAPSE"),
        await worker.post(AGREEMENTS, json=TERMS),
        await worker.post(
            f"{AGREEMENTS}/{agreement['id']}/sign",
            json={"party": "CASE_WORKER", "signed_on": "2026-02-02"},
            headers=version,
        ),
    ]

    codes = [(answer.status_code, answer.json()["code"]) for answer in refused]
    assert codes == [(403, "consent.missing")] * 8
    events = len(await kit.events())
    assert events == before[0]


async def test_a_closed_plan_is_not_reopened_nor_read_after_a_withdrawal(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    await step(worker, "close", reason="WITHDREW", closed_on="2026-02-02", note="She left.")
    await kit.hear(*ended())

    refused = await step(worker, "reopen", reason="RELAPSE")

    assert (refused.status_code, refused.json()["code"]) == (403, "consent.missing")
    assert (await worker.get(f"/v1/plans/{PLAN}/notes")).json() == {"items": []}
    assert "closure_reason" not in (await worker.get(f"/v1/plans/{PLAN}")).json()


@pytest.mark.parametrize(
    ("events", "stopped"),
    [
        (ended(reason="NEED_ENDED"), False),
        (ended(reason=None), False),
        ([*accepted(SECOND), *ended()], False),
        ([*accepted(SECOND), *ended(), *ended(SECOND)], True),
        ([*accepted(SECOND), *ended(SECOND, reason=None), *ended()], True),
        (completed_then_withdrawn(), True),
        ([*accepted(SECOND), *completed_then_withdrawn()], False),
        ([*accepted(SECOND), *completed_then_withdrawn(), *ended(SECOND)], True),
        # A referral to somebody else is no consent for this organisation, and its end no withdrawal.
        (
            [*accepted(SECOND, receiver=ELSEWHERE), *ended(SECOND, receiver=ELSEWHERE)],
            False,
        ),
        # Seeded: ask only whether another referral carries the plan; its own is completed.
        (
            [
                *accepted(SECOND, receiver=ELSEWHERE),
                *ended(reason=None),
                *ended(SECOND, receiver=ELSEWHERE),
            ],
            False,
        ),
    ],
)
async def test_a_plan_is_stopped_when_nothing_else_carries_it(
    *, kit: Kit, events: list[Event], stopped: bool
) -> None:
    await open_plan(kit)

    await kit.hear(*events)

    assert await withdrawn_on(kit) == (WITHDRAWN_ON if stopped else None)


async def test_a_new_accepted_referral_lifts_the_withdrawal(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    await kit.hear(*ended(), *accepted(SECOND, on=WITHDRAWN_ON))

    assert await withdrawn_on(kit) is None
    assert types(await kit.events(PLAN))[-2:] == ["referral_linked", "resumed"]
    [note] = (await worker.get(f"/v1/plans/{PLAN}/notes")).json()["items"]
    assert note["note"] == "In hospital."


# Seeded: filter by the stored phase; asking phase by phase tells what the answer hides.
async def test_no_filter_tells_the_phase_of_a_plan_that_was_withdrawn(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    await kit.hear(*ended())
    owner = kit.caller("SOCIAL_WORKER", CENTRE)

    asked = [await worker.get(f"/v1/plans?phase={phase}") for phase in Phase]
    by_owner = await owner.get("/v1/plans?phase=CRISIS")
    several = await worker.get(f"/v1/plans?phase.in={','.join(Phase)}")

    assert [answer.json()["items"] for answer in [*asked, several]] == [[]] * (len(Phase) + 1)
    assert [plan["phase"] for plan in by_owner.json()["items"]] == ["CRISIS"]


async def test_a_withdrawn_plan_tells_its_organisation_neither_case_nor_referral(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    """Seeded: hide them in the answer alone; the filter by case finds the plan of a known person."""
    before = (await worker.get(f"/v1/plans/{PLAN}")).json()
    await kit.hear(*ended())
    owner = kit.caller("SOCIAL_WORKER", CENTRE)

    shown = await worker.get(f"/v1/plans/{PLAN}")
    [item] = (await worker.get("/v1/plans")).json()["items"]
    found = await worker.get("/v1/plans", params={"case_id": str(CASE)})
    by_owner = (await owner.get("/v1/plans", params={"case_id": str(CASE)})).json()["items"]

    assert (before["case_id"], before["referral_id"]) == (str(CASE), str(REFERRAL))
    for read in (shown.json(), item):
        assert not {"case_id", "referral_id"} & read.keys()
        assert read["consent_withdrawn_on"] == WITHDRAWN_ON.isoformat()
    assert str(CASE) not in shown.text
    assert found.json()["items"] == []
    assert [plan["case_id"] for plan in by_owner] == [str(CASE)]


async def test_a_refused_step_of_a_withdrawn_plan_does_not_tell_a_child_from_an_adult(
    kit: Kit,
) -> None:
    """Seeded: name in the refusal whom to ask for a new consent."""
    await open_plan(kit, is_minor=True)
    await kit.hear(*ended())

    refused = await step(kit.caller("NGO_CASE_MANAGER"), "resume")

    assert (refused.status_code, refused.json()["code"]) == (403, "consent.missing")
    assert {*refused.json()} == {"type", "title", "status", "detail", "code", "trace_id"}


# Seeded: show all referrals of the plan; the organisation follows where else she found support.
async def test_the_receiver_of_a_withdrawn_plan_sees_no_referral_to_others(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    await kit.hear(*accepted(SECOND, receiver=ELSEWHERE))
    before = (await worker.get(f"/v1/plans/{PLAN}")).json()["referrals"]

    await kit.hear(*ended(SECOND, receiver=ELSEWHERE), *ended())

    after = (await worker.get(f"/v1/plans/{PLAN}")).json()
    assert len(before) == 2
    # Not its own either: at referral it keeps that one without the case.
    assert "referrals" not in after


@pytest.mark.parametrize("close_first", [False, True])
async def test_a_withdrawal_after_the_referrals_completion_leaves_only_the_fact(
    kit: Kit, worker: httpx.AsyncClient, *, close_first: bool
) -> None:
    """Seeded: stop plans of cancelled referrals only; the finished ones stay open for ever."""
    if close_first:
        await step(worker, "close", reason="WITHDREW", closed_on="2026-02-02", note="She left.")

    await kit.hear(*completed_then_withdrawn())

    shown = (await worker.get(f"/v1/plans/{PLAN}")).json()
    assert shown["consent_withdrawn_on"] == "2026-02-02"
    assert not OF_A_GROUP & shown.keys()
    assert (await worker.get(f"/v1/plans/{PLAN}/notes")).json() == {"items": []}
    verb, body = ("reopen", {"reason": "RELAPSE"}) if close_first else ("resume", {})
    refused = await step(worker, verb, **body)
    assert (refused.status_code, refused.json()["code"]) == (403, "consent.missing")
    [referral] = await kit.rows(select(PlanReferral))
    assert referral.ended_on == WITHDRAWN_ON
    assert (await kit.events(PLAN))[-2].data["reason"] == "CONSENT_WITHDRAWN"


# Seeded: count a withdrawn plan as the case's open one; nobody could ever support the person again.
async def test_another_organisation_that_takes_the_person_on_opens_its_own_plan(
    kit_on_each: Kit,
) -> None:
    kit = kit_on_each
    await open_plan(kit)
    await kit.hear(*ended(), *accepted(SECOND, receiver=ELSEWHERE, on=WITHDRAWN_ON))
    today_is(WITHDRAWN_ON)
    elsewhere = kit.caller("NGO_CASE_MANAGER", ELSEWHERE)
    plan = f"/v1/plans/{plan_of(SECOND)}"

    shown = await elsewhere.get(plan)
    started = await elsewhere.post(
        f"{plan}/start", json={"entered_on": "2026-02-02"}, headers=if_match(shown)
    )
    first = await kit.caller("NGO_CASE_MANAGER").get(f"/v1/plans/{PLAN}")

    assert started.status_code == 200, started.text
    assert (shown.json()["opened_on"], shown.json()["history"]) == ("2026-02-02", [])
    assert types(await kit.events(PLAN)) == STOPPED
    assert (first.json()["consent_withdrawn_on"], first.json()["version"]) == ("2026-02-02", 3)
    assert (await elsewhere.get(f"/v1/plans/{PLAN}")).status_code == 404
    hidden = await kit.caller("NGO_CASE_MANAGER").get(plan)
    assert hidden.status_code == 404


async def test_who_had_joined_the_plan_goes_on_with_one_of_its_own(kit_on_each: Kit) -> None:
    """Seeded: leave the joined referral with the stopped plan; its own withdrawal is not heard."""
    kit = kit_on_each
    third = UUID("20000000-0000-4000-8000-000000000003")
    await open_plan(kit)
    await kit.hear(*accepted(SECOND, receiver=ELSEWHERE), *accepted(third, receiver=ELSEWHERE))

    await kit.hear(*ended())

    own = plan_of(SECOND)
    assert types(await kit.events(own)) == ["opened", "referral_linked"]
    elsewhere = kit.caller("NGO_CASE_MANAGER", ELSEWHERE)
    shown = (await elsewhere.get(f"/v1/plans/{own}")).json()
    assert [each["referral_id"] for each in shown["referrals"]] == [str(SECOND), str(third)]
    await kit.hear(*ended(SECOND, receiver=ELSEWHERE), *ended(third, receiver=ELSEWHERE))
    stopped = (await elsewhere.get(f"/v1/plans/{own}")).json()
    assert stopped["consent_withdrawn_on"] == "2026-02-02"


async def test_a_new_referral_joins_the_plan_that_carries_now(kit: Kit) -> None:
    """The first organisation's plan stays stopped until no other one carries the person."""
    third = UUID("20000000-0000-4000-8000-000000000003")
    await open_plan(kit)
    await kit.hear(*ended(), *accepted(SECOND, receiver=ELSEWHERE, on=WITHDRAWN_ON))

    await kit.hear(*accepted(third, on=WITHDRAWN_ON))
    assert types(await kit.events(plan_of(SECOND))) == ["opened", "referral_linked"]
    assert types(await kit.events(PLAN)) == STOPPED

    await kit.hear(*ended(SECOND, receiver=ELSEWHERE))
    assert types(await kit.events(PLAN))[-2:] == ["referral_linked", "resumed"]
    [plan] = await kit.rows(select(Plan).where(Plan.id == PLAN))
    assert (plan.consent_withdrawn_on, plan.is_suspended) == (None, False)
    assert await kit.events(plan_of(third)) == []


async def test_a_redelivered_withdrawal_changes_nothing(kit: Kit) -> None:
    await open_plan(kit)

    [event] = ended()

    assert await kit.hear(event, event) == ["applied", "duplicate"]

    assert types(await kit.events(PLAN)) == STOPPED


async def test_a_withdrawal_heard_before_the_acceptance_waits_for_it(kit: Kit) -> None:
    assert await kit.hear(*ended(), *accepted()) == ["pending", "applied"]

    assert await withdrawn_on(kit) == WITHDRAWN_ON


async def test_the_end_of_a_referral_nobody_accepted_stops_nothing(kit: Kit) -> None:
    [event] = ended()

    assert await kit.hear(event.model_copy(update={"seq": 1})) == ["applied"]

    assert await kit.events() == []
    assert await kit.rows(select(Plan)) == []
