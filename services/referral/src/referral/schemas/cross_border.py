from datetime import date
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from common.codelists import code_of
from common.federation.custody import SignedStatement
from common.schema import Day, Instant, NewId, ReadModel, StrictModel, coded, examples
from referral.domain.cross_border import CrossBorderView, Direction
from referral.schemas.directory import Country, Language, OrganisationKind, ServiceType
from referral.schemas.referral import (
    CancelReason,
    DataGroup,
    DeclineReason,
    Purpose,
    ReturnReason,
    TrmStage,
    Urgency,
)

TransferBasis = Annotated[str, code_of("transfer_bases")]
Precondition = Annotated[str, code_of("return_preconditions")]
TransferFailure = Annotated[str, code_of("transfer_failures")]
Needs = Annotated[
    list[ServiceType],
    Field(min_length=1, max_length=20, description="What the person needs there."),
]
Languages = Annotated[
    list[Language], Field(max_length=10, description="Languages in which she can be helped.")
]


class CrossBorderCreate(StrictModel):
    """A draft. What it says of its preparation is asked for when it is submitted, not before."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {
                "id": "6f0b1d52-93c7-4e1a-8d36-2b7f5c4a9e21",
                "case_id": "9a4c1e7b-0d83-4f6a-b5c2-7e6d5c4b3a06",
                "peer_country": "XK",
                "requested_kind": "SHELTER",
                "needs": ["SHELTER", "COUNSELLING_INFORMATION"],
                "languages": ["sq"],
                "urgency": "HIGH",
                "purpose": "ASSISTANCE",
                "data_groups": ["IDENTITY", "HEALTH"],
                "trm_stage": "SOP4",
                "transfer_basis": "EXPLICIT_CONSENT",
                "risk_assessed_on": "2026-11-10",
                "needs_assessed_on": "2026-11-12",
            }
        )
    )

    id: NewId
    case_id: UUID
    peer_country: Country = Field(description="The country the person is referred to.")
    requested_kind: OrganisationKind | None = Field(
        default=None, description="Kind of organisation the person agreed to; or name one."
    )
    requested_organisation_id: UUID | None = Field(
        default=None, description="The organisation abroad the person agreed to, if one was named."
    )
    needs: Needs
    languages: Languages = Field(default=[])
    urgency: Urgency
    purpose: Purpose
    data_groups: list[DataGroup] = Field(
        min_length=1,
        max_length=10,
        description="What may be known of the person there once it was accepted; consent covers it.",
    )
    trm_stage: TrmStage | None = None
    transfer_basis: TransferBasis | None = Field(
        default=None, description="The legal basis of the transfer; needed to submit."
    )
    risk_assessed_on: Day | None = None
    needs_assessed_on: Day | None = None
    guardian_appointed_on: Day | None = Field(
        default=None, description="Needed to submit the referral of a child."
    )


class CrossBorderResubmit(StrictModel):
    """What has changed since the referral was returned; what is not named stays."""

    model_config = ConfigDict(json_schema_extra=examples({"needs": ["SHELTER", "LEGAL_AID"]}, {}))

    needs: Needs | None = None
    languages: Languages | None = None
    urgency: Urgency | None = None
    transfer_basis: TransferBasis | None = None
    risk_assessed_on: Day | None = None
    needs_assessed_on: Day | None = None
    guardian_appointed_on: Day | None = None


class CrossBorderReturn(StrictModel):
    """Ask the sending country for more before deciding."""

    model_config = ConfigDict(json_schema_extra=examples({"reason": "NEEDS_UNCLEAR"}))

    reason: ReturnReason


class CrossBorderDecline(StrictModel):
    model_config = ConfigDict(json_schema_extra=examples({"reason": "NO_CAPACITY"}))

    reason: DeclineReason


class CrossBorderAccept(StrictModel):
    """Name who takes the person in: an organisation of this country's directory."""

    model_config = ConfigDict(
        json_schema_extra=examples({"organisation_id": "0f9d6a34-7c1b-4c58-8f21-6b4c2f0f7e02"})
    )

    organisation_id: UUID
    service_id: UUID | None = None


