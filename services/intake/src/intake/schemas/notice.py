from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    ConfigDict,
    Field,
    InstanceOf,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WrapValidator,
)
from pydantic.json_schema import SkipJsonSchema

from common.codelists import code_of
from common.http.faults import field_problem
from common.schema import (
    Instant,
    LongText,
    NewId,
    PastInstant,
    ReadModel,
    ShortText,
    StrictModel,
    examples,
)
from intake.domain.case import BeneficiaryKind
from intake.domain.notice import NoticeQueue, NoticeStatus, TriageDecision, Urgency
from intake.schemas.fields import P0, P1, AnyCountry, Margin, ProcessingBasis, Sex, Years, listed

PlaceCode = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)
]
"""The sender's code of a place. One we do not know is taken all the same."""

BULK_LIMIT = 500

_FULL = {
    "id": "3f0e7c2a-5b1d-4a86-9c1e-0d9a5c3b7e11",
    "source": "SCHOOL",
    "country": "XK",
    "urgency": "HIGH",
    "occurred_at": "2025-11-20T09:15:00Z",
    "place_code": "PRIZREN",
    "place_text": "Rruga e Dëshmorëve, pranë pazarit",
    "sex": "FEMALE",
    "estimated_age": 15,
    "estimated_age_margin": 1,
    "note": "Mësuesja tregon se vajza mungon prej tri javësh dhe ka telefon të ri.",
    "contact": "Arbresha Gashi, mësuese, +383 44 000 000, pas orës 14",
}


class NoticeCreate(StrictModel):
    """A first notice of a person. Only source, country and urgency are needed."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {"source": "HOTLINE", "country": "RS", "urgency": "NORMAL"},
            _FULL,
            {
                "source": "CSW",
                "country": "RS",
                "urgency": "CRISIS",
                "place_text": "Нови Сад, код аутобуске станице",
                "sex": "MALE",
                "note": "Дечак проси сваки дан на истом месту, довозе га колима.",
            },
        )
    )

    id: NewId | None = Field(
        default=None, description="Chosen by the sender; sending it again changes nothing."
    )
    source: Annotated[str, code_of("notice_sources")]
    country: AnyCountry
    urgency: Annotated[Urgency, listed("urgency")]
    occurred_at: PastInstant | None = None
    place_code: Annotated[PlaceCode | None, P0] = None
    place_text: Annotated[ShortText | None, P0] = None
    sex: Sex | None = None
    estimated_age: Years | None = Field(
        default=None, description="In years, on the day of occurred_at, else of sending."
    )
    estimated_age_margin: Margin | None = None
    note: Annotated[LongText | None, P1] = None
    contact: Annotated[LongText | None, P0] = Field(
        default=None, description="How the reporter can be reached."
    )


class NoticeBulkItem(StrictModel):
    """One notice of many, with the sender's own reference to match the answer by."""

    client_reference: PlaceCode
    notice: NoticeCreate


class FieldFault(ReadModel):
    """What is wrong with one field; `pointer` (RFC 6901) leads to it from the item on."""

    code: Annotated[str, StringConstraints(pattern=r"^[a-z_.]+$", max_length=64)]
    pointer: Annotated[str, StringConstraints(pattern=r"^(/[a-z0-9_]+)*$", max_length=200)]


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """An item of a bulk call that is not what it should be; the others are taken all the same."""

    client_reference: str | None
    faults: tuple[FieldFault, ...]


_REFERENCE: TypeAdapter[str] = TypeAdapter(PlaceCode)
_MAX_FAULTS = 50


