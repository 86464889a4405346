"""The shipped realm, and the addresses at which a provider may be asked."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from common.codelists import codes
from common.settings import ServiceSettings, may_be_asked, read_settings
from tests.keycloak import FOLDER


def test_the_shipped_realm_knows_the_roles_of_the_code_list() -> None:
    # Fails when a role is added to one of the two alone.
    realm = json.loads((FOLDER / "realm.json").read_text())
    [profile] = realm["components"]["org.keycloak.userprofile.UserProfileProvider"]
    [text] = profile["config"]["kc.user.profile.config"]
    [role] = [each for each in json.loads(text)["attributes"] if each["name"] == "role"]

    assert set(role["validations"]["options"]["options"]) == codes("actor_roles")


GOOD = [
    "https://login.example.org:8443/realms/prag/",
    "http://127.0.0.1:8080/realms/prag",
    "http://localhost:8080",
    "http://[::1]:8080/x",
]
BAD = [
    "",
    "urn:prag:local-issuer",
    "http://login.example.org/realms/prag",
    "http://127.0.0.1.example.org",
    "http://[2001:db8::1]/",
    "https://login.example.org/?realm=prag",
    "https://login.example.org/#prag",
    "https://me@login.example.org",
    "http://localhost\\@login.example.org",
    "https://login.example.org/a b",
    "https://login.example.org/\n",
]
REST: dict[str, Any] = {
    "country": "RS",
    "database_url": "sqlite:////x.db",
    "bus_url": "local:///x.db",
    "oidc_audience": "prag",
    "master_key_file": Path("x.key"),
}


@pytest.mark.parametrize("address", GOOD)
def test_a_provider_with_a_safe_address_needs_no_file(address: str) -> None:
    assert may_be_asked(address)
    assert ServiceSettings(oidc_issuer=address, **REST).oidc_issuer == address


@pytest.mark.parametrize("address", BAD)
def test_a_provider_is_not_asked_in_the_clear_nor_under_an_address_of_two_readings(
    address: str,
) -> None:
    assert not may_be_asked(address)
    with pytest.raises(ValidationError):
        ServiceSettings(oidc_issuer=address, **REST)
    ServiceSettings(oidc_issuer=address, oidc_jwks_file=Path("jwks.json"), **REST)


def test_a_service_says_what_is_wrong_with_its_issuer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Fails when an empty variable counts as a file, or the line does not name the variable.
    for name, value in REST.items():
        monkeypatch.setenv(f"PRAG_{name.upper()}", str(value))
    monkeypatch.setenv("PRAG_OIDC_ISSUER", "http://login.example.org")
    monkeypatch.setenv("PRAG_OIDC_JWKS_FILE", "")

    with pytest.raises(SystemExit) as ended:
        read_settings(ServiceSettings)

    assert ended.value.code == 78
    assert capsys.readouterr().err.startswith("PRAG_OIDC_ISSUER must be an https address")
