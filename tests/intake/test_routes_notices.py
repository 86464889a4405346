"""Notices through the API: taken whatever is missing, triaged once, many at a time."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from common.audit import Sealer
from common.clock import new_id
from common.tables import SubjectKey
from tests.intake.bodies import CASE, desk, notice, opened, opening, partner, received, triage
from tests.kit import ELSEWHERE, HOME, Kit, if_match

FIXED_TRACE = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}


# --- taking one


@pytest.mark.row("F2")
async def test_source_country_and_urgency_are_enough(kit_on_each: Kit) -> None:
    """Seeded: make `note` required."""
    kit = kit_on_each
    response = await partner(kit).post(
        "/v1/notices", json={"source": "SCHOOL", "country": "RS", "urgency": "HIGH"}
    )

    assert response.status_code == 201
    body = response.json()
    assert (body["status"], body["queue"]) == ("RECEIVED", "TRIAGE")
    assert response.headers["Location"] == f"/v1/notices/{body['id']}"
    [event] = await kit.events()
    assert (event.type, str(event.subject), event.seq) == (
        "intake.notice.received.v1",
        body["id"],
        1,
    )
    assert event.data == {
        "notice_id": body["id"],
        "organisation_id": str(HOME),
        "country": "RS",
        "source": "SCHOOL",
        "urgency": "HIGH",
        "is_minor": None,
        "has_location": False,
        "received_on": "2026-11-22",
    }
    [entry] = await kit.audit()
    assert (entry.operation, entry.action, entry.object_ids) == (
        "create_notice",
        "create",
        [body["id"]],
    )


@pytest.mark.row("F2")
@pytest.mark.parametrize(
    ("country", "place", "queue"),
    [
        ("XK", {"place_code": "PRIZREN"}, "LOCAL"),
        ("XK", {"place_code": "ATLANTIS"}, "TRIAGE"),
        ("RS", {"place_code": "PRIZREN"}, "TRIAGE"),
        ("BR", {"place_code": "3550308"}, "TRIAGE"),
        ("RS", {"place_text": "Негде код реке, не знам где"}, "TRIAGE"),
        ("RS", {}, "TRIAGE"),
    ],
)
async def test_an_unknown_place_waits_for_the_desk_and_is_never_refused(
    kit: Kit, country: str, place: dict[str, str], queue: str
) -> None:
    """Seeded: raise InvalidError in `queue_of` for an unknown code."""
    response = await received(partner(kit), country=country, **place)

    assert response.json()["queue"] == queue
    [event] = await kit.events()
    assert event.data["has_location"] is bool(place)


@pytest.mark.parametrize(
    ("told", "is_minor"),
    [
        ({}, None),
        ({"estimated_age": 17}, True),
        ({"estimated_age": 19}, True),
        ({"estimated_age": 20}, False),
        ({"estimated_age": 20, "estimated_age_margin": 3}, True),
        ({"estimated_age": 19, "estimated_age_margin": 0}, False),
    ],
)
async def test_a_notice_says_who_may_be_a_child(
    *, kit: Kit, told: dict[str, int], is_minor: bool | None
) -> None:
    """Seeded: leave the margin out of `_is_minor`."""
    response = await received(partner(kit), **told)

    assert response.json()["is_minor"] is is_minor


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"urgency": None}, "/urgency", "field.choice"),
        ({"source": "TELEPATHY"}, "/source", "field.code_unknown"),
        ({"occurred_at": "2026-11-22T11:00:00Z"}, "/occurred_at", "field.time_in_future"),
        ({"estimated_age": 131}, "/estimated_age", "field.range"),
        ({"note": "a\u0000b"}, "/note", "field.text_unsafe"),
        ({"organisation_id": str(ELSEWHERE)}, "", "field.unknown"),
        ({"status": "REJECTED"}, "", "field.unknown"),
    ],
)
async def test_a_faulty_notice_leaves_nothing_behind(
    kit: Kit, fields: dict[str, Any], pointer: str, code: str
) -> None:
    response = await partner(kit).post("/v1/notices", json=notice(**fields))

    assert response.status_code == 422
    [fault] = response.json()["errors"]
    assert (fault["pointer"], fault["code"]) == (pointer, code)
    assert await kit.events() == []
    assert await kit.audit() == []


async def test_a_notice_without_texts_needs_no_key(kit: Kit) -> None:
    await received(partner(kit))
    await received(partner(kit), note="Видео сам је јуче.")

    [row] = await kit.rows(select(func.count().label("keys")).select_from(SubjectKey))
    assert row.keys == 1


# --- who sees what


async def test_the_reporter_sees_what_came_of_it_but_not_of_which_case(kit: Kit) -> None:
    """Seeded: show `case_id` whoever owns the case; the school learns a victim's case number."""
    reporter, note = partner(kit), "Учитељица каже да девојчица изостаје."
    reported = await received(reporter, note=note, contact="управа школе")
    url = reported.headers["Location"]
    decided = await desk(kit).post(f"{url}/triage", json=opening(), headers=if_match(reported))
    assert decided.json()["case_id"] == str(CASE)

    [listed] = (await reporter.get("/v1/notices")).json()["items"]
    read = (await reporter.get(url)).json()
    by_desk = (await desk(kit).get(url)).json()

    assert read == listed
    assert (read["status"], read["case_id"]) == ("CASE_OPENED", None)
    assert not {"note", "contact", "place_text"} & read.keys()
    assert (by_desk["case_id"], by_desk["note"]) == (str(CASE), note)
    triaged = (await kit.events(UUID(reported.json()["id"])))[1]
    assert (triaged.type, triaged.data["case_id"]) == ("intake.notice.triaged.v1", None)


