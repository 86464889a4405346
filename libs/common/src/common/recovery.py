"""What an operator does when a log lost records that a service had not read: send again, go on."""

from collections.abc import Collection, Iterable

from sqlalchemy import select

from common.bus import Bus, Position, Record
from common.db.base import Database, unit_of
from common.tables import ConsumerPosition, OutboxMessage

_BATCH = 500


async def replay(database: Database, bus: Bus) -> int:
    """Publish a service's whole archive again, byte for byte; return how many events that were.

    Whoever has seen an event drops it by its id.
    """
    count = position = 0
    while True:
        rows = await database.fetch(
            select(
                OutboxMessage.feed_position,
                OutboxMessage.topic,
                OutboxMessage.subject,
                OutboxMessage.payload,
            )
            .where(OutboxMessage.feed_position > position)
            .order_by(OutboxMessage.feed_position)
            .limit(_BATCH)
        )
        if not rows:
            return count
        await bus.publish([Record(row.topic, str(row.subject), row.payload) for row in rows])
        position, count = rows[-1].feed_position, count + len(rows)


def told(moved: Iterable[tuple[str, int]]) -> list[str]:
    """Return the lines for an operator of what `resume` moved: one for each topic."""
    parts: dict[str, list[int]] = {}
    for topic, partition in moved:
        parts.setdefault(topic, []).append(partition)
    lines = [
        f"{topic}/{','.join(map(str, sorted(numbers)))} is read on"
        for topic, numbers in sorted(parts.items())
    ]
    return lines or ["nothing had to be moved"]


async def resume(
    database: Database, bus: Bus, topics: Collection[str], *, service: str
) -> list[tuple[str, int]]:
    """Read on from the beginning of each partition whose position lies outside its log, or in another.

    Returns them. What the log no longer holds is missed unless its service sends it again.
    """
    moved = []
    known = {
        (row.topic, row.partition): row for row in await database.fetch(select(ConsumerPosition))
    }
    for (topic, partition), log in (await bus.logs(topics)).items():
        row = known.get((topic, partition))
        if log.holds(Position(row.next_offset, row.log_id) if row else Position(0)):
            continue
        unit = unit_of(database, source=f"/{service}", operation="resume")
        unit.put(
            ConsumerPosition,
            topic=topic,
            partition=partition,
            next_offset=log.begin,
            log_id=log.id,
            owner_epoch=row.owner_epoch + 1 if row else 1,
        )
        unit.audit("resume", ConsumerPosition.__tablename__, [f"{topic}/{partition}"])
        await database.write(unit)
        moved.append((topic, partition))
    return moved
