"""Who may see and change plans, and how they are found."""

from datetime import date
from uuid import UUID, uuid5

import httpx
import pytest

from common.relay import Relay
from tests.kit import ELSEWHERE, HOME, Kit, if_match
from tests.reintegration.plans import (
    ACCEPTED_ON,
    CASE,
    CENTRE,
    PLAN,
    TERMS,
    accepted,
    agree,
    case_opened,
    open_plan,
    start,
    step,
    today_is,
    types,
    written,
)

ABSENT = UUID("30000000-0000-4000-8000-000000000001")
TODAY = ACCEPTED_ON.isoformat()
READS = ["", "/notes", "/agreements", f"/agreements/{ABSENT}"]
WRITES = [
    ("/start", {"entered_on": TODAY}),
    ("/phase", {"to_phase": "TRANSITION"}),
    ("/suspend", {}),
    ("/resume", {}),
    ("/close", {"reason": "WITHDREW", "closed_on": TODAY}),
    ("/reopen", {"reason": "RELAPSE"}),
    ("/agreements", TERMS),
    (f"/agreements/{ABSENT}/sign", {"party": "PERSON", "signed_on": TODAY}),
]


def facts(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """Return all that a caller sees; the trace id differs with every request."""
    trace_id = answer.headers["Trace-Id"]
    headers = {k: v for k, v in answer.headers.items() if k != "trace-id"}
    return answer.status_code, headers, answer.content.replace(trace_id.encode(), b"")


@pytest.mark.row("F59")
@pytest.mark.parametrize("path", READS)
async def test_a_plan_of_others_reads_like_one_that_does_not_exist(kit: Kit, path: str) -> None:
    await open_plan(kit)
    stranger = kit.caller("NGO_CASE_MANAGER", ELSEWHERE)

    hidden = await stranger.get(f"/v1/plans/{PLAN}{path}")
    absent = await stranger.get(f"/v1/plans/{ABSENT}{path}")

    assert hidden.status_code == 404
    assert facts(hidden) == facts(absent)


@pytest.mark.row("F59")
@pytest.mark.parametrize(("path", "body"), WRITES)
async def test_a_step_on_a_plan_of_others_is_refused_like_one_on_none(
    kit: Kit, path: str, body: dict[str, object]
) -> None:
    await open_plan(kit)
    before = await written(kit)
    stranger = kit.caller("SOCIAL_WORKER", ELSEWHERE)

    async def ask(plan_id: UUID) -> httpx.Response:
        return await stranger.post(
            f"/v1/plans/{plan_id}{path}", json=body, headers={"If-Match": '"1"'}
        )

    hidden, absent = await ask(PLAN), await ask(ABSENT)

    assert hidden.status_code == 404
    assert facts(hidden) == facts(absent)
    assert await written(kit) == before
    denied = await kit.audit(decision="deny")
    assert [entry.action for entry in denied] == ["deny", "deny"]


# No consent shows the owner the terms. Fails when its view opens a sealed text or tells the money.
async def test_the_cases_owner_reads_codes_and_dates_of_an_agreement(kit: Kit) -> None:
    await open_plan(kit)
    written_down = await agree(kit.caller("NGO_CASE_MANAGER"), "PERSON")
    owner = kit.caller("SOCIAL_WORKER", CENTRE)

    one = (await owner.get(written_down.headers["Location"])).json()
    listed = (await owner.get(f"/v1/plans/{PLAN}/agreements")).json()

    assert listed["items"] == [one]
    assert one == written_down.json() | {"duties": None, "money": None}
    read = await kit.audit(object_type="agreement", action="read")
    assert [entry.data_groups or [] for entry in read] == [[], []]


# Fails when an entry of a reading tells no legal basis, also where no text was opened.
@pytest.mark.row("F15")
@pytest.mark.parametrize(
    ("path", "organisation_id"),
    [("", HOME), ("", CENTRE), ("/notes", HOME), ("/agreements", CENTRE)],
)
async def test_every_reading_of_a_plan_tells_its_legal_basis(
    kit: Kit, path: str, organisation_id: UUID
) -> None:
    await open_plan(kit)

    answer = await kit.caller("NGO_CASE_MANAGER", organisation_id).get(f"/v1/plans/{PLAN}{path}")

    assert answer.status_code == 200, answer.text
    [entry] = await kit.audit(action="read")
    assert (entry.subject, entry.legal_basis) == (CASE, "CONSENT")


# The centre referred the person and follows how it goes on; the steps are the other side's.
async def test_the_cases_owner_reads_the_plan_and_takes_no_step(kit: Kit) -> None:
    await open_plan(kit)
    await agree(kit.caller("NGO_CASE_MANAGER"), "PERSON")
    owner = kit.caller("SOCIAL_WORKER", CENTRE)

    seen = await owner.get(f"/v1/plans/{PLAN}")
    listed = await owner.get("/v1/plans")
    agreements = await owner.get(f"/v1/plans/{PLAN}/agreements")
    notes = await owner.get(f"/v1/plans/{PLAN}/notes")
    started = await owner.post(
        f"/v1/plans/{PLAN}/start", json={"entered_on": TODAY}, headers=if_match(seen)
    )

    assert [seen.status_code, agreements.status_code] == [200, 200]
    assert [item["id"] for item in listed.json()["items"]] == [str(PLAN)]
    assert notes.status_code == 404
    assert (started.status_code, started.json()["code"]) == (403, "step.not_yours")


async def test_shelter_staff_read_and_change_nothing(kit: Kit) -> None:
    await open_plan(kit)
    staff = kit.caller("SHELTER_STAFF")

    seen = await staff.get(f"/v1/plans/{PLAN}")
    refused = await staff.post(f"/v1/plans/{PLAN}/suspend", json={}, headers=if_match(seen))

    assert seen.status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


# A coordinator sees aggregates; police and prosecution see no support plan at all.
@pytest.mark.parametrize(
    "role", ["NATIONAL_COORDINATOR", "ANALYST", "POLICE_INVESTIGATOR", "PROSECUTOR", "GUARDIAN"]
)
async def test_other_roles_get_no_rows_even_at_home(kit: Kit, role: str) -> None:
    await open_plan(kit)
    caller = kit.caller(role)

    for path in ("/v1/plans", f"/v1/plans/{PLAN}", f"/v1/plans/{PLAN}/notes", "/v1/changes"):
        answer = await caller.get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_without_a_token_only_the_policy_and_the_code_lists_are_told(kit: Kit) -> None:
    stranger = kit.stranger()

    assert (await stranger.get("/v1/plans")).status_code == 401
    policy = await stranger.get("/v1/phase-policies")

    assert policy.json() == {
        "current": 1,
        "items": [
            {
                "version": 1,
                "windows": [
                    {"phase": "CRISIS", "first_month": 1, "last_month": 3},
                    {"phase": "TRANSITION", "first_month": 4, "last_month": 12},
                    {"phase": "REINTEGRATION", "first_month": 13, "last_month": 36},
                ],
            }
        ],
    }


async def test_the_feed_tells_an_organisation_of_its_own_plans(kit: Kit) -> None:
    await open_plan(kit)
    await start(kit.caller("NGO_CASE_MANAGER"))
    relay = Relay(kit.runtime.database, kit.runtime.bus)
    await relay.lead()
    await relay.publish_waiting()

    own = (await kit.caller("NGO_CASE_MANAGER").get("/v1/changes")).json()["items"]
    foreign = (await kit.caller("NGO_CASE_MANAGER", ELSEWHERE).get("/v1/changes")).json()["items"]

    assert [event["type"].split(".")[2] for event in own] == ["opened", "phase_changed"]
    assert foreign == []


async def test_the_feed_tells_whoever_may_read_the_plan(kit: Kit) -> None:
    """Seeded: tell the plan's organisation alone, or every role of the case's owner."""
    await open_plan(kit)
    await start(kit.caller("NGO_CASE_MANAGER"))

    seen = await kit.feed(kit.caller("SOCIAL_WORKER", CENTRE))

    assert types(seen) == types(await kit.feed(kit.caller("NGO_CASE_MANAGER")))
    assert types(seen) == ["opened", "phase_changed"]
    assert await kit.feed(kit.caller("SHELTER_STAFF", CENTRE)) == []


async def test_a_plan_told_of_before_its_case_is_shown_to_the_owner_too(kit: Kit) -> None:
    await kit.hear(*accepted())
    before = await kit.feed(kit.caller("SOCIAL_WORKER", CENTRE))
    await kit.hear(*case_opened())

    assert before == []
    assert types(await kit.feed(kit.caller("SOCIAL_WORKER", CENTRE))) == ["opened"]


# --- finding plans


async def two_plans(kit: Kit) -> tuple[UUID, UUID]:
    """HOME has a plan that was started, and one that was opened a day later and waits."""
    await open_plan(kit)
    await start(kit.caller("NGO_CASE_MANAGER"))
    other_case, other_referral = UUID(int=21), UUID(int=22)
    today_is(date(2026, 1, 16))
    await kit.hear(
        *case_opened(other_case, organisation_id=HOME),
        *accepted(other_referral, case_id=other_case),
    )
    return PLAN, uuid5(other_referral, "plan")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [1, 0]),
        ("phase=CRISIS", [0]),
        ("phase=PLANNED", [1]),
        ("phase.in=CRISIS,PLANNED", [1, 0]),
        (f"case_id={UUID(int=21)}", [1]),
        ("entered_on=2026-01-15", [0]),
        ("entered_on.gt=2026-01-15", []),
        ("is_overdue=true", [0]),
        ("is_overdue=false", [1]),
        ("is_suspended=true", []),
        ("is_overdue=true&phase=TRANSITION", []),
    ],
)
async def test_plans_are_filtered(kit: Kit, query: str, found: list[int]) -> None:
    plans = await two_plans(kit)
    today_is(date(2026, 4, 15))

    listed = await kit.caller("NGO_CASE_MANAGER").get(f"/v1/plans?{query}")

    assert [item["id"] for item in listed.json()["items"]] == [str(plans[n]) for n in found]
    entry = (await kit.audit(operation="list_plans"))[-1]
    assert (entry.action, entry.object_ids) == ("list", [str(plans[n]) for n in found])


