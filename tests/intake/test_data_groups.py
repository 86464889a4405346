"""Which role reads which data group of a record (F60): what is expected comes from the table."""

import json
from importlib.resources import files
from typing import Any

import httpx
import pytest

from common.authz import Authorisation
from common.codelists import all_codes, codes
from common.schema import GroupedRead
from intake.domain.identity import FIELDS
from intake.schemas.case import CaseRead
from intake.schemas.identification import IdentificationRead
from intake.schemas.identity import IdentityRead
from tests.intake.bodies import (
    CASE,
    PERSON,
    SHELTER,
    consent,
    decision,
    opened,
    referred,
    sharing,
    version,
)
from tests.intake.test_routes_declarations import agreed, declared
from tests.intake.test_routes_markers import body
from tests.kit import Kit

TABLE: dict[str, list[str]] = json.loads(
    files("intake").joinpath("data_groups.json").read_text(encoding="utf-8")
)
AUTHZ = Authorisation.of_package("intake")
ROLES = sorted(codes("actor_roles"))
PROVEN = {
    "exploitation_types": ["FORCED_LABOUR"],
    "acts": ["ACT_RECRUITMENT"],
    "means": ["MEANS_DECEPTION"],
}
OF_MARKER = {"LONE_PARENT": "FAMILY", "STATELESS": "LEGAL", "CHILD_BEGGING": "EXPLOITATION"}
GROUPED: list[tuple[str, str, type[GroupedRead]]] = [
    ("get_case", "", CaseRead),
    ("list_cases", "", CaseRead),
    ("get_identity", "/identity?purpose=ASSISTANCE", IdentityRead),
    ("list_identification", "/identification", IdentificationRead),
]


async def told(kit: Kit) -> None:
    """Let everything be known of a case of worker-1, and all of it be open to who it is sent to."""
    officer, caller = kit.caller("IDENTIFICATION_OFFICER"), kit.caller("SOCIAL_WORKER")
    await opened(caller)
    path = f"/v1/cases/{CASE}"
    assert (await caller.post(f"{path}/consents", json=consent())).is_success
    await agreed(caller)
    shared = sharing(data_groups=sorted(all_codes("data_groups")))
    assert (await caller.post(f"{path}/consents", json=shared)).is_success
    await referred(kit)
    worker = {"worker": "worker-1"}
    await caller.post(f"{path}/assign", json=worker, headers=await version(caller))
    written = await caller.put(f"{path}/identity", json=PERSON, headers=await version(caller))
    assert written.is_success, written.text
    for status in ("SCREENING", "PRESUMED", "FORMAL_ASSESSMENT", "IDENTIFIED"):
        proven = PROVEN if status == "IDENTIFIED" else {}
        step = decision(status, note="Образложење.", **proven)
        url, headers = f"{path}/identification", await version(caller)
        assert (await officer.post(url, json=step, headers=headers)).is_success, status
    for number, marker in enumerate(OF_MARKER, 1):
        since, until = ("2010-01-01", "2010-12-31") if "CHILD" in marker else ("2026-01-01", None)
        new = body(marker, number, since=since, until=until)
        assert (await caller.post(f"{path}/markers", json=new)).is_success, marker
    await declared(caller)
    await declared(caller, "DISABILITY", 2)


def reader(kit: Kit, operation: str, role: str) -> httpx.AsyncClient:
    """Return a caller in the role to whom the case is open if it is to anybody in it."""
    if AUTHZ.granted(operation, role) == {"referred"}:
        return kit.caller(role, SHELTER, "staff-1")
    return kit.caller(role)


def _allowed(operation: str) -> list[str]:
    return [role for role in ROLES if AUTHZ.granted(operation, role)]


def first(answer: httpx.Response) -> dict[str, Any]:
    """Return the record, or the last of a list."""
    content: dict[str, Any] = answer.json()
    return content["items"][-1] if "items" in content else content


@pytest.mark.row("F60")
async def test_each_role_reads_the_fields_of_its_groups_and_no_others(kit: Kit) -> None:
    """Over every role and reading: absent are exactly the fields of groups the role may not know.

    Seeded: leave `groups=` at all groups in one route; give a role another group in the table's
    copy in `Authorisation`; show a field as null.
    """
    await told(kit)
    seen: dict[str, int] = {}
    for role in ROLES:
        groups = set(TABLE.get(role, ()))
        for operation, path, model in GROUPED:
            url = "/v1/cases" if operation == "list_cases" else f"/v1/cases/{CASE}{path}"
            answer = await reader(kit, operation, role).get(url)
            if not AUTHZ.granted(operation, role):
                assert answer.status_code == 403, f"{role} {operation}"
                continue
            assert answer.status_code == 200, f"{role} {operation}: {answer.text}"
            expected = {
                name
                for name in model.model_fields
                if model.group_of(name) is None or model.group_of(name) in groups
            }
            shown = set(first(answer)) - set(model.model_computed_fields)
            assert shown == expected, f"{role} {operation}"
            seen[operation] = seen.get(operation, 0) + 1
            if operation == "list_identification" and "EXPLOITATION" in groups:
                assert {n: first(answer)[n] for n in PROVEN} == PROVEN
    assert seen == {op: len(_allowed(op)) for op, _, _ in GROUPED}
    assert len(seen) == len(GROUPED)


