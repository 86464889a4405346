"""The tables every service's database has: outbox, inbox, audit, keys, idempotency."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from common.clock import utcnow
from common.columns import COLUMN_TYPES, Sealed, new_metadata

Counter = BigInteger().with_variant(Integer, "sqlite")


class CommonBase(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = COLUMN_TYPES


class OutboxMessage(CommonBase):
    """An event of this service: waiting for the relay, then its archive.

    `id` is drawn while the aggregate's row is locked, so within an aggregate it follows `seq`.
    `feed_position` is stamped by the one leading relay; readers page by it and by nothing else.
    """

    __tablename__ = "outbox_message"
    __table_args__ = (
        UniqueConstraint("subject", "seq"),
        Index(
            "ix_outbox_message_waiting",
            "id",
            sqlite_where=text("published_at IS NULL"),
            postgresql_where=text("published_at IS NULL"),
        ),
        # Each index is written with the event and again with its mark; those with nothing in them are not.
        Index(
            "uq_outbox_message_feed_position",
            "feed_position",
            unique=True,
            sqlite_where=text("feed_position IS NOT NULL"),
            postgresql_where=text("feed_position IS NOT NULL"),
        ),
        Index(
            "ix_outbox_message_other_organisation_id",
            "other_organisation_id",
            sqlite_where=text("other_organisation_id IS NOT NULL"),
            postgresql_where=text("other_organisation_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Counter, primary_key=True, autoincrement=True)
    event_id: Mapped[UUID]
    subject: Mapped[UUID]
    seq: Mapped[int]
    type: Mapped[str] = mapped_column(String(100))
    topic: Mapped[str] = mapped_column(String(100))
    organisation_id: Mapped[UUID | None] = mapped_column(index=True)
    """The organisation whose record changed; it may read the event in the feed."""
    other_organisation_id: Mapped[UUID | None]
    """A second organisation the event concerns: the receiver of a referral, the owner of a plan's
    case, the recipient of a consent. It is taken out again when that organisation keeps only the
    fact and the date."""
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    published_at: Mapped[datetime | None]
    feed_position: Mapped[int | None] = mapped_column(Counter)


class RelayLease(CommonBase):
    """Fencing: a relay that lost its leadership holds an older epoch and can mark nothing."""

    __tablename__ = "relay_lease"

    id: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    feed_position: Mapped[int] = mapped_column(Counter)


class InboxMessage(CommonBase):
    """An event this service has seen, remembered so that a redelivery has no effect."""

    __tablename__ = "inbox_message"

    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(String(100))
    subject: Mapped[UUID]
    seq: Mapped[int]
    payload_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    outcome: Mapped[str] = mapped_column(String(20))
    received_at: Mapped[datetime] = mapped_column(default=utcnow)


class InboxAggregate(CommonBase):
    """How far this service has applied one aggregate's events; a parked one applies no more."""

    __tablename__ = "inbox_aggregate"

    topic: Mapped[str] = mapped_column(String(100), primary_key=True)
    subject: Mapped[UUID] = mapped_column(primary_key=True)
    last_seq: Mapped[int]
    parked_at: Mapped[datetime | None]
    parked_reason: Mapped[str | None] = mapped_column(String(100))


class InboxPending(CommonBase):
    """An event that came early, or waits behind a parked one."""

    __tablename__ = "inbox_pending"

    topic: Mapped[str] = mapped_column(String(100), primary_key=True)
    subject: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[UUID]
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime] = mapped_column(default=utcnow)


class ConsumerPosition(CommonBase):
    """Where this service stands in each partition; the bus is asked for nothing else.

    `log_id` is of the log that `next_offset` counts in: in one that was made anew the number is
    meaningless, however far that log has come. It is NULL until it is known.
    `owner_epoch` rises when a worker is given the partition; one that had it before, and has not
    heard yet, can move nothing.
    """

    __tablename__ = "consumer_position"

    topic: Mapped[str] = mapped_column(String(100), primary_key=True)
    partition: Mapped[int] = mapped_column(primary_key=True)
    next_offset: Mapped[int] = mapped_column(Counter)
    owner_epoch: Mapped[int] = mapped_column(server_default="0")
    log_id: Mapped[UUID | None]


