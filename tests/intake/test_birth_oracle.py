"""No day a caller may choose tells the birthday: two persons of one year are answered alike."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.intake.bodies import CASE, DESK, OTHER, consent, decision, opened, version
from tests.kit import HOME, Kit

BORN = {CASE: "2006-03-17", OTHER: "2006-09-02"}
"""Of age today, both; nobody who reads the two cases can tell one from the other."""
DAYS = [
    date(year, *day) for year in (1999, 2000, 2005, 2006, 2007, 2023, 2024, 2025)
    for day in ((1, 1), (3, 16), (3, 17), (6, 1), (9, 1), (9, 2), (12, 31))
]  # fmt: skip


def marker(**days: str) -> dict[str, Any]:
    id_ = "30000000-0000-4000-8000-000000000001"
    return {"id": id_, "marker": "STREET_CHILD", "since": "2024-01-01"} | days


async def answers(
    caller: httpx.AsyncClient, method: str, path: str, bodies: Sequence[dict[str, Any]], id_: UUID
) -> list[tuple[int, str | None, list[str]]]:
    found = []
    headers = await version(caller, id_)
    for body in bodies:
        url = f"/v1/cases/{id_}{path}?validate_only=true"
        answer = await caller.request(method, url, json=body, headers=headers)
        told = answer.json()
        pointers = [each["pointer"] for each in told.get("errors", [])]
        found.append((answer.status_code, told.get("code"), pointers))
    return found


WORKER, OFFICER = ("SOCIAL_WORKER", HOME), ("IDENTIFICATION_OFFICER", DESK)
ASKED: dict[str, tuple[tuple[str, UUID], list[dict[str, Any]]]] = {
    "POST /identification": (OFFICER, [decision("SCREENING", decided_on=str(d)) for d in DAYS]),
    "POST /consents": (WORKER, [consent(granted_on=str(d)) for d in DAYS]),
    "POST /markers": (
        WORKER,
        [
            *(marker(since=str(d)) for d in DAYS),
            *(marker(since=str(d), until="2024-12-31") for d in DAYS),
            *(marker(since="2006-01-01", until=str(d)) for d in DAYS),
        ],
    ),
    "PATCH ": (WORKER, [{"occurred_at": f"{d}T10:00:00Z"} for d in DAYS]),
}


@pytest.mark.row("F60")
@pytest.mark.parametrize("operation", ASKED)
async def test_a_refused_day_does_not_tell_the_birthday(kit: Kit, operation: str) -> None:
    """Seeded: hold the day of the body against the day of birth or of coming of age."""
    for id_, born in BORN.items():
        await opened(kit.caller("SOCIAL_WORKER"), id_, birth_date=born)
    method, path = operation.split(" ")
    (role, organisation_id), bodies = ASKED[operation]
    caller = kit.caller(role, organisation_id, "worker-9")

    one, other = [await answers(caller, method, path, bodies, id_) for id_ in BORN]

    assert one == other
    assert {status for status, *_ in one} >= {200, 422}, "or nothing was asked"


async def test_a_contact_moved_before_the_birth_keeps_the_case_usable(kit: Kit) -> None:
    """Seeded: hold a birth date told before against the day of the contact, at the next change."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, birth_date=BORN[CASE])
    url = f"/v1/cases/{CASE}"
    for body in ({"occurred_at": "2006-02-01T10:00:00Z"}, {"estimated_age": 20}):
        changed = await caller.patch(url, json=body, headers=await version(caller))
        assert changed.status_code == 200, changed.text
    told_again = await caller.patch(
        url, json={"birth_date": BORN[CASE]}, headers=await version(caller)
    )
    long_before = await caller.patch(
        url, json={"occurred_at": "2005-12-30T10:00:00Z"}, headers=await version(caller)
    )

    for refused in (told_again, long_before):
        assert refused.json()["code"] == "field.birth_after_contact"


async def test_a_marker_ended_by_a_correction_does_not_tell_the_birthday(kit: Kit) -> None:
    """Who reads markers need not know the birth. Seeded: end it on the last day of childhood."""
    caller = kit.caller("SOCIAL_WORKER")
    for number, (id_, born) in enumerate(BORN.items(), 1):
        await opened(caller, id_, birth_date=None)
        body = marker(since="2020-01-01") | {"id": f"30000000-0000-4000-8000-{number:012}"}
        assert (await caller.post(f"/v1/cases/{id_}/markers", json=body)).status_code == 201
        url = f"/v1/cases/{id_}"
        told = await caller.patch(
            url, json={"birth_date": born}, headers=await version(caller, id_)
        )
        assert told.status_code == 200

    desk = kit.caller("IDENTIFICATION_OFFICER", DESK, "officer-1")
    ends = [
        (await desk.get(f"/v1/cases/{id_}/markers")).json()["items"][0]["until"] for id_ in BORN
    ]
    feed = [e.data["until"] for e in await kit.events() if e.type.endswith("marker_ended.v1")]

    assert ends == feed == ["2023-12-31"] * 2
