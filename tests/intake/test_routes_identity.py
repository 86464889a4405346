"""Identity through the API: apart from the case, with consent, and never unseen."""

from typing import Any

import httpx
import pytest
from sqlalchemy import select

from common.auth import Principal
from common.db.base import unit_of
from common.here import Here
from common.unit import StaleError
from intake.commands.disclosure import disclose_identity
from intake.models import CaseIdentity
from tests.common.things import fail_on, mend
from tests.intake.bodies import (
    CASE,
    OTHER,
    PERSON,
    SHELTER,
    consent,
    guardian,
    identified,
    opened,
    referred,
    sharing,
    version,
)
from tests.kit import HOME, Kit, if_match

URL = f"/v1/cases/{CASE}/identity"


async def put(
    caller: httpx.AsyncClient, body: dict[str, Any], headers: dict[str, str]
) -> httpx.Response:
    return await caller.put(URL, json=body, headers=headers)


# --- writing


@pytest.mark.row("F18")
async def test_identity_is_written_apart_and_told_as_codes_only(kit_on_each: Kit) -> None:
    """Seeded: add the birth date to `CaseIdentityRecorded`."""
    kit = kit_on_each
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, birth_date=None, estimated_age=30)
    granted = await caller.post(f"/v1/cases/{CASE}/consents", json=consent())

    written = await put(caller, PERSON, if_match(granted))

    assert written.status_code == 200, written.text
    assert written.headers["ETag"] == '"3"'
    facts = written.json()
    assert facts["has_identity"] is True
    assert (facts["age_group"], facts["age_basis"]) == ("25-34", "ESTIMATE")
    assert not facts.keys() & PERSON.keys()
    told = (await kit.events(CASE))[2]
    assert told.type == "intake.case.identity_recorded.v1"
    assert told.data == {
        "case_id": str(CASE),
        "sex": None,
        "age_group": "25-34",
        "is_minor": False,
    }
    entries = await kit.audit(operation="put_identity")
    assert [(e.action, e.object_type, e.data_groups) for e in entries] == [
        ("update", "case_file", []),
        ("write", "case_identity", ["CONTACT", "IDENTITY"]),
    ]
    assert {e.subject for e in entries} == {CASE}
    read = (await caller.get(f"{URL}?purpose=ASSISTANCE")).json()
    scripts = {"Милица": "Cyrl", "Đorđević": "Latn", "Blerta Hoxhë": "Latn", "Țăndărică": "Latn"}
    names = [read["given_name"], read["family_name"], *read["other_names"]]
    assert {name["value"]: name["script"] for name in names} == scripts
    plain = ("birth_date", "birth_place", "address", "phones", "email", "documents")
    assert {name: read[name] for name in plain} == {name: PERSON[name] for name in plain}


@pytest.mark.parametrize(
    ("age", "given"),
    [
        ({}, None),
        ({}, consent("INTERVIEW")),
        ({}, consent(granted_on="2026-11-01", expires_on="2026-11-21")),
        ({}, consent("ASSISTANCE")),
    ],
)
async def test_a_name_is_not_written_without_consent_to_record_it(
    kit_on_each: Kit, age: dict[str, Any], given: dict[str, Any] | None
) -> None:
    """Seeded: let any consent do; or look at consents of other cases."""
    kit = kit_on_each
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, OTHER)
    await caller.post(f"/v1/cases/{OTHER}/consents", json=consent())
    await opened(caller)
    if given is not None:
        assert (await caller.post(f"/v1/cases/{CASE}/consents", json=given)).status_code == 201
    before = await kit.events()

    refused = await put(caller, PERSON, await version(caller))

    assert (refused.status_code, refused.json()["code"]) == (403, "identity.consent_missing")
    assert await kit.events() == before
    assert await kit.audit(operation="put_identity") == []
    assert await kit.rows(select(CaseIdentity)) == []
    assert (await caller.get(f"{URL}?purpose=ASSISTANCE")).status_code == 404


