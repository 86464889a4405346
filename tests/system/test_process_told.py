"""Every process is asked how it goes, and one that does not answer is missed."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from common import clock
from common.http.health import worker_metrics
from common.settings import PORTS
from prag.serve import environment
from referral import worker
from tests.conftest import PostgresUrls
from tests.kit import open_service
from tests.system.alerting import ALERTS, RULES, is_true, read
from tests.system.parts import Parts
from tests.system.processes import free_ports, poll

NOW = datetime(2026, 11, 16, 10, tzinfo=UTC)
ONLY_OF_WORKERS = ("prag_relay_epoch", "prag_outbox_pending", "prag_audit_unsealed")


@pytest.mark.row("F90")
@pytest.mark.postgres
def test_a_worker_tells_this_machine_how_it_goes_and_is_missed_when_it_does_not(
    tmp_path: Path, postgres_urls: PostgresUrls
) -> None:
    """Seeded: no port for a worker, which alone knows these; a taken one passed over in silence."""
    country = Parts(tmp_path, postgres_urls, services=("intake",))
    port = free_ports()
    country.more = {"PRAG_METRICS_PORT": str(port)}

    def scraped() -> dict[str, dict[str, float]]:
        try:
            return read(httpx.get(f"http://127.0.0.1:{port}/metrics").text, "intake")
        except httpx.TransportError:
            return {"up": {"": 0}}

    try:
        assert country.migrate("intake") == 0
        country.start("intake", "worker")
        poll(lambda: set(ONLY_OF_WORKERS) <= set(scraped()))
        assert not is_true(RULES["TargetDown"], scraped(), "intake")
        process = country.process("intake", "worker")
        heard = [c.laddr for c in process.net_connections() if c.status == "LISTEN"]
        assert heard == [("127.0.0.1", port)]
        taken = f"intake: PRAG_METRICS_PORT: port {port} is taken by another program"
        assert country.refusal("intake", "worker").endswith(taken)
        country.end_one("intake", "worker")
    finally:
        country.close()

    assert is_true(RULES["TargetDown"], scraped(), "intake")


def test_the_shipped_scraper_asks_every_process_by_the_name_that_the_rules_expect() -> None:
    # Fails for a worker, or a whole country, of which Prometheus would never know that it is silent.
    shipped = yaml.safe_load(ALERTS.with_name("prometheus.yml").read_text())
    [scraped] = shipped["scrape_configs"]
    targets = {each for group in scraped["static_configs"] for each in group["targets"]}
    ini = ALERTS.parents[1] / "country.ini"
    workers = {environment(ini, service, "worker")["PRAG_METRICS_PORT"] for service in PORTS}

    assert shipped["rule_files"] == [ALERTS.name]
    assert targets == {f"127.0.0.1:{8001 + n}" for n in PORTS.values()} | {
        f"127.0.0.1:{port}" for port in workers
    }
    assert len(targets) == 2 * len(PORTS)
    assert [
        name for name, rule in RULES.items() if f'up{{job="{scraped["job_name"]}"}}' in rule
    ] == [
        "TargetDown",
        "NothingAsked",
    ]
    assert is_true(RULES["NothingAsked"], {}, "intake")


async def test_an_exchange_that_begins_anew_again_and_again_is_seen_until_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when reading the hub ends each time, for ever, and only a line in a log says so.
    clock.set_source(lambda: NOW)

    async def found() -> dict[str, dict[str, float]]:
        transport = httpx.ASGITransport(app=worker_metrics)
        async with httpx.AsyncClient(transport=transport, base_url="http://prag") as scraper:
            return read((await scraper.get("/metrics")).text, "referral")

    async def fires() -> bool:
        return is_true(RULES["ExchangeBeginsAnew"], await found(), "referral")

    async with open_service("referral", tmp_path) as kit:
        keys, hub = kit.runtime.settings.own_keys_file, {"hub_url": f"local://{tmp_path}/hub.db"}
        assert keys is not None
        keys.write_bytes(b"damaged" * 10)
        settings = kit.runtime.settings.model_copy(update=hub)
        runtime = replace(kit.runtime, settings=settings)
        once = asyncio.create_task(worker.exchange(runtime))  # its next try is half a minute away
        async with asyncio.timeout(60):
            while not any((await found()).get("prag_exchange_begun_anew", {}).values()):
                await asyncio.wait([once], timeout=0.02)
        at_first = await fires()
        await ended(once)
        monkeypatch.setattr(worker, "_AGAIN_SECONDS", 0.01)
        running = asyncio.create_task(worker.exchange(runtime))
        async with asyncio.timeout(60):
            while not await fires():
                assert not running.done()
                await asyncio.wait([running], timeout=0.02)
            keys.unlink()
            clock.set_source(lambda: NOW + timedelta(minutes=16))
            while await fires():
                await asyncio.wait([running], timeout=0.02)
        assert (at_first, running.done()) == (False, False)
        await ended(running)


async def ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
