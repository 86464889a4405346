"""What a role learns of a person by a plan is no more than intake tells it of the case (F60)."""

import json
from importlib.resources import files
from typing import Any
from uuid import UUID

import httpx
import pytest

from common.authz import Authorisation
from common.codelists import all_codes, codes
from common.schema import GroupedRead
from reintegration.schemas import AgreementRead, PlanDetail, PlanRead
from tests.kit import HOME, Kit
from tests.reintegration.plans import CASE, CENTRE, PLAN, agree, open_plan, start, step

AUTHZ = Authorisation.of_package("reintegration")
ROLES = sorted(codes("actor_roles"))
OPENING = {HOME: "own", CENTRE: "shared"}
EVERYTHING = all_codes("data_groups")
READINGS: list[tuple[str, str, type[GroupedRead]]] = [
    ("list_plans", "/v1/plans", PlanRead),
    ("get_plan", f"/v1/plans/{PLAN}", PlanDetail),
    ("list_agreements", f"/v1/plans/{PLAN}/agreements", AgreementRead),
]
FILTERED = {"case_id", "phase", "is_overdue"}
"""Fields of a data group that plans are filtered by."""


def table(package: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(
        files(package).joinpath("data_groups.json").read_text(encoding="utf-8")
    )
    return found


async def told(kit: Kit) -> None:
    """Let a plan of HOME, for a case of CENTRE, have a note and an agreement about money."""
    await open_plan(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    await start(worker)
    await agree(worker, "PERSON", "CASE_WORKER")
    await step(worker, "suspend", note="In hospital.")
    await step(worker, "resume")


def record(answer: httpx.Response) -> dict[str, Any]:
    """Return the record, or the only one of a list."""
    content: dict[str, Any] = answer.json()
    if "items" not in content:
        return content
    [only] = content["items"]
    return dict(only)


def shown_to(model: type[GroupedRead], groups: frozenset[str]) -> set[str]:
    return {name for name in model.model_fields if model.group_of(name) in (None, *groups)}


def test_the_data_groups_of_a_role_are_the_same_as_at_intake() -> None:
    assert table("reintegration") == table("intake")


@pytest.mark.row("F60")
async def test_each_role_reads_the_fields_of_its_groups_and_no_others(kit: Kit) -> None:
    """Seeded: show the duties to whoever reads the plan; shelter staff may not know LEGAL."""
    await told(kit)
    read: dict[tuple[str, UUID], tuple[bool, bool]] = {}
    for role in ROLES:
        groups = frozenset(table("intake").get(role, ()))
        for organisation_id, relation in OPENING.items():
            for operation, path, model in READINGS:
                answer = await kit.caller(role, organisation_id).get(path)
                if relation not in AUTHZ.granted(operation, role):
                    assert not answer.is_success or answer.json()["items"] == [], f"{role} {path}"
                    continue
                seen = record(answer)
                assert seen.keys() == shown_to(model, groups), f"{role} {operation}"
                if model is AgreementRead:
                    is_told = (seen["duties"] is not None, seen["money"] is not None)
                    read[role, organisation_id] = is_told

    assert read == {
        ("NGO_CASE_MANAGER", HOME): (True, True),
        ("SOCIAL_WORKER", HOME): (True, True),
        ("SHELTER_STAFF", HOME): (False, True),
        ("NGO_CASE_MANAGER", CENTRE): (False, False),
        ("SOCIAL_WORKER", CENTRE): (False, False),
    }


@pytest.mark.row("F60", "F15")
async def test_texts_that_stay_shut_are_in_no_entry_as_opened(kit: Kit) -> None:
    """Seeded: enter the opening before asking whether the role may read texts."""
    await told(kit)

    for role in ("NGO_CASE_MANAGER", "SHELTER_STAFF"):
        await kit.caller(role).get(f"/v1/plans/{PLAN}/agreements")
        [entry] = await kit.audit(operation="list_agreements", role=role)
        assert entry.data_groups == (["SUPPORT"] if role == "NGO_CASE_MANAGER" else [])
        assert (entry.subject, entry.legal_basis) == (CASE, "CONSENT")


@pytest.mark.row("F60")
@pytest.mark.parametrize("known", [set(), {"IDENTITY"}, {"SUPPORT"}, {"IDENTITY", "SUPPORT"}])
async def test_another_table_shows_other_fields_everywhere(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, known: set[str]
) -> None:
    """Seeded: leave the groups out of one route, of the answer to a step, or of feed.json."""
    await told(kit)
    worker = kit.caller("NGO_CASE_MANAGER")
    groups = frozenset(known)
    monkeypatch.setattr(Authorisation, "data_groups", lambda *_: groups)

    for _, path, model in READINGS:
        assert record(await worker.get(path)).keys() == shown_to(model, groups), path
    suspended = await step(worker, "suspend")
    written = await agree(worker)
    notes = await worker.get(f"/v1/plans/{PLAN}/notes")
    feed = await kit.feed(worker)

    assert suspended.json().keys() == shown_to(PlanRead, groups)
    assert written.json().keys() == shown_to(AgreementRead, groups)
    assert written.json().get("duties") is None
    assert notes.json() == {"items": []}
    assert (feed != []) is (groups >= {"IDENTITY", "SUPPORT"})


def test_who_writes_a_plan_or_filters_by_its_fields_may_know_them() -> None:
    """Another table would need a refusal of its own here, as intake has one."""
    writes = AUTHZ.operations - {operation for operation, _, _ in READINGS}
    needed = {
        **{operation: EVERYTHING for operation in writes if operation.endswith(("plan", "ement"))},
        "change_phase": EVERYTHING,
        "get_plan": frozenset[str](),
        "get_agreement": frozenset[str](),
        "list_plans": {PlanRead.group_of(name) for name in FILTERED},
    }

    lacking = [
        (role, operation)
        for operation, groups in needed.items()
        for role in AUTHZ.entitled(operation)
        if not AUTHZ.data_groups(role) >= groups
    ]

    assert lacking == []
    assert {"create_agreement", "sign_agreement", "close_plan"} <= needed.keys()
