"""What every bus keeps, written once; the implementations are the parameters of `bus_url`."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from common.bus import (
    Bus,
    BusError,
    Delivery,
    Log,
    Position,
    Record,
    Waiting,
    open_bus,
)
from common.clock import new_id
from common.consumer import next_position
from common.db import Database
from common.recovery import resume
from common.sealing import ServiceBox
from common.tables import ConsumerPosition
from tests.common.consuming import Scene
from tests.common.reading import at, by_key, polled, read, records, subscribed
from tests.common.things import new_unit

if TYPE_CHECKING:
    from tests.kafka import Broker

APPENDER = """
import asyncio, sys
from common.bus import Record, open_bus

async def main():
    url, topic, key = sys.argv[1:]
    bus = open_bus(url)
    for batch in range(10):
        records = [Record(topic, key, f"{key}:{batch * 5 + n}".encode()) for n in range(5)]
        await bus.publish(records)
    await bus.close()

asyncio.run(main())
"""


@pytest.fixture(params=["local", pytest.param("kafka", marks=pytest.mark.kafka)])
def bus_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return f"local://{tmp_path}/bus.db"
    broker: Broker = request.getfixturevalue("broker")
    return broker.url()


@pytest.fixture
async def opened(bus_url: str) -> AsyncIterator[Bus]:
    bus = open_bus(bus_url)
    yield bus
    await bus.close()


@pytest.fixture
def make(request: pytest.FixtureRequest, bus_url: str) -> Callable[[], str]:
    """Makes a topic of this test alone: a real cluster keeps those of the tests before."""

    def make() -> str:
        name = f"test.{new_id().hex}"
        if bus_url.startswith("kafka:"):
            from tests.kafka import make_topic  # noqa: PLC0415

            make_topic(request.getfixturevalue("broker"), name)
        return name

    return make


@pytest.fixture
def topic(make: Callable[[], str]) -> str:
    return make()


@pytest.fixture
def make_anew(
    request: pytest.FixtureRequest, bus_url: str, tmp_path: Path
) -> Callable[[str], None]:
    """Takes away the log that a topic has, with all that is in it, and makes an empty one."""

    def make_anew(name: str) -> None:
        if bus_url.startswith("local:"):
            (tmp_path / "bus.db").unlink()
            return
        from tests.kafka import delete_topic, make_topic  # noqa: PLC0415

        delete_topic(request.getfixturevalue("broker"), name)
        make_topic(request.getfixturevalue("broker"), name)

    return make_anew


async def test_records_of_one_key_come_back_in_their_order_and_byte_for_byte(
    opened: Bus, topic: str
) -> None:
    # Fails when a batch is turned, or a value is decoded on its way.
    bus = opened
    await bus.publish(records(topic, "a", range(3)) + records(topic, "b", range(3)))
    await bus.publish([*records(topic, "a", [3]), Record(topic, "c", bytes(range(256)))])

    found = await read(await subscribed(bus, topic), 8)

    assert by_key([d for d in found if b":" in d.value[:2]]) == {"a": [0, 1, 2, 3], "b": [0, 1, 2]}
    assert bytes(range(256)) in [delivery.value for delivery in found]
    for _, group in groupby(sorted(found, key=_place), key=lambda d: d.partition):
        offsets = [delivery.offset for delivery in group]
        assert offsets == [*range(offsets[0], offsets[0] + len(offsets))]


async def test_more_than_a_batch_holds_comes_whole_and_in_its_order(
    opened: Bus, topic: str
) -> None:
    # Fails when what does not fit into a batch any more is dropped, or overtakes what did.
    sizes = [1_000] * 400 + [600_000] + [1_000] * 300
    sent = [
        Record(topic, key, f"{key}:{number}:".encode() + bytes(size))
        for number, size in enumerate(sizes)
        for key in ("a", "b")
    ]
    await opened.publish(sent)

    found = await read(await subscribed(opened, topic), len(sent))

    told = [each.value.rstrip(b"\0").decode().split(":") for each in found]
    for key in ("a", "b"):
        assert [int(number) for k, number, _ in told if k == key] == [*range(len(sizes))]
    assert sum(len(each.value) for each in found) == sum(len(each.value) for each in sent)


def _place(delivery: Delivery) -> tuple[int, int]:
    return delivery.partition, delivery.offset


async def test_a_subscription_goes_on_from_the_consumers_position_and_repeats_nothing(
    opened: Bus, topic: str
) -> None:
    # Fails when the bus keeps a position of its own, or poll returns a record twice.
    await opened.publish(records(topic, "a", range(6)))
    first = await read(await subscribed(opened, topic), 6)

    second = await subscribed(opened, topic, positions={first[3].partition: first[3].offset})
    assert [d.value for d in await read(second, 3)] == [d.value for d in first[3:]]
    await opened.publish(records(topic, "a", [6]))
    assert [d.value for d in await read(second, 1)] == [b"a:6"]
    assert await second.poll(seconds=0) == []
    await second.close()


async def test_a_poll_takes_no_more_than_it_was_asked_for(
    opened: Bus, topic: str, make: Callable[[], str]
) -> None:
    # Fails when the limit is per topic, or what was cut off is lost.
    other = make()
    await opened.publish(records(topic, "a", range(7)) + records(other, "b", range(7)))
    subscription = await subscribed(opened, topic, other)

    found: list[Delivery] = []
    async with asyncio.timeout(30):
        while len(found) < 14:
            portion = await subscription.poll(limit=3, seconds=1)
            assert len(portion) <= 3
            found += portion
    assert by_key(found) == {"a": [*range(7)], "b": [*range(7)]}


async def test_a_poll_of_an_empty_topic_ends(opened: Bus, topic: str) -> None:
    # Fails when poll waits for a record for ever: a consumer could not be stopped.
    subscription = await subscribed(opened, topic)

    assert await asyncio.wait_for(subscription.poll(seconds=0.01), 30) == []


async def test_what_was_published_is_there_after_reopening(bus_url: str, topic: str) -> None:
    # Fails when publish returns before the records are durable.
    bus = open_bus(bus_url)
    await bus.publish(records(topic, "a", range(3)))
    await bus.close()

    again = open_bus(bus_url)
    await again.publish(records(topic, "a", [3]))

    assert by_key(await read(await subscribed(again, topic), 4)) == {"a": [0, 1, 2, 3]}
    await again.close()


async def test_publishers_at_once_keep_each_keys_order(opened: Bus, topic: str) -> None:
    # Fails when two batches draw the same offsets, or interleave within a key.
    async def publish(key: str) -> None:
        for start in range(0, 20, 4):
            await opened.publish(records(topic, key, range(start, start + 4)))

    keys = [f"k{number}" for number in range(8)]
    await asyncio.gather(*map(publish, keys))

    found = by_key(await read(await subscribed(opened, topic), 160))
    assert found == {key: [*range(20)] for key in keys}


async def test_two_processes_append_while_a_third_reads(
    opened: Bus, bus_url: str, topic: str
) -> None:
    # Fails when the end of the log is remembered instead of read inside the transaction.
    subscription = await subscribed(opened, topic)
    appenders = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", APPENDER, bus_url, topic, key)
        for key in ("x", "y")
    ]

    found = await read(subscription, 100)

    assert [await appender.wait() for appender in appenders] == [0, 0]
    assert by_key(found)["x"] == [*range(50)] == by_key(found)["y"]
    assert await subscription.poll(seconds=0) == []


async def test_a_position_beyond_the_log_is_refused(
    opened: Bus, topic: str, make: Callable[[], str]
) -> None:
    # T19. Fails when a log that was put back is read on from where it once was: events are skipped;
    # and when of the other topics nothing is told either.
    other = make()
    await opened.publish(records(other, "a", range(2)))
    await opened.publish(records(topic, "a", range(3)))
    last = (await read(await subscribed(opened, topic), 3))[-1]
    beyond = {last.partition: last.offset + 2}

    with suppress(BusError):  # said at once, or by a gauge while other partitions go on
        assert await polled(opened, topic, beyond) == []
    position_of, none = at(beyond), at({})
    told = await opened.waiting(
        [topic, other],
        position_of=lambda t, n, log: (position_of if t == topic else none)(t, n, log),
    )
    outside = [(each.count, each.first) for each in told if each.is_outside]
    inside = [(each.count, each.first) for each in told if each.count and not each.is_outside]
    assert (outside, inside) == ([(3, b"a:0")], [(2, b"a:0")])
    await opened.publish(records(topic, "a", range(3, 5)))
    assert await polled(opened, topic, {last.partition: last.offset + 1}) == [b"a:3", b"a:4"]


async def test_a_log_that_lost_everything_is_told_as_one_read_outside(
    opened: Bus, topic: str
) -> None:
    """T19. Seeded: look only whether the log begins later: less than nothing would wait there."""
    for position in (1, 5):
        told = await opened.waiting([topic], position_of=at({0: position}))
        outside = [(each.partition, each.count, each.first) for each in told if each.is_outside]
        assert outside == [(0, 0, None)]


async def test_a_log_that_was_made_anew_and_filled_past_a_position_is_not_read_on_from_there(
    opened: Bus,
    *,
    bus_url: str,
    topic: str,
    make_anew: Callable[[str], None],
    database: Database,
    box: ServiceBox,
) -> None:
    """T19. Seeded: compare the numbers alone; let a reader that was there before go on by the topic's name."""
    scene = Scene(database, box)
    at_once = await opened.subscribe([topic], group=scene.service, position_of=scene.consumer.claim)
    await opened.publish(records(topic, "a", range(3)))
    await scene.consumer.accept_all(await read(at_once, 3))
    make_anew(topic)
    anew = open_bus(bus_url)
    await anew.publish(records(topic, "a", range(10)))
    position_of = partial(next_position, database)

    with suppress(BusError):  # what it has heard before is no reason to hand on what it has not
        for _ in range(5):
            assert await at_once.poll(seconds=1) == []
    await at_once.close()
    with suppress(BusError):
        later = await anew.subscribe([topic], group=scene.service, position_of=scene.consumer.claim)
        assert await later.poll(seconds=3) == []
        await later.close()
    told = await anew.waiting([topic], position_of=position_of)
    # Of Kafka each partition that was claimed, for none is known to be read to its end.
    assert all(each.is_outside for each in told)
    assert sum(each.count for each in told) == 10
    moved = await resume(database, anew, [topic], service="test")
    assert moved == [(each.topic, each.partition) for each in told]

    again = await anew.subscribe([topic], group=scene.service, position_of=scene.consumer.claim)
    assert by_key(await read(again, 10)) == {"a": [*range(10)]}
    assert not any(each.is_outside for each in await anew.waiting([topic], position_of=position_of))
    await again.close()
    await anew.close()


