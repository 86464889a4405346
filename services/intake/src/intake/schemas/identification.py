from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from common.codelists import code_of
from common.contracts.types import RuleVersion
from common.schema import (
    Absent,
    Day,
    GroupedRead,
    Instant,
    LongText,
    NotNull,
    ReadModel,
    StrictModel,
    examples,
    in_group,
)
from intake.domain.identification import IdentificationStatus
from intake.domain.roles import ActorRole, DecidingAuthority
from intake.schemas.fields import P1, Distinct, listed

Roles = Annotated[
    tuple[Annotated[ActorRole, listed("actor_roles")], ...], Field(max_length=10), Distinct
]
Purposes = Annotated[
    tuple[Annotated[str, code_of("exploitation_types")], ...], Field(max_length=20), Distinct
]
Acts = Annotated[
    tuple[Annotated[str, code_of("ics_tip", kind="act")], ...], Field(max_length=10), Distinct
]
Means = Annotated[
    tuple[Annotated[str, code_of("ics_tip", kind="means")], ...], Field(max_length=10), Distinct
]


class IdentificationDecide(StrictModel):
    """One step of identification, with who decided, when and on which ground."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {
                "status": "PRESUMED",
                "decided_by": "NGO",
                "participants": ["NGO_CASE_MANAGER"],
                "legal_basis": "REASONABLE_GROUNDS",
                "decided_on": "2025-11-20",
            },
            {
                "status": "IDENTIFIED",
                "decided_by": "NON_POLICE_GOVERNMENTAL_ORGANIZATION",
                "participants": ["SOCIAL_WORKER"],
                "legal_basis": "NATIONAL_SOP",
                "decided_on": "2025-11-21",
                "exploitation_types": ["FORCED_LABOUR"],
                "acts": ["ACT_RECRUITMENT", "ACT_TRANSPORTATION"],
                "means": ["MEANS_DECEPTION"],
                "note": "Обећан посао у кухињи, документа одузета на дан доласка.",
            },
        )
    )

    status: Annotated[IdentificationStatus, listed("identification_status")]
    decided_by: Annotated[DecidingAuthority, listed("deciding_authorities")]
    participants: Roles = Field(
        default=(),
        description="Further roles that took part, where the country decides jointly. "
        "decided_by is the authority of one of them, or the caller's own.",
    )
    legal_basis: Annotated[str, code_of("legal_bases", uses="IDENTIFICATION")]
    decided_on: Day
    exploitation_types: Purposes = ()
    acts: Acts = ()
    means: Means = Field(
        default=(), description="Not needed for a child; needed while no age is known."
    )
    note: Annotated[LongText | None, P1] = Field(
        default=None,
        description="Needed where somebody is turned down, and where new facts reopen the matter.",
    )


class IdentificationRead(GroupedRead):
    """A step as it was decided; the history of a case is these, oldest first."""

    id: UUID
    case_id: UUID
    assessment: int = Field(description="1 for the first; one more each time it is reopened.")
    status: Annotated[IdentificationStatus, listed("identification_status")]
    previous_status: Annotated[IdentificationStatus, listed("identification_status")]
    decided_by: Annotated[DecidingAuthority, listed("deciding_authorities")]
    participants: tuple[ActorRole, ...]
    legal_basis: Annotated[str | Absent, NotNull] = in_group("LEGAL", codelist="legal_bases")
    decided_on: date
    rule_version: RuleVersion
    exploitation_types: Annotated[tuple[str, ...] | Absent, NotNull] = in_group(
        "EXPLOITATION", codelist="exploitation_types"
    )
    acts: Annotated[tuple[str, ...] | Absent, NotNull] = in_group(
        "EXPLOITATION", codelist="ics_tip"
    )
    means: Annotated[tuple[str, ...] | Absent, NotNull] = in_group(
        "EXPLOITATION", codelist="ics_tip"
    )
    note: str | None = in_group("EXPLOITATION", data_class="P1")
    recorded_at: Instant


class IdentificationHistory(ReadModel):
    items: tuple[IdentificationRead, ...]
