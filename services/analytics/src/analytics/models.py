from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Index, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from common.columns import COLUMN_TYPES, new_metadata


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = COLUMN_TYPES


class CaseFact(Base):
    """A case's codes as they stood after its event `seq`; nothing is overwritten.

    The whole state is repeated in each row, so that a figure of the past is one look at the rows
    whose event had happened by then.
    """

    __tablename__ = "case_fact"
    __table_args__ = (
        # What a figure looks at: it never reads the rows themselves.
        Index(
            "ix_case_fact_state",
            "case_id",
            "seq",
            "happened_at",
            "beneficiary_kind",
            "sex",
            "age_group",
        ),
    )

    case_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    happened_at: Mapped[datetime]
    country: Mapped[str] = mapped_column(String(2))
    organisation_id: Mapped[UUID]
    beneficiary_kind: Mapped[str] = mapped_column(String(40))
    identification_status: Mapped[str] = mapped_column(String(40))
    sex: Mapped[str] = mapped_column(String(40))
    age_group: Mapped[str] = mapped_column(String(8))


class MarkerFact(Base):
    """What one event of a case told of a population marker: its first day, or its last."""

    __tablename__ = "marker_fact"

    case_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    happened_at: Mapped[datetime] = mapped_column(index=True)
    marker_id: Mapped[UUID]
    marker: Mapped[str] = mapped_column(String(40))
    since: Mapped[date | None]
    until: Mapped[date | None]


class PlanFact(Base):
    """A plan as it stood after its event `seq`. `entered_on` is set from its start on."""

    __tablename__ = "plan_fact"
    __table_args__ = (
        Index("ix_plan_fact_start", "case_id", "entered_on", "happened_at"),
        Index("ix_plan_fact_state", "plan_id", "seq", "happened_at", "case_id", "phase", "overdue"),
    )

    plan_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    happened_at: Mapped[datetime]
    case_id: Mapped[UUID]
    phase: Mapped[str] = mapped_column(String(40))
    entered_on: Mapped[date | None]
    overdue: Mapped[bool]
    closure_reason: Mapped[str | None] = mapped_column(String(40))


class ReferralFact(Base):
    """A referral as it stood after its event `seq`."""

    __tablename__ = "referral_fact"
    __table_args__ = (
        Index("ix_referral_fact_state", "referral_id", "seq", "happened_at", "status"),
    )

    referral_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    happened_at: Mapped[datetime]
    case_id: Mapped[UUID]
    status: Mapped[str] = mapped_column(String(40))
    urgency: Mapped[str] = mapped_column(String(40))
    service_type: Mapped[str] = mapped_column(String(40))