async def test_a_position_of_an_earlier_release_is_of_the_log_it_is_claimed_in_if_it_lies_there(
    opened: Bus, topic: str, database: Database, box: ServiceBox
) -> None:
    # Fails when such a position is never known to be of a log that is lost later, or one outside
    # becomes one of the log that others fill past it.
    await opened.publish(records(topic, "a", range(3)))
    [there] = [log for log in (await opened.logs([topic])).values() if log.end]
    for partition, offset, known in ((0, 3, there.id), (1, 4, None)):
        unit = new_unit(database)
        unit.put(ConsumerPosition, topic=topic, partition=partition, next_offset=offset)
        await database.write(unit)

        found = await Scene(database, box).consumer.claim(topic, partition, there)

        assert found == Position(offset, known)
        assert await next_position(database, topic, partition, there) == found


def test_a_bus_of_another_kind_is_refused_at_the_start() -> None:
    # Fails when a misspelt URL opens something else.
    with pytest.raises(ValueError, match="PRAG_BUS_URL"):
        open_bus("lokal:///x")


async def test_what_waits_is_told_by_partition_without_being_read(
    bus_url: str, topic: str, make: Callable[[], str]
) -> None:
    # Fails when the end of the log is taken for a count, or when looking moves a reader on.
    bus = open_bus(bus_url)
    empty = make()
    await bus.publish(records(topic, "a", range(5)))
    positions: dict[int, int] = {}

    async def position_of(asked: str, partition: int, _: Log) -> Position:
        return Position(positions.get(partition, 0) if asked == topic else 0)

    async def waiting() -> list[Waiting]:
        found = await bus.waiting([topic, empty], position_of=position_of)
        assert {each.topic for each in found} == {topic, empty}
        assert all((each.count, each.first) == (0, None) for each in found if each.topic == empty)
        return [each for each in found if each.topic == topic and each.count]

    [before] = await waiting()
    [seen] = [d for d in await read(await subscribed(bus, topic), 5) if d.value == b"a:1"]
    positions[seen.partition] = seen.offset + 1
    [behind] = await waiting()
    positions[seen.partition] = seen.offset + 4

    assert (before.count, before.first) == (5, b"a:0")
    assert (behind.count, behind.first, behind.partition) == (3, b"a:2", seen.partition)
    assert await waiting() == []
    await bus.close()
