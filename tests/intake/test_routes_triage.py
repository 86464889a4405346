"""What comes of a notice: a new case, a known case, or nothing."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from intake.models import Case, Notice
from tests.intake.bodies import (
    CASE,
    DESK,
    OTHER,
    case,
    desk,
    opened,
    opening,
    partner,
    received,
    triage,
)
from tests.kit import ELSEWHERE, HOME, Kit, if_match


async def test_a_case_is_opened_in_one_step_with_the_decision(kit_on_each: Kit) -> None:
    """Seeded: give the new case its own Unit; a crash between the two loses the person."""
    kit = kit_on_each
    reported = await received(
        partner(kit), urgency="HIGH", sex="FEMALE", estimated_age=15, note="Тиха је."
    )
    notice_id = reported.json()["id"]

    response = await desk(kit).post(
        f"/v1/notices/{notice_id}/triage",
        json=opening(beneficiary_kind="PRESUMED", note="Обавештен центар."),
        headers=if_match(reported),
    )

    assert response.status_code == 200, response.text
    assert response.headers["ETag"] == '"2"'
    facts = (await desk(kit).get(f"/v1/cases/{CASE}")).json()
    assert facts["organisation_id"] == str(DESK)
    assert facts["notice_id"] == notice_id
    assert (facts["sex"], facts["urgency"], facts["is_minor"]) == ("FEMALE", "HIGH", True)
    assert (facts["identification_status"], facts["legal_basis"]) == ("PRESUMED", "PUBLIC_TASK")
    assert [e.type for e in await kit.events(CASE)] == ["intake.case.opened.v1"]
    assert (await kit.events(CASE))[0].data["notice_id"] == notice_id
    assert [e.data["decision"] for e in (await kit.events(UUID(notice_id)))[1:]] == ["OPEN_CASE"]
    acts = await kit.audit(operation="triage_notice")
    assert [(a.action, a.object_type, a.subject) for a in acts] == [
        ("create", "case_file", CASE),
        ("update", "notice", CASE),
    ]


async def test_a_taken_case_id_leaves_the_notice_untouched(kit: Kit) -> None:
    await opened(desk(kit))
    reported = await received(partner(kit))

    response = await desk(kit).post(
        f"{reported.headers['Location']}/triage", json=opening(), headers=if_match(reported)
    )

    assert (response.status_code, response.json()["code"]) == (409, "already_exists")
    [row] = await kit.rows(select(Notice))
    assert (row.status, row.version, row.case_id) == ("RECEIVED", 1, None)
    assert await kit.audit(operation="triage_notice") == []


async def test_a_linked_notice_makes_the_case_more_urgent_and_never_calmer(kit: Kit) -> None:
    """Seeded: take the notice's urgency as it is."""
    await opened(desk(kit), urgency="NORMAL")
    for urgency, after, version in (("CRISIS", "CRISIS", 2), ("LOW", "CRISIS", 2)):
        reported = await received(partner(kit), urgency=urgency)
        response = await desk(kit).post(
            f"{reported.headers['Location']}/triage",
            json=triage("LINK_CASE", CASE),
            headers=if_match(reported),
        )
        assert response.json()["status"] == "LINKED"
        facts = (await desk(kit).get(f"/v1/cases/{CASE}")).json()
        assert (facts["urgency"], facts["version"]) == (after, version)
    assert [e.type for e in await kit.events(CASE)][1:] == ["intake.case.profile_changed.v1"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (triage("OPEN_CASE", CASE), 422, "field.missing"),
        (triage("OPEN_CASE", legal_basis="PUBLIC_TASK"), 422, "notice.case_required"),
        (triage("LINK_CASE"), 422, "notice.case_required"),
        (triage("LINK_CASE", OTHER), 422, "reference.unknown"),
        (triage("REJECT"), 422, "notice.reason_required"),
        (triage("REJECT", CASE, reason="OTHER"), 422, "notice.case_not_applicable"),
        (opening(reason="OTHER"), 422, "notice.reason_not_applicable"),
        (opening(beneficiary_kind="VICTIM"), 422, "case.victim_needs_identification"),
        (opening(beneficiary_kind="SECONDARY"), 422, "case.primary_required"),
    ],
)
async def test_a_refused_decision_leaves_nothing_behind(
    kit: Kit, body: dict[str, Any], status: int, code: str
) -> None:
    reported = await received(partner(kit))

    response = await desk(kit).post(
        f"{reported.headers['Location']}/triage", json=body, headers=if_match(reported)
    )

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert len(await kit.events()) == 1
    assert await kit.audit(operation="triage_notice") == []
    assert await kit.rows(select(Case.id)) == []


