"""Places of a service: taken at acceptance, given back at the end, never booked twice."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from tests.kit import Kit, if_match
from tests.referral.story import (
    accepted,
    acknowledged,
    drafted,
    granted,
    list_service,
    open_case,
    ready,
    receiver,
    sender,
    step,
    withdrawn,
)


async def free_places(kit: Kit, service_id: UUID) -> int | None:
    answer = await receiver(kit).get(f"/v1/services/{service_id}")
    free: int | None = answer.json()["free_places"]
    return free


async def test_acceptance_takes_a_place_and_tells_it(kit: Kit) -> None:
    case, _ = await ready(kit)
    service_id = await list_service(kit)

    referral_id = await accepted(kit, case, service_id=str(service_id))

    assert await free_places(kit, service_id) == 1
    [_, event] = await kit.events(service_id)
    assert (event.type, event.data["free_places"]) == (
        "referral.directory.service_changed.v1",
        1,
    )
    entries = await kit.audit(operation="accept_referral")
    assert {(entry.object_type, *entry.object_ids) for entry in entries} == {
        ("referral", str(referral_id)),
        ("service", str(service_id)),
    }


@pytest.mark.parametrize(
    ("end", "body"), [("complete", None), ("cancel", {"reason": "NEED_ENDED"})]
)
async def test_the_end_gives_the_place_back(
    kit: Kit, end: str, body: dict[str, Any] | None
) -> None:
    case, _ = await ready(kit)
    service_id = await list_service(kit)
    referral_id = await accepted(kit, case, service_id=str(service_id))
    caller = receiver(kit) if end == "complete" else sender(kit)

    await step(caller, referral_id, end, body)

    assert await free_places(kit, service_id) == 2


async def test_a_place_the_provider_has_counted_free_already_is_not_given_back_twice(
    kit: Kit,
) -> None:
    case, _ = await ready(kit)
    service_id = await list_service(kit, free_places=4)
    referral_id = await accepted(kit, case, service_id=str(service_id))
    path = f"/v1/services/{service_id}"
    seen = await receiver(kit).get(path)
    await receiver(kit).patch(path, json={"free_places": 4}, headers=if_match(seen))

    await step(receiver(kit), referral_id, "complete")

    assert await free_places(kit, service_id) == 4


async def test_a_referral_that_held_no_place_gives_none_back(kit: Kit) -> None:
    case, _ = await ready(kit)
    service_id = await list_service(kit)
    referral_id = await acknowledged(kit, case, service_id=str(service_id))

    await step(sender(kit), referral_id, "cancel", {"reason": "NEED_ENDED"})

    assert await free_places(kit, service_id) == 2
    assert len(await kit.events(service_id)) == 1


async def test_without_a_place_left_nobody_is_accepted(kit: Kit) -> None:
    case, _ = await ready(kit)
    service_id = await list_service(kit, free_places=0)
    referral_id = await acknowledged(kit, case, service_id=str(service_id))
    events = await kit.events()

    answer = await step(receiver(kit), referral_id, "accept")

    assert (answer.status_code, answer.json()["code"]) == (409, "service.not_eligible")
    assert answer.json()["grounds"] == ["PLACES"]
    assert await kit.events() == events
    assert await kit.audit(operation="accept_referral") == []


# Fails when the two acceptances do not notice each other: both would take the last place.
async def test_the_last_place_goes_to_one_of_two(kit: Kit) -> None:
    case, _ = await ready(kit)
    service_id = await list_service(kit, free_places=1)
    one, two = [await acknowledged(kit, case, service_id=str(service_id)) for _ in range(2)]

    answers = await asyncio.gather(
        step(receiver(kit), one, "accept"), step(receiver(kit), two, "accept")
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert await free_places(kit, service_id) == 0


# --- eligibility at submission (F29)


@pytest.mark.parametrize(
    ("facts", "fields", "grounds"),
    [
        ({"sex": "MALE"}, {}, ["SEX"]),
        ({"age_group": "12-17"}, {}, ["AGE_GROUP"]),
        ({}, {"languages": ["ro"]}, ["LANGUAGE"]),
        ({"sex": "UNKNOWN", "age_group": "UNKNOWN"}, {}, ["SEX"]),
    ],
)
async def test_a_service_that_does_not_take_the_person_is_not_asked(
    kit: Kit, facts: dict[str, Any], fields: dict[str, Any], grounds: list[str]
) -> None:
    case, _ = await ready(kit, **facts)
    service_id = await list_service(kit)
    referral_id = await drafted(kit, case, service_id=str(service_id), **fields)

    answer = await step(sender(kit), referral_id, "submit")

    assert (answer.status_code, answer.json()["code"]) == (409, "service.not_eligible")
    assert answer.json()["grounds"] == grounds
    assert len(await kit.events(referral_id)) == 1


# Whether a place is free is the receiver's answer: a full house may be asked.
async def test_a_full_service_may_be_asked(kit: Kit) -> None:
    case, _ = await ready(kit)
    service_id = await list_service(kit, free_places=0)
    referral_id = await drafted(kit, case, service_id=str(service_id))

    answer = await step(sender(kit), referral_id, "submit")

    assert answer.status_code == 200


async def test_a_withdrawn_consent_gives_all_places_of_the_case_back(kit: Kit) -> None:
    case, consent = await ready(kit)
    service_id = await list_service(kit, free_places=3)
    await accepted(kit, case, service_id=str(service_id))
    await accepted(kit, case, service_id=str(service_id))
    other = await open_case(kit)
    await other.tell(kit, granted(other.id))
    await accepted(kit, other, service_id=str(service_id))
    assert await free_places(kit, service_id) == 0

    await case.tell(kit, withdrawn(consent))

    assert await free_places(kit, service_id) == 2
