"""What waits: on the bus for a service, in its outbox for the bus, and what it could not take.

Measured when a scraper asks, from the database and the log themselves: so it is true also while the
worker is not running, which is when it matters.
"""

import asyncio
import json
from collections.abc import Awaitable, Collection
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import DateTime, and_, column, func, or_, select, table

from common.bus import Bus
from common.clock import utcnow
from common.consumer import next_position
from common.db.base import OUTAGE, Database
from common.db.opening import is_sqlite
from common.tables import DeadLetter, InboxAggregate, InboxPending, OutboxMessage
from common.telemetry import (
    ARCHIVE_FAILS,
    ARCHIVE_OFF,
    BACKLOG_READABLE,
    BUS_OUTSIDE_LOG,
    CONSUMER_LAG_EVENTS,
    CONSUMER_LAG_SECONDS,
    DEAD_LETTERS,
    GAP_SECONDS,
    OUTBOX_LAG_SECONDS,
    PARKED,
)

logger = structlog.get_logger(__name__)

BUS_SECONDS = 2.0
"""How long the bus may take to tell: a scraper gives up after ten, and then nothing at all is told."""

_OLDEST = (
    select(OutboxMessage.created_at)
    .where(OutboxMessage.published_at.is_(None))
    .order_by(OutboxMessage.id)
    .limit(1)
)
_ITS_AGGREGATE = and_(
    InboxAggregate.topic == InboxPending.topic, InboxAggregate.subject == InboxPending.subject
)
# A parked aggregate keeps at least the event that parked it, so only few rows are looked at.
_PARKED = (
    select(func.count(InboxPending.subject.distinct()).label("number"))
    .join(InboxAggregate, _ITS_AGGREGATE)
    .where(InboxAggregate.parked_at.is_not(None))
)
_WAITS_FOR_EARLIER = (
    select(func.min(InboxPending.received_at).label("since"))
    .outerjoin(InboxAggregate, _ITS_AGGREGATE)
    .where(InboxAggregate.parked_at.is_(None))
)
_FAILED, _ARCHIVED = column("last_failed_time", DateTime), column("last_archived_time", DateTime)
_FAILS = and_(_FAILED.is_not(None), or_(_ARCHIVED.is_(None), _FAILED > _ARCHIVED))
_ARCHIVES_NOTHING = or_(
    func.current_setting("archive_mode") == "off",
    # With neither it fails at nothing: it only keeps every file.
    and_(
        func.current_setting("archive_command") == "",
        func.coalesce(func.current_setting("archive_library", True), "") == "",  # noqa: FBT003
    ),
)
_ARCHIVER = select(_FAILS.label("fails"), _ARCHIVES_NOTHING.label("is_off")).select_from(
    table("pg_stat_archiver")
)
_DEAD = select(func.count().label("number")).select_from(DeadLetter)


async def measure(
    database: Database, bus: Bus, topics: Collection[str], *, service: str, database_url: str
) -> bool:
    """Set the gauges of what waits, and return whether the database could tell.

    What cannot tell says so, and its gauges keep their values. The bus tells nothing without the
    database, which has the positions; the database tells all of its own without the bus.
    """
    is_told = await _is_told("database", service, _measure_database(database, service))
    if is_told and not is_sqlite(database_url):
        is_told = await _is_told("database", service, measure_archiver(database, service))
    if is_told:
        await _is_told("bus", service, _measure_bus(database, bus, topics, service))
    else:
        BACKLOG_READABLE.labels(service, "bus").set(0)
    return is_told


async def _is_told(of: str, service: str, measuring: Awaitable[None]) -> bool:
    is_told = True
    try:
        await measuring
    except OUTAGE as error:
        kind = type(error).__name__
        logger.warning("backlog.unreadable", operation=of, error=kind)
        is_told = False
    BACKLOG_READABLE.labels(service, of).set(is_told)
    return is_told


async def _measure_bus(database: Database, bus: Bus, topics: Collection[str], service: str) -> None:
    counts = dict.fromkeys(topics, 0)
    ages = dict.fromkeys(topics, 0.0)
    async with asyncio.timeout(BUS_SECONDS):
        found = await bus.waiting(topics, position_of=partial(next_position, database))
    for waiting in found:
        topic = waiting.topic
        BUS_OUTSIDE_LOG.labels(service, topic, waiting.partition).set(waiting.is_outside)
        counts[topic] += waiting.count
        if waiting.first is not None:
            ages[topic] = max(ages[topic], _age(waiting.first))
    for topic in topics:
        CONSUMER_LAG_EVENTS.labels(service, topic).set(counts[topic])
        CONSUMER_LAG_SECONDS.labels(service, topic).set(ages[topic])


async def _measure_database(database: Database, service: str) -> None:
    oldest = await database.fetch(_OLDEST)
    age = (utcnow() - oldest[0].created_at).total_seconds() if oldest else 0.0
    OUTBOX_LAG_SECONDS.labels(service).set(max(age, 0.0))
    [early] = await database.fetch(_WAITS_FOR_EARLIER)
    gap = (utcnow() - early.since).total_seconds() if early.since else 0.0
    GAP_SECONDS.labels(service).set(max(gap, 0.0))
    PARKED.labels(service).set((await database.fetch(_PARKED))[0].number)
    DEAD_LETTERS.labels(service).set((await database.fetch(_DEAD))[0].number)


async def measure_archiver(database: Database, service: str) -> None:
    [archiver] = await database.fetch(_ARCHIVER)
    ARCHIVE_FAILS.labels(service).set(archiver.fails)
    ARCHIVE_OFF.labels(service).set(archiver.is_off)


def _age(event: bytes) -> float:
    """Return for how many seconds the event has been told; 0 for a record that is none."""
    try:
        told_at = datetime.fromisoformat(json.loads(event)["time"])
        return max((utcnow() - told_at).total_seconds(), 0.0)
    except (ValueError, TypeError, LookupError, RecursionError):
        return 0.0
