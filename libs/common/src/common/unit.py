"""The one way to write: a command hands over its rows, the database writes them together.

A command reads through its Unit, decides, and hands over what shall be true: the change, its
events, the audit entry. Nothing is written until the edge (or the consumer) passes the Unit to
`Database.write`, which applies everything in one transaction or nothing at all. Every change of an
existing row names the version it was decided on; if that has passed, StaleError is raised and the
command is run again on fresh rows (or the caller, who sent If-Match, is told 412).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, cast
from uuid import UUID

from sqlalchemy import Select, Table, bindparam, select
from sqlalchemy.orm import DeclarativeBase

from common.clock import new_id, utcnow
from common.columns import Sealed, with_defaults
from common.errors import PreconditionFailedError
from common.events import Event, EventData, topic_of
from common.sealing import SubjectBox, SubjectKeyRing
from common.tables import AuditEntry, OutboxMessage, SubjectKey
from common.telemetry import traceparent

T = TypeVar("T", bound=DeclarativeBase)
Values = dict[str, Any]
AnySelect = Select[*tuple[Any, ...]]


_KEY = select(SubjectKey).where(SubjectKey.subject == bindparam("subject"))


class StaleError(Exception):
    """A row was no longer at the version the decision was made on."""


class DuplicateError(Exception):
    """A row with this key is there already; `table` says which."""

    def __init__(self, table: str) -> None:
        super().__init__(table)
        self.table = table


class Step(NamedTuple):
    """One row to write. `expect` counts the rows an update must meet (None: any number).

    Of an `update_each`, `values` and `where` hold lists instead: the nth of each is the nth row's.
    """

    kind: Literal["insert", "update", "update_each", "put", "delete"]
    table: Table
    values: Values
    where: Values = {}  # noqa: RUF012  nobody writes into a step
    expect: int | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, as audit entries name them: opaque ids and codes only."""

    subject: str
    organisation_id: UUID | None = None
    role: str | None = None
    client_id: str | None = None


SYSTEM = Actor("system")


class Reader(Protocol):
    """Where a Unit reads: the database's committed rows."""

    async def fetch(
        self, statement: AnySelect, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]: ...


