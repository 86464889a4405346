"""The inbox: what becomes of one delivery, decided and written in one transaction.

A record that cannot be an event is dead-lettered at once; one that was seen is dropped; an early one
waits for its predecessors; one whose handler keeps failing, or says that it comes too early, parks its
aggregate and nothing else.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal
from uuid import UUID

import structlog
from pydantic import ValidationError
from sqlalchemy import bindparam, func, select

from common.bus import Delivery
from common.clock import monotonic, utcnow
from common.crash import crash
from common.db.base import OUTAGE, Store, unit_of
from common.dead_letters import Graveyard, event_or_reason
from common.errors import NotYetError, ProblemError
from common.events import Event, is_another_version
from common.sealing import ServiceBox
from common.tables import ConsumerPosition, InboxAggregate, InboxMessage, InboxPending
from common.telemetry import CONSUMER, span, trace_id_of
from common.unit import DuplicateError, StaleError, Unit

logger = structlog.get_logger(__name__)

Handler = Callable[[Unit, Event], Awaitable[None]]
Handlers = Mapping[str, Handler]
Outcome = Literal["applied", "duplicate", "pending", "parked", "dead", "dropped"]
"""`dropped` is a dead letter for which there was no room."""
Pause = Callable[[float], Awaitable[None]]

TRIES = 5
_PATIENCE, _PATIENCE_SECONDS = 3, 60.0
"""After so many parked aggregates in so many seconds one failure parks the next: others wait behind."""


_SEEN = select(InboxMessage).where(InboxMessage.event_id == bindparam("event_id"))
_STATE = select(InboxAggregate).where(
    InboxAggregate.topic == bindparam("topic"), InboxAggregate.subject == bindparam("subject")
)
POSITION = select(ConsumerPosition).where(
    ConsumerPosition.topic == bindparam("topic"),
    ConsumerPosition.partition == bindparam("partition"),
)
_WAITING = select(InboxPending).where(
    InboxPending.topic == bindparam("topic"),
    InboxPending.subject == bindparam("subject"),
    InboxPending.seq == bindparam("seq"),
)


class HandlerFailedError(Exception):
    """A handler raised while others' effects share its transaction; it must be tried alone."""


class LostPartitionError(Exception):
    """Another worker reads this partition now; what is left of it here is that one's to take."""

    def __init__(self, topic: str, partition: int) -> None:
        super().__init__(topic, partition)
        self.place = topic, partition


Epochs = Mapping[tuple[str, int], int]
"""(topic, partition) → the epoch under which it is read here."""


