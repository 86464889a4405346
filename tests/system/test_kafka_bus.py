"""What KafkaBus alone promises, on a real broker; what every bus does is in tests/common/test_bus.py."""

import asyncio
import signal
import struct
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator

import pytest
from aiokafka import TopicPartition

from common.bus import BusError, Delivery, Log, Position, Record
from common.bus import kafka as kafka_module
from common.bus.kafka import KafkaBus
from common.bus.kafka_login import KafkaLogin
from common.clock import new_id
from prag.kafka import ADMIN
from tests.kafka import Broker, delete_topic, fill, make_topic

pytestmark = [pytest.mark.system, pytest.mark.kafka]

TOPIC = "test.given-up"
KEYS = [f"k{number}" for number in range(20)]
_PRODUCER_AT = 43
"""Where a batch of Kafka's log, in its second format, holds the number of its producer."""


@pytest.fixture
def topic(broker: Broker) -> str:
    name = f"test.{new_id().hex}"
    make_topic(broker, name)
    return name


@pytest.fixture
async def bus(broker: Broker) -> AsyncIterator[KafkaBus]:
    made = KafkaBus(KafkaLogin(broker.address, ADMIN, broker.password_file(ADMIN)))
    yield made
    await made.close()


async def the_beginning(_: str, __: int, ___: Log) -> Position:
    return Position(0)


async def test_the_broker_can_tell_what_a_producer_sends_twice(
    bus: KafkaBus, broker: Broker, topic: str
) -> None:
    # Fails without idempotence: what a producer tries again by itself may overtake what it sent since.
    await bus.publish([Record(topic, "a", b"1")])

    logs = (broker.data / "log").glob(f"{topic}-*/*.log")
    [batch] = [content for log in logs if (content := log.read_bytes())]
    [producer] = struct.unpack_from(">q", batch, _PRODUCER_AT)
    assert producer >= 0  # -1 is nobody


async def test_a_partition_outside_its_log_rests_and_the_others_go_on(
    bus: KafkaBus, topic: str
) -> None:
    """T19. Seeded: `pause` left out: the fetch fails, and with it every partition's."""
    await bus.publish([Record(topic, key, key.encode()) for key in KEYS])
    before = await read(bus, topic, len(KEYS))
    lost = before[0].partition
    others = sorted(each.value for each in before if each.partition != lost)
    assert others

    async def position_of(_: str, partition: int, __: Log) -> Position:
        return Position(1000 if partition == lost else 0)

    group = f"test-{new_id()}"
    subscription = await bus.subscribe([topic], group=group, position_of=position_of)
    found: list[bytes] = []
    async with asyncio.timeout(30):
        while len(found) < len(others):
            found += [each.value for each in await subscription.poll()]
        await bus.publish([Record(topic, key, key.encode()) for key in KEYS])
        while len(found) < 2 * len(others):
            found += [each.value for each in await subscription.poll()]
    await subscription.close()

    assert sorted(found) == sorted(others * 2)
    told = await bus.waiting([topic], position_of=position_of)
    assert [each.partition for each in told if each.is_outside] == [lost]
    assert sum(each.count for each in told) == 2 * len(KEYS)


async def test_a_reader_hands_on_nothing_of_a_log_that_was_made_anew_behind_its_back(
    bus: KafkaBus, broker: Broker, topic: str
) -> None:
    """T19. Seeded: hand on what came without asking of which log: the client goes by the topic's name."""
    fill(broker, topic, [b"1", b"2", b"3"])
    reading = await bus.subscribe([topic], group=f"test-{new_id()}", position_of=the_beginning)
    found: list[Delivery] = []
    async with asyncio.timeout(30):
        while len(found) < 3:
            found += await reading.poll()

    # The client hears of nothing of this before it is done, and its place is in the new log too.
    delete_topic(broker, topic)
    make_topic(broker, topic)
    fill(broker, topic, [b"a", b"b", b"c", b"d", b"e"])

    async def hear_nothing() -> None:
        while True:
            assert await reading.poll() == []

    with pytest.raises(BusError):
        await asyncio.wait_for(hear_nothing(), 30)
    await reading.close()


