"""The processes of a country as production runs it: per service an API and a worker."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil  # type: ignore[import-untyped]  # it ships no types
import psycopg

from common.federation.mail import reader_of
from common.federation.peers import OWN
from common.sealing import MasterKey
from common.settings import EX_CONFIG
from prag.files import write_private
from prag.issuer import AUDIENCE, ISSUER, LocalIssuer
from prag.peer import Place
from tests import postgres
from tests.conftest import PostgresUrls
from tests.system.processes import PATIENCE, SERVICES, free_ports, poll

if TYPE_CHECKING:
    from tests.kafka import Broker


class Parts:
    """The processes of a country, and their supervisor: whatever dies is started again."""

    def __init__(
        self,
        home: Path,
        urls: PostgresUrls,
        broker: "Broker | None" = None,
        *,
        country: str = "RS",
        services: Sequence[str] = SERVICES,
        hub: "Broker | None" = None,
    ) -> None:
        """On Kafka where there is a broker, else on the embedded log; `hub` is the regional one."""
        self.home = home
        self.country = country
        self.services = services
        self._broker = broker
        self._hub = hub
        self.port_base = free_ports()
        self.more: dict[str, str] = {}
        """Variables that go before those of `settings`, for a process that is to be started."""
        self.logins = postgres.set_up(urls, home)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._jwks = LocalIssuer(home).jwks_file
        write_private(home / "keys" / "master.key", os.urandom(32))
        master = MasterKey.from_file(home / "keys" / "master.key")
        self.place = Place(country, master, home / "keys", home / "peers")
        """Where its keys for other countries go, and their descriptors."""

    def migrate(self, service: str) -> int:
        return self._start(service, "migrate").wait(PATIENCE)

    def once(self, service: str, part: str, option: str) -> int:
        """Run a process that ends by itself; return its exit code."""
        return self._start(service, part, option).wait(PATIENCE)

    def start(self, service: str, part: str, *, again: bool = False, crash_at: str = "") -> None:
        """Start a process; `again`, beside one of its kind that runs; to die at `crash_at`."""
        self._running[_name(service, part, again)] = self._start(service, part, crash_at=crash_at)
        if part == "api":
            poll(partial(self._is_settled, service))

    def restart(self, service: str, part: str) -> None:
        """Kill a process and start it again."""
        self.kill(service, part)
        self.start(service, part)

    def kill(self, service: str, part: str, *, again: bool = False) -> None:
        died = self._running[_name(service, part, again)]
        died.kill()
        died.wait(PATIENCE)

    def end_one(self, service: str, part: str) -> None:
        process = self._running.pop(_name(service, part))
        process.terminate()
        assert process.wait(PATIENCE) == 0

    def wait(self, service: str, part: str) -> int:
        """Wait for a process to end by itself; return its exit code."""
        return self._running[_name(service, part)].wait(PATIENCE)

    def is_running(self, service: str, part: str) -> bool:
        return self._running[_name(service, part)].poll() is None

    def log(self, service: str, part: str) -> str:
        return (self.home / f"{service}-{part}.log").read_text()

    def url(self, service: str, path: str) -> str:
        return f"http://127.0.0.1:{self.port_base + SERVICES.index(service)}{path}"

    def refusal(self, service: str, part: str = "api") -> str:
        """Start a process that must end with 78 and one line; return what it says."""
        said = self.home / f"{service}-{part}.log"
        before = said.read_text() if said.exists() else ""
        process = self._start(service, part)
        try:
            assert process.wait(PATIENCE) == EX_CONFIG, said.read_text()
        finally:
            process.kill()  # one that was not refused would run on
        [line] = said.read_text().removeprefix(before).splitlines()
        return line

    def process(self, service: str, part: str) -> psutil.Process:
        return psutil.Process(self._running[_name(service, part)].pid)

    def start_all(self) -> None:
        """Migrate in this process, and start the others side by side: to load each takes seconds."""
        for service in self.services:
            postgres.migrate(service, self.logins[service])
        for part in ("api", "worker"):
            for service in self.services:
                self._running[_name(service, part)] = self._start(service, part)
        for service in self.services:
            poll(partial(self._is_settled, service))

    def end(self) -> list[int]:
        """Ask all of them to end; return their exit codes."""
        for process in self._running.values():
            process.terminate()
        return [process.wait(PATIENCE) for process in self._running.values()]

    def close(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()

    def rows(self, service: str, query: str) -> list[tuple[Any, ...]]:
        url = self.logins[service].root.replace("postgresql+asyncpg", "postgresql")
        with psycopg.connect(url) as connection:
            return connection.execute(query.encode()).fetchall()

    def _start(
        self, service: str, part: str, *options: str, crash_at: str = ""
    ) -> "subprocess.Popen[bytes]":
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PRAG_")}  # noqa: TID251  the parent's
        mine = self.settings(service, part) | {"PRAG_TEST_CRASH": crash_at}
        with (self.home / f"{service}-{part}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", f"{service}.{part}", *options],
                env=kept | mine,
                stdout=log,
                stderr=log,
            )

    def settings(self, service: str, part: str) -> dict[str, str]:
        """Return the PRAG_ variables of a process."""
        logins = self.logins[service]
        mine = {
            "PRAG_COUNTRY": self.country,
            "PRAG_DATABASE_URL": logins.owner if part == "migrate" else logins.application,
            "PRAG_DATABASE_APP_ROLE": logins.role,
            "PRAG_OIDC_ISSUER": ISSUER,
            "PRAG_OIDC_AUDIENCE": AUDIENCE,
            "PRAG_OIDC_JWKS_FILE": str(self._jwks),
            "PRAG_MASTER_KEY_FILE": f"{self.home}/keys/master.key",
            "PRAG_PORT_BASE": str(self.port_base),
        }
        if (self.place.peers / OWN).exists():
            mine["PRAG_PEERS_FOLDER"] = str(self.place.peers)
            mine["PRAG_OWN_KEYS_FILE"] = str(self.place.own_keys(service))
        if self._broker is None:
            mine["PRAG_BUS_URL"] = f"local://{self.home}/bus.db"
        else:
            mine["PRAG_KAFKA_BOOTSTRAP"] = self._broker.address
            mine["PRAG_KAFKA_USER"] = service
            mine["PRAG_KAFKA_PASSWORD_FILE"] = str(self._broker.password_file(service))
        if self._hub is not None and service == "referral":
            user = reader_of(self.country)
            mine["PRAG_HUB_BOOTSTRAP"] = self._hub.address
            mine["PRAG_HUB_USER"] = user
            mine["PRAG_HUB_PASSWORD_FILE"] = str(self._hub.password_file(user))
        return mine | self.more

    def is_ready(self, service: str) -> bool:
        try:
            return httpx.get(self.url(service, "/readyz")).is_success
        except httpx.TransportError:
            return False

    def _is_settled(self, service: str) -> bool:
        return self.is_ready(service) or not self.is_running(service, "api")


def _name(service: str, part: str, again: bool = False) -> str:  # noqa: FBT001, FBT002
    return f"{service}.{part}{'.again' if again else ''}"


def is_drained(parts: Parts) -> bool:
    """Tell whether every event went out and every inbox stands where the others stand."""
    ends = Counter[str]()
    for service in parts.services:
        told = "SELECT topic, count(*), count(published_at) FROM outbox_message GROUP BY topic"
        for topic, count, published in parts.rows(service, told):
            if count != published:
                return False
            ends[topic] = count
    query = "SELECT topic, count(*) FROM inbox_message WHERE outcome = 'applied' GROUP BY topic"
    taken = {service: dict(parts.rows(service, query)) for service in parts.services}
    return all(
        count == ends[topic]
        for topics in taken.values()
        for topic, count in topics.items()
        # A head may be sealed at any time; letters from abroad are in no outbox here.
        if not topic.endswith(".audit") and not topic.startswith("region.")
    )
