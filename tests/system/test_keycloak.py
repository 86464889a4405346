"""Prag behind a real Keycloak 26, on the realm that is shipped in deploy/keycloak."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from common.auth import MAX_LIFETIME
from common.settings import ServiceName
from tests import keycloak as real
from tests.keycloak import Keycloak, asking, bearer, decoded
from tests.kit import HOME
from tests.system.processes import poll

pytestmark = [pytest.mark.system, pytest.mark.keycloak, pytest.mark.slow]

OPERATIONS: dict[ServiceName, str] = {
    "intake": "/v1/cases",
    "referral": "/v1/organisations",
    "reintegration": "/v1/plans",
    "analytics": "/v1/indicators/persons-assisted",
}
ROLES: dict[ServiceName, str] = {
    "intake": "SOCIAL_WORKER",
    "referral": "SOCIAL_WORKER",
    "reintegration": "SOCIAL_WORKER",
    "analytics": "ANALYST",
}
DOOR = "sign-in"
"""A client through which persons sign in; the shipped one is for programs alone."""
BY_PASSWORD = {"serviceAccountsEnabled": True, "directAccessGrantsEnabled": True}

Clients = dict[ServiceName, httpx.AsyncClient]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    if lacking := real.missing():
        pytest.skip(f"no Keycloak: {lacking}")
    with real.running(tmp_path_factory.mktemp("keycloak")) as running:
        running.add_client(DOOR, "SOCIAL_WORKER", HOME, **BY_PASSWORD)
        yield running


@pytest.fixture
def keycloak(started: Keycloak) -> Keycloak:
    if not started.is_running:
        started.start()
    return started


def home_of(tmp_path: Path, name: str) -> Path:
    home = tmp_path / name
    home.mkdir()
    return home


@pytest.fixture
async def services(keycloak: Keycloak, tmp_path: Path) -> AsyncIterator[Clients]:
    """All four services, each of which has asked this Keycloak for its keys."""
    async with AsyncExitStack() as stack:
        clients: Clients = {
            name: await stack.enter_async_context(
                asking(keycloak.issuer, name, home_of(tmp_path, name))
            )
            for name in OPERATIONS
        }
        token = keycloak.machine_token("case-tool")
        for name in clients:
            while await ask(clients, name, token) == 503:
                pass
        yield clients


async def ask(clients: Clients, name: ServiceName, token: str) -> int:
    answer = await clients[name].get(OPERATIONS[name], headers=bearer(token))
    return answer.status_code


async def statuses(clients: Clients, tokens: dict[str, str]) -> dict[ServiceName, int]:
    """Ask each service as the role it is for."""
    return {name: await ask(clients, name, tokens[ROLES[name]]) for name in clients}


ALL_GOOD = dict.fromkeys(OPERATIONS, 200)


async def test_every_service_accepts_the_tokens_of_persons_and_of_programs(
    keycloak: Keycloak, services: Clients
) -> None:
    # Fails when the shipped realm's tokens lack what the services demand, or these relax it.
    persons, programs = {}, {}
    for role in sorted({*ROLES.values()}):
        name = role.lower().replace("_", "-")
        password = keycloak.add_user(name, role, HOME)
        persons[role] = keycloak.person_token(DOOR, name, password)
        keycloak.add_client(f"tool-{name}", role, HOME)
        programs[role] = keycloak.machine_token(f"tool-{name}")

    assert await statuses(services, persons) == ALL_GOOD
    assert await statuses(services, programs) == ALL_GOOD
    header, claims = decoded(programs["ANALYST"])
    assert (header["alg"], header["typ"], set(header)) == ("ES256", "at+jwt", {"alg", "typ", "kid"})
    assert (claims["aud"], claims["client_id"]) == ("prag", "tool-analyst")
    assert claims["exp"] - claims["iat"] <= MAX_LIFETIME
    _, claims = decoded(persons["ANALYST"])
    assert "client_id" not in claims
    # Nothing of a person but what a service needs: sub is opaque.
    assert {"name", "email", "preferred_username", "given_name"}.isdisjoint(claims)


async def test_the_shipped_program_is_accepted_and_its_secret_is_made_at_import(
    keycloak: Keycloak, services: Clients
) -> None:
    # Fails when the example does not work as it lies there, or all who use it share a secret.
    secret = keycloak.secret("case-tool")

    assert await ask(services, "intake", keycloak.machine_token("case-tool")) == 200
    assert len(secret) >= 32
    assert secret not in (real.FOLDER / "realm.json").read_text()


async def test_tokens_for_another_audience_or_of_another_form_are_refused(
    keycloak: Keycloak, services: Clients, tmp_path: Path
) -> None:
    # Fails when a token that was made for others opens Prag.
    token = keycloak.machine_token("case-tool")
    own = {"oidc_audience": "prag-me"}
    home = home_of(tmp_path, "elsewhere")
    async with asking(keycloak.issuer, "intake", home, **own) as elsewhere:
        while (status := await ask({"intake": elsewhere}, "intake", token)) == 503:
            pass
    assert status == 401

    keycloak.add_client("no-access-token-type", "SOCIAL_WORKER", HOME, attributes={})
    keycloak.add_client("no-scope", "SOCIAL_WORKER", HOME, defaultClientScopes=[])
    keycloak.add_client("another-role", "ANALYST", HOME)
    wide = {
        "name": "wide",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": {"included.custom.audience": "others", "access.token.claim": "true"},
    }
    keycloak.add_client("two-audiences", "SOCIAL_WORKER", HOME, protocolMappers=[wide])
    names = ("no-access-token-type", "no-scope", "two-audiences", "another-role", "case-tool")
    found = {name: await ask(services, "intake", keycloak.machine_token(name)) for name in names}

    assert found == {
        "no-access-token-type": 401,
        "no-scope": 401,
        "two-audiences": 401,
        "another-role": 403,
        "case-tool": 200,
    }


async def test_nobody_can_give_themselves_another_organisation_or_role(
    keycloak: Keycloak,
) -> None:
    # Fails when the realm lets a person edit what decides about their rights.
    profile = keycloak.ask("GET", "/users/profile")["attributes"]
    editors = {a["name"]: a["permissions"]["edit"] for a in profile}

    assert (editors["org"], editors["role"]) == (["admin"], ["admin"])


async def test_a_key_rotated_in_the_realm_is_known_without_restart(
    keycloak: Keycloak, services: Clients
) -> None:
    # Fails when a rotation needs a restart, or ends the tokens of the key before.
    before = keycloak.machine_token("case-tool")
    keycloak.add_key(priority=200)
    after = keycloak.machine_token("case-tool")
    assert decoded(before)[0]["kid"] != decoded(after)[0]["kid"]

    first = await ask(services, "intake", after)
    found = first
    while found == 503:
        found = await ask(services, "intake", after)

    assert first == 503  # and not 401: the key is being asked for
    assert found == 200
    assert await ask(services, "intake", before) == 200


async def test_known_keys_work_on_without_the_provider(
    keycloak: Keycloak, services: Clients
) -> None:
    # Fails when a provider that is away takes the services with it.
    token = keycloak.machine_token("case-tool")
    keycloak.kill()
    poll(lambda: not _answers(keycloak))

    # Not asked for before: none of these answers comes from the cache of verified tokens.
    found = {name: await ask(services, name, token) for name in ("intake", "referral")}

    assert found == {"intake": 200, "referral": 200}


def _answers(keycloak: Keycloak) -> bool:
    try:
        httpx.get(keycloak.issuer)
    except httpx.TransportError:
        return False
    return True