@pytest.mark.row("F60")
async def test_each_role_reads_the_markers_and_declarations_of_its_groups(kit: Kit) -> None:
    """Seeded: leave the role's groups out of `disclose_markers` or `disclose_declarations`."""
    await told(kit)
    asked = 0
    for role in ROLES:
        groups = set(TABLE.get(role, ()))
        for operation, path, of_group, name in (
            ("list_markers", "/markers", OF_MARKER, "marker"),
            (
                "list_declarations",
                "/declarations?purpose=ASSISTANCE",
                {"ETHNICITY_ROMA": "IDENTITY", "DISABILITY": "HEALTH"},
                "category",
            ),
        ):
            answer = await reader(kit, operation, role).get(f"/v1/cases/{CASE}{path}")
            if not AUTHZ.granted(operation, role):
                assert answer.status_code == 403, f"{role} {operation}"
                continue
            shown = {item[name] for item in answer.json()["items"]}
            assert shown == {code for code, group in of_group.items() if group in groups}
            asked += 1
    assert asked == len(_allowed("list_markers")) + len(_allowed("list_declarations"))


def test_the_groups_of_identity_are_those_of_its_consents() -> None:
    """Seeded: move `address` to IDENTITY in one of the two places."""
    shown = {
        group: {n for n in IdentityRead.model_fields if IdentityRead.group_of(n) == group}
        for group in FIELDS
    }

    assert shown == FIELDS


def test_the_description_says_of_which_group_a_field_is() -> None:
    schema = CaseRead.model_json_schema(mode="serialization")

    assert schema["properties"]["legal_basis"]["x-data-group"] == "LEGAL"
    assert schema["properties"]["legal_basis"]["type"] == "string"
    assert "legal_basis" not in schema["required"]
    assert "status" in schema["required"]


@pytest.mark.parametrize("table", [{"CHIEF": ["LEGAL"]}, {"DPO": ["SECRETS"]}])
def test_a_table_with_unknown_names_stops_the_service(table: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="data_groups"):
        Authorisation({}, table)


def test_a_role_the_table_does_not_name_knows_no_group() -> None:
    assert AUTHZ.data_groups("ANALYST") == frozenset()
    assert AUTHZ.data_groups("NATIONAL_CONTACT_POINT") == {"LEGAL"}


# --- who changes which


@pytest.mark.row("F60")
@pytest.mark.parametrize("fields", [{"legal_basis": "CONSENT"}, {"note": None}, {"note": "Ново."}])
async def test_a_role_changes_only_what_it_may_know(kit: Kit, fields: dict[str, Any]) -> None:
    """Seeded: leave `require_known` or `reads_note` out of `update_case`."""
    caller, staff = kit.caller("SOCIAL_WORKER"), kit.caller("SHELTER_STAFF")
    await opened(caller, note="Важна белешка.")
    path, worker = f"/v1/cases/{CASE}", {"worker": "worker-1"}
    await caller.post(f"{path}/assign", json=worker, headers=await version(caller))

    for query in ("", "?validate_only=true"):
        refused = await staff.patch(
            f"{path}{query}", json=fields | {"urgency": "HIGH"}, headers=await version(caller)
        )
        assert (refused.status_code, refused.json()["code"]) == (403, "data_group.closed")
        assert [e["pointer"] for e in refused.json()["errors"]] == [f"/{next(iter(fields))}"]
    facts = (await caller.get(path)).json()
    assert (facts["legal_basis"], facts["urgency"]) == ("PUBLIC_TASK", "NORMAL")
    assert (await caller.get(f"{path}/note")).json()["note"] == "Важна белешка."
    taken = await caller.patch(path, json=fields, headers=await version(caller))
    known = await staff.patch(path, json={"urgency": "HIGH"}, headers=await version(caller))
    assert (taken.status_code, known.status_code) == (200, 200)


@pytest.mark.row("F60")
@pytest.mark.parametrize(
    ("known", "pointer"), [(["LEGAL"], "/acts"), (["EXPLOITATION"], "/legal_basis")]
)
async def test_a_step_says_only_what_its_role_may_know(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, known: list[str], pointer: str
) -> None:
    """No role that decides lacks a group today; another table may. Seeded: drop `require_known`."""
    officer = kit.caller("IDENTIFICATION_OFFICER")
    await opened(officer)
    headers = await version(officer)
    monkeypatch.setattr(Authorisation, "data_groups", lambda *_: frozenset(known))

    refused = await officer.post(
        f"/v1/cases/{CASE}/identification", json=decision("SCREENING", **PROVEN), headers=headers
    )

    assert (refused.status_code, refused.json()["code"]) == (403, "data_group.closed")
    assert [e["pointer"] for e in refused.json()["errors"]] == [pointer]


async def test_who_opens_a_case_writes_what_it_knew_itself(kit: Kit) -> None:
    """A case needs a legal basis; nothing of anybody else's is overwritten."""
    staff = kit.caller("SHELTER_STAFF")

    created = await opened(staff, legal_basis="VITAL_INTEREST", note="Дошла ноћу.")

    assert "legal_basis" not in created.json()
    caller = kit.caller("SOCIAL_WORKER")
    assert (await caller.get(f"/v1/cases/{CASE}")).json()["legal_basis"] == "VITAL_INTEREST"
    assert (await caller.get(f"/v1/cases/{CASE}/note")).json()["note"] == "Дошла ноћу."
