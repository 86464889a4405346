"""Who sees which case, and who is told that somebody looked."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine, event

from common.audit import Sealer
from common.clock import new_id
from tests.intake.bodies import (
    CASE,
    OTHER,
    SHELTER,
    case,
    consent,
    decision,
    notice,
    opened,
    referred,
    version,
)
from tests.kit import ELSEWHERE, HOME, Kit, if_match

FIXED_TRACE = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}


@pytest.mark.parametrize(
    "role",
    ["NATIONAL_COORDINATOR", "ANALYST", "HUB_OPERATOR", "DPO", "FIRST_RESPONDER", "PROSECUTOR"],
)
async def test_who_sees_aggregates_or_reports_has_no_cases(kit: Kit, role: str) -> None:
    await opened(kit.caller("SOCIAL_WORKER"))
    caller = kit.caller(role)

    for response in (
        await caller.get("/v1/cases"),
        await caller.get(f"/v1/cases/{CASE}"),
        await caller.get(f"/v1/cases/{new_id()}"),
        await caller.post("/v1/cases", json=case(OTHER)),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert len(await kit.audit(decision="deny")) == 4


async def test_a_case_that_is_not_yours_looks_like_none(kit: Kit) -> None:
    """Seeded: answer 403 in `see_case`, or check If-Match before the relation."""
    await opened(kit.caller("SOCIAL_WORKER"))
    stranger = kit.caller("SOCIAL_WORKER", ELSEWHERE)
    headers = FIXED_TRACE | {"If-Match": '"7"'}
    calls: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("PATCH", "", {"urgency": "LOW"}),
        ("GET", "/note", None),
        ("POST", "/assign", {"worker": "worker-9"}),
        ("GET", "/access-log", None),
        ("GET", "/identity?purpose=ASSISTANCE", None),
        ("PUT", "/identity", {"given_name": {"value": "Ana"}}),
        ("GET", "/consents", None),
        ("GET", f"/consents/{OTHER}", None),
        ("POST", f"/consents/{OTHER}/withdraw", {}),
        ("GET", "/identification", None),
        ("POST", "/identification", decision("SCREENING")),
    ]
    for method, path, body in calls:
        hidden, absent = [
            await stranger.request(method, f"/v1/cases/{id_}{path}", json=body, headers=headers)
            for id_ in (CASE, OTHER)
        ]
        assert (hidden.status_code, absent.status_code) == (404, 404), path
        assert hidden.content == absent.content, path
        assert hidden.headers == absent.headers, path
    assert len(await kit.events()) == 1
    assert len(await kit.audit()) == 1
    assert len(await kit.audit(decision="deny")) == 2 * len(calls)


async def test_a_list_holds_what_reading_one_by_one_would_show(kit: Kit) -> None:
    """Seeded: drop `_visible` from `list_cases`, or let any worker's case pass as assigned."""
    home, shelter = kit.caller("SOCIAL_WORKER"), kit.caller("SHELTER_STAFF", SHELTER, "staff-1")
    elsewhere = kit.caller("NGO_CASE_MANAGER", ELSEWHERE)
    mine, theirs = new_id(), new_id()
    await opened(home)
    await opened(shelter, mine)
    await opened(elsewhere, theirs)
    await referred(kit)
    expected = {
        ("SOCIAL_WORKER", HOME): {CASE},
        ("SHELTER_STAFF", SHELTER): {CASE, mine},
        ("NGO_CASE_MANAGER", ELSEWHERE): {theirs},
        ("NATIONAL_CONTACT_POINT", SHELTER): {CASE, mine},
        ("POLICE_INVESTIGATOR", SHELTER): {CASE},
        ("POLICE_INVESTIGATOR", HOME): set(),
        ("IDENTIFICATION_OFFICER", UUID(int=9)): {CASE, mine, theirs},
    }

    for (role, organisation_id), visible in expected.items():
        caller = kit.caller(role, organisation_id, "someone")
        listed = (await caller.get("/v1/cases")).json()["items"]
        assert {UUID(item["id"]) for item in listed} == visible, (role, organisation_id)
        for id_ in (CASE, mine, theirs):
            status = (await caller.get(f"/v1/cases/{id_}")).status_code
            assert status == (200 if id_ in visible else 404), (role, organisation_id, id_)


