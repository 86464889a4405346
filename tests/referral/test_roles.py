"""What a role learns of a case by a referral is no more than intake tells it of the case (F60)."""

import json
from importlib.resources import files
from typing import Any
from uuid import UUID

import pytest

from common.authz import Authorisation
from common.codelists import all_codes, codes
from tests.kit import HOME, Kit
from tests.referral.story import (
    SHELTER,
    acknowledged,
    draft,
    ready,
    receiver,
    sender,
    step,
)

INTAKE, REFERRAL, REINTEGRATION = (
    Authorisation.of_package(package) for package in ("intake", "referral", "reintegration")
)
ROLES = sorted(codes("actor_roles"))
OF_OWNER = frozenset({"own", "assigned", "all"})
OF_RECEIVER = frozenset({"referred", "all"})
ASKED = {"reason": "NEEDS_UNCLEAR", "note": "Които лекарства взема?"}
OF_NO_CASE = frozenset({"register_service", "update_service", "list_changes"})
"""Operations whose `own` record is an organisation's; what the feed tells is judged by readings."""


def table(package: str) -> Any:
    return json.loads(files(package).joinpath("data_groups.json").read_text(encoding="utf-8"))


def test_the_data_groups_of_a_role_are_the_same_as_at_intake() -> None:
    assert table("referral") == table("intake")


@pytest.mark.row("F60")
def test_no_role_has_a_relation_to_a_case_that_intake_does_not_give_it() -> None:
    """Seeded: let VICTIM_ADVOCATE draft and list what her organisation sends."""
    meant = [
        (REFERRAL, "own", OF_OWNER),
        (REINTEGRATION, "own", OF_RECEIVER),  # a plan's organisation has accepted a referral
        (REINTEGRATION, "shared", OF_OWNER),
    ]

    wider = [
        (role, operation, relation)
        for authorisation, relation, opening in meant
        for operation, row in _entitled(authorisation).items()
        for role, relations in row.items()
        if relation in relations and not INTAKE.granted("get_case", role) & opening
    ]

    assert wider == []


def _entitled(authorisation: Authorisation) -> dict[str, dict[str, list[str]]]:
    return {
        operation: authorisation.entitled(operation)
        for operation in authorisation.operations - OF_NO_CASE
        if not authorisation.is_public(operation)
    }


@pytest.mark.row("F60")
async def test_a_referral_shows_the_case_to_whom_intake_shows_it(kit: Kit) -> None:
    """Seeded: show it to every role of both sides; inspectors and consuls follow the case."""
    case, _ = await ready(kit)
    referral_id = await acknowledged(kit, case, note="HIV; krivični postupak.")

    seen: dict[tuple[str, UUID], bool] = {}
    listed: dict[tuple[str, UUID], bool] = {}
    told: dict[tuple[str, UUID], bool] = {}
    for role in ROLES:
        for organisation_id in (HOME, SHELTER):
            caller, key = kit.caller(role, organisation_id), (role, organisation_id)
            read = await caller.get(f"/v1/referrals/{referral_id}")
            items = await caller.get("/v1/referrals", params={"case_id": str(case.id)})
            seen[key] = str(case.id) in read.text
            listed[key] = items.is_success and items.json()["items"] != []
            may_list = REFERRAL.granted("list_changes", role)
            feed = await kit.feed(caller) if may_list else []
            told[key] = any(event.subject == referral_id for event in feed)

    opening = {HOME: OF_OWNER, SHELTER: OF_RECEIVER}
    by_intake = {key: bool(INTAKE.granted("get_case", key[0]) & opening[key[1]]) for key in seen}
    assert [key for key, shown in seen.items() if shown and not by_intake[key]] == []
    assert seen == listed == told
    assert {key for key, shown in seen.items() if shown} == {
        *((role, HOME) for role in ("IDENTIFICATION_OFFICER", "SOCIAL_WORKER")),
        *((role, HOME) for role in ("NGO_CASE_MANAGER", "SHELTER_STAFF")),
        *((role, SHELTER) for role in ("IDENTIFICATION_OFFICER", "SOCIAL_WORKER")),
        *((role, SHELTER) for role in ("NGO_CASE_MANAGER", "SHELTER_STAFF")),
        *((role, SHELTER) for role in ("POLICE_INVESTIGATOR", "VICTIM_ADVOCATE")),
    }


@pytest.mark.row("F60", "F15")
@pytest.mark.parametrize("organisation_id", [HOME, SHELTER])
async def test_the_notes_of_a_referral_are_for_roles_that_may_know_every_data_group(
    kit: Kit, organisation_id: UUID
) -> None:
    """Seeded: open them to whoever sees the referral whole; or record groups nobody was shown."""
    case, _ = await ready(kit)
    referral_id = await acknowledged(kit, case, note="HIV; krivični postupak.")
    asked = await step(receiver(kit), referral_id, "return_for_info", ASKED)
    assert asked.status_code == 200, asked.text

    for role in ROLES:
        read = await kit.caller(role, organisation_id).get(f"/v1/referrals/{referral_id}")
        is_open = all_codes("data_groups") <= {*table("intake").get(role, ())}
        if not read.is_success:
            continue
        texts = (read.json().get("note"), read.json().get("reason_note"))
        assert texts == (("HIV; krivični postupak.", ASKED["note"]) if is_open else (None, None))
        [*_, entry] = await kit.audit(operation="get_referral", role=role)
        assert entry.data_groups == (["IDENTITY"] if is_open else []), role


async def test_an_advocate_at_the_sender_learns_of_no_case(kit: Kit) -> None:
    """Seeded: let her draft; 201 tells sex and age band of a case that intake hides from her."""
    case, _ = await ready(kit)
    referral_id = await acknowledged(kit, case)
    advocate = kit.caller("VICTIM_ADVOCATE", HOME)

    drafted = await advocate.post("/v1/referrals", json=draft(case.id))
    sent = await advocate.get("/v1/referrals", params={"direction": "SENT"})
    read = await advocate.get(f"/v1/referrals/{referral_id}")
    cancelled = await step(advocate, referral_id, "cancel", {"reason": "NEED_ENDED"})

    assert (drafted.status_code, drafted.json()["code"]) == (403, "forbidden")
    assert sent.json()["items"] == []
    assert read.status_code == 404
    assert cancelled.status_code == 403
    assert await kit.feed(advocate) == [
        event for event in await kit.feed(advocate) if event.subject == SHELTER
    ]
    assert (await sender(kit).get(f"/v1/referrals/{referral_id}")).json()[
        "status"
    ] == "ACKNOWLEDGED"
