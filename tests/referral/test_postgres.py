"""The main path and the two races that matter, on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from referral.worker import expire_overdue
from tests.conftest import PostgresUrls
from tests.kit import Kit, migrated, open_service
from tests.referral.story import (
    NOW,
    accepted,
    acknowledged,
    drafted,
    granted,
    list_service,
    now_is,
    open_case,
    ready,
    receiver,
    register,
    sender,
    sent,
    step,
    withdrawn,
)

pytestmark = pytest.mark.postgres


@pytest.fixture
async def kit(tmp_path: Path, postgres_urls: PostgresUrls) -> AsyncIterator[Kit]:
    now_is(NOW)
    url = migrated("referral", postgres_urls)
    async with open_service("referral", tmp_path, database_url=url) as opened:
        yield opened


async def test_a_referral_goes_its_whole_way(kit: Kit) -> None:
    case, _ = await ready(kit)
    service_id = await list_service(kit)
    referral_id = await accepted(
        kit, case, service_id=str(service_id), note="Стиже вечерас.", languages=["sq"]
    )

    read = (await receiver(kit).get(f"/v1/referrals/{referral_id}")).json()
    answer = await step(receiver(kit), referral_id, "complete")

    assert (read["note"], read["status"]) == ("Стиже вечерас.", "ACCEPTED")
    assert answer.json()["status"] == "COMPLETED"
    assert [event.seq for event in await kit.events(referral_id)] == [1, 2, 3, 4, 5]
    search = {"sex": "FEMALE", "age_group": "25-34", "has_free_places": "true"}
    found = (await sender(kit).get("/v1/services", params=search)).json()["items"]
    assert [(item["id"], item["free_places"]) for item in found] == [(str(service_id), 2)]
    listed = (await receiver(kit).get("/v1/referrals", params={"status": "COMPLETED"})).json()
    assert [item["case_id"] for item in listed["items"]] == [str(case.id)]


async def test_the_last_place_goes_to_one_of_two(kit: Kit) -> None:
    case, _ = await ready(kit)
    service_id = await list_service(kit, free_places=1)
    one, two = [await acknowledged(kit, case, service_id=str(service_id)) for _ in range(2)]

    answers = await asyncio.gather(
        step(receiver(kit), one, "accept"), step(receiver(kit), two, "accept")
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409]


# Whatever their order, no referral is left open on a withdrawn consent.
async def test_a_submission_and_a_withdrawal_at_the_same_moment(kit: Kit) -> None:
    await register(kit)
    for _ in range(5):
        case = await open_case(kit)
        consent = granted(case.id)
        await case.tell(kit, consent)
        referral_id = await drafted(kit, case)

        await asyncio.gather(
            step(sender(kit), referral_id, "submit"), case.tell(kit, withdrawn(consent))
        )

        status = (await kit.events(referral_id))[-1].data["status"]
        assert status in {"DRAFT", "CANCELLED"}


async def test_the_clock_ends_what_nobody_decided(kit: Kit) -> None:
    case, _ = await ready(kit)
    referral_id = await sent(kit, case)
    now_is(NOW + timedelta(days=3))

    await expire_overdue(kit.runtime)

    assert (await kit.events(referral_id))[-1].data["status"] == "EXPIRED"
