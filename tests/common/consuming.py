"""What the tests of the consumer share: a consumer whose deliveries are counted, and a slow bus."""

from collections.abc import Sequence

from common.bus import Delivery, Record, Subscription
from common.bus.base import PositionOf
from common.clock import new_id
from common.consumer import Consumer
from common.db import Database
from common.events import Event
from common.inbox import Handler
from common.sealing import ServiceBox
from tests.common.things import TOPIC, BusAround, ThingMoved, on_thing
from tests.conftest import fixed_id

GOOD, BAD = fixed_id(1), fixed_id(2)


class Scene:
    """A consumer with the handler given, the name it is counted under, and the pauses it made."""

    def __init__(self, database: Database, box: ServiceBox, handler: Handler = on_thing) -> None:
        self.service = f"test-{new_id()}"
        self.pauses: list[float] = []
        self.consumer = Consumer(
            database, {ThingMoved.type: handler}, service=self.service, box=box, pause=self.pause
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


class TwoAtATime:
    """A subscription that hands out small portions, so that many transactions are needed."""

    def __init__(self, inner: Subscription) -> None:
        self._inner = inner

    async def poll(self, *, limit: int = 100, seconds: float = 1.0) -> Sequence[Delivery]:
        return await self._inner.poll(limit=min(limit, 2), seconds=seconds)

    async def close(self) -> None:
        await self._inner.close()


class FewAtATime(BusAround):
    async def subscribe(
        self, topics: Sequence[str], *, group: str, position_of: PositionOf
    ) -> Subscription:
        return TwoAtATime(await super().subscribe(topics, group=group, position_of=position_of))


def record_of(event: Event) -> Record:
    return Record(TOPIC, str(event.subject), event.to_bytes())
