from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from common.codelists import code_of
from common.contracts.types import SubjectId
from common.schema import Instant, NewId, ReadModel, ShortText, StrictModel, examples
from intake.domain.declaration import SpecialCategory
from intake.schemas.fields import P1, Distinct, Yes, listed

AgreedPurposes = Annotated[
    tuple[Annotated[str, code_of("purposes")], ...], Field(min_length=1, max_length=8), Distinct
]


class DeclarationRecord(StrictModel):
    """What a person says of herself in a special category, and what it may be used for."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {
                "id": "4d8c1b7e-2f60-4a95-b3e8-6a1c0f9d2e57",
                "category": "ETHNICITY_ROMA",
                "own_words": "Romani čhaj, Gurbet",
                "self_declared": True,
                "purposes": ["ASSISTANCE"],
            },
            {
                "id": "c90e5a34-7b1d-4f28-9c66-1e3b8d7f0a42",
                "category": "PREGNANCY",
                "self_declared": True,
                "purposes": ["ASSISTANCE", "PROTECTION"],
            },
        )
    )

    id: NewId = Field(description="Chosen by the caller; sending it again changes nothing.")
    category: Annotated[SpecialCategory, listed("special_categories")]
    own_words: Annotated[ShortText | None, P1] = Field(
        default=None, description="How she says it herself."
    )
    self_declared: Yes = Field(
        description="That she said it of herself, unprompted or asked, and nobody for her; "
        "only true is taken."
    )
    purposes: AgreedPurposes = Field(
        description="For what she agreed that it be used; it is shown for no other."
    )


class DeclarationFact(ReadModel):
    """That there is a declaration; not what it says."""

    id: UUID
    case_id: UUID
    recorded_by: SubjectId
    recorded_at: Instant
    withdrawn_at: Instant | None


class DeclarationRead(ReadModel):
    """What a person declared. Reading it is entered in the audit trail before it is given."""

    id: UUID
    case_id: UUID
    category: Annotated[SpecialCategory, listed("special_categories")]
    own_words: Annotated[str | None, P1]
    purposes: tuple[str, ...] = Field(json_schema_extra={"x-codelist": "purposes"})
    recorded_by: SubjectId
    recorded_at: Instant


class DeclarationList(ReadModel):
    items: tuple[DeclarationRead, ...]
