"""Choose the bus by the URL."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

from common.bus.base import Bus, Log, PositionOf, Record, Subscription, Waiting
from common.bus.local import LocalBus


def open_bus(url: str) -> Bus:
    """Open `local:///absolute/path`, or what `ServiceSettings.bus` makes of the PRAG_KAFKA_… settings.

    Anything else is refused here, at the start.
    """
    scheme, _, path = url.partition("://")
    if scheme == "local":
        return LocalBus(Path(path))
    if scheme != "kafka":
        raise ValueError("PRAG_BUS_URL must be local:///path")
    return _Kafka(urlsplit(url))


class _Kafka:
    """Kafka, whose client is loaded when it is first used: an api does for a scraper alone."""

    def __init__(self, url: SplitResult) -> None:
        self._url = url

    @cached_property
    def _bus(self) -> Bus:
        from common.bus.kafka import KafkaBus  # noqa: PLC0415
        from common.bus.kafka_login import KafkaLogin  # noqa: PLC0415

        user, _, bootstrap = self._url.netloc.rpartition("@")
        files = {name: Path(values[0]) for name, values in parse_qs(self._url.query).items()}
        return KafkaBus(KafkaLogin(bootstrap, user, **files))

    async def publish(self, records: Sequence[Record]) -> None:
        await self._bus.publish(records)

    async def subscribe(
        self, topics: Sequence[str], *, group: str, position_of: PositionOf
    ) -> Subscription:
        return await self._bus.subscribe(topics, group=group, position_of=position_of)

    async def waiting(
        self, topics: Collection[str], *, position_of: PositionOf
    ) -> Sequence[Waiting]:
        return await self._bus.waiting(topics, position_of=position_of)

    async def logs(self, topics: Collection[str]) -> Mapping[tuple[str, int], Log]:
        return await self._bus.logs(topics)

    async def check(self, *, reads: Collection[str], writes: Collection[str]) -> None:
        await self._bus.check(reads=reads, writes=writes)

    async def close(self) -> None:
        if "_bus" in vars(self):
            await self._bus.close()
