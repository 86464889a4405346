"""The directory: who keeps it, what it tells, and the search that shows eligible services only."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from common.clock import new_id
from tests.kit import ELSEWHERE, HOME, Kit, if_match
from tests.referral.story import SHELTER, list_service, organisation, register, sender, service


def coordinator(kit: Kit) -> httpx.AsyncClient:
    return kit.caller("NATIONAL_COORDINATOR", ELSEWHERE, "coordinator-1")


async def found(kit: Kit, **query: Any) -> set[UUID]:
    answer = await sender(kit).get("/v1/services", params=query)
    assert answer.status_code == 200, answer.text
    return {UUID(item["id"]) for item in answer.json()["items"]}


# --- organisations


async def test_an_organisation_is_registered_told_and_audited(kit: Kit) -> None:
    body = organisation(SHELTER, municipality="70858", roles=["SHELTER_STAFF"])

    answer = await coordinator(kit).post("/v1/organisations", json=body)

    assert answer.status_code == 201
    assert answer.json() == {**body, "version": 1}
    [event] = await kit.events(SHELTER)
    assert event.type == "referral.directory.organisation_registered.v1"
    assert event.data == {
        "organisation_id": str(SHELTER),
        "country": "RS",
        "kind": "SHELTER",
        "sector": "CIVIL_SOCIETY",
        "roles": ["SHELTER_STAFF"],
    }
    [entry] = await kit.audit(operation="register_organisation")
    assert (entry.action, entry.object_ids) == ("create", [str(SHELTER)])


async def test_a_municipality_is_of_the_countrys_list_where_there_is_one(kit: Kit) -> None:
    """Seeded: check it when an organisation is registered only, or against the list of another."""
    nowhere = organisation(SHELTER, country="XK", municipality="NOWHERE")

    refused = await coordinator(kit).post("/v1/organisations", json=nowhere)
    await register(kit, country="XK", municipality="PRIZREN")
    path = f"/v1/organisations/{SHELTER}"
    seen = await sender(kit).get(path)
    moved = await coordinator(kit).patch(
        path, json={"municipality": "NOWHERE"}, headers=if_match(seen)
    )

    for answer in (refused, moved):
        assert (answer.status_code, answer.json()["code"]) == (422, "field.code_unknown")
        assert answer.json()["errors"][0]["pointer"] == "/municipality"
        assert answer.json()["codelist"] == "places_xk"


async def test_a_change_leaves_the_rest_and_tells_the_whole_entry(kit: Kit) -> None:
    await register(kit, municipality="70858")
    path = f"/v1/organisations/{SHELTER}"
    seen = await sender(kit).get(path)

    answer = await coordinator(kit).patch(
        path, json={"kind": "NGO", "municipality": None}, headers=if_match(seen)
    )

    assert answer.status_code == 200
    assert answer.headers["ETag"] == '"2"'
    assert answer.json() == {**seen.json(), "kind": "NGO", "municipality": None, "version": 2}
    [_, event] = await kit.events(SHELTER)
    assert (event.type, event.seq) == ("referral.directory.organisation_changed.v1", 2)
    assert (event.data["kind"], event.data["sector"]) == ("NGO", "CIVIL_SOCIETY")
    [entry] = await kit.audit(operation="update_organisation")
    assert (entry.action, entry.object_ids) == ("update", [str(SHELTER)])


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 428, "precondition.required"),
        ({"If-Match": '"2"'}, 412, "precondition.failed"),
        ({"If-Match": "*"}, 400, "header.invalid"),
    ],
)
async def test_a_change_names_the_version_it_was_made_on(
    kit: Kit, headers: dict[str, str], status: int, code: str
) -> None:
    await register(kit)
    service_id = await list_service(kit)
    before = await kit.events()

    for path in (f"/v1/organisations/{SHELTER}", f"/v1/services/{service_id}"):
        answer = await coordinator(kit).patch(path, json={"languages": ["sq"]}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code)

    assert await kit.events() == before


@pytest.mark.parametrize("role", ["SOCIAL_WORKER", "SHELTER_STAFF", "ANALYST"])
async def test_only_the_keepers_of_the_directory_write_organisations(kit: Kit, role: str) -> None:
    caller = kit.caller(role, SHELTER)

    answer = await caller.post("/v1/organisations", json=organisation(SHELTER))

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert await kit.events() == []
    [denial] = await kit.audit(decision="deny", operation="register_organisation")
    assert denial.role == role


async def test_an_organisation_id_is_taken_once(kit: Kit) -> None:
    await register(kit)

    answer = await coordinator(kit).post("/v1/organisations", json=organisation(SHELTER))

    assert (answer.status_code, answer.json()["code"]) == (409, "already_exists")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, {"A", "B", "C"}),
        ({"kind": "CSW"}, {"A"}),
        ({"kind.in": "CSW,NGO"}, {"A", "B"}),
        ({"sector": "STATE"}, {"A"}),
        ({"country": "XK"}, {"C"}),
        ({"country": "XK", "municipality": "PRIZREN"}, {"C"}),
        ({"municipality": "70858"}, {"A", "B"}),
    ],
)
async def test_organisations_are_found_by_kind_sector_country_and_place(
    kit: Kit, query: dict[str, str], names: set[str]
) -> None:
    await register(kit, new_id(), name="A", kind="CSW", sector="STATE", municipality="70858")
    await register(kit, new_id(), name="B", kind="NGO", municipality="70858")
    await register(kit, new_id(), name="C", country="XK", municipality="PRIZREN")

    answer = await sender(kit).get("/v1/organisations", params=query)

    assert {item["name"] for item in answer.json()["items"]} == names


async def test_an_organisation_nobody_registered_is_not_there(kit: Kit) -> None:
    for path in (f"/v1/organisations/{new_id()}", f"/v1/services/{new_id()}"):
        answer = await sender(kit).get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


# --- services


async def test_a_service_is_listed_by_its_own_workers_told_and_audited(kit: Kit) -> None:
    await register(kit)
    body = service(SHELTER, accessibility=["STEP_FREE"])

    answer = await kit.caller("SHELTER_STAFF", SHELTER).post("/v1/services", json=body)

    assert answer.status_code == 201
    assert answer.json() == {**body, "version": 1, "country": "RS"}
    [event] = await kit.events(UUID(body["id"]))
    assert event.type == "referral.directory.service_listed.v1"
    assert event.data == {
        "service_id": body["id"],
        "organisation_id": str(SHELTER),
        "country": "RS",
        "service_type": "SHELTER",
        "sexes": ["FEMALE"],
        "age_groups": ["18-24", "25-34", "35+"],
        "languages": ["sr-Latn", "sq"],
        "accessibility": ["STEP_FREE"],
        "capacity": 4,
        "free_places": 2,
    }
    [entry] = await kit.audit(operation="register_service")
    assert (entry.action, entry.object_ids) == ("create", [body["id"]])


@pytest.mark.parametrize(
    ("caller", "changes", "status", "code"),
    [
        ("SHELTER_STAFF", {"organisation_id": str(HOME)}, 403, "forbidden"),
        (
            "NATIONAL_COORDINATOR",
            {"organisation_id": str(ELSEWHERE)},
            422,
            "referral.organisation_unknown",
        ),
        ("SHELTER_STAFF", {"free_places": 5}, 422, "service.places_inconsistent"),
        ("SHELTER_STAFF", {"capacity": None}, 422, "service.places_inconsistent"),
        ("SHELTER_STAFF", {"sexes": []}, 422, "invalid"),
        ("GUARDIAN", {}, 403, "forbidden"),
    ],
)
async def test_a_refused_service_leaves_nothing(
    kit: Kit, caller: str, changes: dict[str, Any], status: int, code: str
) -> None:
    await register(kit)
    await register(kit, HOME)
    body = service(SHELTER) | changes

    answer = await kit.caller(caller, SHELTER).post("/v1/services", json=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await kit.events(UUID(body["id"])) == []
    assert await kit.audit(operation="register_service") == []


async def test_a_provider_counts_its_free_places_anew(kit: Kit) -> None:
    await register(kit)
    service_id = await list_service(kit)
    path = f"/v1/services/{service_id}"
    provider = kit.caller("SHELTER_STAFF", SHELTER)

    answer = await provider.patch(path, json={"free_places": 4}, headers={"If-Match": '"1"'})
    beyond = await provider.patch(path, json={"capacity": 3}, headers=if_match(answer))
    uncounted = await provider.patch(
        path, json={"capacity": None, "free_places": None}, headers=if_match(answer)
    )

    assert (answer.status_code, answer.json()["free_places"]) == (200, 4)
    assert beyond.json()["code"] == "service.places_inconsistent"
    assert (uncounted.json()["capacity"], uncounted.json()["free_places"]) == (None, None)
    types = [event.type for event in await kit.events(service_id)]
    assert (
        types
        == ["referral.directory.service_listed.v1"] + ["referral.directory.service_changed.v1"] * 2
    )
    assert len(await kit.audit(operation="update_service")) == 2


async def test_only_its_own_workers_and_the_keepers_change_a_service(kit: Kit) -> None:
    await register(kit)
    service_id = await list_service(kit)
    stranger = kit.caller("SHELTER_STAFF", ELSEWHERE)

    answer = await stranger.patch(
        f"/v1/services/{service_id}", json={"free_places": 0}, headers={"If-Match": '"1"'}
    )

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert len(await kit.events(service_id)) == 1
    assert len(await kit.audit(decision="deny", operation="update_service")) == 1


# --- F29: what the search shows


@pytest.mark.row("F29")
async def test_the_search_shows_only_services_that_can_take_the_person(kit: Kit) -> None:
    await register(kit, municipality="70858")
    await register(kit, HOME, kind="CSW", municipality="70181")
    women = await list_service(kit, accessibility=["STEP_FREE"])
    full = await list_service(kit, free_places=0)
    men = await list_service(kit, sexes=["MALE"], languages=["sr-Cyrl"])
    children = await list_service(kit, sexes=["FEMALE", "MALE"], age_groups=["0-11", "12-17"])
    advice = await list_service(
        kit,
        HOME,
        service_type="COUNSELLING_INFORMATION",
        sexes=["FEMALE", "MALE", "UNKNOWN"],
        age_groups=["12-17", "18-24", "25-34", "35+"],
        languages=["ro"],
        capacity=None,
        free_places=None,
    )

    assert await found(kit) == {women, full, men, children, advice}
    assert await found(kit, sex="FEMALE", age_group="25-34") == {women, full, advice}
    assert await found(kit, sex="FEMALE", age_group="25-34", has_free_places="true") == {
        women,
        advice,
    }
    assert await found(kit, sex="UNKNOWN") == {advice}
    assert await found(kit, age_group="UNKNOWN") == {children, advice}
    assert await found(kit, sex="MALE", language="sr-Latn") == {men, children}
    assert await found(kit, language=["ro", "sq"]) == {women, full, children, advice}
    assert await found(kit, accessibility="STEP_FREE") == {women}
    assert await found(kit, service_type="SHELTER", sex="MALE") == {men, children}
    assert await found(kit, organisation_id=str(HOME)) == {advice}
    assert await found(kit, country="RS", municipality="70858") == {women, full, men, children}
    assert await found(kit, country="XK") == set()


async def test_the_search_goes_on_page_by_page_over_the_eligible_ones(kit: Kit) -> None:
    await register(kit)
    wanted = {await list_service(kit) for _ in range(3)}
    for _ in range(3):
        await list_service(kit, sexes=["MALE"])
    seen: list[str] = []
    cursor: str | None = None

    while True:
        query = {"sex": "FEMALE", "limit": "2"} | ({"cursor": cursor} if cursor else {})
        answer = (await sender(kit).get("/v1/services", params=query)).json()
        seen += [item["id"] for item in answer["items"]]
        cursor = answer["next"]
        if cursor is None:
            break

    assert sorted(seen) == sorted(str(service_id) for service_id in wanted)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"colour": "red"}, 400),
        ({"service_type": "SPA"}, 400),
        ({"sex": "woman"}, 400),
        ({"age_group": "0--8"}, 400),
        ({"language": "xx"}, 400),
        ({"has_free_places": "perhaps"}, 400),
    ],
)
async def test_the_search_refuses_what_it_cannot_read(
    kit: Kit, query: dict[str, str], status: int
) -> None:
    answer = await sender(kit).get("/v1/services", params=query)

    assert answer.status_code == status
    assert next(iter(query.values())) not in answer.text
