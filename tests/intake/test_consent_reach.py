"""Whom a consent reaches through the API: a class of recipients, the police, and until what age."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from common import clock
from common.clock import new_id
from common.contracts.referral import OrganisationRegistered
from intake.worker import sweep
from tests.intake.bodies import CASE, SHELTER, consent, guardian, identified, opened, referred
from tests.intake.bodies import sharing as with_one
from tests.kit import Kit, told

CONSENTS = f"/v1/cases/{CASE}/consents"
IDENTITY = f"/v1/cases/{CASE}/identity?purpose=ASSISTANCE"
LAW = {"scope": "SHARE_LAW_ENFORCEMENT"}


def sharing(*kinds: str, **fields: Any) -> dict[str, Any]:
    """A consent that all organisations of these kinds may know who the person is, to help her."""
    body = with_one(recipient_kinds=[*kinds]) | fields
    del body["recipient_organisation_id"]
    return body


def shelter(kit: Kit) -> httpx.AsyncClient:
    return kit.caller("SHELTER_STAFF", SHELTER, "staff-1")


async def told_of(kit: Kit, kind: str, organisation_id: UUID = SHELTER) -> None:
    """Let the service hear of which kind an organisation is."""
    entry = OrganisationRegistered(
        organisation_id=organisation_id, country="RS", kind=kind, sector="CIVIL_SOCIETY"
    )
    assert await kit.hear(*told("referral", organisation_id, entry)) == ["applied"]


async def named_and_referred(kit: Kit) -> httpx.AsyncClient:
    """Open a case with a name, referred to the shelter, and return its worker."""
    worker = kit.caller("SOCIAL_WORKER")
    await opened(worker)
    await identified(worker)
    await referred(kit)
    return worker


@pytest.mark.row("F10")
async def test_a_class_of_recipients_opens_to_its_kinds_alone(kit_on_each: Kit) -> None:
    """Seeded: take a class for everybody, or an organisation nobody told of for one of the class."""
    kit = kit_on_each
    worker = await named_and_referred(kit)
    before = await shelter(kit).get(IDENTITY)

    granted = await worker.post(CONSENTS, json=sharing("HEALTH", "SHELTER"))
    unheard_of = await shelter(kit).get(IDENTITY)
    await told_of(kit, "SHELTER")
    read = await shelter(kit).get(IDENTITY)

    assert granted.status_code == 201, granted.text
    assert granted.json()["recipient_kinds"] == ["HEALTH", "SHELTER"]
    assert granted.json()["recipient_organisation_id"] is None
    assert (await kit.events(CASE))[-1].data["recipient_kinds"] == ["HEALTH", "SHELTER"]
    refusals = [(r.status_code, r.json()["code"]) for r in (before, unheard_of)]
    assert refusals == [(403, "consent.missing")] * 2
    assert read.json()["given_name"]["value"] == "Милица"
    [entry] = [e for e in await kit.audit(operation="get_identity") if e.data_groups]
    assert (entry.organisation_id, entry.data_groups) == (SHELTER, ["IDENTITY"])


@pytest.mark.row("F10")
async def test_an_organisation_of_another_kind_gets_nothing_of_a_class(kit: Kit) -> None:
    worker = await named_and_referred(kit)
    await told_of(kit, "NGO")
    await worker.post(CONSENTS, json=sharing("SHELTER"))

    refused = await shelter(kit).get(IDENTITY)

    assert (refused.status_code, refused.json()["code"]) == (403, "consent.missing")
    assert (await shelter(kit).get(CONSENTS)).json()["items"] == []


async def test_one_of_a_class_sees_the_consent_and_records_its_withdrawal(kit: Kit) -> None:
    """Seeded: compare the organisation's id only; she cannot take it back where she is."""
    worker = await named_and_referred(kit)
    await told_of(kit, "SHELTER")
    granted = (await worker.post(CONSENTS, json=sharing("SHELTER"))).json()

    [seen] = (await shelter(kit).get(CONSENTS)).json()["items"]
    ended = await shelter(kit).post(f"{CONSENTS}/{granted['id']}/withdraw", json={})
    refused = await shelter(kit).get(IDENTITY)

    assert seen == granted
    assert ended.json()["withdrawn_on"] == "2026-11-22"
    assert (refused.status_code, refused.json()["code"]) == (403, "consent.missing")


@pytest.mark.parametrize(
    ("fields", "status", "opens"),
    [
        ({}, 201, False),
        (LAW, 201, True),
        (LAW | {"recipient_organisation_id": None}, 201, True),
    ],
)
async def test_the_police_see_under_their_own_scope_only(
    kit: Kit, fields: dict[str, Any], status: int, *, opens: bool
) -> None:
    """Seeded: ask SHARE_NATIONAL of every receiver (actor_roles, PROSECUTOR)."""
    worker = await named_and_referred(kit)
    await told_of(kit, "POLICE")

    granted = await worker.post(CONSENTS, json=with_one(**fields))
    read = await shelter(kit).get(IDENTITY)

    assert granted.status_code == status, granted.text
    assert read.status_code == (200 if opens else 403)


