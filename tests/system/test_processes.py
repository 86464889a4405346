"""A country as production runs it: per service an API and a worker, each on its own PostgreSQL database."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from prag.files import write_private
from prag.issuer import AUDIENCE, ISSUER, LocalIssuer
from tests.conftest import PostgresUrls
from tests.system.load import prepare, run_load
from tests.system.people import Site
from tests.system.processes import PATIENCE, SERVICES, free_ports, poll

pytestmark = [pytest.mark.system, pytest.mark.postgres]


class Parts:
    """The processes of a country, and their supervisor: whatever dies is started again."""

    def __init__(self, home: Path, urls: PostgresUrls) -> None:
        self.home = home
        self.port_base = free_ports()
        self._urls = {service: urls.new() for service in SERVICES}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._jwks = LocalIssuer(home).jwks_file
        write_private(home / "keys" / "master.key", os.urandom(32))

    def migrate(self, service: str) -> int:
        return self._start(service, "migrate").wait(PATIENCE)

    def start(self, service: str, part: str) -> None:
        self._running[f"{service}.{part}"] = self._start(service, part)
        if part == "api":
            poll(lambda: self._is_ready(service))

    def kill(self, service: str, part: str) -> None:
        died = self._running[f"{service}.{part}"]
        died.kill()
        died.wait(PATIENCE)
        self.start(service, part)

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
        url = self._urls[service].replace("postgresql+asyncpg", "postgresql")
        with psycopg.connect(url) as connection:
            return connection.execute(query.encode()).fetchall()

    def _start(self, service: str, part: str) -> "subprocess.Popen[bytes]":
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PRAG_")}  # noqa: TID251  the parent's
        mine = {
            "PRAG_COUNTRY": "RS",
            "PRAG_DATABASE_URL": self._urls[service],
            "PRAG_BUS_URL": f"local://{self.home}/bus.db",
            "PRAG_OIDC_ISSUER": ISSUER,
            "PRAG_OIDC_AUDIENCE": AUDIENCE,
            "PRAG_OIDC_JWKS_FILE": str(self._jwks),
            "PRAG_MASTER_KEY_FILE": f"{self.home}/keys/master.key",
            "PRAG_PORT_BASE": str(self.port_base),
        }
        with (self.home / f"{service}-{part}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", f"{service}.{part}"],
                env=kept | mine,
                stdout=log,
                stderr=log,
            )

    def _is_ready(self, service: str) -> bool:
        port = self.port_base + SERVICES.index(service)
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz").is_success
        except httpx.TransportError:
            return False


@pytest.fixture
def parts(tmp_path: Path, postgres_urls: PostgresUrls) -> Iterator[Parts]:
    country = Parts(tmp_path, postgres_urls)
    yield country
    country.close()


def is_drained(parts: Parts) -> bool:
    """Tell whether every event went out and every inbox stands where the others stand."""
    ends = Counter[str]()
    for service in SERVICES:
        told = "SELECT topic, count(*), count(published_at) FROM outbox_message GROUP BY topic"
        for topic, count, published in parts.rows(service, told):
            if count != published:
                return False
            ends[topic] = count
    query = "SELECT topic, count(*) FROM inbox_message WHERE outcome = 'applied' GROUP BY topic"
    taken = {service: dict(parts.rows(service, query)) for service in SERVICES}
    return all(
        count == ends[topic]
        for topics in taken.values()
        for topic, count in topics.items()
        if not topic.endswith(".audit")  # a head may be sealed at any time
    )


def test_eight_processes_on_postgresql_lose_and_double_nothing_when_each_is_killed(
    parts: Parts,
) -> None:
    # Fails when a worker keeps anything in memory that the others rely on, or an API answers first.
    for service in SERVICES:
        assert [parts.migrate(service), parts.migrate(service)] == [0, 0]
        for part in ("api", "worker"):
            parts.start(service, part)
    site = Site(parts.home, parts.port_base)
    site.is_up()
    prepare(site)

    with ThreadPoolExecutor(1) as people:
        load = people.submit(run_load, site, 7)
        for part in ("worker", "api"):
            for service in SERVICES:
                parts.kill(service, part)
                site.is_up()
        load.result()
    poll(lambda: is_drained(parts))

    site.close()
    told = Counter(each for done in site.done for each in done.told)
    stored: Counter[tuple[UUID, str]] = Counter()
    for service in SERVICES:
        for subject, type_ in parts.rows(service, "SELECT subject, type FROM outbox_message"):
            if not type_.endswith("audit.head_sealed.v1"):
                stored[subject, type_.removeprefix(f"{service}.").removesuffix(".v1")] += 1
    assert stored == told
    [(plans,)] = parts.rows(
        "reintegration", "SELECT count(*) FROM plan WHERE entered_on IS NOT NULL"
    )
    assert plans > 0
    facts = "SELECT count(DISTINCT plan_id) FROM plan_fact WHERE entered_on IS NOT NULL"
    assert parts.rows("analytics", facts) == [(plans,)]
    assert parts.end() == [0] * 8
