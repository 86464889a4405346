"""On PostgreSQL and Kafka, idle: how long after its commit an event is acknowledged by the broker.

A case is created every 50 ms over HTTP, with intake's worker beside the API as production runs both.
From: the commit of the request's transaction, as PostgreSQL stamped it (`pg_xact_commit_timestamp` of
the case's row; stamped before the flush to disk, which is thereby in the figure). To: `published_at`
of the outbox row, which the relay draws when the broker's acknowledgement is there; the mark that
follows is not in the figure. Both clocks are this machine's.

Beside it, at the same pace and in turns: one record sent by a bare aiokafka producer and
acknowledged, without a database.
"""

import asyncio
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter, sleep

import uvloop
from aiokafka import AIOKafkaProducer

from bench.creating import BODY, headers
from bench.postgres import Intake
from bench.processes import Server
from bench.table import Row, Series
from common.bus.kafka_login import KafkaLogin
from common.clock import new_id
from tests.conftest import PostgresUrls
from tests.kafka import Broker

_PAUSE_SECONDS = 0.05
_CASES = 60
"""A round; the percentiles are those of all rounds together."""
_PATIENCE_SECONDS = 30

_WAITING = "SELECT count(*) FROM outbox_message WHERE published_at IS NULL"
_DELAYS = """
SELECT extract(epoch FROM o.published_at - pg_xact_commit_timestamp(c.xmin))::float8 * 1000
FROM outbox_message AS o JOIN case_file AS c ON c.id = o.subject
ORDER BY o.id OFFSET 1
"""  # the first one waited for the worker to come up
_TOPIC = "intake.case"


def measure(folder: Path, urls: PostgresUrls, broker: Broker, rounds: int) -> list[Row]:
    """Let both take turns of three seconds."""
    ours = Intake(urls, folder, broker)
    sent: list[float] = []
    with ours.api() as server, ours.worker():
        common = headers(folder)
        _create(server, common, 1)
        _await_published(ours)
        for number in range(rounds):
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                sent += runner.run(_send(broker))
            _create(server, common, _CASES)
            _await_published(ours)
            print(f"round {number + 1}  {_CASES} cases", flush=True)
    delays = [delay for (delay,) in ours.rows(_DELAYS)]
    if len(delays) != rounds * _CASES:
        raise RuntimeError(f"{len(delays)} events of {rounds * _CASES} cases")
    return [
        _row(delays, sent, "p50", 50, at_most=5.0),
        _row(delays, sent, "p99", 99, at_most=50.0),
    ]


def _row(delays: list[float], sent: list[float], name: str, per_cent: int, at_most: float) -> Row:
    ours = Series(f"commit to acknowledged by Kafka, a case every 50 ms, {name}", "ms")
    bare = Series(f"bare aiokafka: one record sent and acknowledged, {name}", "ms")
    for series, values in ((ours, delays), (bare, sent)):
        series.values.append(sorted(values)[len(values) * per_cent // 100])
    print(f"{ours.name} {ours.values[0]:.1f} ms, {bare.name} {bare.values[0]:.1f} ms", flush=True)
    return ours.against(bare, value_at_most=at_most)


def _create(server: Server, common: dict[str, str], count: int) -> None:
    connection = HTTPConnection("127.0.0.1", server.port)
    for _ in range(count):
        began = perf_counter()
        body = BODY.replace("{id}", str(new_id())).encode()
        connection.request("POST", "/v1/cases", body, common | {"Idempotency-Key": str(new_id())})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:  # noqa: PLR2004
            raise RuntimeError(f"a case was answered with {answer.status}")
        sleep(max(0.0, _PAUSE_SECONDS - (perf_counter() - began)))
    connection.close()


def _await_published(ours: Intake) -> None:
    until = perf_counter() + _PATIENCE_SECONDS
    while ours.rows(_WAITING)[0][0]:
        if perf_counter() > until:
            raise TimeoutError("the worker relays nothing")
        sleep(0.1)


async def _send(broker: Broker) -> list[float]:
    """Send as many records at the same pace; return how long each took, in ms."""
    login = KafkaLogin(broker.address, "intake", broker.password_file("intake"))
    producer = AIOKafkaProducer(enable_idempotence=True, linger_ms=0, **login.options())
    await producer.start()
    delays = []
    try:
        for _ in range(_CASES + 1):
            began = perf_counter()
            await producer.send_and_wait(_TOPIC, b"{}" * 200, key=str(new_id()).encode())
            delays.append((perf_counter() - began) * 1000)
            await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        await producer.stop()
    return delays[1:]
