"""Dead letters: what can never be applied, kept sealed, for thirty days and up to a bound.

Who may write to a topic can write what nobody can apply, by the thousand and for ever. Nothing in such
a record says truly who wrote it, so no sender is shut out for it: each costs its reader little, and all
of them together fill no disk.
"""

from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import func, select

from common.bus import Delivery
from common.clock import monotonic, new_id
from common.events import Event, topic_of
from common.sealing import ServiceBox
from common.tables import DeadLetter
from common.unit import Unit

logger = structlog.get_logger(__name__)

KEPT_FOR = timedelta(days=30)
MOST = 5_000
MOST_BYTES = 32 * 1024 * 1024
"""So many, and so many bytes of them, are kept of one topic for one reason; what comes beyond is
counted and dropped. Per reason, so that a flood of one kind hides none of another."""
_LOOK_SECONDS = 60.0

_MAX_BYTES = 256 * 1024
_MAX_SEQ = 2**31 - 1
"""What the columns hold; no aggregate has as many events."""

_HELD = select(
    func.count().label("number"),
    func.coalesce(func.sum(func.length(DeadLetter.value)), 0).label("size"),
)


def event_or_reason(delivery: Delivery) -> Event | str:
    """Return the event, or the reason why this record can never be one."""
    if len(delivery.value) > _MAX_BYTES:
        return "too_large"
    try:
        event = Event.from_bytes(delivery.value)
    except ValueError:
        return "malformed"
    if topic_of(event.type) != delivery.topic:
        return "foreign_topic"
    return event if event.seq <= _MAX_SEQ else "malformed"


@dataclass(slots=True)
class _Room:
    """What may be added until the table is looked at again: it is emptied by others."""

    number: int
    size: int
    until: float


class Graveyard:
    """Where one consumer puts its dead letters. Two of them on one table may keep twice as many."""

    def __init__(self, box: ServiceBox) -> None:
        self._box = box
        self._rooms: dict[tuple[str, str], _Room] = {}

    async def bury(self, unit: Unit, delivery: Delivery, reason: str) -> bool:
        """Hand over the row of a dead letter and return True; False where there is no room for it."""
        row, reason = new_id(), reason[:100]
        value = self._box.seal(delivery.value, place=row.bytes)
        room = await self._room(unit, delivery.topic, reason)
        if room.number < 1 or room.size < len(value.box):
            return False
        room.number, room.size = room.number - 1, room.size - len(value.box)
        unit.add(
            DeadLetter,
            id=row,
            topic=delivery.topic,
            partition=delivery.partition,
            offset=delivery.offset,
            reason=reason,
            value=value,
        )
        return True

    def look_again(self) -> None:
        """Forget what was counted as kept: it was undone by an outage."""
        self._rooms.clear()

    async def _room(self, unit: Unit, topic: str, reason: str) -> _Room:
        room = self._rooms.get((topic, reason))
        if room is not None and monotonic() < room.until:
            return room
        alike = _HELD.where(DeadLetter.topic == topic, DeadLetter.reason == reason)
        [held] = await unit.rows(alike)
        number, size = MOST - held.number, MOST_BYTES - int(held.size)
        if number < 1 or size < 1:
            logger.error("consumer.dead_letters_full", topic=topic, error=reason)
        room = _Room(number, size, monotonic() + _LOOK_SECONDS)
        self._rooms[topic, reason] = room
        return room
