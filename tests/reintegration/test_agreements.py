"""The reintegration agreement: versions, signatures, sealed duties, and when it is in force."""

import asyncio
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from common.contracts.intake import CaseProfileChanged
from common.db.base import unit_of
from reintegration.models import Agreement, AgreementSignature
from tests.kit import HOME, Kit, if_match, told
from tests.reintegration.plans import (
    ACCEPTED_ON,
    CASE,
    PLAN,
    TERMS,
    agree,
    open_plan,
    signed,
    start,
    step,
    today_is,
    types,
    written,
)

AGREEMENTS = f"/v1/plans/{PLAN}/agreements"
TODAY = ACCEPTED_ON.isoformat()


@pytest.fixture
async def worker(kit: Kit) -> httpx.AsyncClient:
    """A case manager whose organisation has a plan for an adult."""
    await open_plan(kit)
    return kit.caller("NGO_CASE_MANAGER")


async def sign(
    worker: httpx.AsyncClient, agreement: dict[str, Any], party: str, on: str = TODAY
) -> httpx.Response:
    """Sign at the version the plan has now."""
    path = f"{AGREEMENTS}/{agreement['id']}"
    seen = await worker.get(path)
    body = {"party": party, "signed_on": on}
    return await worker.post(f"{path}/sign", json=body, headers=if_match(seen))


async def statuses(worker: httpx.AsyncClient) -> dict[int, str]:
    """Return the status of each version."""
    items = (await worker.get(AGREEMENTS)).json()["items"]
    return {item["agreement_version"]: item["status"] for item in items}


