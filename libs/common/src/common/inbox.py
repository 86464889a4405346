"""The inbox: what becomes of one delivery, decided and written in one transaction.

A record that cannot be an event is dead-lettered at once; one that was seen is dropped; an early one
waits for its predecessors; one whose handler keeps failing parks its aggregate and nothing else.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal
from uuid import UUID

import structlog
from pydantic import ValidationError
from sqlalchemy import bindparam, select

from common.bus import Delivery
from common.clock import new_id, utcnow
from common.crash import crash
from common.db.base import OUTAGE, Store, unit_of
from common.errors import ProblemError
from common.events import Event, topic_of
from common.sealing import ServiceBox
from common.tables import ConsumerPosition, DeadLetter, InboxAggregate, InboxMessage, InboxPending
from common.unit import DuplicateError, Unit

logger = structlog.get_logger(__name__)

Handler = Callable[[Unit, Event], Awaitable[None]]
Handlers = Mapping[str, Handler]
Outcome = Literal["applied", "duplicate", "pending", "parked", "dead"]
Pause = Callable[[float], Awaitable[None]]

TRIES = 5
_MAX_BYTES = 256 * 1024


_SEEN = select(InboxMessage).where(InboxMessage.event_id == bindparam("event_id"))
_STATE = select(InboxAggregate).where(
    InboxAggregate.topic == bindparam("topic"), InboxAggregate.subject == bindparam("subject")
)
_WAITING = select(InboxPending).where(
    InboxPending.topic == bindparam("topic"),
    InboxPending.subject == bindparam("subject"),
    InboxPending.seq == bindparam("seq"),
)


class HandlerFailedError(Exception):
    """A handler raised while others' effects share its transaction; it must be tried alone."""


