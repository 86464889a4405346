"""Writing to a bus and reading it back, for the tests of what every bus keeps."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from common.bus import Bus, Delivery, Log, Position, Record, Subscription
from common.bus.base import PositionOf
from common.clock import new_id


def records(topic: str, key: str, numbers: Iterable[int]) -> list[Record]:
    return [Record(topic, key, f"{key}:{number}".encode()) for number in numbers]


async def subscribed(
    bus: Bus, *topics: str, positions: Mapping[int, int] | None = None
) -> Subscription:
    """Subscribe in a group of one's own, at these positions of the partitions or at the beginning."""
    return await bus.subscribe(topics, group=f"test-{new_id()}", position_of=at(positions or {}))


def at(positions: Mapping[int, int]) -> PositionOf:
    async def position_of(_: str, partition: int, __: Log) -> Position:
        return Position(positions.get(partition, 0))

    return position_of


async def read(subscription: Subscription, count: int) -> list[Delivery]:
    """Poll until `count` records have come; fails after half a minute."""
    found: list[Delivery] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += await subscription.poll(seconds=5)
    return found


def by_key(found: Sequence[Delivery]) -> dict[str, list[int]]:
    pairs = [delivery.value.decode().split(":") for delivery in found]
    keys = dict.fromkeys(key for key, _ in pairs)
    return {key: [int(number) for k, number in pairs if k == key] for key in keys}


async def polled(bus: Bus, topic: str, positions: Mapping[int, int]) -> list[bytes]:
    """Return what comes from these positions on until nothing more does."""
    subscription = await subscribed(bus, topic, positions=positions)
    values: list[bytes] = []
    try:
        while found := await subscription.poll(seconds=3):
            values += [delivery.value for delivery in found]
    finally:
        await subscription.close()
    return values
