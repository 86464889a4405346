"""The local issuer, judged by the services' own verifier."""

import base64
import json
import shutil
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from common import clock
from common.auth import KeySet, TokenVerifier
from common.codelists import codes
from common.errors import UnauthorizedError
from prag.issuer import LocalIssuer, organisation_id
from tests.system.processes import free_ports, prag, running
from tests.system.test_instance import start

ORGANISATION = UUID("0a7e3f52-6c1f-4b58-9d5e-2f40c1f0a001")


def verifier(issuer: LocalIssuer) -> TokenVerifier:
    return TokenVerifier(KeySet(issuer.jwks_file), issuer=issuer.issuer, audience=issuer.audience)


def part(token: str, index: int) -> dict[str, Any]:
    text = token.split(".")[index]
    content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return content


@pytest.mark.parametrize("role", sorted(codes("actor_roles")))
def test_a_token_of_every_role_is_accepted_and_says_who_calls(tmp_path: Path, role: str) -> None:
    issuer = LocalIssuer(tmp_path)

    principal = verifier(issuer).verify(
        issuer.token(role, ORGANISATION, "ana", client_id="hotline")
    )

    assert principal.subject == "ana"
    assert principal.organisation_id == ORGANISATION
    assert principal.role == role
    assert principal.client_id == "hotline"


def test_a_token_holds_the_agreed_claims_and_nothing_else(tmp_path: Path) -> None:
    token = LocalIssuer(tmp_path).token("SOCIAL_WORKER", ORGANISATION, "ana", minutes=5)

    assert set(part(token, 0)) == {"alg", "typ", "kid"}
    claims = part(token, 1)
    assert set(claims) == {"iss", "aud", "iat", "nbf", "exp", "jti", "sub", "org", "role"}
    assert claims["exp"] - claims["iat"] == 5 * 60


@pytest.mark.parametrize("written", ["social_worker", "Social-Worker", " SOCIAL_WORKER "])
def test_a_role_may_be_written_in_any_case(tmp_path: Path, written: str) -> None:
    assert (
        part(LocalIssuer(tmp_path).token(written, ORGANISATION, "ana"), 1)["role"]
        == "SOCIAL_WORKER"
    )


