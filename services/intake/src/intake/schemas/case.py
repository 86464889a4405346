from collections.abc import Set as AbstractSet
from datetime import date
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import ConfigDict, Field, computed_field

from common.contracts.types import SubjectId
from common.schema import (
    Absent,
    GroupedRead,
    Instant,
    LongText,
    NewId,
    NotNull,
    PastInstant,
    ReadModel,
    StrictModel,
    examples,
    in_group,
)
from intake.domain.age import AgeBasis, AgeGroup, AgeSource
from intake.domain.case import BeneficiaryKind, CaseStatus
from intake.domain.identification import IdentificationStatus, services_open
from intake.domain.notice import Urgency
from intake.domain.ownership import Holding
from intake.schemas.fields import (
    P0,
    P1,
    Citizenships,
    Language,
    Languages,
    Margin,
    OurCountry,
    PartialDate,
    ProcessingBasis,
    Sex,
    Years,
    listed,
    patch_examples,
)


class CaseCreate(StrictModel):
    """A new case. Identity is written apart, once consent to record it is there."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {
                "id": "0b8c2f54-7d0e-4c3b-8a3e-2f6f1f1f9a01",
                "beneficiary_kind": "PRESUMED",
                "sex": "FEMALE",
                "urgency": "HIGH",
                "legal_basis": "PUBLIC_TASK",
                "birth_date": "2008-05~",
                "citizenships": ["RS"],
                "languages": ["sr-Latn", "rom"],
                "occurred_at": "2025-11-20T09:15:00Z",
                "notice_id": "3f0e7c2a-5b1d-4a86-9c1e-0d9a5c3b7e11",
                "note": "Pronađena na granici bez dokumenata, traži da pozove sestru.",
            },
            {
                "id": "6a7d1e90-2c44-4e0f-9d55-7b1b0c2d3e4f",
                "beneficiary_kind": "AT_RISK",
                "sex": "MALE",
                "urgency": "NORMAL",
                "legal_basis": "CHILD_BEST_INTEREST",
                "estimated_age": 12,
                "languages": ["sq"],
                "note": "Djali shet në rrugë deri vonë; nëna kërkon ndihmë për shkollën.",
            },
            {
                "id": "c1d2e3f4-0a1b-4c5d-8e6f-708192a3b4c5",
                "beneficiary_kind": "SECONDARY",
                "sex": "FEMALE",
                "urgency": "LOW",
                "legal_basis": "CONSENT",
                "birth_date": "1971",
                "primary_case_id": "0b8c2f54-7d0e-4c3b-8a3e-2f6f1f1f9a01",
                "note": "Мајка, живи са ћерком; потребна помоћ око смештаја.",
            },
        )
    )

    id: NewId = Field(description="Chosen by the caller; sending it again changes nothing.")
    country: OurCountry | None = Field(
        default=None, description="The instance's own; no other is taken."
    )
    beneficiary_kind: Annotated[BeneficiaryKind, listed("beneficiary_kinds")] = Field(
        description="PRESUMED, AT_RISK or SECONDARY; VICTIM follows from identification only."
    )
    sex: Sex
    urgency: Annotated[Urgency, listed("urgency")]
    legal_basis: ProcessingBasis
    birth_date: Annotated[PartialDate | None, P0] = None
    estimated_age: Years | None = Field(
        default=None,
        description="In years, on the day of occurred_at, else today. Beside a birth date the "
        "younger of both protects, until the estimate is cleared with `estimated_age: null`.",
    )
    estimated_age_margin: Margin | None = Field(default=None, description="In years; 2 if absent.")
    citizenships: Citizenships = ()
    languages: Languages = ()
    occurred_at: PastInstant | None = Field(default=None, description="The first contact.")
    notice_id: UUID | None = None
    primary_case_id: UUID | None = Field(
        default=None, description="The case a SECONDARY beneficiary belongs to."
    )
    note: Annotated[LongText | None, P1] = None


class CaseUpdate(StrictModel):
    """What to change. An absent field stays; null forgets a fact that may be unknown."""

    model_config = ConfigDict(
        json_schema_extra=patch_examples(
            {"urgency": "CRISIS"},
            {"birth_date": "2009-02-17", "estimated_age": None, "languages": ["sr-Cyrl"]},
        )
    )

    beneficiary_kind: Annotated[BeneficiaryKind | Absent, NotNull, listed("beneficiary_kinds")] = (
        None
    )
    sex: Annotated[Sex | Absent, NotNull] = None
    urgency: Annotated[Urgency | Absent, NotNull, listed("urgency")] = None
    legal_basis: Annotated[ProcessingBasis | Absent, NotNull] = None
    birth_date: Annotated[PartialDate | None, P0] = None
    estimated_age: Years | None = Field(
        default=None,
        description="In years, today. Beside a birth date the younger of both protects; null clears "
        "the estimate.",
    )
    estimated_age_margin: Margin | None = None
    citizenships: Annotated[Citizenships | Absent, NotNull] = None
    languages: Annotated[Languages | Absent, NotNull] = None
    occurred_at: PastInstant | None = None
    primary_case_id: UUID | None = None
    note: Annotated[LongText | None, P1] = None


class AssignCase(StrictModel):
    """Who carries the case from now on: a worker of the case's organisation."""

    model_config = ConfigDict(
        json_schema_extra=examples({"worker": "5c0a6f0e-91b7-4f43-a6e4-3f2b9d1c7a20"})
    )

    worker: SubjectId


