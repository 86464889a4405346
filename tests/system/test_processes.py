"""A country as production runs it: eight processes, four PostgreSQL databases, the log or Kafka."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from tests.conftest import PostgresUrls
from tests.system.load import prepare, run_load
from tests.system.parts import Parts, is_drained
from tests.system.people import Site
from tests.system.processes import SERVICES, poll
from tests.system.serving import Served

pytestmark = [pytest.mark.system, pytest.mark.postgres]


@pytest.fixture(params=["local", pytest.param("kafka", marks=pytest.mark.kafka)])
def parts(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_urls: PostgresUrls
) -> Iterator[Parts]:
    broker = request.getfixturevalue("cluster") if request.param == "kafka" else None
    country = Parts(tmp_path, postgres_urls, broker)
    yield country
    country.close()


def test_eight_processes_on_postgresql_lose_and_double_nothing_when_each_is_killed(
    parts: Parts,
) -> None:
    # Fails when a worker keeps anything in memory that the others rely on, or an API answers first.
    for service in SERVICES:
        assert parts.migrate(service) == 0  # `serve` does so again, which changes nothing
    with Served(parts).wait_ready() as country:
        site = Site(parts.home, parts.port_base)
        site.is_up()
        prepare(site)

        with ThreadPoolExecutor(1) as people:
            load = people.submit(run_load, site, 7)
            for part in ("worker", "api"):
                for service in SERVICES:
                    country.kill(service, part)
                    site.is_up()
            load.result()
        poll(lambda: is_drained(parts))

        assert len(country.running()) == 8
        assert country.end() == 0
        assert country.running() == []

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
