"""On PostgreSQL and Kafka: the relay emptying a full outbox, beside a bare aiokafka producer.

Ours is `common.relay.Relay` as the worker runs it, with the application's role and intake's user:
each batch of 500 is read, sent, acknowledged by the broker, and marked in one transaction that is
fenced by the lease. The reference sends the same keys and bytes from memory in gathers of 500 with
the same settings (idempotent, acks=all, nothing lingers) and neither reads nor marks anything.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import uvloop
from aiokafka import AIOKafkaProducer

from bench.creating import Caller
from bench.load import LoadProcess
from bench.postgres import Intake
from bench.table import Row, Series
from common.bus import Record
from common.bus.kafka import KafkaBus
from common.bus.kafka_login import KafkaLogin
from common.db.caller import CALLER, SERVICE
from common.relay import BATCH, Relay
from tests.conftest import PostgresUrls
from tests.kafka import Broker

EVENTS = 20_000
"""A round; as many real events of opened cases, each of a case of its own."""
_KEPT = 1000

_KEEP = f"CREATE TABLE bench_kept AS SELECT * FROM outbox_message ORDER BY id LIMIT {_KEPT}"  # noqa: S608  a number
_FILL = f"""
INSERT INTO outbox_message (
  event_id, subject, seq, type, topic, organisation_id, payload, created_at)
SELECT gen_random_uuid(), gen_random_uuid(), 1, type, topic, organisation_id, payload, created_at
FROM generate_series(1, {EVENTS}) AS n
JOIN (SELECT row_number() OVER () AS number, * FROM bench_kept) AS kept
  ON kept.number = 1 + n % (SELECT count(*) FROM bench_kept)
"""  # noqa: S608  numbers
_WAITING = (
    "SELECT topic, subject, payload FROM outbox_message WHERE published_at IS NULL ORDER BY id"
)


def measure(
    load: LoadProcess, folder: Path, urls: PostgresUrls, broker: Broker, rounds: int
) -> list[Row]:
    """Let the two take turns on the same events, `EVENTS` of them a round."""
    ours = Intake(urls, folder, broker)
    with ours.api() as server:
        Caller(load, folder).create(server)
    ours.run(_KEEP)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(ours, broker, rounds))


async def _measure(ours: Intake, broker: Broker, rounds: int) -> list[Row]:
    relayed = Series("relay from PostgreSQL to Kafka, batches of 500", "/s")
    sent = Series("bare aiokafka, gathers of 500 of the same bytes", "/s")
    CALLER.set(lambda: SERVICE)
    login = KafkaLogin(broker.address, "intake", broker.password_file("intake"))
    database, bus = ours.open_database(), KafkaBus(login)
    producer = AIOKafkaProducer(enable_idempotence=True, linger_ms=0, **login.options())
    await producer.start()
    try:
        relay = Relay(database, bus, service="intake")
        await relay.lead()
        await relay.publish_waiting()
        for number in range(rounds):
            _fill(ours)
            records = [Record(topic, str(key), value) for topic, key, value in ours.rows(_WAITING)]
            if number % 2:
                sent.values.append(await _send(producer, records))
                relayed.values.append(await _relay(relay))
            else:
                relayed.values.append(await _relay(relay))
                sent.values.append(await _send(producer, records))
            print(
                f"round {number + 1}  relay {relayed.values[-1]:.0f} events/s, "
                f"bare producer {sent.values[-1]:.0f}/s",
                flush=True,
            )
    finally:
        await producer.stop()
        await bus.close()
        await database.close()
    return [relayed.against(sent, ratio_at_least=0.7, aim=", aim 0.8")]


def _fill(ours: Intake) -> None:
    ours.run("TRUNCATE outbox_message", _FILL, "ANALYZE outbox_message")


async def _relay(relay: Relay) -> float:
    total, began = 0, perf_counter()
    while published := await relay.publish_waiting():
        total += published
    if total != EVENTS:
        raise RuntimeError(f"{total} of {EVENTS} events were relayed")
    return total / (perf_counter() - began)


async def _send(producer: AIOKafkaProducer, records: Sequence[Record]) -> float:
    began = perf_counter()
    for first in range(0, len(records), BATCH):
        sends = [
            await producer.send(each.topic, each.value, key=each.key.encode())
            for each in records[first : first + BATCH]
        ]
        await asyncio.gather(*sends)
    return len(records) / (perf_counter() - began)