def _read_apart(value: object, _: object) -> NoticeBulkItem | RefusedItem:
    """Read one item by itself, so that a bad one stops no other."""
    try:
        return NoticeBulkItem.model_validate(value)
    except ValidationError as error:
        found = [
            field_problem({**fault, "loc": ("body", *fault["loc"])})
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    reference = value.get("client_reference") if isinstance(value, dict) else None
    return RefusedItem(
        client_reference=_readable(reference),
        faults=tuple(
            FieldFault(code=fault["code"], pointer=fault["pointer"])
            for fault in found[:_MAX_FAULTS]
        ),
    )


def _readable(reference: Any) -> str | None:  # noqa: ANN401  whatever was sent
    try:
        return _REFERENCE.validate_python(reference, strict=True)
    except ValidationError:
        return None


class NoticeBulk(StrictModel):
    """Up to 500 notices; each is taken or refused by itself, answered in the same order."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {
                "items": [
                    {
                        "client_reference": "log-2025-0117",
                        "notice": {"source": "HOTLINE", "country": "MK", "urgency": "LOW"},
                    },
                    {
                        "client_reference": "log-2025-0118",
                        "notice": {
                            "source": "HOTLINE",
                            "country": "MK",
                            "urgency": "HIGH",
                            "note": "Девојка се јави од непознат број и побара помош.",
                        },
                    },
                ]
            }
        )
    )

    items: tuple[
        Annotated[
            NoticeBulkItem | SkipJsonSchema[InstanceOf[RefusedItem]], WrapValidator(_read_apart)
        ],
        ...,
    ] = Field(min_length=1, max_length=BULK_LIMIT)


class NoticeBulkResult(ReadModel):
    """What became of one item: 201 and its id, or the status and code of its refusal."""

    client_reference: PlaceCode | None = Field(
        description="As it was sent; null where it could not be read."
    )
    status: int = Field(description="201, or 4xx with a code.")
    id: UUID | None
    code: Annotated[str, StringConstraints(pattern=r"^[a-z_.]+$", max_length=64)] | None
    errors: tuple[FieldFault, ...]


class NoticeBulkRead(ReadModel):
    """The results in the order of the items."""

    items: tuple[NoticeBulkResult, ...]


class NoticeTriage(StrictModel):
    """What comes of a notice. OPEN_CASE and LINK_CASE name the case, REJECT the reason."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {
                "decision": "OPEN_CASE",
                "case_id": "0b8c2f54-7d0e-4c3b-8a3e-2f6f1f1f9a01",
                "beneficiary_kind": "PRESUMED",
                "legal_basis": "PUBLIC_TASK",
            },
            {"decision": "LINK_CASE", "case_id": "0b8c2f54-7d0e-4c3b-8a3e-2f6f1f1f9a01"},
            {
                "decision": "REJECT",
                "reason": "OUTSIDE_MANDATE",
                "note": "Spor oko zarade, upućeno inspekciji rada.",
            },
        )
    )

    decision: Annotated[TriageDecision, listed("triage_decisions")]
    case_id: UUID | None = Field(
        default=None, description="Of the new case, chosen by the caller, or of the known one."
    )
    beneficiary_kind: Annotated[BeneficiaryKind, listed("beneficiary_kinds")] = Field(
        default=BeneficiaryKind.AT_RISK,
        description="How a new case counts until identification says more: AT_RISK or PRESUMED.",
    )
    legal_basis: ProcessingBasis | None = Field(
        default=None, description="Of a new case, and needed for it."
    )
    reason: Annotated[str, code_of("triage_reasons")] | None = None
    note: Annotated[LongText | None, P1] = None


class NoticeSummary(ReadModel):
    """A notice without the texts, as it stands in a list or in the answer to its sender."""

    id: UUID
    organisation_id: UUID
    source: str = Field(json_schema_extra={"x-codelist": "notice_sources"})
    country: str = Field(json_schema_extra={"x-codelist": "iso_countries"})
    urgency: Annotated[Urgency, listed("urgency")]
    status: NoticeStatus
    queue: NoticeQueue
    is_minor: bool | None
    sex: str | None = Field(json_schema_extra={"x-codelist": "sex_gender"})
    case_id: UUID | None = Field(description="Only for those who may know of the case.")
    reason: str | None = Field(
        description="Why it was rejected.", json_schema_extra={"x-codelist": "triage_reasons"}
    )
    occurred_at: Instant | None
    received_on: date
    recorded_at: Instant
    version: int

    @classmethod
    def of(cls, row: Any, *, case_id: UUID | None) -> "NoticeSummary":  # noqa: ANN401  a Notice
        """Return a notice with the case it may name to the caller."""
        extra = {"case_id": case_id, "reason": row.triage_reason}
        columns = {name: getattr(row, name) for name in cls.model_fields if name not in extra}
        return NoticeSummary.model_validate(columns | extra)


class NoticeRead(NoticeSummary):
    """A notice with its texts. Reading it is entered in the audit trail."""

    place_code: Annotated[str | None, P0]
    place_text: Annotated[str | None, P0]
    note: Annotated[str | None, P1]
    contact: Annotated[str | None, P0]
    triage_note: Annotated[str | None, P1]
