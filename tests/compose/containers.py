"""A country and a hub of containers, as the compose files have them: up, killed, looked at, down."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from common.federation.mail import reader_of
from prag.issuer import ISSUER, LocalIssuer
from tests.compose.abroad import ABROAD, HOME, HUB_PORT, Abroad
from tests.compose.machine import BUILD, ROOT, compose, podman, run
from tests.system.processes import SERVICES, free_ports, poll

PROJECT = "prag-test"
FILES = ("docker-compose.yml", "docker-compose.exchange.yml", "docker-compose.hub.yml")
UID = 1000
PATIENCE = 400.0
"""Seconds until sixteen containers that start at once on two processors count as failed."""

PARTS = (
    *("postgres", "kafka", "hub"),
    *(f"{service}-{part}" for part in ("worker", "api") for service in SERVICES),
)
"""What runs on; the others do their work and end."""
ONCE = ("provision", "hub-provision", *(f"{service}-migrate" for service in SERVICES))


@dataclass(frozen=True, slots=True)
class Container:
    """One container as the engine has it at this moment."""

    pid: int
    is_running: bool
    exit_code: int
    restarts: int

    @property
    def proc(self) -> Path:
        """What the kernel says of its first process."""
        return Path(f"/proc/{self.pid}")


class Containers:
    """The country's containers. Their names are those of the services in docker-compose.yml."""

    services = SERVICES
    country = HOME

    def __init__(self, home: Path, images: dict[str, str]) -> None:
        self.home = home
        self.secrets, self.hub_secrets = home / "secrets", home / "hub-secrets"
        self.port_base = free_ports()
        ports = {f"{name.upper()}_PORT": str(self.port_base + i) for i, name in enumerate(SERVICES)}
        self._settings = {
            "PRAG_COUNTRY": HOME,
            "PRAG_OIDC_ISSUER": ISSUER,
            "PRAG_SECRETS": str(self.secrets),
            "PRAG_HUB": f"hub:{HUB_PORT}",
            "PRAG_HUB_USER": reader_of(HOME),
            "HUB_HOST": "hub",
            "HUB_LISTEN": "127.0.0.1",
            "HUB_COUNTRIES": f"{HOME},{ABROAD}",
            "HUB_SECRETS": str(self.hub_secrets),
            **ports,
            **images,
        }
        make = str(ROOT / "deploy" / "docker" / "secrets")
        run(make, str(self.secrets), PRAG_UID=str(UID))
        run(make, "--hub", "hub", str(self.hub_secrets), PRAG_UID=str(UID))
        self.abroad = Abroad.introduce(home, self.secrets, self.hub_secrets, uid=UID)
        keys = self.secrets / "jwks.json"
        shutil.copy(LocalIssuer(home).jwks_file, keys)
        os.chown(keys, UID, UID)

    def up(self) -> None:
        """Start everything at once; return when all is ready."""
        self._compose("up", "-d")
        poll(lambda: all(self._is_done(name) for name in ONCE), patience=PATIENCE)
        self.wait_ready()

    def down(self) -> None:
        self._compose("down", "--volumes", "--timeout", "20")

    def left(self) -> str:
        """Return what there is of the project in the engine: containers, volumes, networks."""
        mine = f"label=io.podman.compose.project={PROJECT}"
        kinds = (["ps", "-a"], ["volume", "ls"], ["network", "ls"])
        return "".join(podman(*kind, "-q", "--filter", mine) for kind in kinds)

    def of(self, name: str) -> Container:
        (found,) = json.loads(podman("container", "inspect", _container(name)))
        state = found["State"]
        return Container(
            state["Pid"], state["Running"], state["ExitCode"], found.get("RestartCount", 0)
        )

    def published(self, name: str) -> set[str]:
        """Return the addresses of this machine by which a container is reached."""
        (found,) = json.loads(podman("container", "inspect", _container(name)))
        ports: dict[str, list[dict[str, str]] | None] = found["NetworkSettings"]["Ports"] or {}
        return {each["HostIp"] for bound in ports.values() for each in bound or ()}

    def url(self, service: str, path: str) -> str:
        return f"http://127.0.0.1:{self.port_base + SERVICES.index(service)}{path}"

    def run_in(self, name: str, *command: str) -> str:
        """Run a command in a container; return its output, or raise with its errors."""
        return podman("exec", _container(name), *command)

    def kill(self, name: str) -> None:
        """Kill its first process from outside; return when the engine has started it again."""
        old = self.of(name)
        os.kill(old.pid, signal.SIGKILL)

        def is_back() -> bool:
            new = self.of(name)
            return new.is_running and new.pid not in {0, old.pid}

        poll(is_back, patience=PATIENCE)
        if name.endswith("-api"):
            poll(lambda: self._is_ready(name.removesuffix("-api")), patience=PATIENCE)

    def wait_ready(self) -> None:
        for service in SERVICES:
            poll(lambda service=service: self._is_ready(service), patience=PATIENCE)  # type: ignore[misc]

    def is_healthy(self, name: str) -> bool:
        """Ask by the image's own HEALTHCHECK."""
        try:
            podman("healthcheck", "run", _container(name))
        except AssertionError:
            return False
        return True

    def rows(self, service: str, query: str) -> list[tuple[Any, ...]]:
        """Ask a service's database as its superuser, inside the container."""
        told = f"SELECT row_to_json(found) FROM ({query}) AS found"  # noqa: S608  the test's own
        psql = ["psql", "-X", "-At", "-h", "/tmp", "-U", "postgres", "-d", f"prag_{service}"]  # noqa: S108
        output = self.run_in("postgres", *psql, "-c", told)
        return [
            # Pairs, for two columns may have one name.
            tuple(value for _, value in json.loads(line, object_pairs_hook=list))
            for line in output.splitlines()
        ]

    def keep_logs(self) -> Path:
        """Write what each container said where it outlives them."""
        folder = BUILD / "logs"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in (*PARTS, *ONCE):
            log = folder / f"{name}.log"
            run("sh", "-c", 'podman logs "$0" > "$1" 2>&1 || true', _container(name), str(log))
        return folder

    def passwords(self) -> Iterator[str]:
        for folder, pattern in (
            *((self.secrets, pattern) for pattern in ("prag_*", "kafka_*", "hub_password")),
            *((self.hub_secrets, pattern) for pattern in ("kafka_*", "users/*")),
        ):
            for file in folder.glob(pattern):
                yield file.read_text().strip().rpartition(":")[2]

    def _compose(self, *arguments: str) -> None:
        files = (*FILES, "tests/compose/override.yml")
        which = ["--in-pod", "false", "-p", PROJECT, *(f"--file={name}" for name in files)]
        run(*compose(), *which, *arguments, **self._settings)

    def _is_done(self, name: str) -> bool:
        found = self.of(name)
        return not found.is_running and found.exit_code == 0 and found.pid == 0

    def _is_ready(self, service: str) -> bool:
        try:
            return httpx.get(self.url(service, "/readyz"), timeout=5).is_success
        except httpx.TransportError:
            return False


def _container(name: str) -> str:
    return f"{PROJECT}_{name}_1"
