from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from common.clock import utcnow
from common.columns import COLUMN_TYPES, Sealed, new_metadata
from reintegration.domain.agreement import AgreementStatus
from reintegration.domain.phases import Phase
from reintegration.domain.plan import Action, Direction

_IS_CARRIED = text("phase <> 'CLOSED' AND consent_withdrawn_on IS NULL")


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = COLUMN_TYPES


class Plan(Base):
    """The reintegration of one case at one organisation; consent carries one open plan at a time.

    `due_on` is the first day on which the plan is overdue in its phase, null for a phase without a
    window. `overdue_phase` remembers that this was told, until the phase changes.
    """

    __tablename__ = "plan"
    __table_args__ = (
        Index(
            "ix_plan_open_case",
            "case_id",
            unique=True,
            sqlite_where=_IS_CARRIED,
            postgresql_where=_IS_CARRIED,
        ),
        Index("ix_plan_owner", "organisation_id", "recorded_at", "id"),
        Index("ix_plan_recorded_at", "recorded_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    organisation_id: Mapped[UUID]
    case_id: Mapped[UUID] = mapped_column(index=True)
    referral_id: Mapped[UUID]
    """The referral whose acceptance opened the plan; others may have joined it."""
    country: Mapped[str] = mapped_column(String(2))
    phase: Mapped[Phase]
    is_suspended: Mapped[bool] = mapped_column(default=False)
    episode: Mapped[int] = mapped_column(default=1)
    episode_began_on: Mapped[date]
    """The day of opening, or of the last reopening."""
    policy_version: Mapped[int]
    opened_on: Mapped[date]
    entered_on: Mapped[date | None]
    due_on: Mapped[date | None] = mapped_column(index=True)
    overdue_phase: Mapped[Phase | None]
    closed_on: Mapped[date | None]
    closed_from: Mapped[Phase | None]
    closure_reason: Mapped[str | None] = mapped_column(String(40))
    consent_withdrawn_on: Mapped[date | None]
    """Since when no referral to the organisation carries the plan, as consent was withdrawn."""
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow)


class PlanReferral(Base):
    """An accepted referral of the plan's case: the one that opened it, or one that joined it."""

    __tablename__ = "plan_referral"

    referral_id: Mapped[UUID] = mapped_column(primary_key=True)
    plan_id: Mapped[UUID] = mapped_column(ForeignKey("plan.id"), index=True)
    sending_organisation_id: Mapped[UUID]
    receiving_organisation_id: Mapped[UUID]
    service_type: Mapped[str] = mapped_column(String(40))
    accepted_on: Mapped[date]
    ended_on: Mapped[date | None]
    """The day on which it was completed or cancelled: from then on it does not carry the plan."""


class PlanStep(Base):
    """One step of a plan, never changed: the history of its phases, suspensions and closures."""

    __tablename__ = "plan_step"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    plan_id: Mapped[UUID] = mapped_column(ForeignKey("plan.id"), index=True)
    plan_version: Mapped[int]
    """The plan's version after the step; steps are read in this order."""
    episode: Mapped[int]
    action: Mapped[Action]
    from_phase: Mapped[Phase]
    to_phase: Mapped[Phase]
    direction: Mapped[Direction | None]
    is_early: Mapped[bool]
    reason: Mapped[str | None] = mapped_column(String(40))
    happened_on: Mapped[date]
    month: Mapped[int | None]
    note: Mapped[Sealed | None]
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)


class Agreement(Base):
    """One version of a plan's agreement. Its terms never change: new terms are a new version."""

    __tablename__ = "agreement"
    __table_args__ = (UniqueConstraint("plan_id", "agreement_version"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    plan_id: Mapped[UUID] = mapped_column(ForeignKey("plan.id"))
    agreement_version: Mapped[int]
    status: Mapped[AgreementStatus]
    parties: Mapped[list[str]]
    duties: Mapped[Sealed]
    amount: Mapped[str | None] = mapped_column(String(13))
    """As text: SQLite has no exact decimals."""
    currency: Mapped[str | None] = mapped_column(String(3))
    review_on: Mapped[date]
    effective_on: Mapped[date | None]
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)


class AgreementSignature(Base):
    """A party's signature on paper, told by whoever saw it."""

    __tablename__ = "agreement_signature"

    agreement_id: Mapped[UUID] = mapped_column(ForeignKey("agreement.id"), primary_key=True)
    party: Mapped[str] = mapped_column(String(40), primary_key=True)
    signed_on: Mapped[date]
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)


class KnownCase(Base):
    """What this service has learnt of a case from intake: whose it is, and whether a child's."""

    __tablename__ = "known_case"

    case_id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID] = mapped_column(index=True)
    is_minor: Mapped[bool]


class DepartedCase(Base):
    """A case that this country handed over to another one, for good: what comes back is a new case."""

    __tablename__ = "departed_case"

    case_id: Mapped[UUID] = mapped_column(primary_key=True)
    referral_id: Mapped[UUID]
    """The referral across the border by which it went."""
    departed_on: Mapped[date]
