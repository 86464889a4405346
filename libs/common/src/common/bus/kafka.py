"""Kafka through aiokafka: durable when acknowledged by all replicas, read from the database's position.

aiokafka's idempotent producer never gives up by itself and cannot be used again after some of its
errors, so every publication has a deadline, and a producer that failed once is thrown away. No
transactions: what is sent twice is dropped by the consumers' inboxes.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from common.bus.base import PARTITIONS, BusRefusedError, Log, PositionOf, Record, Waiting
from common.bus.kafka_failures import error_of, failures, stop
from common.bus.kafka_login import KafkaLogin
from common.bus.kafka_logs import LogIds, logs_of, parts_of
from common.bus.kafka_reading import KafkaSubscription
from common.bus.kafka_rights import check_rights, hosts_of
from common.clock import monotonic
from common.settings import is_here
from common.telemetry import PRODUCER_REBUILDS

SEND_SECONDS = 15.0
SESSION_MS = 8_000
"""After so long a group gives up a member that died. Less than a request may take, for who joins asks once
and waits: asked anew it is one more member, and the one it was has to be given up as well."""
_FIRST_SECONDS = 1.0
"""How long the first record of what waits is awaited, of all partitions together."""
_MOST_BYTES = 1024 * 1024
_BATCH_BYTES = 256 * 1024
"""What goes to a partition at once: all that the relay hands over, where aiokafka's 16 KB are many turns."""
_SAME_SECONDS = 0.5
"""For so long a cluster is taken for the one it was: none is ended and made anew in less."""
_ALL = range(PARTITIONS)
_partition = DefaultPartitioner()
"""By the key alone, and to the partition to which every Kafka client sends that key."""