class Inbox:
    """Takes deliveries into one database, or into one open batch of it.

    `source` names this service in the events that handlers tell (`/RS/intake`). `alone` says that
    nobody else's effects share the transaction: then a failing handler is tried
    again with pauses and at last parked; in a batch it raises HandlerFailedError instead.
    """

    def __init__(
        self,
        store: Store,
        handlers: Handlers,
        *,
        service: str,
        box: ServiceBox,
        source: str | None = None,
        alone: bool = True,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._store = store
        self._handlers = handlers
        self._source = source or f"/{service}"
        self._box = box
        self._alone = alone
        self._pause = pause

    async def accept(self, delivery: Delivery) -> Outcome:
        """Take one delivery to its end and move the position past it; return what became of it."""
        try:
            event = _parse(delivery)
        except ValueError as error:
            return await self._bury(delivery, None, type(error).__name__)
        digest = hashlib.sha256(delivery.value).digest()
        unit = self._unit()
        seen = await unit.find(_SEEN, event_id=event.id)
        if seen is not None:
            if seen.payload_sha256 != digest:
                logger.error("inbox.hash_conflict", topic=delivery.topic, event_id=str(event.id))
                return await self._bury(delivery, None, "hash_conflict")
            return await self._skip(delivery)
        state = await unit.find(_STATE, topic=delivery.topic, subject=event.subject)
        last_seq = state.last_seq if state else 0
        if event.seq <= last_seq:
            return await self._skip(delivery)
        if event.seq > last_seq + 1 or (state and state.parked_at):
            return await self._hold(delivery, event)
        outcome = await self._apply(delivery, event, digest)
        if outcome in {"applied", "dead"}:
            await self._drain_after(delivery.topic, event.subject, event.seq)
        return outcome

    async def _apply(self, delivery: Delivery, event: Event, digest: bytes) -> Outcome:
        reason = ""
        for attempt in range(1, TRIES + 1):
            try:
                return await self._attempt(delivery, event, digest)
            except OUTAGE:
                raise
            except (ProblemError, ValidationError) as error:
                return await self._bury(delivery, event, getattr(error, "code", "payload_invalid"))
            except Exception as error:  # noqa: BLE001  a bug in a handler parks one aggregate only
                reason = type(error).__name__
            if not self._alone:
                raise HandlerFailedError
            logger.warning("consumer.failed", type=event.type, attempt=attempt, error=reason)
            await self._pause(2**attempt / 20)
        return await self._park(delivery, event, reason)

    async def _attempt(self, delivery: Delivery, event: Event, digest: bytes) -> Outcome:
        unit = self._unit()
        self._advance(unit, delivery)
        self._remember(unit, delivery.topic, event, digest, "applied")
        handler = self._handlers.get(event.type)
        if handler is not None:
            await handler(unit, event)
        crash("consumer.before_commit")
        try:
            await self._store.write(unit)
        except DuplicateError as error:
            if error.table != InboxMessage.__tablename__:
                raise
            return await self._skip(delivery)  # a twin of this consumer was faster
        crash("consumer.after_commit")
        return "applied"

    async def drain(self, topic: str, subject: UUID) -> int:
        """Apply what waited behind the aggregate's newest applied event; return how many."""
        state = await self._unit().find(_STATE, topic=topic, subject=subject)
        if state is None or state.parked_at is not None:
            return 0
        return await self._drain_after(topic, subject, state.last_seq)

    async def _drain_after(self, topic: str, subject: UUID, seq: int) -> int:
        applied = 0
        while True:
            following = seq + applied + 1
            waiting = await self._unit().find(_WAITING, topic=topic, subject=subject, seq=following)
            if waiting is None:
                return applied
            # A held event's place in the log was passed when it was held; -1 leaves the position alone.
            held = Delivery(topic, -1, -1, waiting.payload)
            event = Event.model_validate_json(waiting.payload)
            if await self._apply(held, event, hashlib.sha256(waiting.payload).digest()) == "parked":
                return applied
            applied += 1

    # --- how a delivery ends

    async def _skip(self, delivery: Delivery) -> Outcome:
        unit = self._unit()
        self._advance(unit, delivery)
        await self._store.write(unit)
        return "duplicate"

    async def _hold(self, delivery: Delivery, event: Event) -> Outcome:
        unit = self._unit()
        self._advance(unit, delivery)
        unit.put(
            InboxPending,
            topic=delivery.topic,
            subject=event.subject,
            seq=event.seq,
            event_id=event.id,
            payload=delivery.value,
            received_at=utcnow(),
        )
        await self._store.write(unit)
        return "pending"

    async def _park(self, delivery: Delivery, event: Event, reason: str) -> Outcome:
        unit = self._unit()
        self._advance(unit, delivery)
        unit.put(
            InboxAggregate,
            topic=delivery.topic,
            subject=event.subject,
            last_seq=event.seq - 1,
            parked_at=utcnow(),
            parked_reason=reason,
        )
        unit.put(
            InboxPending,
            topic=delivery.topic,
            subject=event.subject,
            seq=event.seq,
            event_id=event.id,
            payload=delivery.value,
            received_at=utcnow(),
        )
        await self._store.write(unit)
        logger.error("consumer.parked", type=event.type, subject=str(event.subject), error=reason)
        return "parked"

    async def _bury(self, delivery: Delivery, event: Event | None, reason: str) -> Outcome:
        """Dead-letter the record; if it was an event, its aggregate goes on without it."""
        unit = self._unit()
        self._advance(unit, delivery)
        row = new_id()
        unit.add(
            DeadLetter,
            id=row,
            topic=delivery.topic,
            partition=delivery.partition,
            offset=delivery.offset,
            reason=reason[:100],
            value=self._box.seal(delivery.value, place=row.bytes),
        )
        if event is not None:
            self._remember(
                unit, delivery.topic, event, hashlib.sha256(delivery.value).digest(), "dead"
            )
        await self._store.write(unit)
        logger.error("consumer.dead_letter", topic=delivery.topic, error=reason)
        return "dead"

    # --- pieces

    def _unit(self) -> Unit:
        return unit_of(self._store, source=self._source, operation="consume")

    def _advance(self, unit: Unit, delivery: Delivery) -> None:
        if delivery.offset >= 0:
            unit.put(
                ConsumerPosition,
                topic=delivery.topic,
                partition=delivery.partition,
                next_offset=delivery.offset + 1,
            )

    def _remember(
        self, unit: Unit, topic: str, event: Event, digest: bytes, outcome: Outcome
    ) -> None:
        unit.add(
            InboxMessage,
            event_id=event.id,
            topic=topic,
            subject=event.subject,
            seq=event.seq,
            payload_sha256=digest,
            outcome=outcome,
        )
        unit.put(
            InboxAggregate,
            topic=topic,
            subject=event.subject,
            last_seq=event.seq,
            parked_at=None,
            parked_reason=None,
        )
        unit.remove(InboxPending, topic=topic, subject=event.subject, seq=event.seq)


def _parse(delivery: Delivery) -> Event:
    if len(delivery.value) > _MAX_BYTES:
        raise ValueError("too large")
    event = Event.model_validate_json(delivery.value)
    if topic_of(event.type) != delivery.topic:
        raise ValueError("type on a foreign topic")
    return event
