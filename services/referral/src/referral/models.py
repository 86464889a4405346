from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, String, Text, and_, literal_column, or_
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from common.clock import utcnow
from common.columns import COLUMN_TYPES, Sealed, new_metadata
from common.federation.custody import GENESIS
from referral.domain.cross_border import CrossBorderStatus, Direction
from referral.domain.referral import ReferralStatus, Urgency

Code = String(40)


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = COLUMN_TYPES


# --- the directory


class Organisation(Base):
    """An organisation of the referral mechanism. Its name is public; no person is named here."""

    __tablename__ = "organisation"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(Code)
    sector: Mapped[str] = mapped_column(Code)
    country: Mapped[str] = mapped_column(String(2))
    municipality: Mapped[str | None] = mapped_column(String(20))
    languages: Mapped[list[str]]
    roles: Mapped[list[str]]
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)


class Service(Base):
    """A service an organisation offers. Both counts are null when it counts no places."""

    __tablename__ = "service"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    organisation_id: Mapped[UUID] = mapped_column(index=True)
    country: Mapped[str] = mapped_column(String(2))
    service_type: Mapped[str] = mapped_column(Code, index=True)
    sexes: Mapped[list[str]]
    age_groups: Mapped[list[str]]
    languages: Mapped[list[str]]
    accessibility: Mapped[list[str]]
    capacity: Mapped[int | None]
    free_places: Mapped[int | None]
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)


# --- referrals


