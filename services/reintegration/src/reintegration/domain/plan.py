"""A plan's steps: start, change of phase, suspension, closure, reopening (domain.md section 6)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from common.errors import ConflictError, ForbiddenError, InvalidError
from reintegration.domain.phases import (
    CURRENT_POLICY,
    Phase,
    PhasePolicy,
    begins_on,
    due_on,
    month_of,
)


class Action(StrEnum):
    """The steps a plan can take; refusals name those that are legal."""

    START = "start"
    CHANGE_PHASE = "change_phase"
    SUSPEND = "suspend"
    RESUME = "resume"
    CLOSE = "close"
    REOPEN = "reopen"


class Direction(StrEnum):
    FORWARD = "FORWARD"
    SKIP = "SKIP"
    BACK = "BACK"


@dataclass(frozen=True, slots=True)
class Reason:
    """A code of phase_change_reasons with the directions the list gives it."""

    code: str
    directions: Collection[str]


@dataclass(frozen=True, slots=True)
class PhaseMove:
    """A change of phase that was allowed. `month` is the programme month in which it happened."""

    from_phase: Phase
    to_phase: Phase
    direction: Direction
    is_early: bool
    month: int


@dataclass(frozen=True, slots=True)
class Overdue:
    """A phase that should have been left on `due_on`; `month` is the month the plan is in."""

    due_on: date
    month: int


RUNNING: Final = (Phase.CRISIS, Phase.TRANSITION, Phase.REINTEGRATION, Phase.FOLLOW_UP)
"""The phases between start and closure, in order."""

_UNDER_AGREEMENT: Final = (Phase.REINTEGRATION, Phase.FOLLOW_UP)

_STEPS: Final[Mapping[Phase, tuple[Action, ...]]] = {
    Phase.PLANNED: (Action.START, Action.SUSPEND, Action.CLOSE),
    Phase.CRISIS: (Action.CHANGE_PHASE, Action.SUSPEND, Action.CLOSE),
    Phase.TRANSITION: (Action.CHANGE_PHASE, Action.SUSPEND, Action.CLOSE),
    Phase.REINTEGRATION: (Action.CHANGE_PHASE, Action.SUSPEND, Action.CLOSE),
    Phase.FOLLOW_UP: (Action.CHANGE_PHASE, Action.SUSPEND, Action.CLOSE),
    Phase.CLOSED: (Action.REOPEN,),
}
_STEPS_WHILE_SUSPENDED: Final = (Action.RESUME, Action.CLOSE)


def require_legal(action: Action, phase: Phase, *, is_suspended: bool) -> None:
    """Raise ConflictError `plan.illegal_step`, with the legal steps, unless this is one now."""
    legal = _STEPS_WHILE_SUSPENDED if is_suspended else _STEPS[phase]
    if action not in legal:
        raise ConflictError("plan.illegal_step", legal=[step.value for step in legal])


def require_open(phase: Phase) -> None:
    """Raise ConflictError `plan.illegal_step` for a closed plan: it has to be reopened first."""
    if phase is Phase.CLOSED:
        raise ConflictError("plan.illegal_step", legal=[Action.REOPEN.value])


def require_consent(withdrawn_on: date | None) -> None:
    """Raise ForbiddenError `consent.missing` for a plan that no consent carries any more.

    It does not name whom to ask, which tells a child from an adult: a plan goes on with a new
    referral, and its sender asks.
    """
    if withdrawn_on is not None:
        raise ForbiddenError("consent.missing")


def require_here(departed_on: date | None) -> None:
    """Raise ConflictError `ownership.not_here` for the plan of a case that went to another country.

    One country at a time works on a case (F38).
    """
    if departed_on is not None:
        raise ConflictError("ownership.not_here")


def start(
    phase: Phase, *, is_suspended: bool, accepted_on: date, entered_on: date, today: date
) -> PhaseMove:
    """Start the month clock on the day of entry, today or earlier; the first phase is CRISIS.

    `accepted_on` is the day on which the referral was accepted: nobody enters the programme of an
    organisation that has not taken the case. Raises InvalidError `plan.entry_before_referral` or,
    for a day in the future, `plan.day_out_of_range`.
    """
    require_legal(Action.START, phase, is_suspended=is_suspended)
    if entered_on < accepted_on:
        raise InvalidError("plan.entry_before_referral", pointer="/entered_on")
    _require_day(entered_on, first=accepted_on, last=today, pointer="/entered_on")
    month = month_of(entered_on, today)
    return PhaseMove(phase, Phase.CRISIS, Direction.FORWARD, is_early=False, month=month)


def change_phase(
    phase: Phase,
    to_phase: Phase,
    *,
    is_suspended: bool,
    entered_on: date,
    today: date,
    reason: Reason | None,
    has_active_agreement: bool,
    policy: PhasePolicy = CURRENT_POLICY,
) -> PhaseMove:
    """Decide a change of phase. The clock runs on from entry, whatever the direction.

    The next phase on or after its day needs nothing; an early one, a skip and a step back need a
    reason (F45). Raises ConflictError `plan.illegal_phase` with the phases that may be named,
    ConflictError `plan.agreement_required` on the way into REINTEGRATION, and forward past it, while
    no agreement is in force (F46), InvalidError `plan.reason_required` or, for a reason that belongs
    to another direction, `plan.reason_unfit`.
    """
    require_legal(Action.CHANGE_PHASE, phase, is_suspended=is_suspended)
    if to_phase not in RUNNING or to_phase is phase:
        legal = [other.value for other in RUNNING if other is not phase]
        raise ConflictError("plan.illegal_phase", pointer="/to_phase", legal=legal)
    direction = _direction(phase, to_phase)
    if to_phase in _UNDER_AGREEMENT and not has_active_agreement:
        raise ConflictError("plan.agreement_required")
    is_early = direction is Direction.FORWARD and today < begins_on(to_phase, entered_on, policy)
    if reason is None and (is_early or direction is not Direction.FORWARD):
        raise InvalidError("plan.reason_required", pointer="/reason")
    if reason is not None:
        _require_fit(reason, direction)
    return PhaseMove(phase, to_phase, direction, is_early, month_of(entered_on, today))


def _direction(phase: Phase, to_phase: Phase) -> Direction:
    distance = RUNNING.index(to_phase) - RUNNING.index(phase)
    if distance < 0:
        return Direction.BACK
    return Direction.FORWARD if distance == 1 else Direction.SKIP


def close(
    phase: Phase, *, is_suspended: bool, not_before: date, closed_on: date, today: date
) -> None:
    """Check a closure: from any phase, on a day from `not_before` until today.

    `not_before` is the day of entry or of the last reopening, or of opening while there is neither.
    Raises InvalidError `plan.day_out_of_range`.
    """
    require_legal(Action.CLOSE, phase, is_suspended=is_suspended)
    _require_day(closed_on, first=not_before, last=today, pointer="/closed_on")


def reopen(
    phase: Phase, *, closed_from: Phase, episode: int, reason: Reason, has_other_open_plan: bool
) -> tuple[Phase, int]:
    """Return the phase a closed plan goes on in, and its next episode.

    The plan keeps its id and its clock (F51); whoever has to begin again goes BACK with a reason. A
    reopening is a step back in the person's way, so its reason is one of those for a step back.
    Raises ConflictError `plan.already_open` while the case has another open plan, InvalidError
    `plan.reason_unfit`.
    """
    require_legal(Action.REOPEN, phase, is_suspended=False)
    if has_other_open_plan:
        raise ConflictError("plan.already_open")
    _require_fit(reason, Direction.BACK)
    return closed_from, episode + 1


def overdue(
    phase: Phase,
    *,
    is_suspended: bool,
    entered_on: date,
    today: date,
    policy: PhasePolicy = CURRENT_POLICY,
) -> Overdue | None:
    """Say whether the plan has outstayed its phase. A suspended plan is not reported."""
    due = due_on(phase, entered_on, policy)
    if is_suspended or due is None or today < due:
        return None
    return Overdue(due, month_of(entered_on, today))


def _require_fit(reason: Reason, direction: Direction) -> None:
    if direction not in reason.directions:
        raise InvalidError("plan.reason_unfit", pointer="/reason", direction=direction.value)


def _require_day(day: date, *, first: date, last: date, pointer: str) -> None:
    if not first <= day <= last:
        raise InvalidError("plan.day_out_of_range", pointer=pointer)
