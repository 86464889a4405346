"""A national referral: which step is legal, for which side, by when, and who sees how much."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from common.errors import ConflictError, ForbiddenError, InvalidError


class ReferralStatus(StrEnum):
    DRAFT = "DRAFT"
    SUBMITTED = "SUBMITTED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RETURNED_FOR_INFO = "RETURNED_FOR_INFO"
    ACCEPTED = "ACCEPTED"
    DECLINED = "DECLINED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class Action(StrEnum):
    """The steps; a value is the verb of the step's URL."""

    SUBMIT = "submit"
    ACKNOWLEDGE = "acknowledge"
    RETURN_FOR_INFO = "return_for_info"
    RESUBMIT = "resubmit"
    ACCEPT = "accept"
    DECLINE = "decline"
    COMPLETE = "complete"
    CANCEL = "cancel"
    EXPIRE = "expire"


class Side(StrEnum):
    SENDER = "SENDER"
    RECEIVER = "RECEIVER"
    CLOCK = "CLOCK"
    """Nobody's request: the service itself, when the time to answer is over."""


# domain.md section 4, cut down to one country: ASSESSING is part of ACKNOWLEDGED; ACCEPTED is "in
# service" and COMPLETED its end. CONSENT_WITHDRAWN of an open referral is CANCELLED with a reason:
# the person may refuse a referral at any time before it is completed (Bulgarian NRM 1.4). A receipt
# is no answer, so the clock ends an ACKNOWLEDGED referral too: nobody shall wait behind it unseen.
STEPS: Final[Mapping[ReferralStatus, Mapping[Action, tuple[Side, ReferralStatus]]]] = {
    ReferralStatus.DRAFT: {
        Action.SUBMIT: (Side.SENDER, ReferralStatus.SUBMITTED),
        Action.CANCEL: (Side.SENDER, ReferralStatus.CANCELLED),
    },
    ReferralStatus.SUBMITTED: {
        Action.ACKNOWLEDGE: (Side.RECEIVER, ReferralStatus.ACKNOWLEDGED),
        Action.RETURN_FOR_INFO: (Side.RECEIVER, ReferralStatus.RETURNED_FOR_INFO),
        Action.CANCEL: (Side.SENDER, ReferralStatus.CANCELLED),
        Action.EXPIRE: (Side.CLOCK, ReferralStatus.EXPIRED),
    },
    ReferralStatus.RETURNED_FOR_INFO: {
        Action.RESUBMIT: (Side.SENDER, ReferralStatus.SUBMITTED),
        Action.CANCEL: (Side.SENDER, ReferralStatus.CANCELLED),
    },
    ReferralStatus.ACKNOWLEDGED: {
        Action.ACCEPT: (Side.RECEIVER, ReferralStatus.ACCEPTED),
        Action.DECLINE: (Side.RECEIVER, ReferralStatus.DECLINED),
        Action.RETURN_FOR_INFO: (Side.RECEIVER, ReferralStatus.RETURNED_FOR_INFO),
        Action.CANCEL: (Side.SENDER, ReferralStatus.CANCELLED),
        Action.EXPIRE: (Side.CLOCK, ReferralStatus.EXPIRED),
    },
    ReferralStatus.ACCEPTED: {
        Action.COMPLETE: (Side.RECEIVER, ReferralStatus.COMPLETED),
        Action.CANCEL: (Side.SENDER, ReferralStatus.CANCELLED),
    },
    ReferralStatus.DECLINED: {},
    ReferralStatus.COMPLETED: {},
    ReferralStatus.CANCELLED: {},
    ReferralStatus.EXPIRED: {},
}

REASON_LISTS: Final[Mapping[Action, str]] = {
    Action.RETURN_FOR_INFO: "return_reasons",
    Action.DECLINE: "decline_reasons",
    Action.CANCEL: "cancel_reasons",
}
"""The steps that need a reason, and the code list it comes from."""


def legal_actions(status: ReferralStatus, sides: Collection[Side]) -> list[Action]:
    """Return the steps open to these sides now, in the order of the table."""
    return [action for action, (side, _) in STEPS[status].items() if side in sides]


def next_status(
    status: ReferralStatus,
    action: Action,
    *,
    sides: Collection[Side],
    reason: str | None = None,
) -> ReferralStatus:
    """Return the status after `action`.

    `sides` are the sides the caller stands on: both when an organisation refers to itself.
    Raises ConflictError `referral.illegal_step` with the caller's legal steps, ForbiddenError
    `referral.other_side` when the step is the other side's, InvalidError
    `referral.reason_required`. Whether a reason belongs to its code list is the schema's check.
    """
    step = STEPS[status].get(action)
    if step is None:
        legal = [str(other) for other in legal_actions(status, sides)]
        raise ConflictError("referral.illegal_step", legal=legal)
    side, following = step
    if side not in sides:
        raise ForbiddenError("referral.other_side", side=side.value)
    if action in REASON_LISTS and reason is None:
        raise InvalidError("referral.reason_required", pointer="/reason")
    return following


