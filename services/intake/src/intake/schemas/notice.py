from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from common.codelists import code_of
from common.schema import (
    Instant,
    LongText,
    PastInstant,
    ReadModel,
    ShortText,
    StrictModel,
    examples,
)
from intake.domain.notice import NoticeQueue, NoticeStatus, TriageDecision, Urgency
from intake.schemas.fields import P0, P1, AnyCountry, Margin, Sex, Years, listed

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

    id: UUID | None = Field(
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

    items: tuple[NoticeBulkItem, ...] = Field(min_length=1, max_length=BULK_LIMIT)


class NoticeTriage(StrictModel):
    """What comes of a notice. OPEN_CASE and LINK_CASE name the case, REJECT the reason."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {"decision": "OPEN_CASE", "case_id": "0b8c2f54-7d0e-4c3b-8a3e-2f6f1f1f9a01"},
            {
                "decision": "REJECT",
                "reason": "OUTSIDE_MANDATE",
                "note": "Spor oko zarade, upućeno inspekciji rada.",
            },
        )
    )

    decision: Annotated[TriageDecision, listed("triage_decisions")]
    case_id: UUID | None = None
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
    case_id: UUID | None
    occurred_at: Instant | None
    recorded_at: Instant
    version: int


class NoticeRead(NoticeSummary):
    """A notice with its texts. Reading it is entered in the audit trail."""

    place_code: Annotated[str | None, P0]
    place_text: Annotated[str | None, P0]
    note: Annotated[str | None, P1]
    contact: Annotated[str | None, P0]
