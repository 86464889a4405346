"""Every route tells the same of a plan and its agreements: what GET of the one tells."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import pytest

from common.schema import GroupedRead
from reintegration.schemas import AgreementRead, PlanDetail, PlanRead
from tests.kit import HOME, Kit, if_match
from tests.reintegration.plans import (
    CASE,
    CENTRE,
    PLAN,
    REFERRAL,
    TERMS,
    accepted,
    agree,
    case_opened,
    open_plan,
    start,
    step,
    today_is,
)
from tests.reintegration.test_consent import WITHDRAWN_ON, completed_then_withdrawn, ended

PATH = f"/v1/plans/{PLAN}"
READERS = [("NGO_CASE_MANAGER", HOME), ("SHELTER_STAFF", HOME), ("SOCIAL_WORKER", CENTRE)]
FACTS = {"id", "version", "organisation_id", "country", "is_suspended", "episode", "updated_at"} | {
    *("policy_version", "opened_on", "entered_on", "closed_on", "consent_withdrawn_on")
}
"""What the organisation keeps of a plan that consent no longer carries."""

STEPS: list[tuple[str, dict[str, Any]]] = [
    ("start", {"entered_on": "2026-02-02"}),
    ("phase", {"to_phase": "TRANSITION", "reason": "READY_EARLY"}),
    ("suspend", {}),
    ("resume", {}),
    ("close", {"reason": "WITHDREW", "closed_on": "2026-02-02"}),
    ("reopen", {"reason": "RELAPSE"}),
]

Story = Callable[[Kit, httpx.AsyncClient], Awaitable[None]]


async def carried(_: Kit, __: httpx.AsyncClient) -> None:
    """Leave the plan as it is."""


async def withdrawn(kit: Kit, _: httpx.AsyncClient) -> None:
    await kit.hear(*ended())


async def withdrawn_after_completion(kit: Kit, _: httpx.AsyncClient) -> None:
    await kit.hear(*completed_then_withdrawn())


async def withdrawn_when_closed(kit: Kit, worker: httpx.AsyncClient) -> None:
    closed = await step(worker, "close", reason="WITHDREW", closed_on="2026-02-02", note="Left.")
    assert closed.status_code == 200, closed.text
    await kit.hear(*ended())


@pytest.fixture
async def worker(kit: Kit) -> httpx.AsyncClient:
    """A case manager with a started plan of a child, whose agreement the guardian has signed."""
    await open_plan(kit, is_minor=True)
    worker = kit.caller("NGO_CASE_MANAGER")
    await start(worker)
    parties = ["PERSON", "GUARDIAN", "CASE_WORKER"]
    await agree(worker, *parties, parties=parties)
    today_is(WITHDRAWN_ON)
    return worker


@pytest.mark.row("F59", "F60")
@pytest.mark.parametrize(
    "story", [carried, withdrawn, withdrawn_after_completion, withdrawn_when_closed]
)
async def test_no_route_tells_more_than_reading_the_plan(
    kit: Kit, worker: httpx.AsyncClient, story: Story
) -> None:
    """Seeded: leave the parties in the agreement, or the case in the feed, of who keeps the fact."""
    await story(kit, worker)
    for role, organisation_id in READERS:
        caller = kit.caller(role, organisation_id)
        plan = (await caller.get(PATH)).json()
        [item] = (await caller.get("/v1/plans")).json()["items"]
        [agreement] = (await caller.get(f"{PATH}/agreements")).json()["items"]
        one = await caller.get(f"{PATH}/agreements/{agreement['id']}")

        assert item == {name: plan[name] for name in plan if name in PlanRead.model_fields}
        assert one.json() == agreement
        await _assert_sparse_alike(caller, PATH, PlanDetail, plan)
        await _assert_sparse_alike(caller, "/v1/plans", PlanRead, item)
        await _assert_sparse_alike(caller, f"{PATH}/agreements", AgreementRead, agreement)
        await _assert_told_alike(kit, caller, plan | agreement)
        if story is not carried and organisation_id == HOME:
            assert plan.keys() == FACTS
            assert agreement.keys() == {"id", "plan_id", "agreement_version", "effective_on"}
            await _assert_silent(kit, caller, agreement["id"])
        else:
            assert (plan["case_id"], plan["referral_id"]) == (str(CASE), str(REFERRAL))
            assert "GUARDIAN" in agreement["parties"]


async def test_a_step_answers_with_what_reading_shows(kit: Kit, worker: httpx.AsyncClient) -> None:
    """Seeded: answer a step by another function than a reading."""
    for verb in ("suspend", "resume"):
        answer = await step(worker, verb)
        read = (await worker.get(PATH)).json()
        assert answer.json() == {n: read[n] for n in read if n in PlanRead.model_fields}
    written = await agree(
        worker, "PERSON", parties=["PERSON", "GUARDIAN", "CASE_WORKER"], duties="School again."
    )

    assert (await worker.get(written.headers["Location"])).json() == written.json()


async def test_who_owns_the_case_as_well_is_shut_out_of_its_own_plan_alike(kit: Kit) -> None:
    """Seeded: let it in again as the owner of the case."""
    await kit.hear(*case_opened(organisation_id=HOME), *accepted(), *ended())
    worker = kit.caller("NGO_CASE_MANAGER")

    [event] = await kit.feed(worker)

    assert event.type == "reintegration.plan.closed_to_organisation.v1"
    assert str(CASE) not in (await worker.get(PATH)).text


@pytest.mark.parametrize("query", ["phase=CRISIS", f"case_id={CASE}", "is_overdue=false"])
async def test_no_filter_finds_a_plan_by_what_reading_hides(
    kit: Kit, worker: httpx.AsyncClient, query: str
) -> None:
    """Seeded: filter by the column itself."""
    assert (await worker.get(PATH)).json()["phase"] == "CRISIS"
    await kit.hear(*ended())

    by_owner = await kit.caller("SOCIAL_WORKER", CENTRE).get(f"/v1/plans?{query}")
    by_holder = await worker.get(f"/v1/plans?{query}")

    assert len(by_owner.json()["items"]) == 1
    assert by_holder.json()["items"] == []


async def _assert_sparse_alike(
    caller: httpx.AsyncClient, path: str, model: type[GroupedRead], known: Mapping[str, Any]
) -> None:
    for name in model.model_fields:
        answer = (await caller.get(path, params={"fields": name})).json()
        [seen] = answer.get("items", [answer])
        assert seen == ({name: known[name]} if name in known else {}), name


async def _assert_told_alike(kit: Kit, caller: httpx.AsyncClient, known: Mapping[str, Any]) -> None:
    """Nothing in the feed is a member of an answer that this caller's lacks."""
    members = PlanDetail.model_fields.keys() | AgreementRead.model_fields
    for event in await kit.feed(caller):
        assert event.data.keys() & members <= known.keys(), event.type


async def _assert_silent(kit: Kit, caller: httpx.AsyncClient, agreement_id: str) -> None:
    feed = await caller.get("/v1/changes")
    told = [item["type"].split(".")[2] for item in feed.json()["items"]]
    paths = (PATH, "/v1/plans", f"{PATH}/agreements", f"{PATH}/agreements/{agreement_id}")
    texts = [feed.text, *[(await caller.get(path)).text for path in paths]]
    version = if_match(await caller.get(PATH))
    for query in ("", "?validate_only=true"):
        answers = [
            *[await caller.post(f"{PATH}/{v}{query}", json=b, headers=version) for v, b in STEPS],
            await caller.post(f"{PATH}/agreements{query}", json=TERMS),
            await caller.post(
                f"{PATH}/agreements/{agreement_id}/sign{query}",
                json={"party": "PERSON", "signed_on": "2026-02-02"},
                headers=version,
            ),
        ]
        assert {answer.status_code for answer in answers} == {403}
        texts += [answer.text for answer in answers]
    assert told == ["closed_to_organisation"]
    for secret in (str(CASE), str(REFERRAL), "GUARDIAN", TERMS["duties"]):
        assert [text for text in texts if secret in text] == [], secret
