"""What nobody can apply, on a real broker: put aside by running workers, packed or plain (T15)."""

import asyncio
import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, Producer

from common.bus import Log, Position, Record, open_bus
from common.clock import new_id
from common.events import Event
from tests.conftest import PostgresUrls
from tests.kafka import Broker
from tests.system.parts import Parts, is_drained
from tests.system.processes import PATIENCE, poll
from tests.system.writing import Writer

pytestmark = [pytest.mark.system, pytest.mark.postgres, pytest.mark.kafka, pytest.mark.slow]

TOPIC = "intake.case"


@pytest.fixture
def country(tmp_path: Path, postgres_urls: PostgresUrls, cluster: Broker) -> Iterator[Parts]:
    parts = Parts(tmp_path, postgres_urls, cluster, services=("intake", "analytics"))
    yield parts
    parts.close()


def heard(country: Parts) -> set[str]:
    query = "SELECT subject FROM inbox_message WHERE topic = 'intake.case' AND outcome = 'applied'"
    return {str(subject) for (subject,) in country.rows("analytics", query)}


def dead(country: Parts) -> dict[str, int]:
    query = "SELECT reason, count(*) FROM dead_letter GROUP BY reason"
    return dict(country.rows("analytics", query))


def unheard_event(country: Parts) -> Event:
    """Return an event as intake tells it, of a case that nobody has heard of."""
    query = "SELECT payload FROM outbox_message WHERE type LIKE 'intake.case.opened.%' LIMIT 1"
    [(payload,)] = country.rows("intake", query)
    return Event.from_bytes(payload).model_copy(update={"id": new_id(), "subject": new_id()})


def mutants(whole: bytes) -> Iterator[bytes]:
    for place in range(len(whole)):
        yield whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :]
    yield from (whole[:length] for length in range(0, len(whole), 50))
    yield gzip.compress(bytes(16 * 1024 * 1024))
    yield b"[" * 200_000


def publish(cluster: Broker, values: Iterable[bytes]) -> None:
    """Write as somebody who may write to the topic; spread over its partitions."""

    async def write() -> None:
        bus = open_bus(cluster.url())
        await bus.publish([Record(TOPIC, f"{n}", value) for n, value in enumerate(values)])
        await bus.close()

    asyncio.run(write())


def test_a_worker_puts_all_of_it_aside_and_reads_on(country: Parts, cluster: Broker) -> None:
    """T15. Seeded: read an event without its checksum; let one that is none end the subscription."""
    country.start_all()
    with Writer(country) as writer:
        poll(lambda: len(writer.ids) > 10)
        poll(lambda: heard(country) >= {*writer.ids})
        event = unheard_event(country)
        poison = [*mutants(event.to_bytes())]
        publish(cluster, [*poison, bytes(300_000)])
        count = len(writer.ids)
        poll(lambda: len(writer.ids) > count + 20)
    poll(lambda: heard(country) >= {*writer.ids} and is_drained(country))

    assert set(writer.statuses) == {201}
    assert heard(country) == {*writer.ids}
    assert dead(country) == {"malformed": len(poison), "too_large": 1}
    # In the one process that has run from the start: no line of it tells of an error besides.
    assert country.is_running("analytics", "worker")
    log = country.log("analytics", "worker")
    assert log.count("consumer.dead_letter") == len(poison) + 1
    assert "Traceback" not in log
    assert "consumer.begins_anew" not in log


WAYS = ("gzip", "lz4", "snappy", "zstd")


def test_what_a_producer_packed_is_unpacked_and_measured_before_it_is_taken(
    cluster: Broker,
) -> None:
    # Fails when the packing is left to the producer: a reader that knows not this way of packing never
    # gets past the record, and one that does unpacks a thousand times what it was sent.
    plain = {way: way.encode() * 20_000 for way in WAYS}
    bombs = set()
    for way in WAYS:
        bombs.add(sent(cluster, way, bytes(32 * 1024 * 1024)))
        assert sent(cluster, way, plain[way]) is None

    assert bombs == {KafkaError.MSG_SIZE_TOO_LARGE}
    assert asyncio.run(read(cluster, len(WAYS))) == [plain[way] for way in WAYS]


async def read(cluster: Broker, count: int) -> list[bytes]:
    """Read so many records as a service does."""

    async def from_the_start(_topic: str, _partition: int, _log: Log) -> Position:
        return Position(0)

    bus = open_bus(cluster.url())
    reading = await bus.subscribe([TOPIC], group="reader", position_of=from_the_start)
    found: list[bytes] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            found += [each.value for each in await reading.poll()]
    await bus.close()
    return found


def sent(cluster: Broker, way: str, value: bytes) -> int | None:
    """Send a record packed in this way, as a client of somebody else's; return the broker's error."""
    told: list[int | None] = []

    def on_delivery(error: KafkaError | None, _message: Message) -> None:
        told.append(None if error is None else error.code())

    options: dict[str, Any] = {
        "bootstrap.servers": cluster.address,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "admin",
        "sasl.password": cluster.password_file("admin").read_text(),
        "compression.type": way,
        "message.max.bytes": 64 * 1024 * 1024,
        "log_level": 0,
    }
    producer = Producer(options)
    producer.produce(TOPIC, value, "key", on_delivery=on_delivery)
    assert producer.flush(30) == 0
    [code] = told
    return code
