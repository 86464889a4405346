from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from common.clock import utcnow
from common.columns import COLUMN_TYPES, Sealed, new_metadata
from common.consent import ConsentGiver, ConsentScope, GuardianKind
from intake.domain.age import AgeBasis, AgeGroup
from intake.domain.case import BeneficiaryKind, CaseStatus
from intake.domain.consent import Assent
from intake.domain.identification import IdentificationStatus
from intake.domain.marker import Marker
from intake.domain.notice import NoticeQueue, NoticeStatus, Urgency
from intake.domain.ownership import Holding
from intake.domain.roles import DecidingAuthority

Code = String(40)


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = COLUMN_TYPES


class Notice(Base):
    """A report of a person. Its texts are sealed under a key of its own."""

    __tablename__ = "notice"
    __table_args__ = (
        Index("ix_notice_reporter", "organisation_id", "recorded_at", "id"),
        Index("ix_notice_recorded_at", "recorded_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    organisation_id: Mapped[UUID]
    """Who reported."""
    source: Mapped[str] = mapped_column(Code)
    country: Mapped[str] = mapped_column(String(2))
    urgency: Mapped[Urgency]
    status: Mapped[NoticeStatus]
    queue: Mapped[NoticeQueue]
    sex: Mapped[str | None] = mapped_column(Code)
    is_minor: Mapped[bool | None]
    estimated_age: Mapped[int | None]
    estimated_age_margin: Mapped[int | None]
    occurred_at: Mapped[datetime | None]
    received_on: Mapped[date]
    place_code: Mapped[Sealed | None]
    place_text: Mapped[Sealed | None]
    note: Mapped[Sealed | None]
    contact: Mapped[Sealed | None]
    case_id: Mapped[UUID | None] = mapped_column(index=True)
    triage_reason: Mapped[str | None] = mapped_column(Code)
    triage_note: Mapped[Sealed | None]
    triaged_at: Mapped[datetime | None]
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)


class Case(Base):
    """The facts of a case: codes, days and ids, and two sealed fields.

    The table is called case_file because CASE is a word of SQL.
    """

    __tablename__ = "case_file"
    __table_args__ = (
        Index("ix_case_file_owner", "organisation_id", "recorded_at", "id"),
        Index("ix_case_file_recorded_at", "recorded_at", "id"),
        Index(
            "ix_case_file_given_by",
            "given_by",
            sqlite_where=text("given_by IS NOT NULL"),
            postgresql_where=text("given_by IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    organisation_id: Mapped[UUID]
    country: Mapped[str] = mapped_column(String(2))
    status: Mapped[CaseStatus]
    beneficiary_kind: Mapped[BeneficiaryKind]
    identification_status: Mapped[IdentificationStatus]
    sex: Mapped[str] = mapped_column(Code)
    birth_date: Mapped[Sealed | None]
    """EDTF, as it was told."""
    estimated_age: Mapped[int | None]
    estimated_age_margin: Mapped[int | None]
    estimated_on: Mapped[date | None]
    """The day on which the person looked that old."""
    is_minor: Mapped[bool]
    """Whether the person may be under 18 today: kept true to the day by worker.come_of_age."""
    age_group: Mapped[AgeGroup]
    """At the first contact, as is what follows."""
    age_basis: Mapped[AgeBasis]
    urgency: Mapped[Urgency]
    legal_basis: Mapped[str] = mapped_column(Code)
    citizenships: Mapped[list[str]]
    languages: Mapped[list[str]]
    notice_id: Mapped[UUID | None]
    primary_case_id: Mapped[UUID | None]
    worker: Mapped[str | None] = mapped_column(String(64))
    has_identity: Mapped[bool]
    occurred_at: Mapped[datetime | None]
    contact_on: Mapped[date]
    """The day of the first contact: of occurred_at, else of the opening."""
    note: Mapped[Sealed | None]
    opened_at: Mapped[datetime]
    holding: Mapped[Holding] = mapped_column(default=Holding.OWNER, server_default="OWNER")
    """With `epoch` and `refused` this country's view of who owns the case: see domain.ownership."""
    epoch: Mapped[int] = mapped_column(default=1, server_default="1")
    refused: Mapped[int] = mapped_column(default=0, server_default="0")
    given_by: Mapped[UUID | None]
    """The referral by which the case was last given away: only its receiver answers for it."""
    erased_on: Mapped[date | None]
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)


class CaseOrigin(Base):
    """Of a case that came from another country: by which referral, and what was told in its codes."""

    __tablename__ = "case_origin"

    case_id: Mapped[UUID] = mapped_column(ForeignKey("case_file.id"), primary_key=True)
    referral_id: Mapped[UUID] = mapped_column(unique=True)
    sender_country: Mapped[str] = mapped_column(String(2))
    purpose: Mapped[str] = mapped_column(Code)
    data_groups: Mapped[list[str]]
    exploitation_types: Mapped[list[str]]
    unmapped: Mapped[dict[str, Any]]
    """Field → codes of the other country that this register has no counterpart for."""
    received_at: Mapped[datetime] = mapped_column(default=utcnow)


class PackageRelease(Base):
    """That a person's data left for another country, never changed: what, for what, by which referral."""

    __tablename__ = "package_release"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    case_id: Mapped[UUID] = mapped_column(ForeignKey("case_file.id"), index=True)
    referral_id: Mapped[UUID] = mapped_column(index=True)
    recipient_country: Mapped[str] = mapped_column(String(2))
    purpose: Mapped[str] = mapped_column(Code)
    data_groups: Mapped[list[str]]
    released_at: Mapped[datetime] = mapped_column(default=utcnow)


class CaseIdentity(Base):
    """Who the person of a case is. Every field is sealed under the case's key, lists as JSON."""

    __tablename__ = "case_identity"

    case_id: Mapped[UUID] = mapped_column(ForeignKey("case_file.id"), primary_key=True)
    given_name: Mapped[Sealed | None]
    family_name: Mapped[Sealed | None]
    other_names: Mapped[Sealed | None]
    birth_date: Mapped[Sealed | None]
    birth_place: Mapped[Sealed | None]
    address: Mapped[Sealed | None]
    phones: Mapped[Sealed | None]
    email: Mapped[Sealed | None]
    documents: Mapped[Sealed | None]
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)


class Consent(Base):
    """A consent as it was given. The row is never changed; a withdrawal is a row beside it."""

    __tablename__ = "consent"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    case_id: Mapped[UUID] = mapped_column(ForeignKey("case_file.id"), index=True)
    scope: Mapped[ConsentScope]
    form_version: Mapped[str | None] = mapped_column(String(64))
    language: Mapped[str] = mapped_column(String(11))
    given_by: Mapped[ConsentGiver]
    guardian: Mapped[GuardianKind | None]
    assent: Mapped[Assent | None]
    interpreter_present: Mapped[bool]
    witness_present: Mapped[bool]
    recipient_organisation_id: Mapped[UUID | None]
    recipient_kinds: Mapped[list[str]] = mapped_column(server_default="[]")
    recipient_countries: Mapped[list[str]]
    purposes: Mapped[list[str]]
    data_groups: Mapped[list[str]]
    risk_information_given: Mapped[bool]
    granted_on: Mapped[date]
    expires_on: Mapped[date | None]
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)


class ConsentWithdrawal(Base):
    """The end of a consent; there is one at most."""

    __tablename__ = "consent_withdrawal"

    consent_id: Mapped[UUID] = mapped_column(ForeignKey("consent.id"), primary_key=True)
    withdrawn_on: Mapped[date]
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)


