"""Which log a topic is, asked of the cluster again and again, and what its partitions hold."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.conn import AIOKafkaConnection

from common.bus.base import PARTITIONS, Log
from common.bus.kafka_rights import ids_of


class LogIds:
    """Asks over a connection of its own, opened when needed and thrown away when it failed.

    aiokafka's requests go by a topic's name, so that its clients would read on in a log that was
    made anew meanwhile.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[AIOKafkaConnection]], right: str = "READ"
    ) -> None:
        """`right` is what a topic is wanted for, and named where it may not be seen."""
        self._connect = connect
        self._right = right
        self._broker: AIOKafkaConnection | None = None
        self._asking = asyncio.Lock()

    async def open(self) -> None:
        """Connect ahead of the first question, whose answer a reader may wait for."""
        async with self._asking:
            await self._open()

    async def of(self, topics: Collection[str]) -> dict[str, UUID]:
        """Return topic → the id of its log, as the cluster tells it after this was called."""
        async with self._asking:
            try:
                return await ids_of(await self._open(), topics, self._right)
            except BaseException:
                self.close()
                raise

    async def _open(self) -> AIOKafkaConnection:
        if self._broker is None or not self._broker.connected():
            self._broker = await self._connect()
        return self._broker

    def close(self) -> None:
        if self._broker is not None:
            self._broker.close()
            self._broker = None


def parts_of(topics: Collection[str]) -> list[TopicPartition]:
    return [TopicPartition(topic, n) for topic in topics for n in range(PARTITIONS)]


async def logs_of(
    reader: AIOKafkaConsumer, ids: LogIds, parts: Collection[TopicPartition]
) -> dict[tuple[str, int], Log]:
    # The ids first: of one made anew meanwhile the former id is told, and its records are refused.
    named = await ids.of({part.topic for part in parts})
    begins = await reader.beginning_offsets(list(parts))
    ends = await reader.end_offsets(list(parts))
    return {
        (part.topic, part.partition): Log(named[part.topic], begins[part], ends[part])
        for part in parts
    }
