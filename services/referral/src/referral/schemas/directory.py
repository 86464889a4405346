from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from common.codelists import code_of
from common.schema import ReadModel, ShortText, StrictModel, coded, examples

Country = Annotated[str, code_of("countries")]
OrganisationKind = Annotated[str, code_of("organisation_kinds")]
OrganisationSector = Annotated[str, code_of("organisation_sectors")]
ActorRole = Annotated[str, code_of("actor_roles")]
ServiceType = Annotated[str, code_of("service_types")]
Sex = Annotated[str, code_of("sex_gender")]
AgeBand = Annotated[str, code_of("age_bands", scheme="PRAG_PUBLIC")]
Language = Annotated[str, code_of("languages")]
Accessibility = Annotated[str, code_of("accessibility")]
Places = Annotated[int, Field(strict=True, ge=0, le=10_000)]

Municipality = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9_-]{0,19}$"),
    Field(
        description="In XK a code of the list places_xk. Elsewhere the code the country's statistical "
        "office gives the municipality (`70858`), of which only the form is checked: agree on it "
        "among the country's organisations. The only place the directory knows."
    ),
]
"""A shelter has no address here."""

_CENTRE: dict[str, Any] = {
    "name": "Центар за социјални рад Нова Варош",
    "kind": "CSW",
    "sector": "STATE",
    "municipality": "70858",
    "languages": ["sr-Cyrl", "sr-Latn"],
    "roles": ["SOCIAL_WORKER", "GUARDIAN"],
}
_SHELTER: dict[str, Any] = {
    "name": "Shtëpia e sigurt Agimi",
    "kind": "SHELTER",
    "sector": "CIVIL_SOCIETY",
    "languages": ["sq", "sr-Latn", "en"],
}

OrganisationName = Annotated[
    ShortText,
    Field(
        description="A public body's or association's name; never a person's.",
        json_schema_extra={"x-data-class": "P2"},
    ),
]
Languages = Annotated[list[Language], Field(min_length=1, max_length=30)]
Roles = Annotated[
    list[ActorRole], Field(max_length=20, description="The roles in which its people act.")
]
Sexes = Annotated[list[Sex], Field(min_length=1, max_length=10)]
AgeBands = Annotated[list[AgeBand], Field(min_length=1, max_length=10)]
AccessibilityCodes = Annotated[list[Accessibility], Field(max_length=10)]
Capacity = Annotated[Places | None, Field(description="Null for a service that counts no places.")]
FreePlaces = Annotated[
    Places | None, Field(description="Given exactly when `capacity` is, and not more.")
]


def _left_out() -> Any:  # noqa: ANN401  it stands for a value of any field
    """Return a field that stays as it is when it is left out; null is not the same as left out."""
    return Field(default_factory=lambda: None)  # a plain default would show in the description


class OrganisationCreate(StrictModel):
    """An organisation of the referral mechanism, under an id the caller has chosen."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {"id": "5b1c7d0e-3a52-4f0e-9a55-0d7a1f6f2c11", "country": "RS", **_CENTRE},
            {"id": "0f9d6a34-7c1b-4c58-8f21-6b4c2f0f7e02", "country": "XK", **_SHELTER},
        )
    )

    id: UUID
    country: Country
    name: OrganisationName
    kind: OrganisationKind
    sector: OrganisationSector
    municipality: Municipality | None = None
    languages: Languages
    roles: Roles = Field(default=[])


class OrganisationUpdate(StrictModel):
    """What changes in an organisation's entry; what is left out stays. Its country never changes."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {"municipality": "70858", "languages": ["sr-Cyrl", "sr-Latn", "rom"]}, _SHELTER
        )
    )

    name: OrganisationName = _left_out()
    kind: OrganisationKind = _left_out()
    sector: OrganisationSector = _left_out()
    municipality: Municipality | None = _left_out()
    languages: Languages = _left_out()
    roles: Roles = _left_out()


class OrganisationRead(ReadModel):
    id: UUID
    version: int
    name: str
    kind: str = coded("organisation_kinds")
    sector: str = coded("organisation_sectors")
    country: str = coded("countries")
    municipality: str | None
    languages: list[str] = coded("languages")
    roles: list[str] = coded("actor_roles")


class ServiceCreate(StrictModel):
    """A service an organisation offers. Whom it takes is listed in full: what is not listed is not taken."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {
                "id": "c7d3a1b2-9e40-4b7f-8a6d-1f2e3d4c5b03",
                "organisation_id": "0f9d6a34-7c1b-4c58-8f21-6b4c2f0f7e02",
                "service_type": "SHELTER",
                "sexes": ["FEMALE", "TRANS_FEMININE"],
                "age_groups": ["18-24", "25-34", "35+"],
                "languages": ["sq", "sr-Latn", "en"],
                "accessibility": ["STEP_FREE"],
                "capacity": 12,
                "free_places": 3,
            },
            {
                "id": "d81f4c6e-5b2a-4f93-b7c0-2a9e8d7c6b04",
                "organisation_id": "5b1c7d0e-3a52-4f0e-9a55-0d7a1f6f2c11",
                "service_type": "COUNSELLING_INFORMATION",
                "sexes": ["FEMALE", "MALE", "UNKNOWN"],
                "age_groups": ["12-17", "18-24", "25-34", "35+"],
                "languages": ["sr-Cyrl"],
            },
        )
    )

    id: UUID
    organisation_id: UUID
    service_type: ServiceType
    sexes: Sexes
    age_groups: AgeBands
    languages: Languages
    accessibility: AccessibilityCodes = Field(default=[])
    capacity: Capacity = None
    free_places: FreePlaces = None


class ServiceUpdate(StrictModel):
    """What changes in a service's entry; what is left out stays.

    Its type never changes: another type is another service.
    """

    model_config = ConfigDict(
        json_schema_extra=examples(
            {"free_places": 2},
            {"capacity": 14, "free_places": 4, "age_groups": ["12-17", "18-24", "25-34", "35+"]},
        )
    )

    sexes: Sexes = _left_out()
    age_groups: AgeBands = _left_out()
    languages: Languages = _left_out()
    accessibility: AccessibilityCodes = _left_out()
    capacity: Capacity = _left_out()
    free_places: FreePlaces = _left_out()


class ServiceRead(ReadModel):
    id: UUID
    version: int
    organisation_id: UUID
    country: str = coded("countries")
    service_type: str = coded("service_types")
    sexes: list[str] = coded("sex_gender")
    age_groups: list[str] = coded("age_bands")
    languages: list[str] = coded("languages")
    accessibility: list[str] = coded("accessibility")
    capacity: int | None
    free_places: int | None