class Urgency(StrEnum):
    CRISIS = "CRISIS"
    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"


@dataclass(frozen=True, slots=True)
class WorkingDays:
    """Whole working days: Monday to Friday without public holidays; the first day is not counted."""

    days: int


@dataclass(frozen=True, slots=True)
class ResponsePolicy:
    """How long a receiver has to answer. Kept with a version, so that an old deadline explains itself."""

    version: int
    allowances: Mapping[Urgency, timedelta | WorkingDays]


# F35 (24 h in a crisis); 10 working days: domain.md section 4, SUBMITTED -> EXPIRED. The 48 hours are
# our proposal between the two.
RESPONSE_POLICY: Final = ResponsePolicy(
    version=1,
    allowances={
        Urgency.CRISIS: timedelta(hours=24),
        Urgency.HIGH: timedelta(hours=48),
        Urgency.NORMAL: WorkingDays(10),
        Urgency.LOW: WorkingDays(10),
    },
)

_SATURDAY: Final = 5


def respond_by(
    submitted_at: datetime,
    urgency: Urgency,
    *,
    zone: str,
    holidays: Collection[date] = frozenset(),
    policy: ResponsePolicy = RESPONSE_POLICY,
) -> datetime:
    """Return the first instant (UTC) at which a referral nobody has decided on has expired.

    Hours are elapsed hours, also over a change to summer time. Working days end with the local
    day in `zone`; `holidays` are that country's public holidays. A resubmission starts anew.
    """
    allowance = policy.allowances[urgency]
    if isinstance(allowance, timedelta):
        return submitted_at.astimezone(UTC) + allowance
    local = ZoneInfo(zone)
    last_day = _add_working_days(submitted_at.astimezone(local).date(), allowance.days, holidays)
    midnight = datetime.combine(last_day + timedelta(days=1), time.min, tzinfo=local)
    return midnight.astimezone(UTC)


def _add_working_days(start: date, count: int, holidays: Collection[date]) -> date:
    day = start
    while count:
        day += timedelta(days=1)
        if day.weekday() < _SATURDAY and day not in holidays:
            count -= 1
    return day


def has_expired(status: ReferralStatus, deadline: datetime, now: datetime) -> bool:
    """Say whether the clock ends this referral: nobody has decided on it, and its time is over."""
    return Action.EXPIRE in STEPS[status] and now >= deadline


class ReceiverView(StrEnum):
    """How much of a referral an organisation sees."""

    NOTHING = "NOTHING"
    FACT = "FACT"
    """That there was one, between whom and when; nothing of the person. Left to a sender that lost
    the case with a withdrawn consent."""
    PREVIEW = "PREVIEW"
    FULL = "FULL"


OVERDUE: Final = frozenset(status for status, steps in STEPS.items() if Action.EXPIRE in steps)
"""The statuses in which the clock runs."""

SENT_AND_OPEN: Final = frozenset(
    {
        ReferralStatus.SUBMITTED,
        ReferralStatus.ACKNOWLEDGED,
        ReferralStatus.RETURNED_FOR_INFO,
        ReferralStatus.ACCEPTED,
    }
)
"""The statuses in which the receiver has, or is about to get, data that a consent must cover."""

OPEN: Final = SENT_AND_OPEN | {ReferralStatus.DRAFT}
"""The statuses from which something may still follow."""

CALLED_OFF: Final = frozenset(
    {ReferralStatus.DECLINED, ReferralStatus.CANCELLED, ReferralStatus.EXPIRED}
)
"""The receiver did not take the person in (domain.md section 4)."""


def keeps_only_the_fact(status: ReferralStatus, *, is_withdrawn: bool) -> bool:
    """Say whether the receiver keeps the fact and the date and nothing of the person.

    `is_withdrawn`: consent was withdrawn, before the end of the referral or after it.
    """
    return is_withdrawn or status in CALLED_OFF


def receiver_view(
    status: ReferralStatus, *, was_submitted: bool, was_acknowledged: bool, is_withdrawn: bool
) -> ReceiverView:
    """Return what the receiver may see: no identity and no note before it has acknowledged (F37).

    Once the referral was declined, cancelled or has expired, or consent was withdrawn, the receiver
    is back to the preview.
    """
    if not was_submitted:
        return ReceiverView.NOTHING
    if was_acknowledged and not keeps_only_the_fact(status, is_withdrawn=is_withdrawn):
        return ReceiverView.FULL
    return ReceiverView.PREVIEW