class Inbox:
    """Takes deliveries into one database, or into one open batch of it.

    `source` names this service in the events its handlers tell (`/RS/intake`). `alone` says that
    nobody else's effects share the transaction: then a failing handler is tried again with pauses
    and at last parked; in a batch it raises HandlerFailedError instead. `most_early` is how many
    events of a topic may wait for others, where whoever told them tells again what was not taken.
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
        epochs: Epochs | None = None,
        graveyard: Graveyard | None = None,
        most_early: int | None = None,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._store = store
        self._epochs = {} if epochs is None else epochs
        self._handlers = handlers
        self._service = service
        self._source = source or f"/{service}"
        self._graveyard = graveyard or Graveyard(box)
        self._most_early = most_early
        self._alone = alone
        self._pause = pause
        self._parked_at: deque[float] = deque(maxlen=_PATIENCE)
        self.behind: set[tuple[str, UUID]] = set()
        """Aggregates with waiting events whose turn has come and that could not be applied yet."""

    async def accept(self, delivery: Delivery) -> Outcome:
        """Take one delivery to its end and move the position past it; return what became of it.

        What waited for it follows. Where that fails in a batch, or meets an outage after the
        delivery itself was committed, the aggregate is named in `behind` for the caller to `drain`.
        """
        event = event_or_reason(delivery)
        if isinstance(event, str):
            return await self._bury(delivery, event)
        outcome, last_seq = await self._take(delivery, event)
        try:
            await self._drain_after(delivery.topic, event.subject, last_seq)
        except HandlerFailedError:
            self.behind.add((delivery.topic, event.subject))
        except OUTAGE:
            if not self._alone:
                raise
            self.behind.add((delivery.topic, event.subject))
        return outcome

    async def drain(self, topic: str, subject: UUID) -> int:
        """Apply what waited behind the aggregate's newest applied event; return how many."""
        return await self._drain_after(topic, subject, None)

    async def _take(self, delivery: Delivery, event: Event) -> tuple[Outcome, int | None]:
        """Return the outcome and the aggregate's newest applied seq, None where it must be read."""
        digest = hashlib.sha256(delivery.value).digest()
        # The state first: a twin of this consumer may apply the event between the two reads, and
        # then it must be found among the seen, not taken for another one with the same seq.
        state = await self._unit().find(_STATE, topic=delivery.topic, subject=event.subject)
        seen = await self._unit().find(_SEEN, event_id=event.id)
        is_parked = state is not None and state.parked_at is not None
        last_seq = state.last_seq if state else 0
        known = None if is_parked else last_seq
        if seen is not None:
            return await self._repeated(delivery, event, digest, seen), known
        if event.seq <= last_seq:
            return await self._bury(delivery, "seq_conflict"), known
        if event.seq > last_seq + 1 or is_parked:
            return await self._hold(delivery, event), known
        outcome = await self._apply(delivery, event, digest)
        return outcome, event.seq if outcome == "applied" else None

    async def _apply(self, delivery: Delivery, event: Event, digest: bytes) -> Outcome:
        if event.type not in self._handlers and is_another_version(event.type, self._handlers):
            return await self._park(delivery, event, "unknown_version")
        return await self._try(delivery, event, digest)

    async def _try(self, delivery: Delivery, event: Event, digest: bytes) -> Outcome:
        reason = ""
        for attempt in range(1, self._tries() + 1):
            if attempt > 1:
                await self._pause(2**attempt / 80)  # all in all less than a second
            try:
                return await self._attempt(delivery, event, digest)
            except (*OUTAGE, LostPartitionError):
                raise
            except NotYetError as error:
                return await self._park(delivery, event, error.code)
            except (ProblemError, ValidationError) as error:
                code = getattr(error, "code", "payload_invalid")
                return await self._bury(delivery, code, event)
            except Exception as error:  # noqa: BLE001  a bug in a handler parks one aggregate only
                reason = type(error).__name__
            if not self._alone:
                raise HandlerFailedError
            logger.warning("consumer.failed", type=self._kind(event), attempt=attempt, error=reason)
        self._parked_at.append(monotonic())
        return await self._park(delivery, event, reason)

    def _kind(self, event: Event) -> str:
        """Return its type for the log; one that nobody here knows is its teller's word and may be any."""
        is_known = event.type in self._handlers or is_another_version(event.type, self._handlers)
        return event.type if is_known else "unknown"

    def _tries(self) -> int:
        parked = self._parked_at
        is_storm = len(parked) == _PATIENCE and monotonic() - parked[0] < _PATIENCE_SECONDS
        return 1 if is_storm else TRIES

    async def _attempt(self, delivery: Delivery, event: Event, digest: bytes) -> Outcome:
        """Apply the event, in the trace of the request that caused it."""
        name = event.type if event.type in self._handlers else "passed_over"
        parent = event.traceparent
        with span(name, service=self._service, kind=CONSUMER, parent=parent) as traced:
            outcome = await self._effect(delivery, event, digest)
            traced.set_attribute("status", outcome)
            return outcome

    async def _effect(self, delivery: Delivery, event: Event, digest: bytes) -> Outcome:
        unit = self._unit(trace_id_of(event.traceparent))
        self._advance(unit, delivery)
        self._remember(unit, delivery.topic, event, digest, "applied")
        handler = self._handlers.get(event.type)
        if handler is not None:
            await handler(unit, event)
        crash("consumer.before_commit")
        try:
            await self._write(unit, delivery)
        except DuplicateError:
            seen = await self._unit().find(_SEEN, event_id=event.id)
            if seen is None:
                raise
            return await self._repeated(delivery, event, digest, seen)
        if self._alone:
            crash("consumer.after_commit")
        return "applied"

    async def _drain_after(self, topic: str, subject: UUID, last_seq: int | None) -> int:
        applied = 0
        while True:
            if last_seq is None:
                state = await self._unit().find(_STATE, topic=topic, subject=subject)
                if state is None or state.parked_at is not None:
                    return applied
                last_seq = state.last_seq
            following = {"topic": topic, "subject": subject, "seq": last_seq + 1}
            waiting = await self._unit().find(_WAITING, **following)
            if waiting is None:
                return applied
            # A held event's place in the log was passed when it was held; -1 leaves the position alone.
            held = Delivery(topic, -1, -1, waiting.payload)
            event = Event.model_validate_json(waiting.payload)
            outcome = await self._apply(held, event, hashlib.sha256(waiting.payload).digest())
            applied += outcome == "applied"
            last_seq = event.seq if outcome == "applied" else None

    # --- how a delivery ends

    async def _repeated(
        self, delivery: Delivery, event: Event, digest: bytes, seen: InboxMessage
    ) -> Outcome:
        """Drop what was seen before; the same id around other bytes is forged or corrupt.

        Unless it is what is left of an event whose content was erased since.
        """
        if seen.payload_sha256 == digest or event.is_emptied:
            return await self._skip(delivery, waiting=event)
        return await self._bury(delivery, "hash_conflict", waiting=event)

    async def _skip(self, delivery: Delivery, *, waiting: Event | None = None) -> Outcome:
        unit = self._unit()
        self._advance(unit, delivery)
        self._release(unit, delivery, waiting)
        await self._write(unit, delivery)
        return "duplicate"

    async def _hold(self, delivery: Delivery, event: Event) -> Outcome:
        held = await self._unit().find(
            _WAITING, topic=delivery.topic, subject=event.subject, seq=event.seq
        )
        if held is not None and not (event.is_emptied and held.event_id == event.id):
            if held.payload == delivery.value:
                return await self._skip(delivery)
            conflict = "hash_conflict" if held.event_id == event.id else "seq_conflict"
            return await self._bury(delivery, conflict)
        unit = self._unit()
        if await self._is_crowded(delivery):
            return await self._bury(delivery, "too_early")
        self._advance(unit, delivery)
        self._keep_waiting(unit, delivery, event)
        await self._write(unit, delivery)
        return "pending"

    async def _is_crowded(self, delivery: Delivery) -> bool:
        """Tell whether as many wait as may; what was held (its place is passed) waits already."""
        if self._most_early is None or delivery.offset < 0:
            return False
        waiting = select(func.count().label("number")).select_from(InboxPending)
        [row] = await self._unit().rows(waiting.where(InboxPending.topic == delivery.topic))
        return bool(row.number >= self._most_early)

    async def _park(self, delivery: Delivery, event: Event, reason: str) -> Outcome:
        if await self._is_crowded(delivery):
            return await self._bury(delivery, "too_early")
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
        self._keep_waiting(unit, delivery, event)
        await self._write(unit, delivery)
        kind, subject = self._kind(event), str(event.subject)
        logger.error("consumer.parked", type=kind, subject=subject, error=reason)
        return "parked"

    async def _bury(
        self,
        delivery: Delivery,
        reason: str,
        event: Event | None = None,
        *,
        waiting: Event | None = None,
    ) -> Outcome:
        """Dead-letter the record; if it was `event` in its turn, its aggregate goes on without it.

        A conflicting event that was `waiting` waits no more; its aggregate waits for the true one.
        """
        unit = self._unit()
        self._advance(unit, delivery)
        is_kept = await self._graveyard.bury(unit, delivery, reason)
        if event is not None:
            digest = hashlib.sha256(delivery.value).digest()
            self._remember(unit, delivery.topic, event, digest, "dead")
        self._release(unit, delivery, waiting)
        try:
            await self._write(unit, delivery)
        except DuplicateError:
            return await self._skip(delivery)  # a twin of this consumer was faster
        if is_kept:
            logger.error("consumer.dead_letter", topic=delivery.topic, error=reason)
        return "dead" if is_kept else "dropped"

    # --- pieces

    def _unit(self, trace_id: str = "") -> Unit:
        return unit_of(self._store, source=self._source, operation="consume", trace_id=trace_id)

    def _advance(self, unit: Unit, delivery: Delivery) -> None:
        if delivery.offset < 0:
            return
        place, following = (delivery.topic, delivery.partition), delivery.offset + 1
        epoch = self._epochs.get(place)
        if epoch is None:
            unit.put(
                ConsumerPosition,
                topic=delivery.topic,
                partition=delivery.partition,
                next_offset=following,
            )
        else:
            mine = {"topic": place[0], "partition": place[1], "owner_epoch": epoch}
            unit.update(ConsumerPosition, mine, expect=1, next_offset=following)

    async def _write(self, unit: Unit, delivery: Delivery) -> None:
        """Write; where that met a row that had changed, tell whether it was the partition's owner."""
        try:
            await self._store.write(unit)
        except StaleError:
            epoch = self._epochs.get((delivery.topic, delivery.partition))
            if epoch is not None:
                row = await self._unit().find(
                    POSITION, topic=delivery.topic, partition=delivery.partition
                )
                if row is None or row.owner_epoch != epoch:
                    raise LostPartitionError(delivery.topic, delivery.partition) from None
            raise

    def _keep_waiting(self, unit: Unit, delivery: Delivery, event: Event) -> None:
        unit.put(
            InboxPending,
            topic=delivery.topic,
            subject=event.subject,
            seq=event.seq,
            event_id=event.id,
            payload=delivery.value,
            received_at=utcnow(),
        )

    def _release(self, unit: Unit, delivery: Delivery, event: Event | None) -> None:
        """Let an event that was held, and was not to be applied after all, wait no more."""
        if event is not None and delivery.offset < 0:
            unit.remove(InboxPending, topic=delivery.topic, subject=event.subject, seq=event.seq)

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