class DeadLetter(CommonBase):
    """A record that can never be applied. `value` is kept sealed; a person decides what follows."""

    __tablename__ = "dead_letter"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(String(100))
    partition: Mapped[int]
    offset: Mapped[int] = mapped_column(Counter)
    reason: Mapped[str] = mapped_column(String(100))
    value: Mapped[Sealed]
    received_at: Mapped[datetime] = mapped_column(default=utcnow)


class IdempotencyAnswer(CommonBase):
    """The answer first given to a key, sealed, so that a repeated POST gets the same bytes."""

    __tablename__ = "idempotency_answer"

    key: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    """Keyed hash of caller, operation, path and Idempotency-Key."""
    request_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    status: Mapped[int]
    answer: Mapped[Sealed]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SubjectKey(CommonBase):
    """The AES-256 key of one case (or notice, plan, …), wrapped by the master key.

    Deleting the row makes everything sealed under it unreadable for good.
    """

    __tablename__ = "subject_key"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    subject: Mapped[UUID] = mapped_column(unique=True)
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)


class KeyMark(CommonBase):
    """By which master key and for which country this database was made: a row for each.

    Both are drawn from the key, and tell nothing of it.
    """

    __tablename__ = "key_mark"

    id: Mapped[int] = mapped_column(primary_key=True)
    mark: Mapped[bytes] = mapped_column(LargeBinary(32))


class AuditEntry(CommonBase):
    """Who did or read what; inserted in the transaction of the act and never changed."""

    __tablename__ = "audit_entry"

    id: Mapped[int] = mapped_column(Counter, primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(100))
    client_id: Mapped[str | None] = mapped_column(String(100))
    organisation_id: Mapped[UUID | None]
    role: Mapped[str | None] = mapped_column(String(40))
    action: Mapped[str] = mapped_column(String(20))
    operation: Mapped[str] = mapped_column(String(60))
    object_type: Mapped[str] = mapped_column(String(40))
    object_ids: Mapped[list[str]]
    subject: Mapped[UUID | None] = mapped_column(index=True)
    """The case the act concerns, so that a person can be told who looked."""
    data_groups: Mapped[list[str]]
    purpose: Mapped[str | None] = mapped_column(String(40))
    legal_basis: Mapped[str | None] = mapped_column(String(40))
    decision: Mapped[str] = mapped_column(String(10))
    trace_id: Mapped[str] = mapped_column(String(64))


class AuditShown(CommonBase):
    """Which records an entry of a list showed, so that a record's readers are found without a search.

    Written by the sealer with the entry's link and drawn from the entry alone.
    """

    __tablename__ = "audit_shown"

    object_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    entry_id: Mapped[int] = mapped_column(Counter, primary_key=True, autoincrement=False)


class AuditLink(CommonBase):
    """The hash chain over the audit entries, written by the sealer within about a second."""

    __tablename__ = "audit_link"

    seq: Mapped[int] = mapped_column(Counter, primary_key=True, autoincrement=False)
    entry_id: Mapped[int] = mapped_column(Counter, unique=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))


class AuditHead(CommonBase):
    """A head of this service's chain, published to the sibling services and signed."""

    __tablename__ = "audit_head"

    last_seq: Mapped[int] = mapped_column(Counter, primary_key=True, autoincrement=False)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    signature: Mapped[bytes] = mapped_column(LargeBinary)
    version: Mapped[int]
    sealed_at: Mapped[datetime]


class KnownAuditHead(CommonBase):
    """A head another service published: whoever rewrites that chain must rewrite this too."""

    __tablename__ = "known_audit_head"

    source: Mapped[str] = mapped_column(String(20), primary_key=True)
    last_seq: Mapped[int] = mapped_column(Counter, primary_key=True, autoincrement=False)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    signature: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime] = mapped_column(default=utcnow)