@pytest.mark.row("F46")
async def test_an_agreement_is_written_with_parties_duties_money_and_review(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    created = await agree(worker, "PERSON")

    shown = created.json()
    assert (shown["agreement_version"], shown["status"]) == (1, "DRAFT")
    assert {name: shown[name] for name in TERMS} == TERMS
    assert (shown["effective_on"], shown["is_review_due"]) == (None, False)
    assert shown["signatures"] == signed("PERSON")
    assert created.headers["Location"] == f"{AGREEMENTS}/{shown['id']}"
    assert (await worker.get(created.headers["Location"])).json() == shown
    drafted, party_signed = (await kit.events(PLAN))[1:]
    assert types([drafted, party_signed]) == ["agreement_drafted", "agreement_party_signed"]
    assert drafted.data == {
        "plan_id": str(PLAN),
        "case_id": str(CASE),
        "agreement_id": shown["id"],
        "agreement_version": 1,
        "review_on": TERMS["review_on"],
        "drafted_on": TODAY,
    }
    [entry] = await kit.audit(object_type="agreement", action="create")
    assert (entry.object_ids, entry.subject) == ([shown["id"]], CASE)


@pytest.mark.row("F46")
async def test_the_last_signature_needed_brings_it_into_force(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    agreement = (await agree(worker)).json()
    today_is(date(2026, 1, 20))

    await sign(worker, agreement, "CASE_WORKER", "2026-01-20")
    assert (await statuses(worker)) == {1: "DRAFT"}
    last = await sign(worker, agreement, "PERSON", "2026-01-19")

    assert last.json() == {"party": "PERSON", "signed_on": "2026-01-19"}
    shown = (await worker.get(f"{AGREEMENTS}/{agreement['id']}")).json()
    assert (shown["status"], shown["effective_on"]) == ("ACTIVE", "2026-01-20")
    told_of = (await kit.events(PLAN))[-2:]
    assert types(told_of) == ["agreement_party_signed", "agreement_signed"]
    assert told_of[-1].data == {
        "plan_id": str(PLAN),
        "case_id": str(CASE),
        "agreement_id": agreement["id"],
        "agreement_version": 1,
        "review_on": TERMS["review_on"],
        "signed_on": "2026-01-20",
    }
    entry = (await kit.audit(operation="sign_agreement", object_type="agreement"))[-1]
    assert (entry.action, entry.object_ids) == ("update", [agreement["id"]])
    assert last.headers["ETag"] == f'"{told_of[-1].seq}"'


# An organisation may sign too, but the agreement does not wait for it.
async def test_a_signature_nobody_waits_for_is_kept_beside_one_in_force(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    agreement = (await agree(worker, "PERSON", "CASE_WORKER")).json()
    assert agreement["status"] == "ACTIVE"

    await sign(worker, agreement, "ORGANISATION")

    shown = (await worker.get(f"{AGREEMENTS}/{agreement['id']}")).json()
    assert {one["party"] for one in shown["signatures"]} == set(TERMS["parties"])
    assert types(await kit.events(PLAN))[-1] == "agreement_party_signed"
    assert types(await kit.events(PLAN)).count("agreement_signed") == 1


@pytest.mark.parametrize(
    ("party", "on", "status", "code"),
    [
        ("PERSON", TODAY, 409, "agreement.already_signed"),
        ("GUARDIAN", TODAY, 422, "agreement.not_a_party"),
        (
            "CASE_WORKER",
            (ACCEPTED_ON + timedelta(days=1)).isoformat(),
            422,
            "agreement.signed_in_future",
        ),
        (
            "CASE_WORKER",
            (ACCEPTED_ON - timedelta(days=1)).isoformat(),
            422,
            "plan.day_out_of_range",
        ),
        ("NEIGHBOUR", TODAY, 422, "invalid"),
    ],
)
async def test_a_signature_that_does_not_count_is_refused_and_nothing_is_written(
    *, kit: Kit, worker: httpx.AsyncClient, party: str, on: str, status: int, code: str
) -> None:
    agreement = (await agree(worker, "PERSON")).json()
    before = await written(kit)

    refused = await sign(worker, agreement, party, on)

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert await written(kit) == before
    assert len(await kit.rows(select(AgreementSignature))) == 1


@pytest.mark.row("F46")
async def test_a_new_version_replaces_the_old_one_when_it_is_signed(
    worker: httpx.AsyncClient,
) -> None:
    first = (await agree(worker, "PERSON", "CASE_WORKER")).json()
    forgotten = (await agree(worker, "PERSON")).json()
    third = (await agree(worker, "PERSON")).json()
    assert await statuses(worker) == {3: "DRAFT", 2: "DRAFT", 1: "ACTIVE"}

    await sign(worker, third, "CASE_WORKER")

    assert await statuses(worker) == {3: "ACTIVE", 2: "SUPERSEDED", 1: "SUPERSEDED"}
    for older in (first, forgotten):
        refused = await sign(worker, older, "ORGANISATION")
        assert (refused.status_code, refused.json()["code"]) == (409, "agreement.superseded")


@pytest.mark.parametrize(
    ("terms", "code", "pointer"),
    [
        ({"parties": ["PERSON", "ORGANISATION"]}, "agreement.party_missing", "/parties"),
        ({"review_on": TODAY}, "agreement.review_not_ahead", "/review_on"),
        ({"signatures": signed("GUARDIAN")}, "agreement.not_a_party", "/signatures/0/party"),
        (
            {"signatures": signed("PERSON", on=ACCEPTED_ON + timedelta(days=1))},
            "agreement.signed_in_future",
            "/signatures/0/signed_on",
        ),
        (
            {"signatures": signed("PERSON", on=ACCEPTED_ON - timedelta(days=1))},
            "plan.day_out_of_range",
            "/signatures/0/signed_on",
        ),
    ],
)
async def test_terms_that_could_never_hold_are_refused_and_nothing_is_written(
    kit: Kit, worker: httpx.AsyncClient, terms: dict[str, Any], code: str, pointer: str
) -> None:
    before = await written(kit)

    refused = await worker.post(AGREEMENTS, json=TERMS | terms)

    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert refused.json()["errors"][0]["pointer"] == pointer
    assert await written(kit) == before
    assert await kit.rows(select(Agreement)) == []


async def test_the_same_party_twice_in_one_body_is_refused(worker: httpx.AsyncClient) -> None:
    refused = await worker.post(AGREEMENTS, json=TERMS | {"signatures": signed("PERSON", "PERSON")})

    assert (refused.status_code, refused.json()["code"]) == (409, "agreement.already_signed")


# --- children


CHILD_TERMS = {"parties": ["PERSON", "GUARDIAN", "CASE_WORKER"]}


@pytest.mark.row("F46")
async def test_a_childs_agreement_waits_for_the_guardian(kit: Kit) -> None:
    await open_plan(kit, is_minor=True)
    worker = kit.caller("SOCIAL_WORKER")

    without = await worker.post(AGREEMENTS, json=TERMS)
    assert without.json()["code"] == "agreement.party_missing"
    assert without.json()["parties"] == ["GUARDIAN"]
    agreement = (await agree(worker, "PERSON", "CASE_WORKER", **CHILD_TERMS)).json()
    assert agreement["status"] == "DRAFT"
    await sign(worker, agreement, "GUARDIAN")

    assert await statuses(worker) == {1: "ACTIVE"}


# Fails when the age is taken from the time of writing: the person turned out to be a child since.
async def test_who_has_to_sign_is_decided_by_what_is_known_at_the_signature(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    agreement = (await agree(worker, "PERSON")).json()
    child = CaseProfileChanged(
        case_id=CASE,
        beneficiary_kind="PRESUMED",
        sex="FEMALE",
        age_group="12-17",
        is_minor=True,
        urgency="HIGH",
    )
    await kit.hear(*told("intake", CASE, child, first_seq=2))

    await sign(worker, agreement, "CASE_WORKER")

    assert await statuses(worker) == {1: "DRAFT"}


# --- a closed plan


async def test_a_closed_plan_takes_neither_agreement_nor_signature(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    agreement = (await agree(worker, "PERSON")).json()
    await step(worker, "close", reason="WITHDREW", closed_on=TODAY)
    before = await written(kit)

    new = await worker.post(AGREEMENTS, json=TERMS)
    late = await sign(worker, agreement, "CASE_WORKER")

    for refused in (new, late):
        assert (refused.status_code, refused.json()["code"]) == (409, "plan.illegal_step")
        assert refused.json()["legal"] == ["reopen"]
    assert await written(kit) == before


# --- sealed duties


@pytest.mark.row("F17", "F15")
async def test_duties_are_sealed_and_every_reading_is_recorded(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    duties = "Kthehet në shkollë; tutori ndjek mësimin."
    agreement = (await agree(worker, duties=duties)).json()

    listed = (await worker.get(AGREEMENTS)).json()

    assert [item["duties"] for item in listed["items"]] == [duties]
    entry = (await kit.audit(operation="list_agreements"))[-1]
    assert (entry.action, entry.object_type) == ("read", "agreement")
    assert (entry.object_ids, entry.subject) == ([agreement["id"]], CASE)
    assert (entry.data_groups, entry.purpose) == (["SUPPORT"], "ASSISTANCE")
    assert entry.legal_basis == "CONSENT"
    assert entry.organisation_id == HOME
    for part in (duties, "shkollë"):
        assert part.encode() not in kit.stored_bytes()


# Fails when a box opens elsewhere: a text moved to another row must not be read there.
async def test_duties_moved_to_another_version_do_not_open(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    await agree(worker, duties="first")
    await agree(worker, duties="second")
    [first] = await kit.rows(select(Agreement).where(Agreement.agreement_version == 1))
    thief = unit_of(kit.runtime.database, source="/RS/reintegration", operation="test")
    thief.update(Agreement, {"agreement_version": 2}, duties=first.duties)
    await kit.runtime.database.write(thief)

    answer = await worker.get(AGREEMENTS)

    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "first" not in answer.text


async def test_the_review_falls_due_and_the_agreement_holds_on(worker: httpx.AsyncClient) -> None:
    await start(worker)
    await agree(worker, "PERSON", "CASE_WORKER")

    for day, due in ((date(2027, 2, 28), False), (date(2027, 3, 1), True)):
        today_is(day)
        [item] = (await worker.get(AGREEMENTS)).json()["items"]
        assert (item["status"], item["is_review_due"]) == ("ACTIVE", due)


# --- at the same time


# Fails when two writers draw the same number, or when the loser is told of a record that "exists".
async def test_two_agreements_written_at_once_are_two_versions(
    kit: Kit, worker: httpx.AsyncClient
) -> None:
    answers = await asyncio.gather(*(worker.post(AGREEMENTS, json=TERMS) for _ in range(4)))

    assert [answer.status_code for answer in answers] == [201] * 4
    assert sorted(answer.json()["agreement_version"] for answer in answers) == [1, 2, 3, 4]
    assert [event.seq for event in await kit.events(PLAN)] == [1, 2, 3, 4, 5]
