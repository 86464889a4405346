"""The month clock, against a calendar that is walked day by day."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from common.errors import InvalidError
from reintegration.domain.phases import (
    PHASE_POLICIES,
    Phase,
    PhasePolicy,
    Window,
    anniversary,
    begins_on,
    due_on,
    month_of,
    phase_on,
)

DAY = timedelta(days=1)


def days_of(year: int) -> list[date]:
    first = date(year, 1, 1)
    return [first + number * DAY for number in range((date(year + 1, 1, 1) - first).days)]


LEAP, COMMON = 2024, 2025
ENTRIES = [*days_of(LEAP), *days_of(COMMON)]


def walk(entered_on: date) -> Iterator[tuple[date, int]]:
    """Yield each day from entry with its programme month, by looking at the calendar only.

    A month is over when the day's number comes round, or on the last day of a month that is too
    short for it (the next day is a 1st): domain.md section 6. No month arithmetic anywhere.
    """
    day, month = entered_on, 1
    while True:
        yield day, month
        day += DAY
        ends_short = (day + DAY).day == 1 and day.day < entered_on.day
        if day.day == entered_on.day or ends_short:
            month += 1


def test_the_calendar_walk_covers_a_leap_and_a_common_year() -> None:
    assert (len(days_of(LEAP)), len(days_of(COMMON))) == (366, 365)


# Fails when the day before an anniversary is already the later phase, when a missing 29th, 30th or
# 31st waits for the 1st, when February is forgotten, or when a window ends a month off: for every
# entry day of a leap and a common year.
def test_phases_change_on_the_3rd_12th_and_36th_anniversary_and_not_a_day_before() -> None:
    wrong = []
    for entered_on in ENTRIES:
        begins: dict[int, date] = {}
        for day, month in walk(entered_on):
            begins.setdefault(month, day)
            if month == 37:
                break
        for begin, before, after in (
            (begins[4], Phase.CRISIS, Phase.TRANSITION),
            (begins[13], Phase.TRANSITION, Phase.REINTEGRATION),
            (begins[37], Phase.REINTEGRATION, Phase.REINTEGRATION),
        ):
            seen = (
                phase_on(entered_on, begin - DAY),
                phase_on(entered_on, begin),
                due_on(before, entered_on),
            )
            if seen != (before, after, begin):
                wrong.append((entered_on, begin, seen))

    assert wrong == []


# Fails on any single day of 48 months that gets another month than the walk gives it.
def test_every_day_of_four_years_has_the_month_the_calendar_gives_it() -> None:
    wrong = []
    for entered_on in [*days_of(LEAP)[::7], *(d for d in ENTRIES if d.day >= 28 or d.day == 1)]:
        for day, month in walk(entered_on):
            if month_of(entered_on, day) != month:
                wrong.append((entered_on, day, month))
            if month > 48:
                break

    assert wrong == []


# Read off a paper calendar. Fails when one clamped month shortens all later ones (31, 28, 28 …).
@pytest.mark.parametrize(
    ("entered_on", "months", "day"),
    [
        ("2026-01-15", 3, "2026-04-15"),
        ("2026-01-31", 1, "2026-02-28"),
        ("2026-01-31", 2, "2026-03-31"),
        ("2026-01-31", 3, "2026-04-30"),
        ("2025-11-30", 3, "2026-02-28"),
        ("2023-11-30", 3, "2024-02-29"),
        ("2023-11-29", 3, "2024-02-29"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2024-02-29", 36, "2027-02-28"),
        ("2024-02-29", 48, "2028-02-29"),
        ("2025-12-31", 12, "2026-12-31"),
        ("2025-10-31", 0, "2025-10-31"),
    ],
)
def test_known_anniversaries(entered_on: str, months: int, day: str) -> None:
    assert anniversary(date.fromisoformat(entered_on), months) == date.fromisoformat(day)


def test_the_first_month_is_month_one_and_there_is_none_before_entry() -> None:
    entered_on = date(2026, 3, 10)

    assert month_of(entered_on, entered_on) == 1
    with pytest.raises(InvalidError) as refusal:
        month_of(entered_on, entered_on - DAY)
    assert refusal.value.code == "plan.before_entry"


def test_after_the_last_window_the_last_phase_goes_on() -> None:
    assert phase_on(date(2020, 1, 1), date(2026, 1, 1)) is Phase.REINTEGRATION


@pytest.mark.parametrize(
    ("phase", "begin", "due"),
    [
        (Phase.CRISIS, "2026-01-31", "2026-04-30"),
        (Phase.TRANSITION, "2026-04-30", "2027-01-31"),
        (Phase.REINTEGRATION, "2027-01-31", "2029-01-31"),
        (Phase.FOLLOW_UP, "2029-01-31", None),
    ],
)
def test_a_phase_begins_where_the_one_before_is_due(
    phase: Phase, begin: str, due: str | None
) -> None:
    entered_on = date(2026, 1, 31)

    assert begins_on(phase, entered_on) == date.fromisoformat(begin)
    assert due_on(phase, entered_on) == (date.fromisoformat(due) if due else None)


@pytest.mark.parametrize("phase", [Phase.PLANNED, Phase.FOLLOW_UP, Phase.CLOSED])
def test_a_phase_without_a_window_is_never_due(phase: Phase) -> None:
    assert due_on(phase, date(2026, 1, 31)) is None


# The programme's own figures: 3 + 9 + 24 months.
def test_the_first_policy_is_that_of_the_programme() -> None:
    ends = {window.phase: window.last_month for window in PHASE_POLICIES[1].windows}

    assert ends == {Phase.CRISIS: 3, Phase.TRANSITION: 12, Phase.REINTEGRATION: 36}


# Fails when a function looks at the current policy instead of the one it was given.
def test_a_plan_can_run_under_another_policy() -> None:
    short = PhasePolicy(2, (Window(Phase.CRISIS, 1), Window(Phase.TRANSITION, 2)))
    entered_on = date(2026, 1, 1)

    assert phase_on(entered_on, date(2026, 2, 1), short) is Phase.TRANSITION
    assert begins_on(Phase.TRANSITION, entered_on, short) == date(2026, 2, 1)
    assert due_on(Phase.TRANSITION, entered_on, short) == date(2026, 3, 1)
    assert due_on(Phase.REINTEGRATION, entered_on, short) is None
