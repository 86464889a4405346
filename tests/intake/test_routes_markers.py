"""Population markers of a case, through the API (F5)."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from common import clock
from intake.models import CaseMarker, CaseMarkerEnd
from intake.worker import sweep
from tests.intake.bodies import CASE, SHELTER, opened, referred, sharing, version
from tests.kit import ELSEWHERE, Kit, if_match

URL = f"/v1/cases/{CASE}/markers"
CHILD: dict[str, Any] = {"birth_date": "2012-05-17"}


def nth(number: int) -> UUID:
    return UUID(f"30000000-0000-4000-8000-{number:012x}")


def body(marker: str = "STREET_CHILD", number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"id": str(nth(number)), "marker": marker, "since": "2026-03-01"} | fields


async def recorded(caller: httpx.AsyncClient, *args: Any, **fields: Any) -> httpx.Response:
    answer = await caller.post(URL, json=body(*args, **fields))
    assert answer.status_code == 201, answer.text
    return answer


async def listed(caller: httpx.AsyncClient) -> list[str]:
    return [item["marker"] for item in (await caller.get(URL)).json()["items"]]


@pytest.mark.row("F5", "S29", "S53", "S84")
async def test_markers_are_many_and_dated_and_never_changed(kit_on_each: Kit) -> None:
    """Seeded: update the marker's row at its end instead of adding one."""
    kit = kit_on_each
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, **CHILD)
    street = await recorded(caller)
    await recorded(caller, "CHILD_BEGGING", 2, since="2026-05-01")
    await recorded(caller, "UNACCOMPANIED_CHILD", 3, since="2025-01-10", until="2025-02-10")
    before = (await kit.rows(select(CaseMarker).where(CaseMarker.id == nth(1))))[0]

    ended = await kit.caller("NGO_CASE_MANAGER", subject="worker-2").post(
        f"{street.headers['Location']}/end",
        json={"until": "2026-11-01"},
        headers=await version(caller),
    )

    assert ended.status_code == 200, ended.text
    shown = ended.json()
    assert (shown["since"], shown["until"]) == ("2026-03-01", "2026-11-01")
    assert (shown["recorded_by"], shown["ended_by"]) == ("worker-1", "worker-2")
    assert shown["recorded_at"] < shown["ended_at"]
    assert (await caller.get(street.headers["Location"])).json() == shown
    assert await listed(caller) == ["UNACCOMPANIED_CHILD", "STREET_CHILD", "CHILD_BEGGING"]
    after = (await kit.rows(select(CaseMarker).where(CaseMarker.id == nth(1))))[0]
    assert after == before
    assert len(await kit.rows(select(CaseMarkerEnd))) == 2
    assert [(e.type, e.seq) for e in await kit.events(CASE)] == [
        ("intake.case.opened.v1", 1),
        ("intake.case.marker_recorded.v1", 2),
        ("intake.case.marker_recorded.v1", 3),
        ("intake.case.marker_recorded.v1", 4),
        ("intake.case.marker_ended.v1", 5),
        ("intake.case.marker_ended.v1", 6),
    ]
    assert (await kit.events(CASE))[1].data == {
        "case_id": str(CASE),
        "marker_id": str(nth(1)),
        "marker": "STREET_CHILD",
        "since": "2026-03-01",
    }


@pytest.mark.row("F5")
async def test_sent_again_a_marker_is_there_once(kit: Kit) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, **CHILD)
    key = {"Idempotency-Key": "marker-1"}

    first = await caller.post(URL, json=body(), headers=key)
    again = await caller.post(URL, json=body(), headers=key)
    anew = await caller.post(URL, json=body("LONE_PARENT"))

    assert (first.status_code, again.content) == (201, first.content)
    assert (anew.status_code, anew.json()["code"]) == (409, "already_exists")
    assert await listed(caller) == ["STREET_CHILD"]


async def test_a_marker_is_ended_on_the_case_as_it_was_read(kit: Kit) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    opening = await opened(caller, **CHILD)
    url = f"{(await recorded(caller)).headers['Location']}/end"

    unsaid = await caller.post(url, json={})
    stale = await caller.post(url, json={}, headers=if_match(opening))
    ended = await caller.post(url, json={}, headers=await version(caller))
    twice = await caller.post(url, json={}, headers=await version(caller))

    assert [a.status_code for a in (unsaid, stale, ended, twice)] == [428, 412, 200, 409]
    assert ended.json()["until"] == "2026-11-22"
    assert twice.json()["code"] == "marker.already_ended"


async def test_what_is_no_marker_of_this_person_is_refused_with_the_reason(kit: Kit) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)

    refused = await caller.post(URL, json=body())
    unknown = await caller.post(URL, json=body("ETHNICITY_ROMA"))

    assert (refused.status_code, refused.json()["code"]) == (422, "marker.not_a_child")
    assert unknown.status_code == 422
    assert await kit.rows(select(CaseMarker)) == []


