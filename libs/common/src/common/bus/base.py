"""What services may ask of the bus."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from common.settings import SettingError

PARTITIONS = 6
"""Of every topic, fixed when it is made: another number would send a key to another partition."""


class BusError(OSError):
    """The bus cannot be reached or cannot store; what was not confirmed is published again."""


class BusRefusedError(BusError, SettingError):
    """The bus is there and will never let this process work: a setting is wrong, and which."""

    def __init__(self, setting: str, what: str) -> None:
        super().__init__(f"{setting} {what}")
        self.setting = setting


@dataclass(frozen=True, slots=True)
class Position:
    """The next offset a consumer wants, and the log it counted in; None where that is not known."""

    offset: int
    log_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """What a partition holds: the first offset, and the one after its last.

    A log that is lost and made anew has another `id`: an offset of the former says nothing in it,
    however many records it was filled with since.
    """

    id: UUID
    begin: int
    end: int

    def holds(self, position: Position) -> bool:
        """Tell whether it can be read on from there without missing anything."""
        is_here = position.log_id in {None, self.id}
        return is_here and self.begin <= position.offset <= self.end


PositionOf = Callable[[str, int, Log], Awaitable[Position]]
"""(topic, partition, what is there now) → where the consumer's own database stands."""


@dataclass(frozen=True, slots=True)
class Record:
    """One event to publish; records with one key keep their order."""

    topic: str
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """One record as read back, with its place in the log."""

    topic: str
    partition: int
    offset: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """What lies in one partition from a consumer's position on: how much, and the first of it.

    A position outside the log says nothing of what was missed: then it is all that the log holds.
    """

    topic: str
    partition: int
    count: int
    first: bytes | None
    is_outside: bool = False


class Subscription(Protocol):
    async def poll(self, *, limit: int = 100, seconds: float = 1.0) -> Sequence[Delivery]:
        """Return the next records in order within each partition; empty after `seconds`.

        While the readers of a group are given their shares it waits longer, for a minute at most.
        What was returned once is not returned again by this subscription; a new one starts from
        the positions the consumer's database names. After BusError it is of no more use: close it
        and subscribe again.
        """
        ...

    async def close(self) -> None: ...


class Bus(Protocol):
    async def publish(self, records: Sequence[Record]) -> None:
        """Append all records in order; return when they are durable.

        If it raises, any prefix may have been appended: the caller publishes all of them again,
        and consumers drop what they have seen.
        """
        ...

    async def subscribe(
        self, topics: Sequence[str], *, group: str, position_of: PositionOf
    ) -> Subscription: ...

    async def waiting(
        self, topics: Collection[str], *, position_of: PositionOf
    ) -> Sequence[Waiting]:
        """Tell what a consumer at these positions has not read yet, without reading it for them."""
        ...

    async def logs(self, topics: Collection[str]) -> Mapping[tuple[str, int], Log]:
        """Return (topic, partition) → what is there."""
        ...

    async def check(self, *, reads: Collection[str], writes: Collection[str]) -> None:
        """Return if this process may read and write these topics.

        BusRefusedError names the setting that will not do; BusError while nobody answers.
        """
        ...

    async def close(self) -> None: ...