_LONG_MS = 20_000
"""Of a session that ends later than a request does."""
_MEMBER = """
import asyncio, sys
from pathlib import Path
from common.bus import Position, kafka
from common.bus.kafka_login import KafkaLogin

async def the_beginning(*_):
    return Position(0)

async def join(address, user, file, topic, group, session):
    kafka.SESSION_MS = int(session)
    bus = kafka.KafkaBus(KafkaLogin(address, user, Path(file)))
    member = await bus.subscribe([topic], group=group, position_of=the_beginning)
    while True:
        if await member.poll():
            print("joined", flush=True)

asyncio.run(join(*sys.argv[1:]))
"""


@pytest.mark.parametrize("session", [kafka_module.SESSION_MS, _LONG_MS])
async def test_who_joins_is_patient_until_a_member_that_died_is_given_up(
    session: int,
    bus: KafkaBus,
    broker: Broker,
    topic: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Fails when it joins anew meanwhile: whoever goes while it joins is a dead member too, and groups
    # of such ones came to no rest for minutes. One of another release may be given up later.
    group = f"test-{new_id()}"
    await bus.publish([Record(topic, "a", b"1")])
    login = (broker.address, ADMIN, str(broker.password_file(ADMIN)))
    member = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _MEMBER, *login, topic, group, str(session)), stdout=PIPE
    )
    assert member.stdout is not None
    async with asyncio.timeout(60):
        assert await member.stdout.readline() == b"joined\n"
    member.kill()
    await member.wait()

    subscription = await bus.subscribe([topic], group=group, position_of=the_beginning)
    found: list[Delivery] = []
    async with asyncio.timeout(60):
        while not found:
            found += await subscription.poll()
    await subscription.close()

    assert [each.value for each in found] == [b"1"]
    assert ("RequestTimedOutError" in caplog.text) == (session == _LONG_MS)


async def test_a_reader_is_closed_although_its_broker_is_away(
    bus: KafkaBus, broker: Broker, topic: str
) -> None:
    # Fails when aiokafka's CancelledError gets out: it ended the consumer's task, and nobody was told.
    await bus.publish([Record(topic, key, key.encode()) for key in KEYS])
    before = asyncio.all_tasks()
    subscription = await bus.subscribe([topic], group=f"test-{new_id()}", position_of=the_beginning)
    async with asyncio.timeout(30):
        while not await subscription.poll():
            pass
    broker.kill()
    try:
        for _ in range(5):  # seconds in which its client tries again and again
            await subscription.poll()
        await subscription.close()
    finally:
        await asyncio.to_thread(broker.start)

    async with asyncio.timeout(30):  # and nothing of it lives on
        while left := asyncio.all_tasks() - before:
            await asyncio.wait(left)


async def read(bus: KafkaBus, topic: str, count: int) -> list[Delivery]:
    subscription = await bus.subscribe([topic], group=f"test-{new_id()}", position_of=the_beginning)
    found: list[Delivery] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += await subscription.poll()
    await subscription.close()
    return found


async def test_a_partition_is_given_up_only_when_what_was_handed_out_is_taken(
    bus: KafkaBus, topic: str
) -> None:
    # Fails when the next reader begins while this one still writes: each event would be tried twice.
    await bus.publish([Record(topic, "a", b"1")])
    subscription = await bus.subscribe([topic], group=f"test-{new_id()}", position_of=the_beginning)
    found: list[Delivery] = []
    async with asyncio.timeout(30):
        while not found:
            found += await subscription.poll()

    held = {TopicPartition(topic, found[0].partition)}
    revoking = asyncio.create_task(subscription.listener.on_partitions_revoked(held))
    await bus.logs([topic])  # a question to the broker and its answer: it could have ended
    assert not revoking.done()
    await subscription.poll(seconds=0)

    await asyncio.wait_for(revoking, 30)
    await subscription.close()


async def test_a_broker_that_says_nothing_is_given_up_after_the_deadline(
    cluster: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T4. Seeded: no deadline around the send: the client's own, where it has any, are not counted on."""
    make_topic(cluster, TOPIC)
    bus = KafkaBus(KafkaLogin(cluster.address, ADMIN, cluster.password_file(ADMIN)))
    await bus.publish([Record(TOPIC, "a", b"1")])
    monkeypatch.setattr(kafka_module, "SEND_SECONDS", 0.5)
    cluster.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(BusError) as given_up:
            async with asyncio.timeout(30):
                await bus.publish([Record(TOPIC, "a", b"2")])
    finally:
        cluster.process.send_signal(signal.SIGCONT)

    # By ours: what the client raises by itself is a KafkaError.
    assert isinstance(given_up.value.__cause__, TimeoutError)
    await bus.close()
