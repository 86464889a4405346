"""Consent through the API: added, never changed, withdrawn at once."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from common.clock import new_id
from intake.models import Consent
from tests.intake.bodies import (
    CASE,
    OTHER,
    SHELTER,
    consent,
    guardian,
    opened,
    referred,
    sharing,
)
from tests.kit import ELSEWHERE, Kit

URL = f"/v1/cases/{CASE}/consents"


@pytest.mark.row("F10")
async def test_a_consent_is_recorded_as_it_was_given(kit_on_each: Kit) -> None:
    """Seeded: leave the recipient out of the event; referral would let anybody have the data."""
    kit = kit_on_each
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    body = sharing(
        id=str(OTHER),
        form_version="sr-2026.1",
        interpreter_present=True,
        recipient_countries=["RS"],
        data_groups=["IDENTITY", "HEALTH"],
        expires_on="2027-11-20",
    )

    granted = await caller.post(URL, json=body)

    assert granted.status_code == 201, granted.text
    assert granted.headers["Location"] == f"{URL}/{OTHER}"
    assert granted.headers["ETag"] == '"2"'
    read = (await caller.get(granted.headers["Location"])).json()
    assert read == granted.json()
    assert read == read | body | {"case_id": str(CASE), "is_valid": True, "withdrawn_on": None}
    event = (await kit.events(CASE))[1]
    assert event.type == "intake.case.consent_granted.v1"
    assert event.data == {
        "case_id": str(CASE),
        "consent_id": str(OTHER),
        "scope": "SHARE_NATIONAL",
        "recipient_organisation_id": str(SHELTER),
        "recipient_kinds": [],
        "recipient_countries": ["RS"],
        "purposes": ["ASSISTANCE"],
        "data_groups": ["IDENTITY", "HEALTH"],
        "given_by": "SELF",
        "guardian": None,
        "granted_on": "2026-11-20",
        "expires_on": "2027-11-20",
    }
    [entry] = await kit.audit(operation="grant_consent")
    assert (entry.action, entry.subject) == ("update", CASE)


@pytest.mark.row("F10")
async def test_a_withdrawal_is_added_and_the_consent_stays_as_it_was(kit_on_each: Kit) -> None:
    """Seeded: `unit.update(Consent, …, withdrawn_on=…)`; what was agreed could be rewritten."""
    kit = kit_on_each
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    first = (await caller.post(URL, json=consent())).json()
    second = (await caller.post(URL, json=consent("ASSISTANCE"))).json()
    before = await kit.rows(select(Consent).order_by(Consent.recorded_at))

    withdrawn = await caller.post(f"{URL}/{first['id']}/withdraw", json={})

    assert withdrawn.status_code == 200, withdrawn.text
    ended = first | {"is_valid": False, "withdrawn_on": "2026-11-22"}
    assert withdrawn.json() == ended
    assert await kit.rows(select(Consent).order_by(Consent.recorded_at)) == before
    assert (await caller.get(URL)).json()["items"] == [ended, second]
    event = (await kit.events(CASE))[-1]
    assert (event.type, event.data) == (
        "intake.case.consent_withdrawn.v1",
        {
            "case_id": str(CASE),
            "consent_id": first["id"],
            "scope": "DATA_RECORD",
            "withdrawn_on": "2026-11-22",
        },
    )
    assert len(await kit.audit(operation="withdraw_consent")) == 1


@pytest.mark.parametrize(
    ("age", "body", "status", "code", "pointer"),
    [
        ("1990", sharing(purposes=[]), 422, "consent.requirement_missing", "/purposes"),
        ("1990", sharing(data_groups=[]), 422, "consent.requirement_missing", "/data_groups"),
        (
            "1990",
            sharing(recipient_organisation_id=None),
            422,
            "consent.requirement_missing",
            "/recipient_organisation_id",
        ),
        (
            "1990",
            sharing(recipient_countries=["AL"]),
            422,
            "consent.country_not_own",
            "/recipient_countries",
        ),
        (
            "1990",
            sharing(scope="SHARE_CROSS_BORDER", recipient_countries=["AL"]),
            422,
            "consent.requirement_missing",
            "/risk_information_given",
        ),
        ("1990", consent(granted_on="2026-11-23"), 422, "field.date_in_future", "/granted_on"),
        (
            "1990",
            consent(**guardian(guardian="PARENT")),
            422,
            "consent.guardian_not_entitled",
            "/guardian",
        ),
        ("2010", consent(), 422, "consent.guardian_required", "/given_by"),
        ("2010", consent(**guardian(assent="REFUSED")), 422, "consent.assent_refused", "/assent"),
        (
            "2010",
            consent(**guardian(guardian_suspected=True)),
            403,
            "consent.guardian_suspected",
            "/guardian",
        ),
        ("2010", consent("PHOTO_MEDIA", **guardian()), 403, "consent.not_for_children", "/scope"),
    ],
)
async def test_a_consent_that_is_none_leaves_nothing_behind(
    kit: Kit, *, age: str, body: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, birth_date=age)

    refused = await caller.post(URL, json=body)

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.json()["errors"][0]["pointer"] == pointer
    assert len(await kit.events()) == 1
    assert await kit.audit(operation="grant_consent") == []
    assert await kit.rows(select(Consent)) == []


async def test_a_consent_is_withdrawn_once(kit_on_each: Kit) -> None:
    kit = kit_on_each
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    granted = await caller.post(URL, json=consent())
    url = f"{granted.headers['Location']}/withdraw"

    answers = await asyncio.gather(*(caller.post(url, json={}) for _ in range(5)))

    assert sorted(a.status_code for a in answers) == [200, 409, 409, 409, 409]
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {
        "consent.already_withdrawn"
    }
    assert len(await kit.events(CASE)) == 3
    assert len(await kit.audit(operation="withdraw_consent")) == 1


@pytest.mark.parametrize(
    ("day", "code"),
    [
        ("2026-11-23", "field.date_in_future"),
        ("2026-11-19", "consent.withdrawn_before_granted"),
    ],
)
async def test_a_withdrawal_has_a_possible_day(kit: Kit, day: str, code: str) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    granted = await caller.post(URL, json=consent())

    refused = await caller.post(
        f"{granted.headers['Location']}/withdraw", json={"withdrawn_on": day}
    )

    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert len(await kit.events()) == 2
    assert (await caller.get(granted.headers["Location"])).json()["is_valid"] is True


async def test_consents_given_at_once_are_all_recorded(kit_on_each: Kit) -> None:
    """An addition conflicts with nothing: no If-Match, and nothing is lost."""
    kit = kit_on_each
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    scopes = ["INTERVIEW", "DATA_RECORD", "ASSISTANCE", "CONTACT_FOLLOW_UP", "PHOTO_MEDIA"]

    answers = await asyncio.gather(*(caller.post(URL, json=consent(s)) for s in scopes))

    assert {a.status_code for a in answers} == {201}
    assert [e.seq for e in await kit.events(CASE)] == [1, 2, 3, 4, 5, 6]
    assert {i["scope"] for i in (await caller.get(URL)).json()["items"]} == set(scopes)


async def test_a_consents_id_is_taken_once(kit: Kit) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await opened(caller, OTHER)
    id_ = str(new_id())
    await caller.post(URL, json=consent(id=id_))

    again = await caller.post(f"/v1/cases/{OTHER}/consents", json=consent("ASSISTANCE", id=id_))

    assert (again.status_code, again.json()["code"]) == (409, "already_exists")
    assert len(await kit.events(OTHER)) == 1


async def test_a_receiver_sees_and_ends_the_consents_that_name_it(kit: Kit) -> None:
    """Seeded: show a receiver all consents; it learns whom else the person trusts."""
    caller, shelter = kit.caller("SOCIAL_WORKER"), kit.caller("SHELTER_STAFF", SHELTER, "staff-1")
    await opened(caller)
    record = (await caller.post(URL, json=consent())).headers["Location"]
    shared = (await caller.post(URL, json=sharing())).headers["Location"]
    await caller.post(URL, json=sharing(recipient_organisation_id=str(ELSEWHERE)))
    assert (await shelter.get(URL)).status_code == 404
    await referred(kit)

    seen = (await shelter.get(URL)).json()["items"]
    hidden = [
        await shelter.get(record),
        await shelter.post(f"{record}/withdraw", json={}),
        await shelter.get(f"{URL}/{new_id()}"),
    ]
    added = await shelter.post(URL, json=consent("ASSISTANCE"))
    ended = await shelter.post(f"{shared}/withdraw", json={})

    assert [f"{URL}/{item['id']}" for item in seen] == [shared]
    assert {response.status_code for response in hidden} == {404}
    assert (added.status_code, added.json()["code"]) == (403, "step.not_yours")
    assert ended.json()["withdrawn_on"] == "2026-11-22"


@pytest.mark.row("F15")
async def test_a_look_at_one_consent_is_entered_like_one_at_all(kit: Kit) -> None:
    # Fails when only the list leaves an entry, or the entry names no legal basis.
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    granted = await caller.post(URL, json=sharing())

    await caller.get(granted.headers["Location"])
    await caller.get(URL)

    consent_id = granted.json()["id"]
    entries = [
        *await kit.audit(operation="get_consent"),
        *await kit.audit(operation="list_consents"),
    ]
    assert [(e.action, e.object_type, e.subject, e.object_ids) for e in entries] == [
        ("read", "consent", CASE, [str(CASE), consent_id])
    ] * 2
    assert {e.legal_basis for e in entries} == {"PUBLIC_TASK"}
