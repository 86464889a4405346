"""What the embedded log alone promises; what every bus does is in test_bus.py."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from common.bus import Bus, BusError, LocalBus, Record
from common.bus import local as local_module
from tests.common.reading import by_key, read, records, subscribed

TOPIC = "test.local"


async def test_a_reader_is_woken_by_the_append_itself(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when a waiting reader only looks again after its pause, here a minute.
    monkeypatch.setattr(local_module, "_POLL_SECONDS", 60.0)
    subscription = await subscribed(bus, TOPIC)

    for number in range(10):
        waiting = asyncio.create_task(subscription.poll(seconds=60))
        # Answered after the poll's own look at the log, which found nothing: now it waits.
        await (await subscribed(bus, TOPIC, positions={0: number})).poll(seconds=0)
        await bus.publish(records(TOPIC, "a", [number]))
        found = await asyncio.wait_for(waiting, 30)
        assert [delivery.value for delivery in found] == [f"a:{number}".encode()]


async def test_a_batch_is_in_the_log_whole_or_not_at_all(tmp_path: Path) -> None:
    # Fails when records are appended one transaction each, or a failed one is left open.
    bus = LocalBus(tmp_path / "bus.db")
    await bus.publish(records(TOPIC, "a", [0]))
    await bus._run(lambda log: log.execute("PRAGMA max_page_count=4"))

    with pytest.raises(BusError):
        await bus.publish([*records(TOPIC, "a", [1]), Record(TOPIC, "a", bytes(100_000))])

    await bus._run(lambda log: log.execute("PRAGMA max_page_count=100000"))
    assert by_key(await read(await subscribed(bus, TOPIC), 1)) == {"a": [0]}
    await bus.publish(records(TOPIC, "a", [1]))
    assert by_key(await read(await subscribed(bus, TOPIC), 2)) == {"a": [0, 1]}
    await bus.close()


async def test_a_log_that_cannot_be_opened_is_an_outage_and_then_is_opened(tmp_path: Path) -> None:
    # Fails when the error of opening is not a BusError: it would end the worker.
    bus = LocalBus(tmp_path / "later" / "bus.db")
    with pytest.raises(BusError):
        await bus.publish(records(TOPIC, "a", [0]))
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "bus.db").write_bytes(b"no database" * 1000)
    with pytest.raises(BusError):
        await bus.publish(records(TOPIC, "a", [0]))
    (tmp_path / "later" / "bus.db").unlink()

    await bus.publish(records(TOPIC, "a", [0]))

    assert by_key(await read(await subscribed(bus, TOPIC), 1)) == {"a": [0]}
    await bus.close()


async def test_a_log_another_process_holds_is_an_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when "database is locked" is not a BusError.
    bus = LocalBus(tmp_path / "bus.db")
    await bus.publish(records(TOPIC, "a", [0]))
    await bus._run(lambda log: log.execute("PRAGMA busy_timeout=1"))
    other = sqlite3.connect(tmp_path / "bus.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(BusError):
        await bus.publish(records(TOPIC, "a", [1]))

    other.execute("ROLLBACK")
    await bus.publish(records(TOPIC, "a", [1]))
    assert by_key(await read(await subscribed(bus, TOPIC), 2)) == {"a": [0, 1]}
    other.close()
    await bus.close()
