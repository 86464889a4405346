"""What reintegration tells the others about plans. The subject of every event is the plan."""

from datetime import date
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from common.contracts.referral import CONSENT_WITHDRAWN
from common.contracts.types import Code, Country
from common.events import EventData


class PlanOpened(EventData):
    """An accepted referral has opened a plan, still PLANNED: no month is counted yet."""

    type: ClassVar[str] = "reintegration.plan.opened.v1"

    plan_id: UUID
    case_id: UUID
    referral_id: UUID
    organisation_id: UUID
    country: Country
    opened_on: date


class PlanReferralLinked(EventData):
    """Another accepted referral of the case joined the plan that was open already."""

    type: ClassVar[str] = "reintegration.plan.referral_linked.v1"

    plan_id: UUID
    case_id: UUID
    referral_id: UUID
    linked_on: date


class PlanPhaseChanged(EventData):
    """A plan moved to another phase. From PLANNED it was started: support has begun.

    `entered_on` is the day of entry into the programme, from which `month` counts; the month of
    entry is month 1. `direction` is FORWARD, SKIP or BACK.
    """

    type: ClassVar[str] = "reintegration.plan.phase_changed.v1"

    plan_id: UUID
    case_id: UUID
    from_phase: Code
    to_phase: Code
    direction: Code
    reason: Code | None = None
    entered_on: date
    changed_on: date
    month: int = Field(ge=1)


class PlanPhaseOverdue(EventData):
    """A plan should have left `phase` on `due_on` and has not."""

    type: ClassVar[str] = "reintegration.plan.phase_overdue.v1"

    plan_id: UUID
    case_id: UUID
    phase: Code
    due_on: date
    month: int = Field(ge=1)


class PlanSuspended(EventData):
    """Work on a plan rests. Its month clock does not, but it is not called overdue meanwhile.

    `reason` is CONSENT_WITHDRAWN when the person's consent no longer carries the plan; that is told
    of a closed plan too, whose texts are not opened any more.
    """

    type: ClassVar[str] = "reintegration.plan.suspended.v1"

    plan_id: UUID
    case_id: UUID
    suspended_on: date
    reason: Code | None = None

    def readers(self) -> list[UUID | None]:
        """Leave the plan's organisation out once it may not know whose plan it is.

        PlanClosedToOrganisation tells it. The owner of the case reads this one as any other.
        """
        return [None] if self.reason == CONSENT_WITHDRAWN else super().readers()


class PlanClosedToOrganisation(EventData):
    """The organisation of a plan that lost its consent keeps only the fact and the dates.

    Told beside the PlanSuspended that says since when, and no more than the plan still shows it.
    """

    type: ClassVar[str] = "reintegration.plan.closed_to_organisation.v1"

    plan_id: UUID


class PlanResumed(EventData):
    """Work on a suspended plan goes on, in the phase it was in."""

    type: ClassVar[str] = "reintegration.plan.resumed.v1"

    plan_id: UUID
    case_id: UUID
    resumed_on: date


class PlanAgreementDrafted(EventData):
    """A new version of the reintegration agreement was written; it waits for signatures."""

    type: ClassVar[str] = "reintegration.plan.agreement_drafted.v1"

    plan_id: UUID
    case_id: UUID
    agreement_id: UUID
    agreement_version: int = Field(ge=1)
    review_on: date
    drafted_on: date


class PlanAgreementPartySigned(EventData):
    """One party has signed a version of the agreement, on the day `signed_on`."""

    type: ClassVar[str] = "reintegration.plan.agreement_party_signed.v1"

    plan_id: UUID
    case_id: UUID
    agreement_id: UUID
    agreement_version: int = Field(ge=1)
    party: Code
    signed_on: date


class PlanAgreementSigned(EventData):
    """Everybody who has to sign a version of the reintegration agreement has signed it."""

    type: ClassVar[str] = "reintegration.plan.agreement_signed.v1"

    plan_id: UUID
    case_id: UUID
    agreement_id: UUID
    agreement_version: int = Field(ge=1)
    review_on: date
    signed_on: date


class PlanClosed(EventData):
    """An episode of a plan ended. A reopened plan starts the next episode, under the same id."""

    type: ClassVar[str] = "reintegration.plan.closed.v1"

    plan_id: UUID
    case_id: UUID
    reason: Code
    closed_on: date
    episode: int = Field(ge=1)


class PlanReopened(EventData):
    """A closed plan goes on in `to_phase`, the phase it was closed from; its clock ran on."""

    type: ClassVar[str] = "reintegration.plan.reopened.v1"

    plan_id: UUID
    case_id: UUID
    to_phase: Code
    reason: Code
    reopened_on: date
    episode: int = Field(ge=2)
