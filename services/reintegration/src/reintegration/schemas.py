import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticKnownError

from common.codelists import code_of
from common.schema import LongText, ReadModel, StrictModel, examples

PlanPhase = Annotated[str, code_of("plan_phases")]
PhaseChangeReason = Annotated[str, code_of("phase_change_reasons")]
ClosureReason = Annotated[str, code_of("closure_reasons")]
AgreementParty = Annotated[str, code_of("agreement_parties")]
Amount = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,9})(\.[0-9]{1,2})?$")]
"""A sum as text: a JSON number would lose its cents on the way through a binary float."""

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
"""An ISO 4217 code."""

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _only_a_day(value: object) -> object:
    # pydantic would also read a number as seconds since 1970 and a time as its day.
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise PydanticKnownError("date_parsing", {"error": "not a day"})
    if not isinstance(value, str | date):
        raise PydanticKnownError("date_type")
    return value


Day = Annotated[date, BeforeValidator(_only_a_day)]
"""A calendar day, `2026-11-22`, and nothing else."""

_SENSITIVE: dict[str, Any] = {"x-data-class": "P1"}
"""Free text about a person: sealed under the case's key where it is stored."""


class PlanStart(StrictModel):
    model_config = ConfigDict(json_schema_extra=examples({"entered_on": "2026-03-31"}))

    entered_on: Day = Field(
        description="The day of entry into the programme, from which all months are counted."
    )


class PhaseChange(StrictModel):
    model_config = ConfigDict(
        json_schema_extra=examples(
            {"to_phase": "TRANSITION"},
            {
                "to_phase": "CRISIS",
                "reason": "NEW_CRISIS",
                "note": "Threatened by a former employer; back to the shelter at her own wish.",
            },
        )
    )

    to_phase: PlanPhase
    reason: PhaseChangeReason | None = Field(
        default=None, description="Needed for an early change, a skipped phase and a step back."
    )
    note: LongText | None = Field(default=None, json_schema_extra=_SENSITIVE)


class PlanClose(StrictModel):
    model_config = ConfigDict(
        json_schema_extra=examples({"reason": "COMPLETED_REINTEGRATED", "closed_on": "2026-10-30"})
    )

    reason: ClosureReason
    closed_on: Day
    note: LongText | None = Field(default=None, json_schema_extra=_SENSITIVE)


class PlanRead(ReadModel):
    """A plan as of today. `month`, `due_on` and the phase's days are null before it is started."""

    id: UUID
    version: int
    case_id: UUID
    referral_id: UUID
    organisation_id: UUID
    country: str
    phase: str
    is_suspended: bool
    episode: int
    policy_version: int
    opened_on: date
    entered_on: date | None
    month: int | None
    due_on: date | None
    is_overdue: bool
    closed_on: date | None
    closure_reason: str | None


class Money(StrictModel):
    amount: Amount
    currency: Currency


class Signature(StrictModel):
    """A signature on paper: who, and on which day. The product keeps no image of it."""

    model_config = ConfigDict(
        json_schema_extra=examples({"party": "PERSON", "signed_on": "2026-09-14"})
    )

    party: AgreementParty
    signed_on: Day


class AgreementCreate(StrictModel):
    """A new version of the plan's reintegration agreement. It holds once everybody has signed."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {
                "parties": ["PERSON", "CASE_WORKER", "ORGANISATION"],
                "duties": "She attends the course; we pay the fee and visit once a fortnight.",
                "money": {"amount": "450.00", "currency": "EUR"},
                "review_on": "2027-03-01",
                "signatures": [
                    {"party": "PERSON", "signed_on": "2026-09-14"},
                    {"party": "CASE_WORKER", "signed_on": "2026-09-14"},
                ],
            },
            {
                "parties": ["PERSON", "GUARDIAN", "CASE_WORKER"],
                "duties": "Назад у школу од фебруара; старатељ прати похађање.",
                "review_on": "2027-02-15",
            },
        )
    )

    parties: list[AgreementParty] = Field(min_length=2, max_length=10)
    duties: LongText = Field(json_schema_extra=_SENSITIVE)
    money: Money | None = Field(
        default=None, description="What the person is given to carry the plan out."
    )
    review_on: Day
    signatures: list[Signature] = Field(default=[], max_length=10)


class SignatureRead(ReadModel):
    party: str
    signed_on: date


class MoneyRead(ReadModel):
    amount: Decimal
    currency: str


class AgreementRead(ReadModel):
    """One version of an agreement. `effective_on` is the day of the last signature it needed."""

    id: UUID
    plan_id: UUID
    agreement_version: int
    status: str
    parties: list[str]
    duties: str = Field(json_schema_extra=_SENSITIVE)
    money: MoneyRead | None
    review_on: date
    is_review_due: bool
    signatures: list[SignatureRead]
    effective_on: date | None
