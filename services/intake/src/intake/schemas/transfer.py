from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from common.schema import (
    Absent,
    GroupedRead,
    Instant,
    NotNull,
    ReadModel,
    StrictModel,
    coded,
    examples,
    in_group,
)
from intake.domain.ownership import HIGHEST
from intake.schemas.fields import FOREIGN_CODE

_REFERRAL = "b1a5c0de-2f3e-4d7a-9c61-0e8f7a6b5c43"
Foreign = Annotated[str, StringConstraints(pattern=rf"^{FOREIGN_CODE}$")]
By = Annotated[UUID, Field(description="The referral across the border by which the case goes.")]


class CaseRelease(StrictModel):
    """To whom the person's data go: whoever accepted the referral."""

    model_config = ConfigDict(json_schema_extra=examples({"referral_id": _REFERRAL}))

    referral_id: By


class CaseGive(StrictModel):
    """By which referral the case is handed over, and under which epoch that was decided."""

    model_config = ConfigDict(json_schema_extra=examples({"referral_id": _REFERRAL, "epoch": 1}))

    referral_id: By
    epoch: Annotated[
        int, Field(ge=1, le=HIGHEST, strict=True, description="`ownership.epoch` of the case.")
    ]


class CaseRecall(StrictModel):
    """Which handover is asked back."""

    model_config = ConfigDict(json_schema_extra=examples({"referral_id": _REFERRAL}))

    referral_id: By


class UnmappedRead(ReadModel):
    """Codes of the other country that this register has no counterpart for."""

    field: str = Field(
        pattern=r"^[a-z_]+(\.[a-z_]+)?$", description="Where they stood, as `exploitation_types`."
    )
    codes: tuple[Foreign, ...] = Field(
        description="As the other country writes them; FOREIGN for what has not the form of a code."
    )


class CaseOriginRead(GroupedRead):
    """How a case came from another country, and what was told of the person in codes."""

    case_id: UUID
    referral_id: UUID
    sender_country: str = coded("countries")
    purpose: str = coded("purposes", "What she agreed that her data are sent for.")
    data_groups: tuple[str, ...] = coded("data_groups", "What she agreed to be sent.")
    exploitation_types: Annotated[tuple[str, ...] | Absent, NotNull] = in_group(
        "EXPLOITATION", codelist="exploitation_types"
    )
    unmapped: Annotated[tuple[UnmappedRead, ...] | Absent, NotNull] = in_group("EXPLOITATION")
    received_at: Instant = Field(description="When the newest package came.")
