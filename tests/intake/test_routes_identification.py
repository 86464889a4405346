"""Identification through the API: step by step, by those who may, with a reason that stays."""

from typing import Any

import httpx
import pytest
from sqlalchemy import select

from intake.models import IdentificationDecision
from tests.intake.bodies import (
    CASE,
    SHELTER,
    decision,
    guardian,
    opened,
    referred,
    sharing,
    version,
)
from tests.kit import Kit

URL = f"/v1/cases/{CASE}/identification"
PROVEN = {
    "exploitation_types": ["FORCED_LABOUR"],
    "acts": ["ACT_RECRUITMENT"],
    "means": ["MEANS_DECEPTION"],
}


async def decide(caller: httpx.AsyncClient, status: str, **fields: Any) -> httpx.Response:
    return await caller.post(URL, json=decision(status, **fields), headers=await version(caller))


async def decided(caller: httpx.AsyncClient, *statuses: str, **fields: Any) -> None:
    for status in statuses:
        response = await decide(caller, status, **fields)
        assert response.status_code == 200, response.text


def officer(kit: Kit) -> httpx.AsyncClient:
    return kit.caller("IDENTIFICATION_OFFICER")


@pytest.mark.row("F4")
async def test_the_way_to_a_formal_decision_is_kept_step_by_step(kit_on_each: Kit) -> None:
    """Seeded: overwrite the last decision; or close services at FORMAL_ASSESSMENT."""
    kit = kit_on_each
    caller = officer(kit)
    await opened(caller)
    joint = {"participants": ["BORDER_POLICE"], "legal_basis": "REASONABLE_GROUNDS"}
    await decided(caller, "SCREENING", decided_by="POLICE", **joint)
    shut = (await caller.get(f"/v1/cases/{CASE}")).json()["services_open"]
    is_open = []
    for status, fields in (("PRESUMED", {}), ("FORMAL_ASSESSMENT", {}), ("IDENTIFIED", PROVEN)):
        await decided(caller, status, note="Образложење.", **fields)
        is_open.append((await caller.get(f"/v1/cases/{CASE}")).json()["services_open"])

    assert (shut, is_open) == (False, [True, True, True])
    history = (await caller.get(URL)).json()["items"]
    assert [(s["previous_status"], s["status"]) for s in history] == [
        ("REPORTED", "SCREENING"),
        ("SCREENING", "PRESUMED"),
        ("PRESUMED", "FORMAL_ASSESSMENT"),
        ("FORMAL_ASSESSMENT", "IDENTIFIED"),
    ]
    assert [(s["decided_by"], s["legal_basis"]) for s in history[:2]] == [
        ("POLICE", "REASONABLE_GROUNDS"),
        ("NON_POLICE_GOVERNMENTAL_ORGANIZATION", "NATIONAL_SOP"),
    ]
    assert {(s["decided_on"], s["rule_version"]) for s in history} == {
        ("2026-11-22", "identification.2026-1")
    }
    assert [s["note"] for s in history] == [None] + ["Образложење."] * 3
    [read] = await kit.audit(operation="list_identification")
    assert (read.purpose, read.legal_basis) == ("IDENTIFICATION", "PUBLIC_TASK")
    events = await kit.events(CASE)
    assert [(e.seq, e.type.split(".")[2]) for e in events] == [
        (1, "opened"),
        (2, "identification_changed"),
        (3, "identification_changed"),
        (4, "profile_changed"),
        (5, "identification_changed"),
        (6, "identification_changed"),
        (7, "profile_changed"),
    ]
    assert [e.data["beneficiary_kind"] for e in (events[3], events[6])] == ["PRESUMED", "VICTIM"]
    assert events[4].data["exploitation_types"] == []
    assert events[5].data == {
        "case_id": str(CASE),
        "status": "IDENTIFIED",
        "previous_status": "FORMAL_ASSESSMENT",
        "decided_by": "NON_POLICE_GOVERNMENTAL_ORGANIZATION",
        "legal_basis": "NATIONAL_SOP",
        "decided_on": "2026-11-22",
        "rule_version": "identification.2026-1",
        "exploitation_types": ["FORCED_LABOUR"],
    }
    assert len(await kit.audit(operation="decide_identification", action="update")) == 4