async def test_a_notice_is_decided_once_and_on_the_version_that_was_read(kit: Kit) -> None:
    reported = await received(partner(kit))
    url = f"{reported.headers['Location']}/triage"
    rejection = triage("REJECT", reason="DUPLICATE_NOTICE", note="Већ пријављено.")

    blind = await desk(kit).post(url, json=rejection)
    rejected = await desk(kit).post(url, json=rejection, headers=if_match(reported))
    stale = await desk(kit).post(url, json=rejection, headers=if_match(reported))
    again = await desk(kit).post(url, json=rejection, headers=if_match(rejected))

    assert blind.status_code == 428
    assert rejected.json()["reason"] == "DUPLICATE_NOTICE"
    assert stale.status_code == 412
    assert (again.status_code, again.json()["code"]) == (409, "notice.already_triaged")
    assert len(await kit.audit(operation="triage_notice")) == 1
    fate = (await partner(kit).get(reported.headers["Location"])).json()
    assert (fate["status"], fate["reason"]) == ("REJECTED", "DUPLICATE_NOTICE")


async def test_who_reports_does_not_triage_and_an_ngo_triages_its_own(kit: Kit) -> None:
    reported = await received(partner(kit, ELSEWHERE))
    url = f"{reported.headers['Location']}/triage"
    ngo = kit.caller("NGO_CASE_MANAGER", HOME, "ngo-1")
    own = await received(ngo)

    by_reporter = await partner(kit, ELSEWHERE).post(
        url, json=opening(), headers=if_match(reported)
    )
    by_ngo = await ngo.post(url, json=opening(), headers=if_match(reported))
    of_its_own = await ngo.post(
        f"{own.headers['Location']}/triage", json=opening(), headers=if_match(own)
    )

    assert (by_reporter.status_code, by_ngo.status_code) == (403, 404)
    assert of_its_own.json()["case_id"] == str(CASE)
    assert (await ngo.get(own.headers["Location"])).json()["case_id"] == str(CASE)
    triaged = (await kit.events(UUID(own.json()["id"])))[1]
    assert triaged.data["case_id"] == str(CASE)


async def test_a_case_that_names_its_notice_concludes_it(kit: Kit) -> None:
    """A worker who knows more than the notice opens the case with it, in one step."""
    reported = await received(partner(kit))
    notice_id = reported.json()["id"]
    body = case(notice_id=notice_id)
    outsider = kit.caller("SOCIAL_WORKER", ELSEWHERE, "worker-9")

    unknown = await outsider.post("/v1/cases", json=body)
    created = await desk(kit).post("/v1/cases", json=body)
    second = await desk(kit).post("/v1/cases", json=body | {"id": str(OTHER)})
    # Seeded: say of a repeated opening that the notice is triaged, before that the case is there.
    repeated = await desk(kit).post("/v1/cases", json=body)
    checked = await desk(kit).post("/v1/cases?validate_only=true", json=body)

    assert (unknown.status_code, unknown.json()["code"]) == (422, "reference.unknown")
    assert (created.status_code, created.headers["ETag"]) == (201, '"1"')
    assert created.headers["Location"] == f"/v1/cases/{CASE}"
    assert (await desk(kit).get(f"/v1/notices/{notice_id}")).json()["status"] == "CASE_OPENED"
    assert (second.status_code, second.json()["code"]) == (409, "notice.already_triaged")
    assert [(each.status_code, each.json()["code"]) for each in (repeated, checked)] == [
        (409, "already_exists")
    ] * 2
    assert [row.id for row in await kit.rows(select(Case.id))] == [CASE]