class CaseMarker(Base):
    """A population marker as it was recorded, never changed; its end is a row beside it."""

    __tablename__ = "case_marker"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    case_id: Mapped[UUID] = mapped_column(ForeignKey("case_file.id"), index=True)
    marker: Mapped[Marker]
    since: Mapped[date]
    recorded_by: Mapped[str] = mapped_column(String(64))
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)


class CaseMarkerEnd(Base):
    """The end of a marker; there is one at most."""

    __tablename__ = "case_marker_end"

    marker_id: Mapped[UUID] = mapped_column(ForeignKey("case_marker.id"), primary_key=True)
    until: Mapped[date]
    recorded_by: Mapped[str] = mapped_column(String(64))
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)


class Declaration(Base):
    """What a person declared of herself. What it is, and for which purposes, is sealed as one.

    A withdrawal leaves the row without its content, and the fact that there was something.
    """

    __tablename__ = "declaration"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    case_id: Mapped[UUID] = mapped_column(ForeignKey("case_file.id"), index=True)
    content: Mapped[Sealed | None]
    recorded_by: Mapped[str] = mapped_column(String(64))
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)
    withdrawn_at: Mapped[datetime | None]


class IdentificationDecision(Base):
    """A step of identification as it was decided, never changed: the history of a case."""

    __tablename__ = "identification_decision"
    __table_args__ = (UniqueConstraint("case_id", "number"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    case_id: Mapped[UUID] = mapped_column(ForeignKey("case_file.id"))
    number: Mapped[int]
    """1, 2, 3 … within the case."""
    assessment: Mapped[int]
    status: Mapped[IdentificationStatus]
    previous_status: Mapped[IdentificationStatus]
    decided_by: Mapped[DecidingAuthority]
    participants: Mapped[list[str]]
    legal_basis: Mapped[str] = mapped_column(Code)
    decided_on: Mapped[date]
    rule_version: Mapped[str] = mapped_column(Code)
    exploitation_types: Mapped[list[str]]
    acts: Mapped[list[str]]
    means: Mapped[list[str]]
    note: Mapped[Sealed | None]
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)


class KnownReferral(Base):
    """What this service has learnt of a referral: whom a case was referred to, and how far it is."""

    __tablename__ = "known_referral"
    __table_args__ = (Index("ix_known_referral_receiver", "receiving_organisation_id", "case_id"),)

    referral_id: Mapped[UUID] = mapped_column(primary_key=True)
    case_id: Mapped[UUID]
    receiving_organisation_id: Mapped[UUID]
    status: Mapped[str] = mapped_column(Code)
    consent_withdrawn_on: Mapped[date | None]
    """Since when the consent the referral rested on is withdrawn: its receiver sees no more."""


class KnownTransfer(Base):
    """What this service has learnt of a referral to or from another country; see CrossBorderChanged."""

    __tablename__ = "known_transfer"

    referral_id: Mapped[UUID] = mapped_column(primary_key=True)
    case_id: Mapped[UUID | None] = mapped_column(index=True)
    direction: Mapped[str] = mapped_column(Code)
    peer_country: Mapped[str] = mapped_column(String(2))
    organisation_id: Mapped[UUID | None]
    recipient_organisation_id: Mapped[UUID | None]
    recipient_kind: Mapped[str | None] = mapped_column(Code)
    purpose: Mapped[str | None] = mapped_column(Code)
    data_groups: Mapped[list[str]]
    urgency: Mapped[str] = mapped_column(Code)
    status: Mapped[str] = mapped_column(Code)


class Standing(Base):
    """What this database takes itself to be; another answer at the start means it was put back."""

    __tablename__ = "standing"

    id: Mapped[int] = mapped_column(primary_key=True)
    sign: Mapped[str]
    """See common.put_back."""
    asked: Mapped[UUID | None]
    """Set from then on until every peer has said what it heard of this country: no case is edited."""


class KnownOrganisation(Base):
    """What this service has learnt from the directory: of which kind an organisation is."""

    __tablename__ = "known_organisation"

    organisation_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Code)
