"""The consumer: reads on from its own position and takes every delivery to its end.

Inbox row, handler's effect and position commit together in the consumer's own database, up to
fifty deliveries at a time; one that fails leaves the batch and is tried alone. Outages are waited out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy import and_, select
from sqlalchemy.exc import SQLAlchemyError

from common.audit import on_head_sealed
from common.bus import (
    Bus,
    BusError,
    BusRefusedError,
    Delivery,
    Log,
    Position,
    Subscription,
    Waiting,
)
from common.clock import monotonic, utcnow
from common.contracts.audit import HEAD_SEALED
from common.crash import crash
from common.db.base import OUTAGE, Database, unit_of
from common.dead_letters import Graveyard
from common.events import topic_of
from common.inbox import (
    POSITION,
    HandlerFailedError,
    Handlers,
    Inbox,
    LostPartitionError,
    Outcome,
    Pause,
)
from common.sealing import ServiceBox
from common.tables import ConsumerPosition, InboxAggregate, InboxPending
from common.telemetry import CONSUMER_LAG_AT, CONSUMER_REBUILDS, INBOX, STALE_EPOCH
from common.unit import DuplicateError, StaleError

logger = structlog.get_logger(__name__)
R = TypeVar("R")

BATCH = 50
LONGEST_PAUSE = 8.0
"""Between two tries, however long the outage: ten seconds after its end everything goes on."""
SILENCE_SECONDS = 30.0
"""After so long without a record the bus is asked whether there is one."""
_MOST_SILENCES, _SILENCES_WITHIN = 3, 600.0
"""So many silent subscriptions in so many seconds end the process: its supervisor starts a new one."""
_REBUILD_SECONDS = 1.0


class SilenceError(Exception):
    """Records wait on the bus and none comes."""


def with_audit_heads(service: str, handlers: Handlers) -> Handlers:
    """Every service keeps the audit heads of its siblings beside its own subscriptions."""
    heads = {kind.type: on_head_sealed for name, kind in HEAD_SEALED.items() if name != service}
    return {**handlers, **heads}


def topics_of(handlers: Handlers) -> list[str]:
    """Return the topics that carry the events handled."""
    return sorted({topic_of(event_type) for event_type in handlers})


async def next_position(database: Database, topic: str, partition: int, _: Log) -> Position:
    """Return where a service stands in a partition; at the very start of whatever log it is, at first."""
    rows = await database.fetch(POSITION, {"topic": topic, "partition": partition})
    return Position(rows[0].next_offset, rows[0].log_id) if rows else Position(0)


class Consumer:
    """Applies what one service subscribes to; never two deliveries at once."""

    def __init__(
        self,
        database: Database,
        handlers: Handlers,
        *,
        service: str,
        box: ServiceBox,
        source: str | None = None,
        most_early: int | None = None,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._service = service
        self._box = box
        self._graveyard = Graveyard(box)
        self._most_early = most_early
        self._source = source
        self._pause = pause
        self._epochs: dict[tuple[str, int], int] = {}
        self._alone = Inbox(
            database,
            handlers,
            service=service,
            box=box,
            source=source,
            epochs=self._epochs,
            graveyard=self._graveyard,
            most_early=most_early,
            pause=pause,
        )

    @property
    def topics(self) -> list[str]:
        return topics_of(self._handlers)

    async def run(self, bus: Bus) -> None:
        """Consume for ever. What was parked is tried again first: a new release may have mended it."""
        if not self._handlers:
            return
        await self._patiently(self.catch_up)
        await self._patiently(self.retry_all_parked)
        silences: list[float] = []
        while True:
            subscription = await self._patiently(
                lambda: bus.subscribe(self.topics, group=self._service, position_of=self.claim)
            )
            try:
                await self._read_on(bus, subscription)
            except BusRefusedError:
                raise
            except (BusError, LostPartitionError) as error:
                if isinstance(error, LostPartitionError):
                    STALE_EPOCH.labels(self._service).inc()
                await self._begin_anew(error)
            except SilenceError as error:
                now = monotonic()
                silences = [*(at for at in silences if now - at < _SILENCES_WITHIN), now]
                if len(silences) == _MOST_SILENCES:
                    raise
                await self._begin_anew(error)
            finally:
                await subscription.close()

    async def _begin_anew(self, error: Exception) -> None:
        CONSUMER_REBUILDS.labels(self._service).inc()
        logger.warning("consumer.begins_anew", error=type(error).__name__)
        await self._pause(_REBUILD_SECONDS)

    async def _read_on(self, bus: Bus, subscription: Subscription) -> None:
        """Take what comes; SilenceError when nothing does although something waits on the bus."""
        heard, is_suspect = monotonic(), False
        while True:
            deliveries = await subscription.poll()
            if deliveries:
                await self.accept_all(deliveries)
                heard, is_suspect = monotonic(), False
            elif is_suspect:
                raise SilenceError
            elif monotonic() - heard > SILENCE_SECONDS:
                heard = monotonic()
                with suppress(*OUTAGE):  # who cannot say whether something waits is no witness
                    # It may have come between the two looks: then the next poll brings it.
                    is_suspect = await self._has_waiting(bus)

    async def _has_waiting(self, bus: Bus) -> bool:
        position_of = partial(next_position, self._database)
        waiting = await bus.waiting(self.topics, position_of=position_of)
        # What lies outside its log rests: nothing comes from there, however well it listens.
        return any(
            [each.count and not each.is_outside and await self._is_mine(each) for each in waiting]
        )

    async def _is_mine(self, waiting: Waiting) -> bool:
        """Tell whether what waits there is for this reader: another of its group has its own share.

        Who was never given a share at all may well have lost the group.
        """
        epoch = self._epochs.get((waiting.topic, waiting.partition))
        if epoch is None:
            return not self._epochs
        place = {"topic": waiting.topic, "partition": waiting.partition}
        rows = await self._database.fetch(POSITION, place)
        return bool(rows) and rows[0].owner_epoch == epoch

    async def claim(self, topic: str, partition: int, log: Log) -> Position:
        """Become the reader of a partition, fence off who was it before; return where to read on.

        A position that lies in this log, and of which it was not known in which it was counted, is
        kept as one of this log.
        """
        return await self._patiently(lambda: self._claim(topic, partition, log))

    async def _claim(self, topic: str, partition: int, log: Log) -> Position:
        place = {"topic": topic, "partition": partition}
        while True:
            unit = unit_of(self._database, source=f"/{self._service}", operation="claim")
            row = await unit.find(POSITION, **place)
            position = Position(row.next_offset, row.log_id) if row else Position(0)
            if log.holds(position):
                position = replace(position, log_id=log.id)
            now = {"owner_epoch": row.owner_epoch + 1 if row else 1, "log_id": position.log_id}
            if row is None:
                unit.add(ConsumerPosition, **place, next_offset=0, **now)
            else:
                # The position too: the former reader may have moved it since it was read.
                seen = {**place, "owner_epoch": row.owner_epoch, "next_offset": row.next_offset}
                unit.update(ConsumerPosition, seen, expect=1, **now)
            try:
                await self._database.write(unit)
            except (StaleError, DuplicateError):
                continue
            self._epochs[topic, partition] = row.owner_epoch + 1 if row else 1
            return position

    async def catch_up(self) -> None:
        """Apply what waits although its turn has come: a crash came between two transactions."""
        # Of its own topics: another consumer may share the database, with handlers of its own.
        due = (
            select(InboxPending.topic, InboxPending.subject)
            .join(
                InboxAggregate,
                and_(
                    InboxAggregate.topic == InboxPending.topic,
                    InboxAggregate.subject == InboxPending.subject,
                    InboxAggregate.last_seq + 1 == InboxPending.seq,
                    InboxAggregate.parked_at.is_(None),
                ),
            )
            .where(InboxPending.topic.in_(self.topics))
        )
        for row in await self._database.fetch(due):
            await self._alone.drain(row.topic, row.subject)

    async def accept_all(self, deliveries: Sequence[Delivery]) -> None:
        """Take deliveries in their order, many in one transaction where none fails."""
        left = list(deliveries)
        while left:
            taken = await self._patiently(lambda: self._batch(left[:BATCH]))
            del left[:taken]
            if left and taken < BATCH:
                await self.accept(left.pop(0))

    async def accept(self, delivery: Delivery) -> Outcome:
        """Take one delivery in a transaction of its own; return what became of it."""
        outcome = await self._patiently(lambda: self._alone.accept(delivery))
        self._count([outcome])
        await self._follow(self._alone)
        return outcome

    async def retry_all_parked(self) -> None:
        """Take up every parked aggregate; one whose handler still fails is parked again."""
        parked = select(InboxAggregate.topic, InboxAggregate.subject).where(
            InboxAggregate.parked_at.is_not(None), InboxAggregate.topic.in_(self.topics)
        )
        for row in await self._database.fetch(parked):
            await self.retry_parked(row.topic, row.subject)

    async def retry_parked(self, topic: str, subject: UUID) -> int:
        """Take up a parked aggregate again after its cause was mended; return how many applied."""
        unit = unit_of(self._database, source=f"/{self._service}", operation="retry_parked")
        unit.update(
            InboxAggregate, {"topic": topic, "subject": subject}, parked_at=None, parked_reason=None
        )
        await self._database.write(unit)
        return await self._alone.drain(topic, subject)

    async def _batch(self, deliveries: Sequence[Delivery]) -> int:
        """Take deliveries until one fails; commit those before it and return how many they were."""
        outcomes: list[Outcome] = []
        async with self._database.batch() as batch:
            inbox = Inbox(
                batch,
                self._handlers,
                service=self._service,
                box=self._box,
                source=self._source,
                alone=False,
                epochs=self._epochs,
                graveyard=self._graveyard,
                most_early=self._most_early,
            )
            try:
                for delivery in deliveries:
                    outcome = await inbox.accept(delivery)
                    outcomes.append(outcome)
            except HandlerFailedError:
                logger.warning("consumer.left_batch", count=len(outcomes))
            except (*OUTAGE, SQLAlchemyError, LostPartitionError):
                raise
            except Exception as error:  # which ends this consumer, and the next one as well
                _name(deliveries[len(outcomes)], error)
                raise
        crash("consumer.after_commit")
        self._count(outcomes)
        await self._follow(inbox)
        return len(outcomes)

    async def _follow(self, inbox: Inbox) -> None:
        """Apply, each in a transaction of its own, what could not follow in its turn."""
        for topic, subject in sorted(inbox.behind):
            await self._patiently(partial(self._alone.drain, topic, subject))
            inbox.behind.discard((topic, subject))

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            INBOX.labels(self._service, outcome).inc()
        CONSUMER_LAG_AT.labels(self._service).set(utcnow().timestamp())

    async def _patiently(self, act: Callable[[], Awaitable[R]]) -> R:
        """Wait out an outage of the database or the bus, however long.

        What a handler did wrong was parked before it gets here; so any other database error means
        that the inbox itself cannot be written, and only an operator can end that.
        """
        seconds = 0.1
        while True:
            try:
                return await act()
            except (*OUTAGE, SQLAlchemyError) as error:
                logger.warning("consumer.waits", error=type(error).__name__, seconds=seconds)
                self._graveyard.look_again()
                await self._pause(seconds)
                seconds = min(seconds * 2, LONGEST_PAUSE)


def _name(delivery: Delivery, error: Exception) -> None:
    """Say in the log at which record reading stands."""
    logger.error(
        "consumer.stands_at",
        topic=delivery.topic,
        partition=delivery.partition,
        offset=delivery.offset,
        error=type(error).__name__,
    )