ABROAD: dict[str, Any] = {"scope": "SHARE_CROSS_BORDER", "risk_information_given": True}


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (sharing("SAFE_HOUSE"), "field.code_unknown", "/recipient_kinds/0"),
        (sharing("shelter"), "field.code_unknown", "/recipient_kinds/0"),
        (sharing(), "consent.requirement_missing", "/recipient_organisation_id"),
        (with_one(recipient_kinds=["SHELTER"]), "consent.recipient_ambiguous", "/recipient_kinds"),
        (sharing("SHELTER", "POLICE"), "consent.kind_not_in_scope", "/recipient_kinds"),
        (sharing("SHELTER", **LAW), "consent.kind_not_in_scope", "/recipient_kinds"),
        (sharing("SHELTER", **ABROAD), "consent.requirement_missing", "/recipient_countries"),
    ],
)
async def test_a_class_that_is_none_is_refused(
    kit: Kit, body: dict[str, Any], code: str, pointer: str
) -> None:
    worker = kit.caller("SOCIAL_WORKER")
    await opened(worker)

    refused = await worker.post(CONSENTS, json=body)

    [error] = refused.json()["errors"]
    assert (refused.status_code, error["code"], error["pointer"]) == (422, code, pointer)
    assert len(await kit.events()) == 1


@pytest.mark.row("F10")
async def test_across_the_border_a_class_goes_with_its_country(kit: Kit) -> None:
    worker = kit.caller("SOCIAL_WORKER")
    await opened(worker)

    granted = await worker.post(
        CONSENTS, json=sharing("SHELTER", recipient_countries=["AL"], **ABROAD)
    )

    assert granted.status_code == 201, granted.text
    event = (await kit.events(CASE))[-1].data
    assert (event["recipient_kinds"], event["recipient_countries"]) == (["SHELTER"], ["AL"])


@pytest.mark.row("F10")
async def test_who_gave_it_through_whom_and_in_which_language_is_kept(kit: Kit) -> None:
    """Seeded: leave the interpreter out of the row, or the guardian out of the event."""
    worker = kit.caller("SOCIAL_WORKER")
    await opened(worker, birth_date="2012")
    body = consent(
        language="rom", interpreter_present=True, witness_present=True, form_version="rom-2"
    ) | guardian(guardian="PARENT")

    granted = await worker.post(CONSENTS, json=body)
    [read] = (await worker.get(CONSENTS)).json()["items"]

    assert read == granted.json()
    assert (read["language"], read["interpreter_present"], read["witness_present"]) == (
        "rom",
        True,
        True,
    )
    assert (read["given_by"], read["guardian"], read["assent"]) == ("GUARDIAN", "PARENT", "GIVEN")
    event = (await kit.events(CASE))[-1].data
    assert (event["given_by"], event["guardian"]) == ("GUARDIAN", "PARENT")


# --- the eighteenth birthday

BIRTHDAY = date(2026, 11, 25)


def today_is(day: date) -> None:
    morning = datetime(day.year, day.month, day.day, 8, tzinfo=UTC)
    clock.set_source(lambda: morning)


@pytest.mark.parametrize(
    ("kind", "still_holds"), [("PARENT", False), ("RELATIVE", False), ("APPOINTED", True)]
)
@pytest.mark.parametrize("swept", [False, True])
async def test_a_guardians_consent_holds_until_the_day_before_she_comes_of_age(
    kit: Kit, kind: str, *, still_holds: bool, swept: bool
) -> None:
    """Seeded: compare with <= on the birthday, or wait for the sweep to notice it."""
    worker = kit.caller("SOCIAL_WORKER")
    await opened(worker, birth_date="2008-11-25")
    spoken = guardian(guardian=kind)
    record = await worker.post(CONSENTS, json=consent(**spoken))
    name = {"given_name": {"value": "Милица"}}
    headers = {"If-Match": record.headers["ETag"]}
    written = await worker.put(f"/v1/cases/{CASE}/identity", json=name, headers=headers)
    assert written.status_code == 200, written.text
    await worker.post(CONSENTS, json=with_one(id=str(new_id())) | spoken)
    await referred(kit)

    today_is(BIRTHDAY - timedelta(days=1))
    if swept:
        await sweep(kit.runtime)
    eve = await shelter(kit).get(IDENTITY)
    today_is(BIRTHDAY)
    if swept:
        await sweep(kit.runtime)
    birthday = await shelter(kit).get(IDENTITY)

    assert eve.status_code == 200, eve.text
    assert birthday.status_code == (200 if still_holds else 403)
    if not still_holds:
        assert birthday.json()["code"] == "consent.missing"
