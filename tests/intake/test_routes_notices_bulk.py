"""Many notices at once, each taken or refused by itself."""

import asyncio
from typing import Any

import pytest

from common.clock import new_id
from tests.intake.bodies import notice, partner, received
from tests.kit import Kit


def item(reference: str, **fields: Any) -> dict[str, Any]:
    return {"client_reference": reference, "notice": notice(**fields)}


@pytest.mark.row("F82")
async def test_a_bulk_call_answers_item_by_item_in_order(kit_on_each: Kit) -> None:
    """Seeded: let pydantic read the list as a whole; one bad item refuses them all."""
    kit = kit_on_each
    known = (await received(partner(kit))).json()["id"]
    chosen = str(new_id())
    items: list[Any] = [
        item("a"),
        item("b", urgency="EXTREME"),
        item("c", id=chosen, note="Трећа."),
        item("d", id=chosen),
        item("e", id=known),
        item("f", estimated_age=10, colour="red"),
        "not an object",
        item("строка"),
        item("i"),
    ]

    response = await partner(kit).post("/v1/notices/bulk", json={"items": items})

    assert response.status_code == 207
    results = response.json()["items"]
    assert [(r["client_reference"], r["status"], r["code"]) for r in results] == [
        ("a", 201, None),
        ("b", 422, "invalid"),
        ("c", 201, None),
        ("d", 409, "already_exists"),
        ("e", 409, "already_exists"),
        ("f", 422, "invalid"),
        (None, 422, "invalid"),
        (None, 422, "invalid"),
        ("i", 201, None),
    ]
    assert results[1]["errors"] == [{"code": "field.choice", "pointer": "/notice/urgency"}]
    assert results[2]["id"] == chosen
    assert results[5]["errors"] == [{"code": "field.unknown", "pointer": "/notice"}]
    assert "ETag" not in response.headers
    accepted = [r["id"] for r in results if r["status"] == 201]
    assert [e.data["notice_id"] for e in await kit.events()] == [known, *accepted]
    entries = await kit.audit(operation="create_notices")
    assert [entry.object_ids for entry in entries] == [[id_] for id_ in accepted]


@pytest.mark.row("F82")
async def test_five_hundred_are_taken_and_one_more_is_not(kit: Kit) -> None:
    full = {"items": [item(f"n{number}", note="Позив.") for number in range(500)]}
    over = {"items": [*full["items"], item("n500")]}

    taken = await partner(kit).post("/v1/notices/bulk", json=full)
    refused = await partner(kit).post("/v1/notices/bulk", json=over)
    none = await partner(kit).post("/v1/notices/bulk", json={"items": []})

    results = taken.json()["items"]
    assert [r["client_reference"] for r in results] == [f"n{number}" for number in range(500)]
    assert {r["status"] for r in results} == {201}
    assert len(await kit.events()) == 500
    for response in (refused, none):
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == "/items"


@pytest.mark.row("F82")
async def test_two_bulk_calls_with_one_id_take_it_once(kit: Kit) -> None:
    """Seeded: answer the whole second call with 409; its other notices would be lost."""
    shared = str(new_id())
    bodies = [{"items": [item("mine"), item("both", id=shared)]} for _ in range(2)]

    answers = await asyncio.gather(
        *(partner(kit).post("/v1/notices/bulk", json=body) for body in bodies)
    )

    statuses = sorted([r["status"] for r in answer.json()["items"]] for answer in answers)
    assert statuses == [[201, 201], [201, 409]]
    assert len(await kit.events()) == 3


async def test_a_repeated_bulk_call_is_the_same_call(kit: Kit) -> None:
    body, key = {"items": [item("a"), item("b")]}, {"Idempotency-Key": "shift-2026-11-22"}

    first = await partner(kit).post("/v1/notices/bulk", json=body, headers=key)
    again = await partner(kit).post("/v1/notices/bulk", json=body, headers=key)

    assert (again.status_code, again.content) == (207, first.content)
    assert len(await kit.events()) == 2