# Fails when the filter and the answer count by different rules.
@pytest.mark.parametrize(
    ("day", "is_suspended", "overdue"),
    [
        (date(2026, 4, 14), False, 0),
        (date(2026, 4, 15), False, 1),
        (date(2026, 4, 15), True, 0),
    ],
)
async def test_the_overdue_filter_finds_what_reads_overdue(
    *, kit: Kit, day: date, is_suspended: bool, overdue: int
) -> None:
    await two_plans(kit)
    today_is(day)
    worker = kit.caller("NGO_CASE_MANAGER")
    if is_suspended:
        await step(worker, "suspend")

    for wanted, found in (("true", overdue), ("false", 2 - overdue)):
        items = (await worker.get(f"/v1/plans?is_overdue={wanted}")).json()["items"]
        assert [item["is_overdue"] for item in items] == [wanted == "true"] * found


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("colour=red", "filter.unknown"),
        ("phase.gt=CRISIS", "filter.unknown"),
        ("phase=HAPPY", "filter.invalid"),
        ("is_overdue=maybe", "filter.invalid"),
        ("entered_on=yesterday", "filter.invalid"),
        ("cursor=%00", "cursor.invalid"),
    ],
)
async def test_a_filter_that_is_not_known_or_not_readable_is_refused(
    kit: Kit, query: str, code: str
) -> None:
    answer = await kit.caller("NGO_CASE_MANAGER").get(f"/v1/plans?{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_pages_lead_through_all_plans(kit: Kit) -> None:
    newest, oldest = reversed(await two_plans(kit))
    worker = kit.caller("NGO_CASE_MANAGER")

    first = (await worker.get("/v1/plans?limit=1")).json()
    second = (await worker.get(f"/v1/plans?limit=1&cursor={first['next']}")).json()

    assert [item["id"] for item in first["items"]] == [str(newest)]
    assert [item["id"] for item in second["items"]] == [str(oldest)]
    assert second["next"] is None


async def test_steps_of_one_plan_leave_the_other_alone(kit: Kit) -> None:
    _, other = await two_plans(kit)
    await step(kit.caller("NGO_CASE_MANAGER"), "suspend")

    shown = await kit.caller("NGO_CASE_MANAGER").get(f"/v1/plans/{other}")

    assert (shown.json()["is_suspended"], shown.json()["version"]) == (False, 1)
