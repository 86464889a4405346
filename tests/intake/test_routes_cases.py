"""Cases through the API: opened once, counted apart, protected as children, seen by few."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from common import clock
from common.clock import new_id
from intake import worker
from intake.models import Case
from tests.intake.bodies import CASE, OTHER, case, opened, version
from tests.kit import ELSEWHERE, HOME, Kit, if_match

FIXED_TRACE = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}


# --- opening


@pytest.mark.row("F1")
async def test_a_hundred_equal_calls_open_one_case(kit_on_each: Kit) -> None:
    """Seeded: take InFlight out of the edge; answers differ or a second event is told."""
    kit = kit_on_each
    worker_ = kit.caller("SOCIAL_WORKER")
    key = {"Idempotency-Key": "shift-7"}

    answers = await asyncio.gather(
        *(worker_.post("/v1/cases", json=case(note="Рука."), headers=key) for _ in range(100))
    )

    assert {(a.status_code, a.content) for a in answers} == {(201, answers[0].content)}
    assert answers[0].headers["Location"] == f"/v1/cases/{CASE}"
    [event] = await kit.events()
    assert (event.type, event.seq, event.subject) == ("intake.case.opened.v1", 1, CASE)
    assert event.data == {
        "case_id": str(CASE),
        "organisation_id": str(HOME),
        "country": "RS",
        "beneficiary_kind": "AT_RISK",
        "identification_status": "REPORTED",
        "sex": "FEMALE",
        "age_group": "35+",
        "is_minor": False,
        "urgency": "NORMAL",
        "legal_basis": "PUBLIC_TASK",
        "notice_id": None,
        "referral_id": None,
        "opened_on": "2026-11-22",
    }
    [entry] = await kit.audit(action="create")
    assert (entry.operation, entry.action, entry.subject) == ("create_case", "create", CASE)


@pytest.mark.row("F1")
async def test_an_id_that_is_taken_keeps_its_case(kit: Kit) -> None:
    """Seeded: `unit.put` in place of `unit.create`; another organisation takes the case over."""
    first = await opened(kit.caller("SOCIAL_WORKER"))
    for caller in (kit.caller("SOCIAL_WORKER"), kit.caller("SOCIAL_WORKER", ELSEWHERE)):
        for body in (case(), case(sex="MALE")):
            again = await caller.post("/v1/cases", json=body)
            assert (again.status_code, again.json()["code"]) == (409, "already_exists")

    kept = await kit.caller("SOCIAL_WORKER").get(f"/v1/cases/{CASE}")
    assert kept.json() == first.json()
    assert len(await kit.events()) == 1
    assert len(await kit.audit(operation="create_case")) == 1


@pytest.mark.row("F8")
@pytest.mark.parametrize(
    ("kind", "status", "services_open"),
    [
        ("PRESUMED", "PRESUMED", True),
        ("AT_RISK", "REPORTED", False),
        ("SECONDARY", "REPORTED", False),
    ],
)
async def test_everybody_comes_in_by_the_same_door_and_counts_apart(
    *, kit: Kit, kind: str, status: str, services_open: bool
) -> None:
    """Seeded: open everybody as PRESUMED."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, OTHER)
    primary: dict[str, Any] = {"primary_case_id": str(OTHER)} if kind == "SECONDARY" else {}

    facts = (await opened(caller, CASE, beneficiary_kind=kind, **primary)).json()

    assert (facts["beneficiary_kind"], facts["identification_status"]) == (kind, status)
    assert facts["services_open"] is services_open
    [event] = await kit.events(CASE)
    assert (event.data["beneficiary_kind"], event.data["identification_status"]) == (kind, status)


