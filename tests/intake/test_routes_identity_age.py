"""Against which age a consent is held, what an age rests on, and which numbers are unlikely."""

from typing import Any

import httpx
import pytest

from tests.intake.bodies import CASE, PERSON, consent, guardian, opened, version
from tests.intake.test_routes_identity import URL, put
from tests.kit import Kit


async def counting(caller: httpx.AsyncClient) -> list[bool]:
    found = await caller.get(f"/v1/cases/{CASE}/consents")
    return [each["is_valid"] for each in found.json()["items"]]


@pytest.mark.parametrize(
    ("told", "birth_date", "given_by"),
    [
        ({"birth_date": None}, "1990-03-04", "SELF"),
        ({"birth_date": None, "estimated_age": 25}, "2012-03-04", "GUARDIAN"),
    ],
)
async def test_a_birth_date_that_changes_whose_consent_counts_says_so_and_shows_the_way(
    kit: Kit, told: dict[str, Any], birth_date: str, given_by: str
) -> None:
    """Seeded: leave the age out of `is_valid`, or call the first consent missing."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, **told)
    parent = guardian(guardian="PARENT")
    first, second = ({}, parent) if given_by == "GUARDIAN" else (parent, {})
    person = PERSON | {"birth_date": birth_date}
    granted = await caller.post(f"/v1/cases/{CASE}/consents", json=consent(**first))
    assert granted.json()["is_valid"] is True

    refused = await put(caller, person, await version(caller))
    before = await counting(caller)
    changed = await caller.patch(
        f"/v1/cases/{CASE}", json={"birth_date": birth_date}, headers=await version(caller)
    )
    after = await counting(caller)
    await caller.post(f"/v1/cases/{CASE}/consents", json=consent(**second))
    written = await put(caller, person, await version(caller))

    assert (refused.status_code, refused.json()["code"]) == (403, "identity.consent_by_other")
    assert refused.json()["given_by"] == [given_by]
    assert changed.status_code == 200
    assert (before, after) == ([True], [False])
    assert written.status_code == 200, written.text
    assert await counting(caller) == [False, True]
    one = await caller.get(granted.headers["Location"])
    assert one.json()["is_valid"] is False


async def test_beside_an_estimate_a_birth_date_does_not_make_an_adult_until_it_is_cleared(
    kit: Kit,
) -> None:
    """Seeded: let the birth date on paper overrule the estimate; show one source of the two."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller, birth_date=None, estimated_age=12)
    await caller.post(f"/v1/cases/{CASE}/consents", json=consent(**guardian()))

    both = await put(caller, PERSON | {"birth_date": "1990-03-04"}, await version(caller))
    cleared = await caller.patch(
        f"/v1/cases/{CASE}", json={"estimated_age": None}, headers=await version(caller)
    )

    shown = ("is_minor", "age_basis", "age_sources")
    assert [both.json()[name] for name in shown] == [True, "ESTIMATE", ["BIRTH_DATE", "ESTIMATE"]]
    assert [cleared.json()[name] for name in shown] == [False, "DAY", ["BIRTH_DATE"]]


async def test_an_unlikely_national_number_is_taken_and_warned_of_without_its_value(
    kit: Kit,
) -> None:
    """Seeded: check every kind of paper, or point at the document instead of its number."""
    caller = kit.caller("SOCIAL_WORKER")
    await opened(caller)
    await caller.post(f"/v1/cases/{CASE}/consents", json=consent())
    numbers = [
        {"kind": "PASSPORT", "number": "2206978816008", "country": "RS"},
        {"kind": "NATIONAL_NUMBER", "number": "2206978816007", "country": "RS"},
        {"kind": "NATIONAL_NUMBER", "number": "2206978816008", "country": "RS"},
    ]

    written = await put(caller, PERSON | {"documents": numbers}, await version(caller))
    read = await caller.get(f"{URL}?purpose=ASSISTANCE")

    warning = {"code": "document.checksum", "pointer": "/documents/2/number"}
    assert (written.status_code, written.json()["warnings"]) == (200, [warning])
    assert "2206978816008" not in written.text
    assert read.json()["documents"] == numbers