class TransferPlanned(StrictModel):
    """A journey that is safe and the person's own decision: without either it is not planned."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {
                "precondition": "WISH_TO_RETURN",
                "has_informed_decision": True,
                "took_part_in_planning": True,
                "has_travel_documents": True,
                "planned_on": "2026-12-02",
            }
        )
    )

    precondition: Precondition
    has_informed_decision: bool = Field(
        description="The person decided for herself, fully informed of staying and of returning."
    )
    took_part_in_planning: bool
    has_travel_documents: bool
    planned_on: Day


class TransferFail(StrictModel):
    model_config = ConfigDict(json_schema_extra=examples({"reason": "NOT_ADMITTED"}))

    reason: TransferFailure


class CrossBorderCancel(StrictModel):
    model_config = ConfigDict(json_schema_extra=examples({"reason": "PERSON_DECLINED"}))

    reason: CancelReason


class CrossBorderRead(ReadModel):
    """A referral to or from another country, as much of it as the caller may see.

    The sending organisation sees all of it. The receiving country sees a header (from where, how
    urgent, for which age, by when) until it has acknowledged, then the offer; who oversees a sent one
    sees the offer too. Once it was called off the receiving country keeps the fact and the days. What
    is not shown is null, or an empty list. `case_id` is the case of this country's own register, and
    is told to the organisation that sends the person or takes her in.
    """

    id: UUID
    version: int
    direction: Direction
    peer_country: str = coded("countries")
    status: str = coded("cross_border_statuses")
    organisation_id: UUID | None = Field(
        description="Who sends the person; in the receiving country who takes her in."
    )
    case_id: UUID | None
    urgency: str = coded("urgency")
    age_group: str | None = coded("age_bands")
    sex: str | None = coded("sex_gender")
    needs: list[str] = coded("service_types")
    languages: list[str] = coded("languages")
    purpose: str | None = coded("purposes")
    data_groups: list[str] = coded("data_groups")
    requested_kind: str | None = coded("organisation_kinds")
    requested_organisation_id: UUID | None
    recipient_kind: str | None = coded("organisation_kinds", "Of who takes the person in")
    recipient_organisation_id: UUID | None
    service_id: UUID | None
    trm_stage: str | None = coded("trm_stages")
    transfer_basis: str | None = coded("transfer_bases")
    risk_assessed_on: date | None
    needs_assessed_on: date | None
    guardian_appointed_on: date | None
    reason: str | None = Field(description="Of the last step, where it has one.")
    precondition: str | None = coded("return_preconditions")
    planned_on: date | None
    arrived_on: date | None
    submitted_at: Instant | None
    acknowledged_at: Instant | None
    respond_by: Instant | None
    packaged_at: Instant | None = Field(
        description="When the person's data were sent, or came, sealed from register to register."
    )
    consent_withdrawn_on: date | None
    erased_on: date | None = Field(
        description="Since when the receiving country's register holds nothing of the person. Sealed "
        "copies in its logs (14 days), among what could not be read (30 days) and in backups outlive it."
    )

    @classmethod
    def of(
        cls,
        row: Any,  # noqa: ANN401  a referral's row
        view: CrossBorderView,
        *,
        knows_case: bool,
    ) -> "CrossBorderRead":
        hidden = set(_HIDDEN[view])
        if view is CrossBorderView.FACT and row.status == "DECLINED":
            hidden.discard("reason")  # the country's own word
        if not knows_case:
            hidden.add("case_id")
        return cls.model_validate(row).model_copy(
            update={name: [] if name in _LISTS else None for name in hidden}
        )


_LISTS = frozenset({"needs", "languages", "data_groups"})
_PREPARATION = frozenset(
    {
        "trm_stage",
        "transfer_basis",
        "requested_kind",
        "requested_organisation_id",
        "risk_assessed_on",
        "needs_assessed_on",
        "guardian_appointed_on",
        "precondition",
    }
)
_OFFER = frozenset(
    {
        "sex",
        "needs",
        "languages",
        "purpose",
        "data_groups",
        "recipient_kind",
        "recipient_organisation_id",
        "service_id",
        "reason",
        "planned_on",
        "arrived_on",
        "packaged_at",
    }
)
_HIDDEN: dict[CrossBorderView, frozenset[str]] = {
    CrossBorderView.WHOLE: frozenset(),
    CrossBorderView.OFFER: _PREPARATION,
    CrossBorderView.HEADER: _PREPARATION | _OFFER,
    CrossBorderView.FACT: _PREPARATION | _OFFER | {"age_group", "case_id"},
}
"""What is not shown in each view."""


class CustodyRead(ReadModel):
    """What both countries have said of a referral, each statement signed by its author.

    A statement names the one before it and the newest one of the other country that was taken, by
    their hashes: whoever has the keys of both countries can tell that nothing was left out, put in or
    changed, and who knew what when. Of the words of a letter it has only who may edit the case
    (`owning`) and which organisation takes the person in (`organisation_id`).
    """

    statements: list[SignedStatement]
