"""The month clock of a programme: which phase a day belongs to, and when one is overdue."""

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from common.errors import InvalidError


class Phase(StrEnum):
    PLANNED = "PLANNED"
    CRISIS = "CRISIS"
    TRANSITION = "TRANSITION"
    REINTEGRATION = "REINTEGRATION"
    FOLLOW_UP = "FOLLOW_UP"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Window:
    """The months a phase may take. The first month of a programme is month 1."""

    phase: Phase
    last_month: int


@dataclass(frozen=True, slots=True)
class PhasePolicy:
    """A programme's windows in order; a plan keeps the version it was started under."""

    version: int
    windows: tuple[Window, ...]


# TVRP: crisis 0-3, transition 4-12, reintegration and inclusion 13-36 months (domain.md section 6).
PHASE_POLICIES: Final[Mapping[int, PhasePolicy]] = {
    1: PhasePolicy(
        version=1,
        windows=(
            Window(Phase.CRISIS, last_month=3),
            Window(Phase.TRANSITION, last_month=12),
            Window(Phase.REINTEGRATION, last_month=36),
        ),
    ),
}
CURRENT_POLICY: Final = PHASE_POLICIES[1]

_MONTHS: Final = 12


def anniversary(entered_on: date, months: int) -> date:
    """Return the day `months` after entry: the same day of the month, or the month's last day."""
    years, month = divmod(entered_on.month - 1 + months, _MONTHS)
    year, month = entered_on.year + years, month + 1
    return date(year, month, min(entered_on.day, monthrange(year, month)[1]))


def month_of(entered_on: date, day: date) -> int:
    """Return the programme month of a local calendar day, 1 from entry to the first anniversary.

    Raises InvalidError `plan.before_entry` for a day before entry.
    """
    if day < entered_on:
        raise InvalidError("plan.before_entry")
    months = (day.year - entered_on.year) * _MONTHS + day.month - entered_on.month
    return months + 1 if day >= anniversary(entered_on, months) else months


def phase_on(entered_on: date, day: date, policy: PhasePolicy = CURRENT_POLICY) -> Phase:
    """Return the phase the clock foresees for a day; after the last window, its last phase."""
    month = month_of(entered_on, day)
    for window in policy.windows:
        if month <= window.last_month:
            return window.phase
    return policy.windows[-1].phase


def begins_on(phase: Phase, entered_on: date, policy: PhasePolicy = CURRENT_POLICY) -> date:
    """Return the first day the clock foresees for a phase; entering it before that is early.

    FOLLOW_UP has no window of its own and begins when the last one ends.
    """
    last_month = 0
    for window in policy.windows:
        if window.phase is phase:
            break
        last_month = window.last_month
    return anniversary(entered_on, last_month)


def due_on(phase: Phase, entered_on: date, policy: PhasePolicy = CURRENT_POLICY) -> date | None:
    """Return the first day on which a plan that is still in `phase` is overdue.

    None for a phase without a window: PLANNED, FOLLOW_UP and CLOSED are never overdue.
    """
    for window in policy.windows:
        if window.phase is phase:
            return anniversary(entered_on, window.last_month)
    return None
