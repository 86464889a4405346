"""A real Keycloak for tests, on the realm that is shipped, and services that ask it for its keys."""

import base64
import json
import os
import secrets
import shutil
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from common.clock import monotonic
from common.issuer import IssuerKeys
from common.runtime import open_runtime
from common.settings import ServiceName
from tests.kafka import SHORT_LIVED
from tests.kit import open_service
from tests.system.processes import free_ports

FOLDER = Path(__file__).parent.parent / "deploy" / "keycloak"
UNPACKED = Path(__file__).parent.parent / "build" / "keycloak"
PATIENCE = 400.0
"""Seconds until the start counts as failed; it takes some forty on two cores with nothing else."""
ANSWER_SECONDS = 60.0


def missing() -> str | None:
    """Return what this machine lacks to run Keycloak, None if nothing."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None and not (program == "mvn" and UNPACKED.is_dir()):
            return f"{program} is not installed"
    return None


def fetch() -> Path:
    """Return the folder of Keycloak's distribution, fetched at the first call."""
    if not UNPACKED.is_dir():
        half = UNPACKED.with_name("keycloak-half")
        subprocess.run(  # noqa: S603
            [
                *("mvn", "--batch-mode", "--quiet", "--file", str(FOLDER / "pom.xml")),
                *("dependency:unpack-dependencies", f"-DoutputDirectory={half}"),
                # Else beside the file, where it would say of another folder that all is there.
                f"-DmarkersDirectory={half}-marks",
            ],
            check=True,
        )
        half.rename(UNPACKED)
    [folder] = UNPACKED.iterdir()
    return folder


class Keycloak:
    """One Keycloak with the realm `prag`; it can be killed and started again on its data."""

    def __init__(self, home: Path) -> None:
        self.home = home / "keycloak"
        self.port = free_ports()
        self._password = secrets.token_urlsafe(16)
        self._process: subprocess.Popen[bytes] | None = None
        shutil.copytree(fetch(), self.home)
        (self.home / "data" / "import").mkdir(parents=True)
        shutil.copy(FOLDER / "realm.json", self.home / "data" / "import")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def issuer(self) -> str:
        return f"{self.url}/realms/prag"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("KC_")}  # noqa: TID251  the parent's
        mine = {
            "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
            "KC_BOOTSTRAP_ADMIN_PASSWORD": self._password,
            "KC_HTTP_HOST": "127.0.0.1",
            "KC_HTTP_PORT": str(self.port),
            "KC_HTTP_MANAGEMENT_PORT": str(self.port + 1),
            "JAVA_OPTS_APPEND": f"-Djgroups.bind.address=127.0.0.1 {SHORT_LIVED}",
        }
        with (self.home / "keycloak.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [str(self.home / "bin" / "kc.sh"), "start-dev", "--import-realm"],
                env=kept | mine,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_up()

    def kill(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)  # kc.sh and the Java it started
        self._process.wait()

    def end(self) -> None:
        if self.is_running:
            self.kill()

    def _wait_until_up(self) -> None:
        assert self._process is not None
        deadline, pause = monotonic() + PATIENCE, threading.Event()
        while True:
            assert self._process.poll() is None, f"Keycloak ended: {self._log()}"
            assert monotonic() < deadline, f"Keycloak does not come up: {self._log()}"
            try:
                if httpx.get(self.issuer, timeout=ANSWER_SECONDS).is_success:
                    return
            except httpx.TransportError:
                pass
            pause.wait(0.2)

    def _log(self) -> str:
        return (self.home / "keycloak.log").read_text()

    # --- what an administrator does

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask the realm's administration; return the answer's JSON, or the id of what was made."""
        signed_in = self._token(
            "master", grant_type="password", client_id="admin-cli", username="admin",
            password=self._password,
        )  # fmt: skip
        answer = httpx.request(
            method,
            f"{self.url}/admin/realms/prag{path}",
            json=body,
            headers=bearer(signed_in),
            timeout=ANSWER_SECONDS,
        )
        assert answer.is_success, answer.text
        if location := answer.headers.get("Location"):
            return location.rpartition("/")[2]
        return answer.json() if answer.content else None

    def add_key(self, priority: int) -> None:
        """Add a key; the one with the highest priority signs."""
        config = {"priority": [str(priority)], "ecdsaEllipticCurveKey": ["P-256"]}
        self.ask(
            "POST",
            "/components",
            {
                "name": f"ecdsa-{priority}",
                "providerId": "ecdsa-generated",
                "providerType": "org.keycloak.keys.KeyProvider",
                "config": config | {"enabled": ["true"], "active": ["true"]},
            },
        )

    def add_client(self, name: str, role: str, org: UUID, **more: Any) -> None:
        """Make a machine client like the one that is shipped."""
        [shipped] = json.loads((FOLDER / "realm.json").read_text())["clients"]
        id_ = self.ask("POST", "/clients", shipped | {"clientId": name} | more)
        account = self.ask("GET", f"/clients/{id_}/service-account-user")
        account["attributes"] = {"role": [role], "org": [str(org)]}
        self.ask("PUT", f"/users/{account['id']}", account)

    def add_user(self, name: str, role: str, org: UUID) -> str:
        """Make a person who may sign in at once; return the password."""
        password = secrets.token_urlsafe(16)
        user = {
            "username": name,
            "enabled": True,
            "attributes": {"role": [role], "org": [str(org)]},
            "credentials": [{"type": "password", "value": password, "temporary": False}],
        }
        self.ask("POST", "/users", user)
        return password

    def secret(self, client: str) -> str:
        """Return the secret that Keycloak made for a client."""
        [found] = self.ask("GET", f"/clients?clientId={client}")
        return str(self.ask("GET", f"/clients/{found['id']}/client-secret")["value"])

    # --- what a program does

    def machine_token(self, client: str) -> str:
        return self._token(
            grant_type="client_credentials", client_id=client, client_secret=self.secret(client)
        )

    def person_token(self, client: str, user: str, password: str) -> str:
        return self._token(
            grant_type="password", client_id=client, client_secret=self.secret(client),
            username=user, password=password,
        )  # fmt: skip

    def _token(self, realm: str = "prag", **form: str) -> str:
        answer = httpx.post(
            f"{self.url}/realms/{realm}/protocol/openid-connect/token",
            data=form,
            timeout=ANSWER_SECONDS,
        )
        assert answer.is_success, answer.text
        return str(answer.json()["access_token"])


@contextmanager
def running(home: Path) -> Iterator[Keycloak]:
    keycloak = Keycloak(home)
    try:
        keycloak.start()
        yield keycloak
    finally:
        keycloak.end()


@asynccontextmanager
async def asking(
    issuer: str, name: ServiceName, home: Path, **more: object
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service that asks this provider for its keys."""
    async with open_service(name, home) as kit:
        settings = kit.runtime.settings
    own = {"oidc_issuer": issuer, "oidc_jwks_file": Path()}
    runtime = open_runtime(name, type(settings)(**settings.model_dump() | own | more))
    transport = httpx.ASGITransport(app=import_module(f"{name}.app").create_app(runtime))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://prag") as client:
            yield client
    finally:
        keys = runtime.tokens._keys
        assert isinstance(keys, IssuerKeys)
        keys.close()
        await runtime.database.close()
        await runtime.bus.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def decoded(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims, unverified."""
    header, claims, _ = token.split(".")
    return _object(header), _object(claims)


def _object(part: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return content