async def test_an_assigned_worker_works_and_a_colleague_of_the_shelter_does_not(kit: Kit) -> None:
    """Shelter staff write in the cases they carry; a worker who left carries none along."""
    manager = kit.caller("NGO_CASE_MANAGER", SHELTER)
    await opened(manager)
    carrier = kit.caller("SHELTER_STAFF", SHELTER, "staff-1")
    for change in ({"worker": "staff-2"}, {"worker": "staff-1"}):
        await manager.post(f"/v1/cases/{CASE}/assign", json=change, headers=await version(manager))
    others = [
        kit.caller("SHELTER_STAFF", SHELTER, "staff-2"),
        kit.caller("SHELTER_STAFF", ELSEWHERE, "staff-1"),
    ]

    refused = [
        await other.patch(
            f"/v1/cases/{CASE}", json={"urgency": "HIGH"}, headers=await version(manager)
        )
        for other in others
    ]
    # The colleague reads the case and is told that it is not hers; the other learns nothing.
    assert [(each.status_code, each.json()["code"]) for each in refused] == [
        (403, "step.not_yours"),
        (404, "not_found"),
    ]
    changed = await carrier.patch(
        f"/v1/cases/{CASE}", json={"urgency": "HIGH"}, headers=await version(manager)
    )
    assert changed.status_code == 200


STEPS: list[tuple[str, str, dict[str, Any]]] = [
    ("PATCH", "", {"urgency": "HIGH"}),
    ("POST", "/assign", {"worker": "staff-2"}),
    ("PUT", "/identity", {"given_name": {"value": "Ana"}}),
    ("POST", "/consents", consent("ASSISTANCE")),
    ("POST", f"/consents/{OTHER}/withdraw", {}),
    ("POST", "/identification", decision("SCREENING")),
]


@pytest.mark.parametrize(("method", "path", "body"), STEPS)
async def test_whoever_may_read_a_case_is_told_that_a_step_is_not_theirs(
    kit: Kit, method: str, path: str, body: dict[str, Any]
) -> None:
    """Seeded: find the case for the step by the step's relations alone."""
    owner = kit.caller("NGO_CASE_MANAGER", HOME)
    reader = kit.caller("SOCIAL_WORKER", SHELTER, "reader-1")
    if "withdraw" in path:  # the receiver may take a withdrawal, a colleague may not
        reader = kit.caller("SHELTER_STAFF", HOME, "staff-9")
    await opened(owner)
    await referred(kit)
    seen = await reader.get(f"/v1/cases/{CASE}")

    refused = await reader.request(
        method, f"/v1/cases/{CASE}{path}", json=body, headers=if_match(seen)
    )
    stranger = await kit.caller("NGO_CASE_MANAGER", ELSEWHERE).request(
        method, f"/v1/cases/{CASE}{path}", json=body, headers=if_match(seen)
    )

    assert (seen.status_code, refused.status_code) == (200, 403)
    assert refused.json()["code"] == "step.not_yours"
    assert stranger.status_code == 404


async def test_a_note_is_read_by_roles_that_may_know_every_group(kit: Kit) -> None:
    """Seeded: give shelter staff, who may not know LEGAL, a row; the matrix test then fails."""
    manager = kit.caller("NGO_CASE_MANAGER", SHELTER)
    await opened(manager, note="Suđenje je u maju.")
    await manager.post(
        f"/v1/cases/{CASE}/assign", json={"worker": "staff-1"}, headers=await version(manager)
    )
    carrier = kit.caller("SHELTER_STAFF", SHELTER, "staff-1")

    refused = await carrier.get(f"/v1/cases/{CASE}/note")
    read = await manager.get(f"/v1/cases/{CASE}/note")

    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "Suđenje" not in refused.text
    assert read.json()["note"] == "Suđenje je u maju."


async def test_cases_are_filtered_and_paged_without_gaps(kit: Kit) -> None:
    """A case that arrives during the walk shifts nothing."""
    caller = kit.caller("SOCIAL_WORKER")
    ids = [new_id() for _ in range(7)]
    for number, id_ in enumerate(ids):
        await opened(caller, id_, sex="MALE" if number % 2 else "FEMALE", urgency="HIGH")

    walked: list[str] = []
    cursor = ""
    while True:
        page = (await caller.get(f"/v1/cases?limit=3&urgency=HIGH{cursor}")).json()
        walked += [item["id"] for item in page["items"]]
        await opened(caller, new_id(), urgency="HIGH")
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert walked == [str(id_) for id_ in reversed(ids)]
    assert (await caller.get("/v1/cases?is_minor=true")).json()["items"] == []
    for query in ("given_name=Ana", "sex=MALE", "cursor=x", "is_minor=1", "opened_at.gt=2026"):
        assert (await caller.get(f"/v1/cases?{query}")).status_code == 400, query


