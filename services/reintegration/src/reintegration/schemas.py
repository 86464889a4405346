from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from babel.core import get_global
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from common.codelists import code_of
from common.schema import (
    Absent,
    Day,
    GroupedRead,
    Instant,
    LongText,
    NotNull,
    ReadModel,
    StrictModel,
    coded,
    examples,
    in_group,
)
from reintegration.domain.plan import Action, Direction

PlanPhase = Annotated[str, code_of("plan_phases")]
PhaseChangeReason = Annotated[str, code_of("phase_change_reasons")]
ClosureReason = Annotated[str, code_of("closure_reasons")]
AgreementParty = Annotated[str, code_of("agreement_parties")]
Amount = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,9})(\.[0-9]{1,2})?$")]
"""A sum as text: a JSON number would lose its cents on the way through a binary float."""

_CURRENCIES = frozenset(
    currency
    for periods in get_global("territory_currencies").values()
    for currency, _, ended, is_tender in periods
    if is_tender and ended is None
)
"""ISO 4217 codes that are legal tender somewhere today, by Unicode CLDR."""


def _known_currency(value: str) -> str:
    if value not in _CURRENCIES:
        raise PydanticCustomError("code_unknown", "no such currency")
    return value


Currency = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z]{3}$"),
    AfterValidator(_known_currency),
    Field(description="ISO 4217, of a currency that is legal tender somewhere today."),
]


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


class PlanSuspend(StrictModel):
    model_config = ConfigDict(
        json_schema_extra=examples({}, {"note": "In hospital; we go on when she is back."})
    )

    note: LongText | None = Field(default=None, json_schema_extra=_SENSITIVE)


class PlanResume(StrictModel):
    model_config = ConfigDict(json_schema_extra=examples({}))

    note: LongText | None = Field(default=None, json_schema_extra=_SENSITIVE)


class PlanReopen(StrictModel):
    model_config = ConfigDict(json_schema_extra=examples({"reason": "RE_TRAFFICKED"}))

    reason: PhaseChangeReason = Field(description="One of the reasons for a step back.")
    note: LongText | None = Field(default=None, json_schema_extra=_SENSITIVE)


class PlanRead(GroupedRead):
    """A plan as of today. `month`, counted from entry, is null before the plan is started.

    From `due_on` on the plan is overdue in its phase; it is null for a phase without a window. The
    `month` of a closed plan is that of its closure. Fields of a data group (`x-data-group`) are
    absent for a role that may not know it, and for everybody of the organisation whose plan consent
    no longer carries.
    """

    id: UUID
    version: int
    case_id: Annotated[UUID | Absent, NotNull] = in_group("IDENTITY")
    referral_id: Annotated[UUID | Absent, NotNull] = in_group("SUPPORT")
    organisation_id: UUID
    country: str = coded("countries")
    phase: Annotated[str | Absent, NotNull] = in_group("SUPPORT", codelist="plan_phases")
    is_suspended: bool
    episode: int
    policy_version: int
    opened_on: date
    entered_on: date | None
    month: int | None = in_group("SUPPORT")
    due_on: date | None = in_group("SUPPORT")
    is_overdue: Annotated[bool | Absent, NotNull] = in_group("SUPPORT")
    closed_on: date | None
    closure_reason: str | None = in_group("SUPPORT", codelist="closure_reasons")
    consent_withdrawn_on: date | None = Field(
        description="The day from which the person's consent no longer carries the plan: no step "
        "is taken and no text is opened until a new referral is accepted."
    )
    updated_at: Instant


class PlanReferralRead(ReadModel):
    """An accepted referral that opened the plan or joined it."""

    referral_id: UUID
    sending_organisation_id: UUID
    service_type: str = coded("service_types")
    accepted_on: date


class PlanStepRead(ReadModel):
    """One step of a plan. Direction and month are those of a start or a change of phase."""

    id: UUID
    action: Action
    episode: int
    from_phase: str = coded("plan_phases")
    to_phase: str = coded("plan_phases")
    direction: Direction | None
    is_early: bool
    reason: str | None = Field(
        description="Of the list phase_change_reasons; of closure_reasons where `action` is close."
    )
    happened_on: date
    month: int | None
    has_note: bool


class PlanDetail(PlanRead):
    """A plan with its history, first step to last. It outlives closing and reopening."""

    history: Annotated[list[PlanStepRead] | Absent, NotNull] = in_group("SUPPORT")
    referrals: Annotated[list[PlanReferralRead] | Absent, NotNull] = in_group("SUPPORT")


class PlanNoteRead(ReadModel):
    """What was written down at a step; null once the person's data were erased."""

    step_id: UUID
    happened_on: date
    note: str | None = Field(json_schema_extra=_SENSITIVE)


class PlanNotes(ReadModel):
    items: list[PlanNoteRead]


class PhaseWindowRead(ReadModel):
    """The months a phase may take, both included; the first month of a programme is month 1."""

    phase: str = coded("plan_phases")
    first_month: int
    last_month: int


class PhasePolicyRead(ReadModel):
    version: int
    windows: list[PhaseWindowRead]


class PhasePolicies(ReadModel):
    """`current` is the version under which plans are started now; a plan keeps its own."""

    current: int
    items: list[PhasePolicyRead]


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
    party: str = coded("agreement_parties")
    signed_on: date


class MoneyRead(ReadModel):
    amount: Decimal
    currency: str


class AgreementRead(GroupedRead):
    """One version of an agreement. `effective_on` is the day of the last signature it needed.

    Fields of a data group are absent as in the plan. `duties` and `money` are null for whoever is
    not of the plan's organisation; `duties` also for a role that may not know every data group, as
    any text, and once the person's data were erased.
    """

    id: UUID
    plan_id: UUID
    agreement_version: int
    status: Annotated[str | Absent, NotNull] = in_group("SUPPORT", codelist="agreement_statuses")
    parties: Annotated[list[str] | Absent, NotNull] = in_group(
        "SUPPORT", codelist="agreement_parties"
    )
    duties: str | None = in_group("SUPPORT", data_class="P1")
    money: MoneyRead | None = in_group("SUPPORT")
    review_on: Annotated[date | Absent, NotNull] = in_group("SUPPORT")
    is_review_due: Annotated[bool | Absent, NotNull] = in_group("SUPPORT")
    signatures: Annotated[list[SignatureRead] | Absent, NotNull] = in_group("SUPPORT")
    effective_on: date | None


class Agreements(ReadModel):
    items: list[AgreementRead]
