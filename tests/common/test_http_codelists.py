"""The code lists over HTTP: found by name, in the caller's language, sent once."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from common.codelists import names
from common.http import problem
from common.http.codelists import router
from common.messages import LANGUAGES


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI(telemetry=None)
    app.include_router(router)
    problem.install(app)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://common") as opened:
        yield opened


async def test_the_index_names_every_list_without_a_token(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/codelists")

    items = answer.json()["items"]
    assert answer.status_code == 200
    assert [item["codelist"] for item in items] == list(names())
    assert {"codelist", "title", "version", "size"} == set(items[0])


async def test_a_list_comes_with_labels_validity_and_crosswalks(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/codelists/deciding_authorities?language=mk")

    [police] = [item for item in answer.json()["items"] if item["code"] == "POLICE"]
    assert answer.headers["content-language"] == "mk"
    assert police["label"] == "Полиција"
    assert set(police["labels"]) == set(LANGUAGES)
    assert (police["valid_from"], police["valid_to"]) == (None, None)
    assert police["crosswalks"] == {"htcds": "Police"}


async def test_accept_language_decides_when_no_language_is_asked_for(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/v1/codelists/urgency", headers={"Accept-Language": "fr, hr;q=0.9"})

    assert answer.headers["content-language"] == "bs"
    assert answer.headers["vary"] == "Accept-Language"
    assert answer.json()["items"][0]["label"] == "Niska"


async def test_an_unchanged_list_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/v1/codelists/urgency")
    etag = first.headers["etag"]

    again = await client.get("/v1/codelists/urgency", headers={"If-None-Match": f'"old", W/{etag}'})

    assert re.fullmatch(r'"1\.\d+\.\d+-[0-9a-f]{32}"', etag)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)


async def test_another_language_is_another_representation(client: httpx.AsyncClient) -> None:
    english = await client.get("/v1/codelists/urgency?language=en")
    etag = {"If-None-Match": english.headers["etag"]}

    albanian = await client.get("/v1/codelists/urgency?language=sq", headers=etag)

    assert albanian.status_code == 200
    assert albanian.headers["etag"] != english.headers["etag"]


@pytest.mark.parametrize("path", ["nothing", "urgency.json", "..%2Fcodelists%2Furgency", "%00"])
async def test_a_list_that_does_not_exist_is_not_found(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(f"/v1/codelists/{path}")

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


async def test_an_unknown_query_parameter_is_refused(client: httpx.AsyncClient) -> None:
    for path in ("/v1/codelists?page=2", "/v1/codelists/urgency?lang=sq"):
        answer = await client.get(path)

        assert (answer.status_code, answer.json()["code"]) == (400, "query.unknown")


async def test_a_language_without_labels_is_refused_not_replaced(client: httpx.AsyncClient) -> None:
    # Fails when the caller reads English and takes it for what was asked for.
    for tag in ("xx", "de-AT", "", "e", "*"):
        answer = await client.get(f"/v1/codelists/urgency?language={tag}")

        assert (answer.status_code, answer.json()["code"]) == (400, "language.unknown"), tag
        assert answer.json()["languages"] == list(LANGUAGES)
    near = await client.get("/v1/codelists/urgency?language=sr-Cyrl-RS")
    assert near.headers["content-language"] == "sr-Cyrl"