@pytest.mark.row("F64")
async def test_the_access_log_says_who_looked_and_what_for(kit: Kit) -> None:
    """Seeded: leave `about` out of a disclosure; the person is never told of it."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, note="Белешка.")
    await opened(caller, OTHER)
    await referred(kit)
    shelter = kit.caller("SHELTER_STAFF", SHELTER, "staff-1")
    await shelter.get(f"/v1/cases/{CASE}")
    await caller.get(f"/v1/cases/{CASE}/note")
    dpo = kit.caller("DPO", UUID(int=8), "dpo-1")

    first = await dpo.get(f"/v1/cases/{CASE}/access-log?limit=2")
    rest = await dpo.get(f"/v1/cases/{CASE}/access-log?cursor={first.json()['next']}")
    later = await caller.get(f"/v1/cases/{CASE}/access-log")

    def seen(response: httpx.Response) -> list[tuple[str, str, str | None]]:
        return [(e["actor"], e["operation"], e["purpose"]) for e in response.json()["items"]]

    assert seen(first) == [
        ("worker-1", "get_case_note", "ASSISTANCE"),
        ("staff-1", "get_case", None),
    ]
    assert seen(rest) == [("worker-1", "create_case", None)]
    assert [actor for actor, *_ in seen(later)][:2] == ["dpo-1", "dpo-1"]
    assert later.json()["items"][2]["legal_basis"] == "PUBLIC_TASK"
    assert (await shelter.get(f"/v1/cases/{CASE}/access-log")).status_code == 403


@pytest.mark.row("F64")
async def test_the_access_log_finds_the_lists_and_feeds_that_showed_a_case(
    kit_on_each: Kit,
) -> None:
    """Seeded: list without an entry, leave the case out of the sealer's index, or index all."""
    kit = kit_on_each
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, urgency="HIGH")
    await opened(caller, OTHER, urgency="LOW")
    await kit.caller("NGO_CASE_MANAGER", HOME, "lister-1").get("/v1/cases")
    await kit.caller("NGO_CASE_MANAGER", HOME, "lister-2").get("/v1/cases?urgency=LOW")
    await kit.caller("SOCIAL_WORKER", ELSEWHERE, "stranger-1").get("/v1/cases")
    await kit.feed(kit.caller("NGO_CASE_MANAGER", HOME, "partner-1"))
    sealer = Sealer(kit.runtime.database, kit.runtime.master, service="intake")
    while await sealer.link_waiting():
        pass

    listed = await kit.audit(operation="list_cases")
    log = await caller.get(f"/v1/cases/{CASE}/access-log?limit=2")
    older = await caller.get(f"/v1/cases/{CASE}/access-log?cursor={log.json()['next']}")

    assert [(e.action, e.object_type, e.object_ids) for e in listed] == [
        ("list", "case_file", [str(OTHER), str(CASE)]),
        ("list", "case_file", [str(OTHER)]),
        ("list", "case_file", []),
    ]
    entries = log.json()["items"] + older.json()["items"]
    assert [(e["actor"], e["action"], e["operation"]) for e in entries] == [
        ("partner-1", "list", "list_changes"),
        ("lister-1", "list", "list_cases"),
        ("worker-1", "create", "create_case"),
    ]
    assert str(OTHER) not in log.text + older.text


async def test_a_notice_worth_nothing_to_others_is_no_door_to_a_case(kit: Kit) -> None:
    """A reporter who is told a case's id still does not see the case."""
    reporter = kit.caller("BORDER_POLICE", ELSEWHERE, "officer-3")
    reported = await reporter.post("/v1/notices", json=notice(source="BORDER_POLICE"))
    desk = kit.caller("IDENTIFICATION_OFFICER")
    await desk.post(
        f"{reported.headers['Location']}/triage",
        json={"decision": "OPEN_CASE", "case_id": str(CASE), "legal_basis": "PUBLIC_TASK"},
        headers=if_match(reported),
    )

    assert (await reporter.get(f"/v1/cases/{CASE}")).status_code == 404


