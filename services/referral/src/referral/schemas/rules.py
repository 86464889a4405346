"""The rules of conduct between the organisations, as anybody may read them."""

from pydantic import Field

from common.schema import ReadModel, coded
from referral.domain.cross_border import Direction, Move
from referral.domain.referral import Action, Side


class StepRule(ReadModel):
    """One step: from which status, by whose side, to which status, with a reason of which list."""

    status: str = coded("referral_statuses")
    step: Action
    side: Side
    leads_to: str = coded("referral_statuses")
    reasons: str | None = Field(description="Name of the code list the reason comes from")


class CrossBorderStepRule(ReadModel):
    """One step of a referral to another country: in which of the two it is taken, and to which status."""

    status: str = coded("cross_border_statuses")
    step: Move = Field(description="The verb of the step's URL")
    directions: list[Direction] = Field(
        description="SENT: the country that sent the referral takes it; RECEIVED: the other"
    )
    leads_to: str = coded("cross_border_statuses")
    reasons: str | None = Field(description="Name of the code list the reason comes from")


class DeadlineRule(ReadModel):
    """How long a receiver has to decide: elapsed hours, or working days (Monday to Friday)."""

    urgency: str = coded("urgency")
    hours: int | None
    working_days: int | None


class ReferralRules(ReadModel):
    """The rules of conduct between the organisations, from the tables the service decides by."""

    policy_version: int = Field(description="Edition of the deadlines")
    deadlines: list[DeadlineRule]
    steps: list[StepRule]
    cross_border_steps: list[CrossBorderStepRule]
    law_enforcement_kinds: list[str] = coded(
        "organisation_kinds", "Kinds of organisation to which only SHARE_LAW_ENFORCEMENT opens"
    )