class Unit:
    """Reads and hands over the rows of one use case. Not shared between tasks."""

    def __init__(
        self, reader: Reader, keys: SubjectKeyRing, *, source: str, operation: str, trace_id: str
    ) -> None:
        self._reader = reader
        self._keys = keys
        self.source = source
        self.operation = operation
        self.trace_id = trace_id
        self.actor = SYSTEM
        self.steps: list[Step] = []
        self.version: int | None = None
        """Version of the aggregate this Unit shows or changes; becomes the answer's ETag."""
        self.created_id: UUID | None = None
        self._boxes: dict[UUID, SubjectBox] = {}
        self._held: dict[UUID, int] = {}
        """Versions that the caller demanded, by the row they were compared with."""

    # --- reading

    async def find(self, statement: Select[T], **parameters: Any) -> T | None:
        """Return the only row of a `select(Model)`, or None. The row is read-only."""
        rows = await self._reader.fetch(statement, parameters or None)
        return cast(T, rows[0]) if rows else None

    async def list(self, statement: Select[T]) -> Sequence[T]:
        return cast(Sequence[T], await self._reader.fetch(statement))

    async def rows(self, statement: AnySelect) -> Sequence[Any]:
        """Return the rows of a select of columns or aggregates."""
        return await self._reader.fetch(statement)

    def shows(self, row: T, expected: int | None = None) -> T:
        """Name the row this answer is about, for its ETag; check the caller's If-Match if given."""
        found = cast(Any, row)
        self.version = found.version
        if expected is not None:
            if expected != self.version:
                raise PreconditionFailedError("precondition.failed")
            self._held[found.id] = expected
        return row

    # --- handing over

    def create(
        self,
        model: type[T],
        *events: EventData,
        about: UUID | None = None,
        also: UUID | None = None,
        **values: Any,
    ) -> T:
        """Hand over a new aggregate row with its first events; its version counts them.

        `about` is the case the record concerns, for the audit trail; it also lists the legal basis
        of a record that has one. `also` is a second organisation that may read the events.
        """
        record: Any = self._insert(model, {**values, "version": len(events)})
        if self.created_id is None:
            self.created_id, self.version = record.id, record.version
        self._emit(record, events, first_seq=1, also=also)
        basis = getattr(record, "legal_basis", None)
        self.audit("create", model.__tablename__, [str(record.id)], about=about, legal_basis=basis)
        return cast(T, record)

    def change(
        self,
        model: type[T],
        row: T,
        *events: EventData,
        about: UUID | None = None,
        also: UUID | None = None,
        **values: Any,
    ) -> T:
        """Hand over a change of `row` as it was read, with the events that tell of it."""
        old = cast(Any, row)
        if self._held.get(old.id, old.version) != old.version:
            raise StaleError  # read again since its version was compared with the caller's
        version = old.version + len(events)
        self.steps.append(
            Step(
                "update",
                _table(model),
                {**values, "version": version},
                {"id": old.id, "version": old.version},
                expect=1,
            )
        )
        columns = _table(model).columns.keys()
        record = SimpleNamespace(
            **{c: getattr(row, c) for c in columns} | values | {"version": version}
        )
        if self.created_id is None:
            self.version = version
        self._emit(record, events, first_seq=old.version + 1, also=also)
        basis = getattr(record, "legal_basis", None)
        self.audit("update", model.__tablename__, [str(old.id)], about=about, legal_basis=basis)
        return cast(T, record)

    def add(self, model: type[T], **values: Any) -> T:
        """Hand over a new row that is part of an aggregate changed in the same Unit."""
        return self._insert(model, values)

    def put(self, model: type[T], **values: Any) -> None:
        """Hand over a row of a projection: inserted, or replaced where its key is there."""
        table = _table(model)
        key = {c.name: values[c.name] for c in table.primary_key}
        self.steps.append(Step("put", table, values, key))

    def update(
        self, model: type[T], where: Values, *, expect: int | None = None, **values: Any
    ) -> None:
        """Hand over a plain update of a projection's or aggregate's part."""
        self.steps.append(Step("update", _table(model), values, where, expect=expect))

    def update_each(
        self, model: type[T], where: Mapping[str, Sequence[Any]], **values: Sequence[Any]
    ) -> None:
        """Hand over plain updates of many rows: the nth keys of `where` get the nth of the values.

        All sequences are of one length and no key is None; a key that is not there is passed over.
        """
        columns = {name: [*each] for name, each in values.items()}
        keys = {name: [*each] for name, each in where.items()}
        self.steps.append(Step("update_each", _table(model), columns, keys))

    def remove(self, model: type[T], *, expect: int | None = None, **where: Any) -> None:
        self.steps.append(Step("delete", _table(model), {}, where, expect))

    def require_unchanged(self, model: type[T], **where: Any) -> None:
        """Demand that a row on which the decision rests is still so when the Unit is written."""
        first = next(iter(where))
        self.steps.append(Step("update", _table(model), {first: where[first]}, where, expect=1))

    def audit(
        self,
        action: str,
        object_type: str,
        object_ids: Iterable[str],
        *,
        about: UUID | None = None,
        data_groups: Sequence[str] = (),
        purpose: str | None = None,
        legal_basis: str | None = None,
        decision: Literal["allow", "deny"] = "allow",
    ) -> None:
        """Hand over an audit entry; it commits with the change, or before the data leave."""
        actor = self.actor
        self._insert(
            AuditEntry,
            {
                "at": utcnow(),
                "actor": actor.subject,
                "client_id": actor.client_id,
                "organisation_id": actor.organisation_id,
                "role": actor.role,
                "action": action,
                "operation": self.operation,
                "object_type": object_type,
                "object_ids": [*object_ids],
                "subject": about,
                "data_groups": [*data_groups],
                "purpose": purpose,
                "legal_basis": legal_basis,
                "decision": decision,
                "trace_id": self.trace_id,
            },
        )

    def tell(
        self,
        subject: UUID,
        *events: EventData,
        first_seq: int,
        organisation_id: UUID | None = None,
        also: UUID | None = None,
    ) -> None:
        """Hand over events of `subject` numbered from `first_seq`; `create` and `change` do it.

        The first two of its `readers` may read an event in the change feed; of one that names none,
        `organisation_id`, whose record it is. `also` is the second where the event leaves that open.
        """
        trace = traceparent(self.trace_id)
        for seq, data in enumerate(events, first_seq):
            event = Event.of(data, subject=subject, seq=seq, source=self.source, traceparent=trace)
            first, second = data.concerned(organisation_id, also)
            self._insert(
                OutboxMessage,
                {
                    "event_id": event.id,
                    "subject": subject,
                    "seq": seq,
                    "type": event.type,
                    "topic": topic_of(event.type),
                    "payload": event.to_bytes(),
                    "organisation_id": first,
                    "other_organisation_id": second,
                },
            )

    def withhold(
        self, subject: UUID, *, kind: type[EventData] | None = None, **reader: UUID
    ) -> None:
        """Take what was told of `subject` so far, of one kind or all, out of a reader's feed.

        `reader` names the column of OutboxMessage in which the organisation stands.
        """
        kinds = {} if kind is None else {"type": kind.type}
        where = {"subject": subject, **kinds, **reader}
        self.update(OutboxMessage, where, **dict.fromkeys(reader))

    async def empty(self, subject: UUID, kind: type[EventData]) -> None:
        """Hand over that the content goes of what was told of `subject`, of one kind, for good.

        From the archive, so from what is sent again, and from every feed: see Event.emptied.
        """
        told = OutboxMessage.subject == subject, OutboxMessage.type == kind.type
        for row in await self.rows(select(OutboxMessage.id, OutboxMessage.payload).where(*told)):
            left = Event.from_bytes(row.payload).emptied()
            self.update(OutboxMessage, {"id": row.id}, type=left.type, payload=left.to_bytes())

    # --- sealing

    async def new_box(self, subject: UUID) -> SubjectBox:
        """Make the key of a new subject and hand its wrapped form over with the other rows."""
        key_id = new_id()
        wrapped, box = self._keys.create(key_id)
        self._insert(SubjectKey, {"id": key_id, "subject": subject, "wrapped": wrapped})
        self._boxes[subject] = box
        return box

    async def box(self, subject: UUID) -> SubjectBox | None:
        """Return the subject's key for sealing or opening; None when it was erased or never made.

        Whoever opens something with it calls `disclose` in the same Unit.
        """
        if subject in self._boxes:
            return self._boxes[subject]
        row = await self.find(_KEY, subject=subject)
        if row is None:
            return None
        box = self._boxes[subject] = self._keys.unwrap(row.id, row.wrapped)
        return box

    async def shred(self, subject: UUID) -> None:
        """Hand over the end of the subject's key; StaleError at the writing where it may not go."""
        row = await self.find(_KEY, subject=subject)
        self._boxes.pop(subject, None)
        if row is not None:
            self._keys.forget(row.id)  # another process that has just used it does within a minute
            self.remove(SubjectKey, expect=1, id=row.id)

    def disclose(
        self,
        object_type: str,
        object_ids: Iterable[str],
        *,
        about: UUID,
        data_groups: Sequence[str],
        purpose: str,
        legal_basis: str,
    ) -> None:
        """Record that opened data leave; the answer is sent only after this entry has committed."""
        self.audit(
            "read",
            object_type,
            object_ids,
            about=about,
            data_groups=data_groups,
            purpose=purpose,
            legal_basis=legal_basis,
        )

    # --- inside

    def _insert(self, model: type[T], values: Values) -> T:
        table = _table(model)
        full = with_defaults(table, values)
        self.steps.append(Step("insert", table, full))
        return cast(T, SimpleNamespace(**full))

    def _emit(
        self,
        record: Any,  # noqa: ANN401
        events: Sequence[EventData],
        *,
        first_seq: int,
        also: UUID | None,
    ) -> None:
        self.tell(
            record.id,
            *events,
            first_seq=first_seq,
            organisation_id=getattr(record, "organisation_id", None),
            also=also,
        )


def _table(model: type[DeclarativeBase]) -> Table:
    return cast(Table, model.__table__)


__all__ = [
    "SYSTEM",
    "Actor",
    "AnySelect",
    "DuplicateError",
    "Reader",
    "Sealed",
    "StaleError",
    "Step",
    "Unit",
    "Values",
]