async def test_a_consent_withdrawn_or_of_a_child_alone_does_not_carry_a_name(kit: Kit) -> None:
    """A birth date that shows a child asks for the guardian, whatever was thought before."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    granted = await caller.post(f"/v1/cases/{CASE}/consents", json=consent())

    as_child = await put(caller, PERSON | {"birth_date": "2010-01-01"}, await version(caller))
    as_adult = await put(caller, PERSON, await version(caller))
    await caller.post(f"{granted.headers['Location']}/withdraw", json={})
    withdrawn = await put(caller, PERSON, await version(caller))

    assert as_child.json()["code"] == "identity.consent_by_other"
    assert as_child.json()["given_by"] == ["GUARDIAN"]
    assert as_adult.status_code == 200
    assert withdrawn.json()["code"] == "identity.consent_missing"


async def test_a_childs_name_is_written_with_the_guardians_consent(kit: Kit) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, birth_date="2010")
    granted = await caller.post(f"/v1/cases/{CASE}/consents", json=consent(**guardian()))
    assert granted.status_code == 201, granted.text

    written = await put(caller, PERSON | {"birth_date": "2010-06-30"}, if_match(granted))

    assert written.status_code == 200
    assert (written.json()["age_basis"], written.json()["is_minor"]) == ("DAY", True)
    assert (await kit.events(CASE))[-1].data["age_group"] == "12-17"


async def test_writing_again_replaces_the_whole(kit: Kit) -> None:
    """What is absent in the body is forgotten; the case keeps what it was told of the age."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await identified(caller, **PERSON)

    await put(caller, {"given_name": {"value": "Ana"}}, await version(caller))

    read = (await caller.get(f"{URL}?purpose=ASSISTANCE")).json()
    assert read["given_name"]["value"] == "Ana"
    assert [read[n] for n in ("family_name", "birth_date", "address", "email")] == [None] * 4
    assert (read["other_names"], read["phones"], read["documents"]) == ([], [], [])
    assert (await caller.get(f"/v1/cases/{CASE}")).json()["age_basis"] == "DAY"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"given_name": {"value": " "}}, "/given_name/value"),
        ({"given_name": {"value": "Ana\u202e"}}, "/given_name/value"),
        ({"given_name": {"value": "Ana", "nickname": "A"}}, "/given_name"),
        ({"birth_date": "14.05.2008"}, "/birth_date"),
        ({"phones": ["064 111 222"]}, "/phones/0"),
        ({"birth_date": "2026-11-23"}, "/birth_date"),
    ],
)
async def test_a_faulty_identity_is_refused_without_an_echo(
    kit: Kit, body: dict[str, Any], pointer: str
) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    granted = await caller.post(f"/v1/cases/{CASE}/consents", json=consent())

    refused = await put(caller, body, if_match(granted))

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == pointer
    assert "nickname" not in refused.text
    assert "064 111" not in refused.text
    assert len(await kit.events()) == 2
    assert await kit.audit(operation="put_identity") == []


# --- reading


@pytest.mark.row("F64", "F15")
async def test_a_look_at_identity_is_in_the_trail_before_it_is_given(kit_on_each: Kit) -> None:
    """Seeded: call `unit.disclose` after the answer, or not at all."""
    kit = kit_on_each
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await identified(caller)

    read = await caller.get(f"{URL}?purpose=LEGAL_PROCEEDINGS")

    assert read.status_code == 200
    assert read.headers["Cache-Control"] == "no-store"
    [entry] = await kit.audit(operation="get_identity")
    assert (entry.actor, entry.role, entry.organisation_id) == ("worker-1", "SOCIAL_WORKER", HOME)
    assert (entry.action, entry.object_type, entry.subject) == ("read", "case_identity", CASE)
    assert (entry.purpose, entry.legal_basis) == ("LEGAL_PROCEEDINGS", "PUBLIC_TASK")
    assert entry.data_groups == ["CONTACT", "IDENTITY"]


async def test_without_an_entry_there_are_no_data(kit_on_each: Kit) -> None:
    """Seeded: catch the error of the write in the edge and answer all the same."""
    kit = kit_on_each
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await identified(caller)
    url = kit.runtime.settings.database_url
    fail_on(url, "audit_entry", "NEW.operation = 'get_identity'", code="53100")

    refused = await caller.get(f"{URL}?purpose=ASSISTANCE")
    mend(url, "audit_entry")

    assert refused.status_code >= 500
    assert "Милица" not in refused.text
    assert (await caller.get(f"{URL}?purpose=ASSISTANCE")).status_code == 200


@pytest.mark.parametrize("query", ["", "?purpose=", "?purpose=CURIOSITY", "?purpose=assistance"])
async def test_identity_is_not_read_without_a_purpose(kit: Kit, query: str) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await identified(caller)

    refused = await caller.get(f"{URL}{query}")

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["location"] == "query"
    assert await kit.audit(operation="get_identity") == []


