"""One member of a group that reads from the positions of its consumer's database."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import NoOffsetForPartitionError

from common.bus.base import BusError, Delivery, PositionOf
from common.bus.kafka_failures import failures, stop
from common.bus.kafka_login import REQUEST_MS
from common.bus.kafka_logs import LogIds, logs_of

logger = structlog.get_logger(__name__)

_SHARING_SECONDS = 60.0
"""How long a group may take to share out: a member that died is given up, the others let go of theirs.

Whoever loses patience before and joins anew is one more member that died, for which the group waits
again: two of them can keep it from ever coming to rest.
"""


class KafkaSubscription:
    """One member of a group. Its partitions may change under it; positions are the database's."""

    def __init__(self, consumer: AIOKafkaConsumer, position_of: PositionOf, ids: LogIds) -> None:
        self._consumer = consumer
        self._position_of = position_of
        self._ids = ids
        self._reads: dict[TopicPartition, UUID] = {}
        """Which log each partition is read in."""
        self._failure: Exception | None = None
        self._at_rest = asyncio.Event()
        self.listener = _Listener(self)
        self.is_closed = False

    async def poll(self, *, limit: int = 100, seconds: float = 1.0) -> Sequence[Delivery]:
        self._at_rest.set()
        try:
            with failures():
                async with asyncio.timeout(seconds + _SHARING_SECONDS):
                    found = await self._consumer.getmany(
                        timeout_ms=int(seconds * 1000), max_records=limit
                    )
        except NoOffsetForPartitionError:
            found = {}  # assigned a moment ago: `begin` is about to say where to read on
        finally:
            self._at_rest.clear()
        if self._failure is not None:
            raise self._failure
        if found:
            await self._check_logs(found)
        return [
            Delivery(each.topic, each.partition, each.offset, each.value or b"")
            for records in found.values()
            for each in records
        ]

    async def close(self) -> None:
        self.is_closed = True
        await stop(self._consumer)
        self._ids.close()  # the last, for until its end the client may ask where to read on

    async def _check_logs(self, found: Collection[TopicPartition]) -> None:
        """Take nothing of a log that was made anew since: asked after it came, or it could be later."""
        with failures():
            ids = await self._ids.of({part.topic for part in found})
        for part in found:
            if ids[part.topic] != self._reads.get(part):
                raise BusError(f"{part.topic}: another log")

    async def rest(self) -> None:
        """Wait until what was handed out is taken to its end; a while only, for others wait too."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REQUEST_MS / 1000):
                await self._at_rest.wait()

    async def begin(self, parts: Collection[TopicPartition]) -> None:
        """Read on from where the database stands."""
        try:
            with failures():
                await self._seek(parts)
        except Exception as error:  # noqa: BLE001  aiokafka would only log it; the reader must know
            self._failure = error

    async def _seek(self, parts: Collection[TopicPartition]) -> None:
        if not parts:
            return
        logs = await logs_of(self._consumer, self._ids, parts)
        for part in parts:
            log = logs[part.topic, part.partition]
            position = await self._position_of(part.topic, part.partition, log)
            self._reads[part] = log.id
            self._consumer.seek(part, position.offset)
            if not log.holds(position):
                self._consumer.pause(part)
                place = {"topic": part.topic, "partition": part.partition}
                logger.error("bus.outside_log", **place, count=position.offset)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, subscription: KafkaSubscription) -> None:
        self._subscription = subscription

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        if revoked:
            await self._subscription.rest()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        await self._subscription.begin(assigned)
