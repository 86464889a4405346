"""What a scraper hears while the broker hangs, is dead, or has lost what was unread."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from common.clock import monotonic
from tests.conftest import PostgresUrls
from tests.kafka import Broker
from tests.system.parts import Parts
from tests.system.processes import poll
from tests.system.writing import Writer

pytestmark = [pytest.mark.system, pytest.mark.postgres, pytest.mark.kafka]

SCRAPER_SECONDS = 4.0
"""Of the ten after which Prometheus gives up by itself; on a machine that does other work besides."""


@pytest.fixture
def country(tmp_path: Path, postgres_urls: PostgresUrls, cluster: Broker) -> Iterator[Parts]:
    """An API with nobody behind it: what it tells waits in its outbox."""
    parts = Parts(tmp_path, postgres_urls, cluster, services=("intake",))
    assert parts.migrate("intake") == 0
    parts.start("intake", "api")
    yield parts
    parts.close()


def told(country: Parts) -> dict[str, float]:
    """Scrape as Prometheus would, and return what was told within a part of its time."""
    began = monotonic()
    text = httpx.get(country.url("intake", "/metrics"), timeout=10).text
    assert monotonic() - began < SCRAPER_SECONDS
    found = re.findall(r'^prag_(\w+)\{.*?(?:of="(\w+)".*)?\} ([0-9.e+-]+)$', text, re.MULTILINE)
    return {f"{name}.{of}" if of else name: float(value) for name, of, value in found}


def test_what_waits_is_told_while_the_broker_hangs_and_while_it_is_dead(
    country: Parts, cluster: Broker
) -> None:
    """T3, T4. Seeded: no deadline around the bus; ask it before the database, or in one try with it."""
    with Writer(country) as writer:
        poll(lambda: len(writer.ids) > 10)
    # The first to ask finds no connection to the broker, and that is made in time or not.
    poll(lambda: told(country)["backlog_readable.bus"] == 1)
    well = told(country)
    cluster.process.send_signal(signal.SIGSTOP)
    try:
        hanging = told(country)
        still = told(country)
    finally:
        cluster.process.send_signal(signal.SIGCONT)
    poll(lambda: told(country)["backlog_readable.bus"] == 1)
    cluster.kill()
    dead = told(country)

    assert (well["backlog_readable.database"], well["backlog_readable.bus"]) == (1, 1)
    assert well["archive_fails"] == 0
    ages = [each["outbox_lag_seconds"] for each in (well, hanging, still, dead)]
    assert 0 < ages[0] < ages[1] < ages[2] < ages[3]
    for each in (hanging, still, dead):
        assert (each["backlog_readable.database"], each["backlog_readable.bus"]) == (1, 0)