@pytest.mark.row("F4")
@pytest.mark.parametrize(
    ("path", "status", "fields", "code"),
    [
        ((), "IDENTIFIED", PROVEN, (409, "identification.illegal_step")),
        ((), "PRESUMED", {}, (409, "identification.illegal_step")),
        (("SCREENING",), "REJECTED", {}, (422, "identification.note_required")),
        ((), "SCREENING", {"decided_on": "2026-11-23"}, (422, "field.date_in_future")),
        ((), "SCREENING", {"decided_by": "NGO"}, (422, "identification.authority_absent")),
        ((), "SCREENING", {"decided_on": "1990-05-16"}, (422, "field.range")),
        (
            ("SCREENING",),
            "PRESUMED",
            {"decided_on": "2026-11-21"},
            (422, "identification.decided_before_previous"),
        ),
        (
            (),
            "SCREENING",
            {"legal_basis": "CHILD_BEST_INTEREST"},
            (422, "legal_basis.for_children_only"),
        ),
        (
            ("SCREENING", "PRESUMED", "FORMAL_ASSESSMENT"),
            "IDENTIFIED",
            PROVEN | {"decided_by": "NGO"},
            (422, "identification.authority_not_entitled"),
        ),
        (
            ("SCREENING", "PRESUMED", "FORMAL_ASSESSMENT"),
            "IDENTIFIED",
            PROVEN | {"means": []},
            (422, "identification.means_missing"),
        ),
        (
            ("SCREENING", "PRESUMED", "FORMAL_ASSESSMENT"),
            "NOT_VICTIM",
            {},
            (422, "identification.note_required"),
        ),
    ],
)
async def test_a_refused_step_leaves_the_case_where_it_was(
    kit: Kit, path: tuple[str, ...], status: str, fields: dict[str, Any], code: tuple[int, str]
) -> None:
    caller = officer(kit)
    await opened(caller)
    await decided(caller, *path)
    before, entries = await kit.events(), len(await kit.audit())

    refused = await decide(caller, status, **fields)

    assert (refused.status_code, refused.json()["code"]) == code
    assert await kit.events() == before
    assert len(await kit.audit()) == entries + 1, "the read of the version, and nothing else"
    assert len(await kit.rows(select(IdentificationDecision))) == len(path)


async def test_who_may_screen_does_not_thereby_decide(kit: Kit) -> None:
    """In Serbia the Centre identifies an adult; a social worker presumes, and also decides a child."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await decided(caller, "SCREENING", "PRESUMED")

    refused = await decide(caller, "FORMAL_ASSESSMENT")
    turned_down = await decide(caller, "DISCONTINUED", note="Одустала.")

    for response in (refused, turned_down):
        assert (response.status_code, response.json()["code"]) == (
            403,
            "identification.role_not_entitled",
        )
        assert response.json()["entitled"] == ["IDENTIFICATION_OFFICER"]


async def test_a_child_at_first_contact_needs_no_means_years_later(kit: Kit) -> None:
    """Palermo Protocol art. 3(c). Seeded: ask for the age of today."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, birth_date="2007-03-01", occurred_at="2024-06-01T08:00:00Z")
    assert (await caller.get(f"/v1/cases/{CASE}")).json()["is_minor"] is False
    await decided(caller, "SCREENING", "PRESUMED", "FORMAL_ASSESSMENT")

    response = await decide(caller, "IDENTIFIED", **PROVEN | {"means": []})

    assert response.status_code == 200, response.text
    assert (await caller.get(f"/v1/cases/{CASE}")).json()["beneficiary_kind"] == "VICTIM"


async def test_a_case_opened_as_presumed_has_that_step_in_its_history(kit: Kit) -> None:
    caller = kit.caller("NGO_CASE_MANAGER")
    await opened(caller, beneficiary_kind="PRESUMED", occurred_at="2026-11-20T21:00:00Z")

    [step] = (await caller.get(URL)).json()["items"]

    assert (step["previous_status"], step["status"]) == ("REPORTED", "PRESUMED")
    assert (step["decided_by"], step["legal_basis"]) == ("NGO", "REASONABLE_GROUNDS")
    assert step["decided_on"] == "2026-11-22", "the day it was decided, not the first contact"
    assert [e.type for e in await kit.events()] == ["intake.case.opened.v1"]