class KafkaBus:
    """One cluster, spoken to as one user. A client is opened when it is first needed."""

    def __init__(self, login: KafkaLogin) -> None:
        self._login = login
        self._producer: AIOKafkaProducer | None = None
        self._publishing = asyncio.Lock()
        self._written = LogIds(self._connect, "WRITE")
        self._writes: dict[str, UUID] = {}
        """Which log each topic was when it was last asked for."""
        self._asked_at = -_SAME_SECONDS
        self._reader: AIOKafkaConsumer | None = None
        self._reading = asyncio.Lock()
        self._ids = LogIds(self._connect)
        self._subscriptions: list[KafkaSubscription] = []
        self._ending: set[asyncio.Task[None]] = set()

    async def publish(self, records: Sequence[Record]) -> None:
        async with self._publishing:
            await self._leave_lost_logs({each.topic for each in records})
            producer = await self._open_producer()
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await _send(producer, records)
            except BaseException as error:
                # Whether it arrived is unknown, and the producer may be stuck for good.
                self._producer = None
                PRODUCER_REBUILDS.labels(self._login.user).inc()
                self._end(producer)
                if isinstance(error, (KafkaError, TimeoutError)):
                    raise error_of(error, "WRITE") from error
                raise

    async def subscribe(
        self, topics: Sequence[str], *, group: str, position_of: PositionOf
    ) -> "KafkaSubscription":
        """Join the group; what it assigns is read on from the consumer's positions.

        A position that lies outside the log (it was cut by its retention, or lost, and perhaps filled
        again) is not read on from: that partition rests and the log says so, for what was skipped
        would be missed unseen.
        """
        consumer = AIOKafkaConsumer(
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=SESSION_MS // 4,
            rebalance_timeout_ms=30_000,
            max_partition_fetch_bytes=_MOST_BYTES,
            **await self._options(),
        )
        ids = LogIds(self._connect)
        subscription = KafkaSubscription(consumer, position_of, ids)
        self._subscriptions = [each for each in self._subscriptions if not each.is_closed]
        self._subscriptions.append(subscription)
        try:
            with failures():
                await ids.open()
                await consumer.start()
                consumer.subscribe(topics, listener=subscription.listener)
        except BaseException:
            # Tried again for as long as the broker is away; none of these may stay behind.
            subscription.is_closed = True
            ids.close()
            self._end(consumer)
            raise
        return subscription

    async def waiting(
        self, topics: Collection[str], *, position_of: PositionOf
    ) -> Sequence[Waiting]:
        async with self._looking():
            return await self._waiting(topics, position_of)

    async def logs(self, topics: Collection[str]) -> Mapping[tuple[str, int], Log]:
        async with self._looking():
            return await logs_of(await self._open_reader(), self._ids, parts_of(topics))

    async def check(self, *, reads: Collection[str], writes: Collection[str]) -> None:
        """Refuse to start with a setting that cannot work; BusError while no broker answers."""
        broker = await self._connect()
        try:
            with failures():
                await check_rights(broker, user=self._login.user, reads=reads, writes=writes)
        finally:
            broker.close()

    async def close(self) -> None:
        for client in (self._producer, self._reader):
            if client is not None:
                self._end(client)
        self._producer = self._reader = None
        for ids in (self._ids, self._written):
            ids.close()
        await asyncio.gather(*self._ending, *(each.close() for each in self._subscriptions))

    async def _options(self) -> dict[str, Any]:
        """Return what a client needs, which goes by itself wherever the cluster sends it."""
        if self._login.ca_file is None:
            (await self._connect()).close()
        return self._login.options()

    async def _connect(self) -> AIOKafkaConnection:
        """Give a connection to a broker; refused if in the clear a client would be sent elsewhere."""
        broker = await self._login.reach()
        if self._login.ca_file is None:
            try:
                with failures():
                    await _check_near(broker)
            except BaseException:
                broker.close()
                raise
        return broker

    async def _leave_lost_logs(self, topics: set[str]) -> None:
        """Let go of a producer that wrote to a log which is gone.

        A cluster that was made anew gives its number to another, and takes what either sends for
        what the other has sent before: refused at best, acknowledged and not kept at worst.
        """
        if topics <= self._writes.keys() and monotonic() - self._asked_at < _SAME_SECONDS:
            return
        asked_at = monotonic()
        with failures():
            async with asyncio.timeout(SEND_SECONDS):
                ids = await self._written.of(topics)
        is_lost = any(self._writes.get(topic, log_id) != log_id for topic, log_id in ids.items())
        if is_lost and self._producer is not None:
            PRODUCER_REBUILDS.labels(self._login.user).inc()
            self._end(self._producer)
            self._producer = None
        self._writes = ids if is_lost else self._writes | ids
        self._asked_at = asked_at

    async def _open_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            # Nothing lingers: the relay hands over whole batches, and lingering only delays them.
            producer = AIOKafkaProducer(
                enable_idempotence=True,
                linger_ms=0,
                max_request_size=_MOST_BYTES,
                max_batch_size=_BATCH_BYTES,
                **await self._options(),
            )
            try:
                with failures():
                    await producer.start()
            except BaseException:
                self._end(producer)
                raise
            self._producer = producer
        return self._producer

    async def _waiting(self, topics: Collection[str], position_of: PositionOf) -> list[Waiting]:
        reader = await self._open_reader()
        found, starts = [], dict[TopicPartition, int]()
        logs = await logs_of(reader, self._ids, parts_of(topics))
        for (topic, partition), log in logs.items():
            position = await position_of(topic, partition, log)
            is_outside = not log.holds(position)
            start = log.begin if is_outside else position.offset
            if log.end > start:
                starts[TopicPartition(topic, partition)] = start
            found.append(Waiting(topic, partition, log.end - start, None, is_outside))
        firsts = await _firsts(reader, starts)
        return [
            replace(each, first=firsts.get(TopicPartition(each.topic, each.partition)))
            for each in found
        ]

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[None]:
        """Look at the log, one at a time; a client that failed may be stuck for good, and goes."""
        async with self._reading:
            try:
                with failures():
                    yield
            except BaseException:
                if self._reader is not None:
                    self._end(self._reader)
                    self._reader = None
                raise

    async def _open_reader(self) -> AIOKafkaConsumer:
        """Return the client that looks at the log for nobody."""
        if self._reader is None:
            reader = AIOKafkaConsumer(
                enable_auto_commit=False, auto_offset_reset="none", **await self._options()
            )
            try:
                await reader.start()
            except BaseException:
                self._end(reader)
                raise
            self._reader = reader
        return self._reader

    def _end(self, client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
        """Let go of a client beside what goes on: to stop one can take as long as it likes."""
        task = asyncio.create_task(stop(client))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _check_near(broker: AIOKafkaConnection) -> None:
    if not all(map(is_here, await hosts_of(broker))):
        raise BusRefusedError(
            "PRAG_KAFKA_CA_FILE", "is needed: the cluster leads to a broker on another machine"
        )


async def _send(producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
    """Hand over one batch for each partition, where `producer.send` waits for each record."""
    parts: defaultdict[tuple[str, int], list[tuple[bytes, bytes]]] = defaultdict(list)
    for each in records:
        key = each.key.encode()
        parts[each.topic, _partition(key, _ALL, _ALL)].append((key, each.value))
    sends = []
    for (topic, partition), pairs in parts.items():
        batch = producer.create_batch()
        for key, value in pairs:
            if batch.append(timestamp=None, key=key, value=value) is None:  # it is full
                sends.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value)
        sends.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*sends)


async def _firsts(
    reader: AIOKafkaConsumer, starts: Mapping[TopicPartition, int]
) -> dict[TopicPartition, bytes]:
    """Return the record at each of these places that comes soon, all fetched at once."""
    reader.assign(list(starts))
    for part, start in starts.items():
        reader.seek(part, start)
    deadline, firsts = monotonic() + _FIRST_SECONDS, dict[TopicPartition, bytes]()
    for part in starts:
        left = max(deadline - monotonic(), 0)
        found = await reader.getmany(part, timeout_ms=int(left * 1000), max_records=1)
        if found.get(part):
            firsts[part] = found[part][0].value
    return firsts
