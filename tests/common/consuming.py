"""What the tests of the consumer share: a consumer whose deliveries are counted, and a slow bus."""

import asyncio
from collections.abc import Sequence

from common.bus import Bus, Delivery, Record, Subscription
from common.bus.base import PositionOf
from common.clock import new_id
from common.consumer import Consumer
from common.db import Database
from common.events import Event
from common.inbox import Handler
from common.sealing import ServiceBox
from common.unit import Unit
from tests.common.things import TOPIC, Around, BusAround, ThingMoved, on_thing
from tests.conftest import fixed_id

GOOD, BAD = fixed_id(1), fixed_id(2)


class Scene:
    """A consumer with the handler given, the name it is counted under, and the pauses it made."""

    def __init__(
        self,
        database: Database,
        box: ServiceBox,
        handler: Handler = on_thing,
        *,
        most_early: int | None = None,
    ) -> None:
        self.service = f"test-{new_id()}"
        self.pauses: list[float] = []
        self.consumer = Consumer(
            database,
            {ThingMoved.type: handler},
            service=self.service,
            box=box,
            most_early=most_early,
            pause=self.pause,
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


class Down(Around):
    """A database that refuses so many writes, and then is back."""

    def __init__(self, inner: Database, writes: int) -> None:
        super().__init__(inner)
        self._left = writes

    async def write(self, unit: Unit) -> None:
        if self._left:
            self._left -= 1
            raise ConnectionRefusedError
        await super().write(unit)


class TwoAtATime:
    """A subscription that hands out small portions, so that many transactions are needed."""

    def __init__(self, inner: Subscription) -> None:
        self._inner = inner
        self.is_empty = asyncio.Event()
        """Set once everything there was has been handed out and come back for more."""

    async def poll(self, *, limit: int = 100, seconds: float = 1.0) -> Sequence[Delivery]:
        found = await self._inner.poll(limit=min(limit, 2), seconds=min(seconds, 0.05))
        if not found:
            self.is_empty.set()
        return found

    async def close(self) -> None:
        await self._inner.close()


class FewAtATime(BusAround):
    def __init__(self, inner: Bus) -> None:
        super().__init__(inner)
        self.subscriptions: asyncio.Queue[TwoAtATime] = asyncio.Queue()

    async def subscribe(
        self, topics: Sequence[str], *, group: str, position_of: PositionOf
    ) -> Subscription:
        inner = await super().subscribe(topics, group=group, position_of=position_of)
        subscription = TwoAtATime(inner)
        await self.subscriptions.put(subscription)
        return subscription

    async def emptied(self, readers: int) -> None:
        """Wait until so many readers have taken all there is."""
        for _ in range(readers):
            await (await self.subscriptions.get()).is_empty.wait()


def record_of(event: Event) -> Record:
    return Record(TOPIC, str(event.subject), event.to_bytes())