class Referral(Base):
    """A referral from one organisation to another inside the country."""

    __tablename__ = "referral"
    __table_args__ = (
        Index("ix_referral_sent", "sending_organisation_id", "recorded_at", "id"),
        Index("ix_referral_received", "receiving_organisation_id", "recorded_at", "id"),
        Index("ix_referral_recorded_at", "recorded_at", "id"),
        Index("ix_referral_clock", "status", "respond_by"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    case_id: Mapped[UUID] = mapped_column(index=True)
    sending_organisation_id: Mapped[UUID]
    receiving_organisation_id: Mapped[UUID]
    service_id: Mapped[UUID | None]
    service_type: Mapped[str] = mapped_column(Code)
    sex: Mapped[str] = mapped_column(Code)
    """Like `age_group` the case's when it was drafted, then when it was last sent."""
    age_group: Mapped[str] = mapped_column(String(8))
    urgency: Mapped[Urgency]
    purpose: Mapped[str] = mapped_column(Code)
    data_groups: Mapped[list[str]]
    languages: Mapped[list[str]]
    trm_stage: Mapped[str | None] = mapped_column(Code)
    status: Mapped[ReferralStatus]
    note: Mapped[Sealed | None]
    reason: Mapped[str | None] = mapped_column(Code)
    """Of the last step."""
    reason_note: Mapped[Sealed | None]
    suggested_service_id: Mapped[UUID | None]
    consent_ids: Mapped[list[str]]
    """The consents the disclosure rests on since the last step that showed more."""
    holds_place: Mapped[bool] = mapped_column(default=False)
    """Whether a place of the service was taken at acceptance; the end gives it back."""
    submitted_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    consent_withdrawn_on: Mapped[date | None]
    """Since when the disclosure rests on nothing: the receiver keeps only the fact and this day."""
    closed_to_sender_on: Mapped[date | None]
    """Since when the sender, who had the case by a consent now withdrawn, keeps only the fact."""
    respond_by: Mapped[datetime | None]
    policy_version: Mapped[int | None]
    """Edition of the deadlines that `respond_by` was computed by."""
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)


# --- referrals to and from other countries


class CrossBorderReferral(Base):
    """A referral to another country, or from one, as this country has it.

    What only the sender knows of the preparation is null in the receiving country.
    """

    __tablename__ = "cross_border_referral"
    __table_args__ = (
        Index("ix_cross_border_referral_organisation", "organisation_id", "recorded_at", "id"),
        Index("ix_cross_border_referral_recorded_at", "recorded_at", "id"),
        Index("ix_cross_border_referral_clock", "status", "respond_by"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    direction: Mapped[Direction]
    peer_country: Mapped[str] = mapped_column(String(2))
    status: Mapped[CrossBorderStatus]
    organisation_id: Mapped[UUID | None]
    """Who sends the person; in the receiving country who takes her in, None before that is said."""
    case_id: Mapped[UUID | None] = mapped_column(index=True)
    """The case of this country's own register."""
    sex: Mapped[str | None] = mapped_column(Code)
    age_group: Mapped[str | None] = mapped_column(String(8))
    needs: Mapped[list[str]]
    languages: Mapped[list[str]]
    urgency: Mapped[str] = mapped_column(Code)
    purpose: Mapped[str | None] = mapped_column(Code)
    data_groups: Mapped[list[str]]
    requested_kind: Mapped[str | None] = mapped_column(Code)
    requested_organisation_id: Mapped[UUID | None]
    recipient_kind: Mapped[str | None] = mapped_column(Code)
    recipient_organisation_id: Mapped[UUID | None]
    """Who takes the person in, as the receiving country said when it accepted."""
    service_id: Mapped[UUID | None]
    trm_stage: Mapped[str | None] = mapped_column(Code)
    transfer_basis: Mapped[str | None] = mapped_column(Code)
    risk_assessed_on: Mapped[date | None]
    needs_assessed_on: Mapped[date | None]
    guardian_appointed_on: Mapped[date | None]
    consent_ids: Mapped[list[str]]
    """The consents the offer, and the package after it, rest on."""
    reason: Mapped[str | None] = mapped_column(Code)
    """Of the last step."""
    precondition: Mapped[str | None] = mapped_column(Code)
    planned_on: Mapped[date | None]
    arrived_on: Mapped[date | None]
    submitted_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    respond_by: Mapped[datetime | None]
    policy_version: Mapped[int | None]
    packaged_at: Mapped[datetime | None]
    """When the person's data were sent, or came."""
    consent_withdrawn_on: Mapped[date | None]
    erased_on: Mapped[date | None]
    """When the receiving country had nothing of the person any more."""
    said: Mapped[int] = mapped_column(default=0)
    """Number of this country's newest statement in the chain of custody."""
    said_hash: Mapped[str] = mapped_column(String(64), default=GENESIS)
    heard: Mapped[int] = mapped_column(default=0)
    """Number of the other country's newest statement that was taken here."""
    heard_hash: Mapped[str] = mapped_column(String(64), default=GENESIS)
    given_back: Mapped[int] = mapped_column(default=0, server_default="0")
    """Number of this country's newest statement that the other gave back; above `said` while what was
    forgotten is being taken again."""
    owning_word: Mapped[str | None] = mapped_column(Code)
    """With `owning_epoch` the last that this country's register said here of who may edit the case."""
    owning_epoch: Mapped[int | None]
    forked_at: Mapped[datetime | None]
    """When the other country was found to have said two things under one number; until it has put
    that right nothing more is taken from it here."""
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)


class Letter(Base):
    """A letter of this country, waiting for the courier or for the word that it was heard."""

    __tablename__ = "letter"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    referral_id: Mapped[UUID] = mapped_column(index=True)
    number: Mapped[int]
    receipt_of: Mapped[int] = mapped_column(default=0)
    """As of the statement it carries; a receipt needs no answer."""
    kind: Mapped[str] = mapped_column(Code)
    recipient: Mapped[str] = mapped_column(String(2))
    body: Mapped[Sealed | None]
    """JSON under the key of the referral. Of the person it is gone once the letter was heard; the rest
    is kept for a while, for a peer that is put back from a backup."""
    written_at: Mapped[datetime] = mapped_column(default=utcnow)
    sent_at: Mapped[datetime | None]
    times_sent: Mapped[int] = mapped_column(default=0)
    heard_at: Mapped[datetime | None]


# A bound 0 would keep a database from seeing that a query asks for no letter outside the index.
STILL_DUE = or_(
    Letter.sent_at.is_(None),
    and_(Letter.receipt_of == literal_column("0"), Letter.heard_at.is_(None)),
)
"""Letters that go now or later, unless they are heard first: few among those of a country's history."""
Index(
    "ix_letter_due",
    Letter.recipient,
    Letter.written_at,
    Letter.number,
    sqlite_where=STILL_DUE,
    postgresql_where=STILL_DUE,
)


class OwedLetter(Base):
    """What this country is to tell a peer that has not said yet what it heard of it before.

    Its own events took effect here at once; only the peer hears of them later.
    """

    __tablename__ = "owed_letter"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    referral_id: Mapped[UUID] = mapped_column(index=True)
    place: Mapped[int]
    """Order among those of the referral."""
    kind: Mapped[str] = mapped_column(Code)
    content: Mapped[Sealed | None]
    """Of the event that it tells of, as JSON under the key of the referral; None where the kind says
    all. A package's goes with the referral that is called off."""
    said_on: Mapped[date]


class Custody(Base):
    """A statement of one country in the chain of custody of a referral, its own or the other's."""

    __tablename__ = "custody"

    referral_id: Mapped[UUID] = mapped_column(primary_key=True)
    author: Mapped[str] = mapped_column(String(2), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    receipt_of: Mapped[int] = mapped_column(primary_key=True)
    """0 of a link of the chain; of a receipt the number of the statement that was taken."""
    statement: Mapped[str] = mapped_column(Text)
    """Canonical JSON: the bytes that the hash and the signature are over."""
    hash: Mapped[str] = mapped_column(String(64))
    kid: Mapped[str | None] = mapped_column(String(32), index=True)
    """The key that signed it; None while a statement of our own waits for the courier."""
    signature: Mapped[str | None] = mapped_column(String(88))


class Fork(Base):
    """A signed statement in whose place another of its author's stands: the other half of the proof.

    Of a peer, what it said second; of this country, what gave way to what the peer had heard.
    """

    __tablename__ = "fork"

    referral_id: Mapped[UUID] = mapped_column(primary_key=True)
    author: Mapped[str] = mapped_column(String(2), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    signed: Mapped[str] = mapped_column(Text)
    """A SignedStatement as JSON."""
    seen_at: Mapped[datetime] = mapped_column(default=utcnow)


class Slip(Base):
    """A word to a peer outside every chain, waiting for the courier; gone once it was sent."""

    __tablename__ = "slip"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    peer: Mapped[str] = mapped_column(String(2))
    kind: Mapped[str] = mapped_column(Code)
    body: Mapped[dict[str, Any]]
    """Ids, numbers, hashes and signed statements; no word of a letter."""
    written_at: Mapped[datetime] = mapped_column(default=utcnow)
    position: Mapped[int]
    """Order among those written at the same time."""


class Standing(Base):
    """What this database takes itself to be; another answer at the start means it was put back."""

    __tablename__ = "standing"

    id: Mapped[int] = mapped_column(primary_key=True)
    sign: Mapped[str]
    """See common.put_back."""
    asked: Mapped[UUID | None]
    """The question of this country's register that is answered once every peer has."""


class PeerToHear(Base):
    """A peer that has not said yet what it heard of this country since that was put back."""

    __tablename__ = "peer_to_hear"

    country: Mapped[str] = mapped_column(String(2), primary_key=True)
    asked: Mapped[UUID]
    """The newest question, as its answer names it."""
    is_written: Mapped[bool] = mapped_column(default=False)
    """Whether the roll with the question waits for the courier, or has left."""
    lacks: Mapped[dict[str, Any]]
    """Question since it was put back, the newest last → letter of its roll, by the id behind which it
    begins → the part of its answer that comes next."""


# --- what intake told us


class KnownCase(Base):
    """A case as its events told it; `version` is the seq of the last one that took effect."""

    __tablename__ = "known_case"

    case_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    organisation_id: Mapped[UUID]
    """The owner."""
    country: Mapped[str] = mapped_column(String(2))
    beneficiary_kind: Mapped[str] = mapped_column(Code)
    sex: Mapped[str] = mapped_column(Code)
    age_group: Mapped[str] = mapped_column(String(8))
    is_minor: Mapped[bool]
    urgency: Mapped[str] = mapped_column(Code)
    given_epoch: Mapped[int | None]
    """The epoch under which it was given to another country, until that refuses it or gives it back."""
    given_by: Mapped[UUID | None]
    """The referral by which it was given."""


class KnownConsent(Base):
    """A consent as its events told it; `version` is the seq of the last one that took effect."""

    __tablename__ = "known_consent"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    case_id: Mapped[UUID] = mapped_column(index=True)
    scope: Mapped[str] = mapped_column(Code)
    recipient_organisation_id: Mapped[UUID | None]
    recipient_kinds: Mapped[list[str]] = mapped_column(server_default="[]")
    recipient_countries: Mapped[list[str]]
    purposes: Mapped[list[str]]
    data_groups: Mapped[list[str]]
    given_by: Mapped[str] = mapped_column(Code)
    guardian: Mapped[str | None] = mapped_column(Code)
    """None where the person consented herself, and where the event is older than this field."""
    granted_on: Mapped[date]
    expires_on: Mapped[date | None]
    is_withdrawn: Mapped[bool] = mapped_column(default=False)
    uses: Mapped[int] = mapped_column(default=0)
    """Raised whenever a referral comes to rest on it, so that a withdrawal that was decided before
    meets a changed row and looks again for referrals to call off."""
