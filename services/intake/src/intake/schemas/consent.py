from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from common.codelists import code_of
from common.consent import ConsentGiver, ConsentScope, GuardianKind
from common.schema import Day, Instant, NewId, ReadModel, Slug, StrictModel, examples
from intake.domain.consent import Assent
from intake.schemas.fields import AnyCountry, Distinct, Language, Yes, listed

Purposes = Annotated[
    tuple[Annotated[str, code_of("purposes")], ...], Field(max_length=20), Distinct
]
DataGroups = Annotated[
    tuple[Annotated[str, code_of("data_groups")], ...], Field(max_length=20), Distinct
]
RecipientKinds = Annotated[
    tuple[Annotated[str, code_of("organisation_kinds")], ...], Field(max_length=20), Distinct
]
Countries = Annotated[tuple[AnyCountry, ...], Field(max_length=20), Distinct]


class ConsentGrant(StrictModel):
    """A consent to one scope, as the person, or a guardian beside a child, gave it."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {
                "scope": "DATA_RECORD",
                "given_by": "SELF",
                "language": "sr-Cyrl",
                "granted_on": "2025-11-20",
            },
            {
                "scope": "SHARE_NATIONAL",
                "given_by": "GUARDIAN",
                "guardian": "APPOINTED",
                "guardian_suspected": False,
                "assent": "GIVEN",
                "language": "sq",
                "interpreter_present": True,
                "recipient_organisation_id": "d5d6c7b8-1a2b-4c3d-9e4f-5a6b7c8d9e0f",
                "purposes": ["ASSISTANCE"],
                "data_groups": ["IDENTITY", "HEALTH"],
                "granted_on": "2025-11-20",
                "expires_on": "2030-05-20",
            },
            {
                "scope": "SHARE_NATIONAL",
                "given_by": "GUARDIAN",
                "guardian": "APPOINTED",
                "guardian_suspected": False,
                "assent": "GIVEN",
                "language": "bs",
                "recipient_kinds": ["SHELTER", "HEALTH"],
                "purposes": ["ASSISTANCE"],
                "data_groups": ["IDENTITY"],
                "granted_on": "2025-11-20",
            },
        )
    )

    id: NewId | None = Field(
        default=None, description="Chosen by the caller; sending it again changes nothing."
    )
    scope: Annotated[ConsentScope, listed("consent_scopes")]
    form_version: Slug | None = Field(
        default=None, description="The edition of the form that was read out or signed."
    )
    language: Language = Field(
        description="In which the consent was explained, with the script of the form."
    )
    given_by: Annotated[ConsentGiver, listed("consent_givers")]
    guardian: GuardianKind | None = None
    guardian_suspected: Yes | None = Field(
        default=None,
        description="Whether the guardian is suspected of involvement; must be answered.",
    )
    assent: Assent | None = Field(
        default=None, description="What the person says to the guardian's consent."
    )
    interpreter_present: Yes = False
    witness_present: Yes = False
    recipient_organisation_id: UUID | None = Field(
        default=None, description="The one organisation that may know."
    )
    recipient_kinds: RecipientKinds = Field(
        default=(),
        description="Instead of one organisation, every organisation of these kinds. Inside the "
        "country police and prosecution belong to SHARE_LAW_ENFORCEMENT, all others to "
        "SHARE_NATIONAL.",
    )
    recipient_countries: Countries = ()
    purposes: Purposes = ()
    data_groups: DataGroups = ()
    risk_information_given: Yes = Field(
        default=False, description="Whether the risks of sharing abroad were explained."
    )
    granted_on: Day
    expires_on: Day | None = Field(default=None, description="The last day on which it holds.")


class ConsentWithdraw(StrictModel):
    """A withdrawal. It needs no reason and holds at once."""

    model_config = ConfigDict(json_schema_extra=examples({}, {"withdrawn_on": "2025-11-21"}))

    withdrawn_on: Day | None = Field(default=None, description="Today, if absent.")


class ConsentRead(ReadModel):
    """A consent. It is never changed; a withdrawal is added to it."""

    id: UUID
    case_id: UUID
    scope: Annotated[ConsentScope, listed("consent_scopes")]
    is_valid: bool = Field(
        description="Whether it counts today: it holds, and was given by whoever consents for a "
        "person of the age the case tells (a guardian for a child, an adult herself or the guardian "
        "a court appointed). It may count again when the age is corrected."
    )
    form_version: Slug | None
    language: Language
    given_by: Annotated[ConsentGiver, listed("consent_givers")]
    guardian: GuardianKind | None
    assent: Assent | None
    interpreter_present: bool
    witness_present: bool
    recipient_organisation_id: UUID | None
    recipient_kinds: tuple[str, ...] = Field(json_schema_extra={"x-codelist": "organisation_kinds"})
    recipient_countries: tuple[str, ...] = Field(json_schema_extra={"x-codelist": "iso_countries"})
    purposes: tuple[str, ...] = Field(json_schema_extra={"x-codelist": "purposes"})
    data_groups: tuple[str, ...] = Field(json_schema_extra={"x-codelist": "data_groups"})
    risk_information_given: bool
    granted_on: date
    expires_on: date | None
    withdrawn_on: date | None
    recorded_at: Instant

    @classmethod
    def of(cls, row: object, *, withdrawn_on: date | None, is_valid: bool) -> "ConsentRead":
        """Return the columns of a consent with what follows from other rows and the day."""
        extra = {"withdrawn_on": withdrawn_on, "is_valid": is_valid}
        columns = {name: getattr(row, name) for name in cls.model_fields if name not in extra}
        return cls.model_validate(columns | extra)


class ConsentList(ReadModel):
    items: tuple[ConsentRead, ...]