@pytest.mark.row("F5")
async def test_a_childs_markers_end_with_childhood(kit: Kit) -> None:
    """Seeded: leave `end_childhood` out of come_of_age; an adult stays a street child for ever."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, birth_date="2008-11-23")
    await recorded(caller)
    await recorded(caller, "STATELESS", 2)
    await sweep(kit.runtime)
    assert {i["until"] for i in (await caller.get(URL)).json()["items"]} == {None}

    clock.set_source(lambda: datetime(2026, 11, 24, 10, tzinfo=UTC))
    await sweep(kit.runtime)
    await sweep(kit.runtime)

    items = {i["marker"]: i for i in (await caller.get(URL)).json()["items"]}
    assert items["STREET_CHILD"]["until"] == "2026-11-22"
    assert items["STREET_CHILD"]["ended_by"] == "system"
    assert items["STATELESS"]["until"] is None
    told = [e.data for e in await kit.events(CASE) if e.type.endswith("marker_ended.v1")]
    assert [(t["marker"], t["until"]) for t in told] == [("STREET_CHILD", "2026-11-22")]


@pytest.mark.parametrize("by", ["case", "identity"])
async def test_who_turns_out_to_be_of_age_has_no_childs_marker(kit: Kit, by: str) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, birth_date=None)
    await recorded(caller)
    headers = await version(caller)
    if by == "case":
        told = await caller.patch(
            f"/v1/cases/{CASE}", json={"birth_date": "2000-01-01"}, headers=headers
        )
    else:
        terms = {
            "scope": "DATA_RECORD",
            "given_by": "SELF",
            "language": "sq",
            "granted_on": "2026-11-20",
        }
        await caller.patch(f"/v1/cases/{CASE}", json={"birth_date": "2000"}, headers=headers)
        assert (await caller.post(f"/v1/cases/{CASE}/consents", json=terms)).status_code == 201
        told = await caller.put(
            f"/v1/cases/{CASE}/identity",
            json={"birth_date": "2000-01-01"},
            headers=await version(caller),
        )
    assert told.status_code == 200, told.text

    [item] = (await caller.get(URL)).json()["items"]
    assert (item["since"], item["until"]) == ("2026-03-01", "2026-03-01")


# --- who reads which


@pytest.mark.row("F60")
async def test_a_receiver_reads_the_groups_a_consent_opens_to_it(kit: Kit) -> None:
    """Seeded: show a receiver every marker its role may know."""
    caller = kit.caller("SOCIAL_WORKER")
    advocate = kit.caller("VICTIM_ADVOCATE", SHELTER, "advocate-1")
    await opened(caller, **CHILD)
    street = await recorded(caller)
    await recorded(caller, "CHILD_BEGGING", 2)
    unreferred = await advocate.get(URL)
    await referred(kit)
    guardian = {
        "given_by": "GUARDIAN",
        "guardian": "APPOINTED",
        "guardian_suspected": False,
        "assent": "GIVEN",
    }

    unconsented = await listed(advocate)
    consents = f"/v1/cases/{CASE}/consents"
    granted = await caller.post(consents, json=sharing(data_groups=["FAMILY"]) | guardian)
    consented = await listed(advocate)
    one = await advocate.get(street.headers["Location"])
    other = await advocate.get(f"{URL}/{nth(2)}")
    assert (await caller.post(f"{granted.headers['Location']}/withdraw", json={})).is_success
    withdrawn = await listed(advocate)

    assert unreferred.status_code == 404
    assert (unconsented, consented, withdrawn) == ([], ["STREET_CHILD"], [])
    assert (one.status_code, other.status_code) == (200, 404)
    looks = await kit.audit(operation="list_markers", actor="advocate-1")
    assert [(e.data_groups, e.purpose, e.legal_basis) for e in looks] == [
        ([], None, "PUBLIC_TASK"),
        (["FAMILY"], "ASSISTANCE", "CONSENT"),
        ([], None, "PUBLIC_TASK"),
    ]


@pytest.mark.row("F60")
async def test_a_role_neither_reads_nor_writes_a_group_it_may_not_know(kit: Kit) -> None:
    """Seeded: leave the group out of `record_marker`, `end_marker` or `disclose_markers`."""
    caller, staff = kit.caller("SOCIAL_WORKER"), kit.caller("SHELTER_STAFF")
    answer = await opened(caller, **CHILD)
    worker = {"worker": "worker-1"}
    await caller.post(f"/v1/cases/{CASE}/assign", json=worker, headers=if_match(answer))
    await recorded(caller)
    legal = await recorded(caller, "STATELESS", 2)

    written = await staff.post(URL, json=body("ASYLUM_SEEKER", 3))
    ended = await staff.post(
        f"{legal.headers['Location']}/end", json={}, headers=await version(caller)
    )

    assert await listed(staff) == ["STREET_CHILD"]
    assert (await staff.get(legal.headers["Location"])).status_code == 404
    assert (written.status_code, written.json()["code"]) == (403, "data_group.closed")
    assert ended.status_code == 404
    assert (await staff.post(URL, json=body("CHILD_BEGGING", 4))).status_code == 201


async def test_a_marker_of_another_case_or_organisation_is_none(kit: Kit) -> None:
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, **CHILD)
    marker = await recorded(caller)
    stranger = kit.caller("SOCIAL_WORKER", ELSEWHERE)

    for answer in (
        await stranger.get(URL),
        await stranger.get(marker.headers["Location"]),
        await stranger.post(URL, json=body(number=9)),
        await caller.get(f"{URL}/{UUID(int=7)}"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    rows = await kit.rows(select(CaseMarker.since))
    assert [row.since for row in rows] == [date(2026, 3, 1)]
