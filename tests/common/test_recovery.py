"""What an operator does when the log lost what a service had not read."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from common import recovery
from common.bus import Bus, BusError, LocalBus
from common.db import Database
from common.inbox import LostPartitionError
from common.relay import Relay
from common.sealing import ServiceBox
from common.tables import AuditEntry, ConsumerPosition, OutboxMessage
from tests.common.consuming import Scene
from tests.common.things import TOPIC, counted, delivered, made, on_bus, steps_of, trails
from tests.conftest import fixed_id


async def published(database: Database, bus: Bus) -> None:
    relay = Relay(database, bus)
    await relay.lead()
    while await relay.publish_waiting():
        pass


async def consumed(scene: Scene, bus: Bus, applied: int) -> None:
    running = asyncio.create_task(scene.consumer.run(bus))
    async with asyncio.timeout(30):
        while counted(scene.service).get("applied", 0) < applied:
            await bus.logs([TOPIC])
    running.cancel()


async def test_the_archive_is_sent_again_byte_for_byte_and_its_marks_stay(
    database: Database, bus: Bus
) -> None:
    # Fails when events are made anew (another id has another effect), or rows are marked again.
    await made(database, fixed_id(1), fixed_id(2), moves=3)
    await published(database, bus)
    before = await database.fetch(select(OutboxMessage.feed_position, OutboxMessage.published_at))
    first = [event.to_bytes() for event in await on_bus(bus)]

    assert await recovery.replay(database, bus) == 8

    assert [event.to_bytes() for event in await on_bus(bus)] == first * 2
    after = await database.fetch(select(OutboxMessage.feed_position, OutboxMessage.published_at))
    assert after == before


async def test_a_reader_of_a_lost_log_goes_on_only_when_it_is_told_to(
    database: Database, bus: Bus, box: ServiceBox, tmp_path: Path
) -> None:
    # Fails when a position outside the log is moved by itself, or one inside it by the operator.
    await made(database, fixed_id(1), moves=3)
    await published(database, bus)
    scene = Scene(database, box)
    await consumed(scene, bus, 4)
    lost = LocalBus(tmp_path / "new.db")
    assert await recovery.resume(database, bus, [TOPIC], service="test") == []
    with pytest.raises(BusError):
        await lost.subscribe([TOPIC], group="test", position_of=scene.consumer.claim)

    assert await recovery.resume(database, lost, [TOPIC], service="test") == [(TOPIC, 0)]
    await made(database, fixed_id(2), moves=1)
    await published(database, lost)
    await recovery.replay(database, lost)
    await consumed(scene, lost, 6)

    assert set(await trails(database)) == {fixed_id(1), fixed_id(2)}
    [entry] = await database.fetch(select(AuditEntry).where(AuditEntry.action == "resume"))
    assert entry.object_ids == [f"{TOPIC}/0"]
    await lost.close()


def test_what_was_moved_is_told_in_a_line_for_each_topic() -> None:
    # Fails when an operator of four services reads a line for each of their 170 partitions.
    moved = [("b.two", 5), ("a.one", 1), ("b.two", 0)]

    assert recovery.told(moved) == ["a.one/1 is read on", "b.two/0,5 is read on"]
    assert recovery.told([]) == ["nothing had to be moved"]


async def test_a_reader_that_still_runs_while_its_position_is_moved_takes_nothing_more(
    database: Database, bus: Bus, box: ServiceBox, tmp_path: Path
) -> None:
    # Fails when the epoch stays: the reader would move the position that was just put right.
    await made(database, fixed_id(1), moves=3)
    await published(database, bus)
    scene = Scene(database, box)
    await consumed(scene, bus, 4)
    lost = LocalBus(tmp_path / "new.db")

    assert await recovery.resume(database, lost, [TOPIC], service="test") == [(TOPIC, 0)]

    [late, *_] = delivered(steps_of(fixed_id(2), 1))
    with pytest.raises(LostPartitionError):
        await scene.consumer.accept_all([late])
    [position] = await database.fetch(select(ConsumerPosition.next_offset))
    assert position.next_offset == 0
    await lost.close()
