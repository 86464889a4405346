"""The start page: in the reader's language, without scripts, without data."""

import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from common.messages import LANGUAGES, text
from prag import landing, wellknown
from prag.issuer import LocalIssuer
from prag.manifest import SERVICES, TIME_ZONES

PORT_BASE = 1  # privileged ports, where nobody listens


@pytest.fixture
def client() -> httpx.AsyncClient:
    return client_of("RS")


def client_of(country: str) -> httpx.AsyncClient:
    app = FastAPI()
    app.include_router(landing.router(country, PORT_BASE))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_page_speaks_the_readers_language(
    client: httpx.AsyncClient, language: str
) -> None:
    answer = await client.get("/", headers={"Accept-Language": language})

    assert answer.status_code == 200
    assert answer.headers["content-language"] == language
    assert f'<html lang="{language}">' in answer.text
    for key in ("ui.tagline", "ui.dashboard", "ui.country.RS", "ui.unhealthy"):
        assert text(key, language) in answer.text


async def test_a_chosen_language_wins_over_the_browsers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/?language=mk", headers={"Accept-Language": "ro"})

    assert answer.headers["content-language"] == "mk"


@pytest.mark.parametrize("country", TIME_ZONES)
async def test_every_country_has_a_page(country: str) -> None:
    answer = await client_of(country).get("/")

    assert text(f"ui.country.{country}", "en") in answer.text


async def test_the_page_runs_nothing_and_loads_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")

    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert not re.search(
        r"<script|<img|<iframe|<link|javascript:|@import|url\(|\son\w+=", answer.text
    )
    assert answer.headers["cache-control"] == "no-store"
    hosts = set(re.findall(r"https?://([^/:\"]+)", answer.text))
    assert hosts == {"127.0.0.1"}


async def test_the_page_echoes_nothing_and_shows_no_token(client: httpx.AsyncClient) -> None:
    answer = await client.get("/?language=%3Cscript%3E", headers={"Host": "evil.example"})

    assert answer.status_code == 200
    assert "evil" not in answer.text
    assert "<script>" not in answer.text
    assert "eyJ" not in answer.text


async def test_every_service_has_its_health_and_its_documents(client: httpx.AsyncClient) -> None:
    page = (await client.get("/")).text

    for port, service in enumerate(SERVICES, PORT_BASE):
        assert text(f"ui.service.{service}", "en") in page
        for path in ("/docs", "/openapi.json", "/v1/codelists"):
            assert f'href="http://127.0.0.1:{port}{path}"' in page
    assert page.count(text("ui.unhealthy", "en")) == len(SERVICES)
    assert f'href="http://127.0.0.1:{PORT_BASE + 3}/dashboard?language=en"' in page


async def test_the_issuers_public_keys_are_published_and_nothing_else(tmp_path: Path) -> None:
    # Fails when the file is served as it stands: it also names revoked tokens.
    issuer = LocalIssuer(tmp_path)
    issuer.revoke("some-token")
    app = FastAPI()
    app.include_router(wellknown.router(issuer))

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://prag"
    ) as client:
        shown = (await client.get("/.well-known/jwks.json")).json()

    assert set(shown) == {"keys"}
    assert all("d" not in key and key["alg"] == "ES256" for key in shown["keys"])