@pytest.mark.row("F4")
async def test_new_facts_open_a_second_assessment(kit: Kit) -> None:
    caller = officer(kit)
    await opened(caller)
    await decided(caller, "SCREENING")
    await decided(caller, "REJECTED", note="Спор око зараде.")

    silent = await decide(caller, "SCREENING")
    await decided(caller, "SCREENING", note="Нови сведок.")
    await decided(caller, "PRESUMED")

    assert silent.json()["code"] == "identification.note_required"
    history = (await caller.get(URL)).json()["items"]
    assert [s["assessment"] for s in history] == [1, 1, 2, 2]
    assert (await caller.get(f"/v1/cases/{CASE}")).json()["beneficiary_kind"] == "PRESUMED"


async def test_a_decision_is_taken_on_the_case_as_it_was_read(kit: Kit) -> None:
    caller = officer(kit)
    await opened(caller)
    seen = await version(caller)
    await caller.patch(f"/v1/cases/{CASE}", json={"urgency": "HIGH"}, headers=seen)

    stale = await caller.post(URL, json=decision("SCREENING"), headers=seen)
    blind = await caller.post(URL, json=decision("SCREENING"))

    assert (stale.status_code, blind.status_code) == (412, 428)
    assert await kit.rows(select(IdentificationDecision)) == []


async def test_police_decides_on_cases_referred_to_it_and_reads_no_notes(kit: Kit) -> None:
    """Seeded: open notes to `referred`."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await decided(caller, "SCREENING", note="Поверљиво.")
    police = kit.caller("POLICE_INVESTIGATOR", SHELTER, "police-1")
    before = await police.get(URL)
    await referred(kit)

    history = await police.get(URL)
    step = await decide(police, "PRESUMED", decided_by="POLICE")

    assert before.status_code == 404
    assert ["note" in s for s in history.json()["items"]] == [False]
    assert step.status_code == 200, step.text
    assert step.json()["decided_by"] == "POLICE"


@pytest.mark.parametrize("told", [{"birth_date": None}, {"beneficiary_kind": "PRESUMED"}])
async def test_leaving_the_age_out_makes_no_decider(kit: Kit, told: dict[str, Any]) -> None:
    """Seeded: pass the presumed minority on as a known one (domain.md section 4)."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, **{"birth_date": None} | told)
    if "beneficiary_kind" not in told:
        await decided(caller, "SCREENING", "PRESUMED")

    refused = await decide(caller, "FORMAL_ASSESSMENT")

    assert (await caller.get(f"/v1/cases/{CASE}")).json()["is_minor"] is True
    assert (refused.status_code, refused.json()["code"]) == (
        403,
        "identification.role_not_entitled",
    )


@pytest.mark.row("F60")
@pytest.mark.parametrize(
    ("terms", "is_open"),
    [
        (None, False),
        ({"data_groups": ["IDENTITY"]}, False),
        ({"recipient_organisation_id": str(CASE)}, False),
        (guardian(), True),
        ({}, True),
    ],
)
async def test_a_receiver_reads_what_was_done_to_her_with_her_consent_only(
    kit: Kit, terms: dict[str, Any] | None, *, is_open: bool
) -> None:
    """Seeded: show exploitation_types, acts or means to every receiver."""
    caller = officer(kit)
    await opened(caller)
    await decided(caller, "SCREENING", "PRESUMED", "FORMAL_ASSESSMENT")
    await decided(caller, "IDENTIFIED", **PROVEN)
    await referred(kit)
    if terms is not None:
        body = sharing(data_groups=["EXPLOITATION"]) | terms
        granted = await caller.post(f"/v1/cases/{CASE}/consents", json=body)
        assert granted.status_code == 201, granted.text

    answer = await kit.caller("SHELTER_STAFF", SHELTER, "staff-1").get(URL)

    assert answer.status_code == 200, answer.text
    step = answer.json()["items"][-1]
    assert step["status"] == "IDENTIFIED"
    elements = {name: step[name] for name in PROVEN if name in step}
    assert elements == (PROVEN if is_open else {})
    [entry] = await kit.audit(operation="list_identification")
    assert list(entry.data_groups) == (["EXPLOITATION"] if is_open else [])
    assert (entry.purpose, entry.legal_basis) == (
        ("ASSISTANCE", "CONSENT") if is_open else (None, None)
    )