@pytest.mark.parametrize(
    ("fields", "status", "code", "pointer"),
    [
        (
            {"beneficiary_kind": "VICTIM"},
            422,
            "case.victim_needs_identification",
            "/beneficiary_kind",
        ),
        ({"beneficiary_kind": "SECONDARY"}, 422, "case.primary_required", "/primary_case_id"),
        (
            {"beneficiary_kind": "SECONDARY", "primary_case_id": str(OTHER)},
            422,
            "reference.unknown",
            "/primary_case_id",
        ),
        ({"primary_case_id": str(OTHER)}, 422, "case.primary_not_allowed", "/primary_case_id"),
        ({"notice_id": str(OTHER)}, 422, "reference.unknown", "/notice_id"),
        (
            {"legal_basis": "CHILD_BEST_INTEREST"},
            422,
            "legal_basis.for_children_only",
            "/legal_basis",
        ),
        ({"legal_basis": "NATIONAL_SOP"}, 422, "field.code_unknown", "/legal_basis"),
        ({"legal_basis": None}, 422, "field.type", "/legal_basis"),
        ({"birth_date": "2026-11-23"}, 422, "field.birth_after_contact", "/birth_date"),
        ({"birth_date": "1890"}, 422, "field.birth_too_early", "/birth_date"),
        ({"birth_date": "2008-13"}, 422, "field.edtf_invalid", "/birth_date"),
        ({"worker": "worker-1"}, 422, "field.unknown", ""),
    ],
)
async def test_a_refused_case_leaves_nothing_behind(
    kit: Kit, fields: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    response = await kit.caller("SOCIAL_WORKER").post("/v1/cases", json=case(**fields))

    assert response.status_code == status
    assert [(e["code"], e["pointer"]) for e in response.json()["errors"]] == [(code, pointer)]
    assert await kit.events() == []
    assert await kit.audit() == []
    assert await kit.rows(select(Case.id)) == []


async def test_shelter_staff_opens_a_case_but_does_not_presume(kit: Kit) -> None:
    """Who may screen is the country's rule, not the edge's."""
    staff = kit.caller("SHELTER_STAFF")

    presumed = await staff.post("/v1/cases", json=case(beneficiary_kind="PRESUMED"))

    assert (presumed.status_code, presumed.json()["code"]) == (
        403,
        "identification.role_not_entitled",
    )
    assert await kit.events() == []
    assert (await staff.post("/v1/cases", json=case())).status_code == 201


# --- age


@pytest.mark.row("F7")
@pytest.mark.parametrize(
    ("age", "is_minor", "group", "basis"),
    [
        # Eighteen today, and a day short of it.
        ({"birth_date": "2008-11-22"}, False, "18-24", "DAY"),
        ({"birth_date": "2008-11-23"}, True, "12-17", "DAY"),
        ({"birth_date": "2008-10"}, False, "18-24", "MONTH"),
        ({"birth_date": "2008-11"}, True, "12-17", "MONTH"),
        ({"birth_date": "2007"}, False, "18-24", "YEAR"),
        ({"birth_date": "2008"}, True, "12-17", "YEAR"),
        ({"birth_date": "2006-11-22~"}, False, "18-24", "DAY"),
        ({"birth_date": "2006-11-23~"}, True, "12-17", "DAY"),
        ({"birth_date": "2006/2007"}, False, "18-24", "INTERVAL"),
        ({"birth_date": "2000/2009"}, True, "12-17", "INTERVAL"),
        ({"birth_date": None, "estimated_age": 20}, False, "18-24", "ESTIMATE"),
        ({"birth_date": None, "estimated_age": 19}, True, "12-17", "ESTIMATE"),
        # Papers say adult, the worker sees a child.
        ({"birth_date": "2000-01-01", "estimated_age": 15}, True, "12-17", "ESTIMATE"),
        ({"birth_date": None}, True, "UNKNOWN", "UNKNOWN"),
    ],
)
async def test_whoever_may_be_a_child_is_treated_as_one(
    *, kit: Kit, age: dict[str, Any], is_minor: bool, group: str, basis: str
) -> None:
    """Seeded: take the oldest possible age in place of the youngest."""
    caller = kit.caller("SOCIAL_WORKER")

    facts = (await opened(caller, **age)).json()

    assert (facts["is_minor"], facts["age_group"], facts["age_basis"]) == (is_minor, group, basis)
    [event] = await kit.events()
    assert (event.data["is_minor"], event.data["age_group"]) == (is_minor, group)
    own_word = await caller.post(
        f"/v1/cases/{CASE}/consents",
        json={
            "scope": "DATA_RECORD",
            "given_by": "SELF",
            "language": "sq",
            "granted_on": "2026-11-22",
        },
    )
    assert own_word.status_code == (422 if is_minor else 201)


@pytest.mark.row("F7")
async def test_a_child_is_told_grown_up_on_the_eighteenth_birthday(kit: Kit) -> None:
    """Seeded: leave the job out of `run`; a guardian's word is asked for a woman of thirty."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, birth_date="2008-12-24")
    await opened(caller, OTHER, birth_date=None)

    clock.set_source(lambda: datetime(2026, 12, 23, 22, 59, tzinfo=UTC))
    await worker.sweep(kit.runtime)
    assert (await caller.get(f"/v1/cases/{CASE}")).json()["is_minor"] is True

    clock.set_source(lambda: datetime(2026, 12, 23, 23, 1, tzinfo=UTC))  # midnight in Belgrade
    await worker.sweep(kit.runtime)
    await worker.sweep(kit.runtime)

    facts = (await caller.get(f"/v1/cases/{CASE}")).json()
    assert (facts["is_minor"], facts["version"]) == (False, 2)
    assert facts["age_group"] == "12-17", "at the first contact she was a child"
    grown = (await kit.events(CASE))[1]
    assert (grown.type, grown.data["is_minor"]) == ("intake.case.profile_changed.v1", False)
    [entry] = await kit.audit(operation="come_of_age")
    assert (entry.actor, entry.subject) == ("system", CASE)
    assert (await caller.get(f"/v1/cases/{OTHER}")).json()["is_minor"] is True


# --- changing


async def test_a_change_tells_the_whole_new_profile(kit_on_each: Kit) -> None:
    kit = kit_on_each
    caller = kit.caller("SOCIAL_WORKER")
    created = await opened(caller, languages=["sq", "rom"], note="Прва белешка.")

    changed = await caller.patch(
        f"/v1/cases/{CASE}",
        json={"urgency": "CRISIS", "birth_date": "2010-02", "note": "Друга белешка."},
        headers=if_match(created),
    )

    assert changed.status_code == 200, changed.text
    assert changed.headers["ETag"] == '"2"'
    facts = changed.json()
    assert (facts["urgency"], facts["is_minor"], facts["languages"]) == (
        "CRISIS",
        True,
        ["sq", "rom"],
    )
    told = (await kit.events(CASE))[1]
    assert told.type == "intake.case.profile_changed.v1"
    assert told.data == {
        "case_id": str(CASE),
        "beneficiary_kind": "AT_RISK",
        "sex": "FEMALE",
        "age_group": "12-17",
        "is_minor": True,
        "urgency": "CRISIS",
    }
    [entry] = await kit.audit(operation="update_case")
    assert (entry.action, entry.subject) == ("update", CASE)
    note = await caller.get(f"/v1/cases/{CASE}/note")
    assert note.json() == {"case_id": str(CASE), "note": "Друга белешка."}
    [read] = await kit.audit(operation="get_case_note")
    assert (read.purpose, read.legal_basis) == ("ASSISTANCE", "PUBLIC_TASK")


async def test_null_forgets_and_absence_keeps(kit: Kit) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, note="Белешка.", estimated_age=30, occurred_at="2026-11-01T08:00:00Z")

    async def patch(**fields: Any) -> dict[str, Any]:
        response = await caller.patch(
            f"/v1/cases/{CASE}", json=fields, headers=await version(caller)
        )
        assert response.status_code == 200, response.text
        facts: dict[str, Any] = response.json()
        return facts

    assert (await patch(birth_date=None))["age_basis"] == "ESTIMATE"
    assert (await patch(occurred_at=None))["occurred_at"] is None
    assert (await patch(estimated_age=None))["is_minor"] is True
    assert (await patch(sex="UNKNOWN"))["version"] == 5
    assert (await patch())["version"] == 5, "an empty body changes nothing"
    assert (await caller.get(f"/v1/cases/{CASE}/note")).json()["note"] == "Белешка."
    await patch(note=None)
    assert (await caller.get(f"/v1/cases/{CASE}/note")).json()["note"] is None


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"beneficiary_kind": "PRESUMED"}, 409, "case.kind_follows_identification"),
        ({"beneficiary_kind": "VICTIM"}, 409, "case.kind_follows_identification"),
        ({"beneficiary_kind": "SECONDARY"}, 422, "case.primary_required"),
        ({"primary_case_id": str(OTHER)}, 422, "case.primary_not_allowed"),
        (
            {"beneficiary_kind": "SECONDARY", "primary_case_id": str(OTHER)},
            422,
            "reference.unknown",
        ),
        ({"legal_basis": "CHILD_BEST_INTEREST"}, 422, "legal_basis.for_children_only"),
        ({"birth_date": "2026-12-01"}, 422, "field.birth_after_contact"),
        ({"urgency": None}, 422, "invalid"),
        ({"status": "CLOSED"}, 422, "invalid"),
    ],
)
async def test_a_refused_change_leaves_the_case_as_it_was(
    kit: Kit, fields: dict[str, Any], status: int, code: str
) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    created = await opened(caller)

    response = await caller.patch(f"/v1/cases/{CASE}", json=fields, headers=if_match(created))

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert len(await kit.events()) == 1
    assert await kit.audit(operation="update_case") == []
    assert (await caller.get(f"/v1/cases/{CASE}")).json() == created.json()


async def test_a_relative_may_come_to_belong_to_a_primary_case(kit: Kit) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, OTHER)
    created = await opened(caller)

    linked = await caller.patch(
        f"/v1/cases/{CASE}",
        json={"beneficiary_kind": "SECONDARY", "primary_case_id": str(OTHER)},
        headers=if_match(created),
    )
    chained = await caller.post(
        "/v1/cases",
        json=case(new_id(), beneficiary_kind="SECONDARY", primary_case_id=str(CASE)),
    )

    assert linked.json()["primary_case_id"] == str(OTHER)
    assert (await kit.events(CASE))[1].data["beneficiary_kind"] == "SECONDARY"
    assert chained.json()["code"] == "reference.unknown", "a relative's case is no primary case"


async def test_of_two_workers_with_the_same_page_one_must_read_again(kit_on_each: Kit) -> None:
    """Seeded: leave `expected` out of `shows`; the first change is lost without a word."""
    caller = kit_on_each.caller("SOCIAL_WORKER")
    created = await opened(caller)
    url = f"/v1/cases/{CASE}"

    answers = await asyncio.gather(
        *(
            caller.patch(url, json={"urgency": urgency}, headers=if_match(created))
            for urgency in ("LOW", "HIGH", "CRISIS")
        )
    )
    blind = await caller.patch(url, json={"urgency": "LOW"})

    assert sorted(a.status_code for a in answers) == [200, 412, 412]
    assert blind.status_code == 428
    assert [e.seq for e in await kit_on_each.events(CASE)] == [1, 2]


async def test_a_case_is_put_into_a_workers_hands(kit: Kit) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    created = await opened(caller)

    assigned = await caller.post(
        f"/v1/cases/{CASE}/assign", json={"worker": "worker-2"}, headers=if_match(created)
    )
    named = await caller.post(
        f"/v1/cases/{CASE}/assign",
        json={"worker": "Milica Petrović"},
        headers=if_match(assigned),
    )

    assert assigned.json()["worker"] == "worker-2"
    told = (await kit.events(CASE))[1]
    assert (told.type, told.data) == (
        "intake.case.assigned.v1",
        {"case_id": str(CASE), "organisation_id": str(HOME), "worker": "worker-2"},
    )
    assert len(await kit.audit(operation="assign_case")) == 1
    assert (named.status_code, len(await kit.events(CASE))) == (422, 2)


@pytest.mark.parametrize("kind", ["AT_RISK", "PRESUMED"])
async def test_no_case_is_opened_under_another_countrys_rules(kit: Kit, kind: str) -> None:
    """Seeded: take the body's country; a Serbian register would let the Kosovo advocate presume."""
    caller = kit.caller("SOCIAL_WORKER")

    refused = await caller.post("/v1/cases", json=case(country="XK", beneficiary_kind=kind))
    taken = await caller.post("/v1/cases", json=case(country="RS", beneficiary_kind=kind))

    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (422, "field.choice")
    assert problem["errors"][0]["pointer"] == "/country"
    assert (taken.status_code, taken.json()["country"]) == (201, "RS")