@pytest.mark.row("C13")
async def test_the_id_a_sender_chose_tells_what_became_of_its_submission(kit: Kit) -> None:
    # Fails when a sender whose connection broke cannot ask, by the id alone, whether it arrived.
    caller, number = partner(kit), str(new_id())
    before = await caller.get(f"/v1/notices/{number}")

    sent = await caller.post("/v1/notices", json=notice() | {"id": number})
    after = await caller.get(sent.headers["Location"])

    assert (before.status_code, sent.status_code, after.status_code) == (404, 201, 200)
    assert after.json() == sent.json()
    assert after.json()["status"] == "RECEIVED"


async def test_one_partner_cannot_tell_anothers_notice_from_none(kit: Kit) -> None:
    """Seeded: answer 403 for a notice that is there."""
    reported = await received(partner(kit))
    stranger = partner(kit, ELSEWHERE)

    hidden = await stranger.get(reported.headers["Location"], headers=FIXED_TRACE)
    absent = await stranger.get(f"/v1/notices/{new_id()}", headers=FIXED_TRACE)

    assert hidden.status_code == absent.status_code == 404
    assert hidden.content == absent.content
    assert hidden.headers == absent.headers
    assert (await stranger.get("/v1/notices")).json()["items"] == []


async def test_every_look_at_a_notice_is_entered_in_the_trail(kit: Kit) -> None:
    """Seeded: drop the audit entry of `disclose_notice`, or enter only who opens the texts."""
    reported = await received(partner(kit), note="Поверљиво.")
    before = len(await kit.audit())

    await partner(kit).get(reported.headers["Location"])
    await desk(kit).get(reported.headers["Location"])

    look, opening_ = (await kit.audit())[before:]
    assert (look.actor, look.action, look.purpose, look.data_groups) == (
        "teacher-1",
        "read",
        None,
        [],
    )
    assert (opening_.actor, opening_.action, opening_.purpose, opening_.legal_basis) == (
        "officer-1",
        "read",
        "IDENTIFICATION",
        "PUBLIC_TASK",
    )
    assert look.object_ids == opening_.object_ids == [reported.json()["id"]]


@pytest.mark.row("F64")
@pytest.mark.parametrize("way", ["OPEN_CASE", "LINK_CASE"])
async def test_the_access_log_of_a_case_finds_who_saw_its_notices(kit: Kit, way: str) -> None:
    """Seeded: enter a look at a notice about nobody, or leave the notices out of `list_access`."""

    def reporter(subject: str) -> httpx.AsyncClient:
        return kit.caller("FIRST_RESPONDER", HOME, subject)

    reported = await received(partner(kit), sex="FEMALE")
    await received(partner(kit))  # of somebody else
    url = reported.headers["Location"]
    await reporter("early-1").get(url)
    await kit.caller("FIRST_RESPONDER", ELSEWHERE, "curious-1").get(url)
    decision = opening()
    if way == "LINK_CASE":
        await opened(desk(kit))
        decision = triage("LINK_CASE", CASE)
    await desk(kit).post(f"{url}/triage", json=decision, headers=if_match(reported))
    await reporter("reader-1").get(url)
    await reporter("lister-1").get("/v1/notices")
    await reporter("other-1").get("/v1/notices?status=RECEIVED")
    await kit.feed(reporter("partner-1"))
    sealer = Sealer(kit.runtime.database, kit.runtime.master, service="intake")
    while await sealer.link_waiting():
        pass

    log = await kit.caller("DPO", HOME, "dpo-1").get(f"/v1/cases/{CASE}/access-log")

    seen = {(e["actor"], e["operation"], e["decision"]) for e in log.json()["items"]}
    assert seen - {("officer-1", each, "allow") for each in ("triage_notice", "create_case")} == {
        ("early-1", "get_notice", "allow"),
        ("curious-1", "get_notice", "deny"),
        ("reader-1", "get_notice", "allow"),
        ("lister-1", "list_notices", "allow"),
        ("partner-1", "list_changes", "allow"),
    }
    [look] = await kit.audit(actor="reader-1")
    [listed] = await kit.audit(actor="lister-1")
    assert look.subject == CASE
    assert str(CASE) in listed.object_ids


async def test_notices_are_filtered_by_what_a_desk_sorts_them_by(kit: Kit) -> None:
    for source, urgency in (("SCHOOL", "LOW"), ("HOTLINE", "CRISIS"), ("HOTLINE", "LOW")):
        await received(partner(kit), source=source, urgency=urgency)

    async def count(query: str) -> int:
        response = await desk(kit).get(f"/v1/notices?{query}")
        assert response.status_code == 200, response.text
        return len(response.json()["items"])

    assert await count("source=HOTLINE") == 2
    assert await count("source=HOTLINE&urgency=CRISIS") == 1
    assert await count("urgency.in=LOW,CRISIS") == 3
    assert await count("status=REJECTED") == 0
    assert await count("received_on=2026-11-22") == 3
    assert await count("received_on.lt=2026-11-22") == 0
    for query in ("colour=red", "note=x", "status.gte=RECEIVED", "received_on=yesterday"):
        refused = await desk(kit).get(f"/v1/notices?{query}")
        assert refused.status_code == 400, query