class OwnershipRead(ReadModel):
    """Who may edit a case that goes from one country to another, as this country sees it."""

    holding: Holding = Field(
        description="OWNER: it is edited here and nowhere else. GIVING: offered to the other country, "
        "whose answer is awaited; edited nowhere. NONE: another country's, or not yet taken over."
    )
    epoch: int = Field(
        description="Rises with every handover; `give` names it. It begins anew when a case is given "
        "on that came under one no honest country names."
    )


class CaseRead(GroupedRead):
    """The facts of a case. Who the person is stands elsewhere, sealed."""

    id: UUID
    organisation_id: UUID
    country: str = Field(json_schema_extra={"x-codelist": "countries"})
    status: CaseStatus = Field(
        description="ACTIVE from the opening on. FOLLOW_UP, CLOSED and CLOSED_REFERRED are kept for "
        "the closing of a case, which no operation does yet."
    )
    beneficiary_kind: Annotated[BeneficiaryKind, listed("beneficiary_kinds")]
    identification_status: Annotated[IdentificationStatus, listed("identification_status")]
    sex: str = Field(json_schema_extra={"x-codelist": "sex_gender"})
    is_minor: bool = Field(
        description="Whether a child's rules apply: the lowest possible age is below 18, or none "
        "is known."
    )
    age_group: AgeGroup = Field(description="At the first contact; UNKNOWN counts as no child.")
    age_basis: AgeBasis = Field(
        description="What the age rests on, the surest first: DAY, MONTH, YEAR, INTERVAL of a birth "
        "date; ESTIMATE wherever an estimate stands, alone or beside a birth date; UNKNOWN."
    )
    age_sources: tuple[AgeSource, ...] = Field(
        description="What was told of the age. With both, the younger of both protects, until the "
        "estimate is cleared with `estimated_age: null`."
    )
    urgency: Annotated[Urgency, listed("urgency")]
    legal_basis: Annotated[str | Absent, NotNull] = in_group("LEGAL", codelist="legal_bases")
    citizenships: tuple[str, ...] = Field(json_schema_extra={"x-codelist": "iso_countries"})
    languages: tuple[Language, ...]
    notice_id: UUID | None
    primary_case_id: UUID | None
    worker: SubjectId | None
    has_identity: bool
    ownership: OwnershipRead = Field(
        description="Unless the holding is OWNER, every change is refused: 409 `ownership.not_here`."
    )
    occurred_at: Instant | None = Field(description="The first contact.")
    opened_at: Instant
    erased_on: date | None = Field(
        description="Since when all that was known of the person is gone; ids, codes and days stay."
    )
    recorded_at: Instant
    version: int

    @classmethod
    def of(cls, row: Any, *, groups: AbstractSet[str], **given: Any) -> Self:  # noqa: ANN401
        """Return what readers of these data groups may know of a row of Case."""
        told = {AgeSource.BIRTH_DATE: row.birth_date, AgeSource.ESTIMATE: row.estimated_age}
        sources = tuple(source for source, value in told.items() if value is not None)
        ownership = OwnershipRead(holding=row.holding, epoch=row.epoch)
        return super().of(row, groups=groups, age_sources=sources, ownership=ownership, **given)

    @computed_field(  # type: ignore[prop-decorator]
        description="Help is given from the presumption on; it does not wait for the decision."
    )
    @property
    def services_open(self) -> bool:
        return services_open(self.identification_status)


class CaseNoteRead(ReadModel):
    """The note of a case. Reading it is entered in the audit trail."""

    case_id: UUID
    note: Annotated[str | None, P1]
