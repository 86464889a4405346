"""The four services of one country in one folder, on one bus: what one tells the others hear."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx

from common.bus import Record
from common.consumer import Consumer, with_audit_heads
from common.events import Event, topic_of
from common.relay import Relay
from common.runtime import Runtime
from common.settings import ServiceName
from tests.kit import Kit, handlers_of, open_service
from tests.surface.operations import SERVICES
from tests.surface.stage import Stage


class Country:
    """Its services are called in turn; after each act `settle` lets everybody hear of it."""

    def __init__(self, kits: Mapping[ServiceName, Kit]) -> None:
        self.urls: list[str] = []
        self.stages = {service: _OnBus(kit, self) for service, kit in kits.items()}
        self.kits = kits
        self._workers = {service: _Worker(kit.runtime) for service, kit in kits.items()}

    async def settle(self, *, without: ServiceName | None = None) -> None:
        """Publish and consume until there is nothing new; the worker of `without` is down."""
        working = [worker for service, worker in self._workers.items() if service != without]
        moved = True
        while moved:
            moved = any([await worker.publish() for worker in working])
            moved = any([await worker.consume() for worker in working]) or moved


class _Worker:
    """What a service's background process does, done when asked for."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._relay: Relay | None = None
        self._consumer = Consumer(
            runtime.database,
            with_audit_heads(runtime.name, handlers_of(runtime)),
            service=runtime.name,
            box=runtime.box,
            source=runtime.source,
        )

    async def publish(self) -> bool:
        """Publish what waits; tell whether there was anything."""
        if self._relay is None:
            self._relay = Relay(
                self._runtime.database, self._runtime.bus, service=self._runtime.name
            )
            await self._relay.lead()
        return bool(await self._relay.publish_waiting())

    async def consume(self) -> bool:
        """Take what the bus has; tell whether there was anything."""
        consumer = self._consumer
        subscription = await self._runtime.bus.subscribe(
            consumer.topics, group=self._runtime.name, position_of=consumer.claim
        )
        deliveries = await subscription.poll(limit=1_000, seconds=0)
        await consumer.accept_all(deliveries)
        return bool(deliveries)


class _OnBus(Stage):
    """A stage on which others are heard over the bus, and every URL that was asked for is kept."""

    def __init__(self, kit: Kit, country: Country) -> None:
        super().__init__(kit)
        self._country = country
        self._http.event_hooks["request"].append(self._keep)

    async def hear(self, events: list[Event]) -> None:
        records = [Record(topic_of(e.type), str(e.subject), e.to_bytes()) for e in events]
        await self.kit.runtime.bus.publish(records)
        await self._country.settle()

    async def _keep(self, request: httpx.Request) -> None:
        self._country.urls.append(str(request.url))


@asynccontextmanager
async def open_country(home: Path) -> AsyncIterator[Country]:
    async with AsyncExitStack() as stack:
        kits = {
            service: await stack.enter_async_context(open_service(service, home))
            for service in SERVICES
        }
        yield Country(kits)