@pytest.mark.row("F64")
async def test_who_was_refused_a_case_stands_in_its_access_log(kit: Kit) -> None:
    """Seeded: leave out `about` of the denial; the log shows only who got through."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await opened(caller, OTHER)
    await kit.caller("SOCIAL_WORKER", ELSEWHERE, "curious-1").get(f"/v1/cases/{CASE}")
    await kit.caller("ANALYST", HOME, "analyst-1").get(f"/v1/cases/{CASE}/note")
    # However an id is spelt, it is the same case.
    for spelling in (CASE.hex, f"%7B{CASE}%7D", f"urn:uuid:{CASE}", str(CASE).upper()):
        answer = await kit.caller("SOCIAL_WORKER", ELSEWHERE, "sly-1").get(f"/v1/cases/{spelling}")
        assert answer.status_code == 404
    assert len(await kit.audit(decision="deny", actor="sly-1", subject=CASE)) == 4

    for path, expected in (
        (CASE, {("curious-1", "get_case"), ("analyst-1", "get_case_note"), ("sly-1", "get_case")}),
        (OTHER, set()),
    ):
        log = await kit.caller("DPO", HOME, "dpo-1").get(f"/v1/cases/{path}/access-log")
        assert log.status_code == 200, log.text
        denied = [one for one in log.json()["items"] if one["decision"] == "deny"]
        assert {(one["actor"], one["operation"]) for one in denied} == expected


async def test_a_case_of_others_takes_the_same_statements_as_none(kit: Kit) -> None:
    """Seeded: look for the referral in a second statement, once the case is found."""
    await opened(kit.caller("SOCIAL_WORKER"))
    stranger = kit.caller("SHELTER_STAFF", ELSEWHERE)
    seen: list[str] = []

    def note(*call: Any) -> None:
        seen.append(call[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        runs = []
        for id_ in (CASE, OTHER):
            seen.clear()
            assert (await stranger.get(f"/v1/cases/{id_}")).status_code == 404
            runs.append([one for one in seen if "case_file" in one or "known_referral" in one])
    finally:
        event.remove(Engine, "before_cursor_execute", note)

    assert runs[0] == runs[1]
    assert len(runs[0]) == 1


@pytest.mark.row("F15")
async def test_the_trail_of_a_case_lists_its_legal_basis_from_its_creation_on(kit: Kit) -> None:
    """Of the creation, of a change of the basis, of each disclosure; in the access log as well.

    Seeded: leave `legal_basis` out of `Unit.create` or `Unit.change`.
    """
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, legal_basis="PUBLIC_TASK", note="Тражи помоћ.")
    await caller.patch(
        f"/v1/cases/{CASE}",
        json={"legal_basis": "LEGAL_OBLIGATION"},
        headers=await version(caller),
    )
    await caller.get(f"/v1/cases/{CASE}/note")
    named = [
        {"id": str(OTHER), "legal_basis": None},
        {key: value for key, value in case(OTHER).items() if key != "legal_basis"},
    ]
    refused = [await caller.post("/v1/cases", json=case(OTHER) | named[0])]
    refused.append(await caller.post("/v1/cases", json=named[1]))

    trail = await kit.audit(subject=CASE)
    log = (await caller.get(f"/v1/cases/{CASE}/access-log")).json()["items"]
    bases = [
        ("create_case", "PUBLIC_TASK"),
        ("get_case", "PUBLIC_TASK"),
        ("update_case", "LEGAL_OBLIGATION"),
        ("get_case_note", "LEGAL_OBLIGATION"),
    ]
    assert [(e.operation, e.legal_basis) for e in trail] == bases
    assert [(e["operation"], e["legal_basis"]) for e in reversed(log)] == bases
    assert [answer.status_code for answer in refused] == [422, 422]


@pytest.mark.row("F15")
async def test_a_case_a_notice_opens_lists_its_legal_basis_too(kit: Kit) -> None:
    """Seeded: open the case of a triage another way than `open_case`."""
    desk = kit.caller("IDENTIFICATION_OFFICER")
    reported = await desk.post("/v1/notices", json=notice())
    opening = {"decision": "OPEN_CASE", "case_id": str(CASE), "legal_basis": "VITAL_INTEREST"}
    answer = await desk.post(
        f"{reported.headers['Location']}/triage",
        json=opening | {"beneficiary_kind": "AT_RISK"},
        headers=if_match(reported),
    )

    assert answer.status_code == 200, answer.text
    [entry] = await kit.audit(subject=CASE, action="create")
    assert entry.legal_basis == "VITAL_INTEREST"