async def test_a_sealed_field_opens_in_its_own_place_only(kit: Kit) -> None:
    """Seeded: leave row or column out of the associated data; a name moves to another case."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await identified(caller, family_name={"value": "Ђорђевић"})
    [row] = await kit.rows(select(CaseIdentity))
    moved = unit_of(kit.runtime.database, source="/RS/intake", operation="test")
    moved.update(CaseIdentity, {"case_id": CASE}, given_name=row.family_name)
    await kit.runtime.database.write(moved)

    refused = await caller.get(f"{URL}?purpose=ASSISTANCE")

    assert refused.status_code == 500
    assert "Ђорђевић" not in refused.text


# --- reading what was referred


async def test_a_receiver_needs_the_referral_and_the_consent(kit_on_each: Kit) -> None:
    """Seeded: open identity to `referred` as to `own`."""
    kit = kit_on_each
    caller, shelter = kit.caller("SOCIAL_WORKER"), kit.caller("SHELTER_STAFF", SHELTER, "staff-1")
    await opened(caller)
    await identified(caller, **PERSON)
    url = f"{URL}?purpose=ASSISTANCE"

    unreferred = await shelter.get(url)
    await referred(kit)
    unconsented = await shelter.get(url)
    granted = await caller.post(f"/v1/cases/{CASE}/consents", json=sharing())
    read = await shelter.get(url)
    for_another_purpose = await shelter.get(f"{URL}?purpose=RESEARCH")
    await caller.post(f"/v1/cases/{CASE}/consents", json=sharing(data_groups=["CONTACT", "HEALTH"]))
    with_contact = await shelter.get(url)
    await shelter.post(f"{granted.headers['Location']}/withdraw", json={})
    withdrawn = await shelter.get(url)

    assert unreferred.status_code == 404
    for refused in (unconsented, for_another_purpose, withdrawn):
        assert (refused.status_code, refused.json()["code"]) == (403, "consent.missing")
    assert read.json()["given_name"]["value"] == "Милица"
    assert not {"address", "phones", "email"} & read.json().keys()
    assert read.json()["data_groups"] == ["IDENTITY"]
    assert with_contact.json()["phones"] == PERSON["phones"]
    looks = await kit.audit(operation="get_identity")
    assert [(e.actor, e.legal_basis, e.data_groups) for e in looks] == [
        ("staff-1", "CONSENT", ["IDENTITY"]),
        ("staff-1", "CONSENT", ["CONTACT", "IDENTITY"]),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"recipient_organisation_id": str(HOME)},
        {"data_groups": ["HEALTH", "CONTACT"]},
        {"purposes": ["PROTECTION"]},
        {"granted_on": "2026-11-01", "expires_on": "2026-11-21"},
        {"scope": "SHARE_LAW_ENFORCEMENT"},
    ],
)
async def test_a_consent_to_something_else_opens_nothing(kit: Kit, fields: dict[str, Any]) -> None:
    caller, shelter = kit.caller("SOCIAL_WORKER"), kit.caller("SHELTER_STAFF", SHELTER, "staff-1")
    await opened(caller)
    await identified(caller)
    await referred(kit)
    granted = await caller.post(f"/v1/cases/{CASE}/consents", json=sharing(**fields))
    assert granted.status_code == 201, granted.text

    refused = await shelter.get(f"{URL}?purpose=ASSISTANCE")

    assert (refused.status_code, refused.json()["code"]) == (403, "consent.missing")
    assert await kit.audit(operation="get_identity") == []


async def test_a_withdrawal_that_comes_meanwhile_stops_the_answer(kit_on_each: Kit) -> None:
    """Seeded: drop `require_unchanged` from `disclose_identity`."""
    kit = kit_on_each
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await identified(caller)
    await referred(kit)
    granted = await caller.post(f"/v1/cases/{CASE}/consents", json=sharing())
    unit = unit_of(kit.runtime.database, source="/RS/intake", operation="get_identity")
    staff = Principal(
        "staff-1",
        SHELTER,
        "SHELTER_STAFF",
        relations=frozenset({"referred"}),
        data_groups=frozenset({"IDENTITY"}),
    )

    opened_for_it = await disclose_identity(
        unit,
        CASE,
        purpose="ASSISTANCE",
        principal=staff,
        here=Here("RS", "Europe/Belgrade"),
    )
    await caller.post(f"{granted.headers['Location']}/withdraw", json={})

    assert opened_for_it.data_groups == ("IDENTITY",)
    with pytest.raises(StaleError):
        await kit.runtime.database.write(unit)
    assert await kit.audit(operation="get_identity") == []