@pytest.mark.parametrize(
    ("role", "subject", "minutes", "says"),
    [
        ("QUEEN", "ana", 5, "no such role"),
        ("DPO", "ana petrović", 5, "named by"),
        ("DPO", "", 5, "named by"),
        ("DPO", "ana", 16, "15 minutes"),
        ("DPO", "ana", 0, "15 minutes"),
    ],
)
def test_what_no_service_would_accept_is_not_signed(
    tmp_path: Path, role: str, subject: str, minutes: int, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        LocalIssuer(tmp_path).token(role, ORGANISATION, subject, minutes)


def test_an_expired_token_is_refused(tmp_path: Path) -> None:
    issuer = LocalIssuer(tmp_path)
    token = issuer.token("DPO", ORGANISATION, "ana", minutes=1)
    clock.set_source(lambda: datetime.now(UTC) + timedelta(minutes=2))  # noqa: TID251  the other clock

    with pytest.raises(UnauthorizedError):
        verifier(issuer).verify(token)


def test_after_rotation_old_and_new_tokens_are_accepted(tmp_path: Path) -> None:
    issuer = LocalIssuer(tmp_path)
    services = verifier(issuer)
    old = issuer.token("DPO", ORGANISATION, "ana")
    services.verify(old)

    issuer.rotate()

    new = issuer.token("DPO", ORGANISATION, "ana")
    assert part(old, 0)["kid"] != part(new, 0)["kid"]
    assert services.verify(new).subject == "ana"
    assert services.verify(old).subject == "ana"


def test_a_revoked_token_is_refused_at_once_and_others_are_not(tmp_path: Path) -> None:
    issuer = LocalIssuer(tmp_path)
    services = verifier(issuer)
    lost, kept = (issuer.token("DPO", ORGANISATION, "ana") for _ in range(2))
    services.verify(lost)

    issuer.revoke(part(lost, 1)["jti"])

    with pytest.raises(UnauthorizedError):
        services.verify(lost)
    assert services.verify(kept).subject == "ana"


def test_a_token_of_another_instance_is_refused(tmp_path: Path) -> None:
    here, elsewhere = LocalIssuer(tmp_path / "rs"), LocalIssuer(tmp_path / "mk")

    with pytest.raises(UnauthorizedError):
        verifier(here).verify(elsewhere.token("DPO", ORGANISATION, "ana"))


def test_the_key_survives_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    first = LocalIssuer(tmp_path)
    token = first.token("DPO", ORGANISATION, "ana")

    again = LocalIssuer(tmp_path)

    assert verifier(again).verify(token).subject == "ana"
    for path in (tmp_path / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"PRIVATE" not in again.jwks_file.read_bytes()
    assert all("d" not in key for key in json.loads(again.jwks_file.read_text())["keys"])


def test_a_key_others_may_read_is_not_used(tmp_path: Path) -> None:
    issuer = LocalIssuer(tmp_path)
    (tmp_path / "keys" / "issuer.pem").chmod(0o644)

    with pytest.raises(PermissionError, match="chmod 600"):
        issuer.token("DPO", ORGANISATION, "ana")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("pristine") / "prag"
    start(home)
    return home


_TOKEN = ("token", "--role", "DPO", "--org", "csr-beograd")
_OTHER_CURVE = generate_private_key(SECP384R1()).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("issuer.pem", b""),
        ("issuer.pem", b"-----BEGIN PRIVATE KEY-----\nMIGH"),  # pragma: allowlist secret
        ("issuer.pem", _OTHER_CURVE),
        ("jwks.json", b""),
        ("jwks.json", b"\xff"),
        ("jwks.json", b"[]"),
        ("jwks.json", b'{"keys": [], "revoked": null}'),
        ("jwks.json", b'{"keys": [{"alg": "ES256", "kid": "a", "x": "AA", "y": "AA"}]}'),
    ],
)
def test_a_damaged_file_is_told_by_every_command_and_the_advice_helps(
    pristine: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    """Seeded: leave out `check_issuer`; read the published keys without a look at them."""
    home = Path(shutil.copytree(pristine, tmp_path / "prag"))
    old = LocalIssuer(home).token("DPO", ORGANISATION, "ana")
    whole = (home / "keys" / name).read_bytes()
    (home / "keys" / name).write_bytes(content)

    said = set()
    for command in (("up",), _TOKEN, ("backup", str(tmp_path / "b"))):
        ended = prag(*command, home=home, PRAG_PORT_BASE=str(free_ports()))
        assert (ended.returncode, ended.stdout) == (1, ""), command
        said.add(ended.stderr)
    [line] = said
    assert line.startswith(f"prag: {home}/keys/{name} is damaged. Put it back from the backup of")
    assert (home / "keys" / name).read_bytes() == content

    subprocess.run(line.split("by: ")[1].split(" (")[0], shell=True, check=True)  # noqa: S602
    with running(home) as country:
        ended = prag(*_TOKEN, home=home)
        new = ended.stdout.strip()
        url = country.url("intake", "/v1/notices")
        codes = [httpx.get(url, headers={"Authorization": f"Bearer {t}"}) for t in (old, new)]
        assert [answer.status_code for answer in codes] == [401, 403]
        assert country.end() == 0

    # And so does the other: even one file put back without its companion.
    (home / "keys" / name).write_bytes(whole)
    again = LocalIssuer(home)
    assert verifier(again).verify(again.token("DPO", ORGANISATION, "ana")).subject == "ana"


def test_an_organisation_is_named_by_its_id_or_by_any_name_of_its_country() -> None:
    assert organisation_id(str(ORGANISATION), "RS") == ORGANISATION
    assert organisation_id("CSR-Beograd", "RS") == organisation_id(" csr-beograd ", "rs")
    assert organisation_id("csr-beograd", "RS") != organisation_id("csr-beograd", "ME")
    assert organisation_id("ЦСР Ниш", "RS").version == 5
