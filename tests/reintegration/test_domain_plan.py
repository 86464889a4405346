"""A plan's steps and their refusals."""

from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest

from common.errors import ConflictError, InvalidError
from reintegration.domain.phases import Phase
from reintegration.domain.plan import (
    Action,
    Direction,
    Overdue,
    PhaseMove,
    Reason,
    change_phase,
    close,
    overdue,
    reopen,
    require_legal,
    require_open,
    start,
)

ACCEPTED, ENTRY = date(2026, 1, 7), date(2026, 1, 15)
BEFORE_TRANSITION, TRANSITION_DAY = date(2026, 4, 14), date(2026, 4, 15)
REINTEGRATION_DAY = date(2027, 1, 15)
FOLLOW_UP_DAY = date(2029, 1, 15)
ANY = Reason("OTHER", ["FORWARD", "SKIP", "BACK"])


def begin(
    phase: Phase = Phase.PLANNED,
    *,
    is_suspended: bool = False,
    entered_on: date = ENTRY,
    today: date = TRANSITION_DAY,
) -> PhaseMove:
    return start(
        phase,
        is_suspended=is_suspended,
        accepted_on=ACCEPTED,
        entered_on=entered_on,
        today=today,
    )


def change(phase: Phase, to_phase: Phase, **given: Any) -> PhaseMove:
    """Ask for a change with nothing that could help: no reason, no agreement."""
    asked: dict[str, Any] = {
        "is_suspended": False,
        "entered_on": ENTRY,
        "today": FOLLOW_UP_DAY,
        "reason": None,
        "has_active_agreement": False,
    }
    return change_phase(phase, to_phase, **(asked | given))


# Written by hand from domain.md section 6: SUSPENDED and CLOSED from any, a closed one reopened.
LEGAL = {
    (Phase.PLANNED, False): ["start", "suspend", "close"],
    (Phase.CRISIS, False): ["change_phase", "suspend", "close"],
    (Phase.TRANSITION, False): ["change_phase", "suspend", "close"],
    (Phase.REINTEGRATION, False): ["change_phase", "suspend", "close"],
    (Phase.FOLLOW_UP, False): ["change_phase", "suspend", "close"],
    (Phase.CLOSED, False): ["reopen"],
    (Phase.PLANNED, True): ["resume", "close"],
    (Phase.CRISIS, True): ["resume", "close"],
    (Phase.TRANSITION, True): ["resume", "close"],
    (Phase.REINTEGRATION, True): ["resume", "close"],
    (Phase.FOLLOW_UP, True): ["resume", "close"],
}


@pytest.mark.parametrize(
    ("phase", "is_suspended", "action"),
    [(*state, action) for state, action in product(LEGAL, Action)],
)
def test_a_step_is_legal_or_refused_with_the_legal_ones(
    *, phase: Phase, is_suspended: bool, action: Action
) -> None:
    legal = LEGAL[phase, is_suspended]

    if action.value in legal:
        require_legal(action, phase, is_suspended=is_suspended)
    else:
        with pytest.raises(ConflictError) as refusal:
            require_legal(action, phase, is_suspended=is_suspended)
        assert refusal.value.code == "plan.illegal_step"
        assert refusal.value.members == {"legal": legal}


def test_starting_leads_to_crisis_and_counts_from_the_day_of_entry() -> None:
    begun = begin(entered_on=date(2026, 1, 20), today=date(2026, 2, 20))

    assert begun == PhaseMove(
        Phase.PLANNED, Phase.CRISIS, Direction.FORWARD, is_early=False, month=2
    )


# Fails when the clock can be reset by starting a running plan again, or runs while suspended.
@pytest.mark.parametrize(
    ("phase", "is_suspended"),
    [*((phase, False) for phase in Phase if phase is not Phase.PLANNED), (Phase.PLANNED, True)],
)
def test_a_plan_starts_only_once_and_not_while_suspended(
    *, phase: Phase, is_suspended: bool
) -> None:
    with pytest.raises(ConflictError) as refusal:
        begin(phase, is_suspended=is_suspended)

    assert refusal.value.code == "plan.illegal_step"


@pytest.mark.parametrize(
    ("entered_on", "code"),
    [
        (TRANSITION_DAY + timedelta(days=1), "plan.day_out_of_range"),
        (ACCEPTED - timedelta(days=1), "plan.entry_before_referral"),
    ],
)
def test_an_impossible_day_of_entry_is_refused(entered_on: date, code: str) -> None:
    with pytest.raises(InvalidError) as refusal:
        begin(entered_on=entered_on)

    assert (refusal.value.code, refusal.value.pointer) == (code, "/entered_on")


@pytest.mark.parametrize("entered_on", [ACCEPTED, TRANSITION_DAY])
def test_entry_today_and_on_the_day_of_acceptance_are_taken(entered_on: date) -> None:
    begin(entered_on=entered_on)


@pytest.mark.parametrize(
    ("phase", "to_phase", "today", "month"),
    [
        (Phase.CRISIS, Phase.TRANSITION, TRANSITION_DAY, 4),
        (Phase.TRANSITION, Phase.REINTEGRATION, REINTEGRATION_DAY, 13),
        (Phase.REINTEGRATION, Phase.FOLLOW_UP, FOLLOW_UP_DAY, 37),
        # Late is no reason to be asked.
        (Phase.CRISIS, Phase.TRANSITION, REINTEGRATION_DAY, 13),
    ],
)
def test_the_next_phase_on_its_day_or_later_needs_no_reason(
    phase: Phase, to_phase: Phase, today: date, month: int
) -> None:
    changed = change(phase, to_phase, today=today, has_active_agreement=True)

    assert changed == PhaseMove(phase, to_phase, Direction.FORWARD, is_early=False, month=month)


# Fails when the first day of a window is off by one, when a skip counts as forward, or when a step
# back is free. The clock's month is that of the day, whatever the direction: nothing resets it.
@pytest.mark.parametrize(
    ("phase", "to_phase", "today", "direction", "month"),
    [
        (Phase.CRISIS, Phase.TRANSITION, BEFORE_TRANSITION, Direction.FORWARD, 3),
        (Phase.TRANSITION, Phase.REINTEGRATION, date(2027, 1, 14), Direction.FORWARD, 12),
        (Phase.REINTEGRATION, Phase.FOLLOW_UP, date(2029, 1, 14), Direction.FORWARD, 36),
        (Phase.CRISIS, Phase.REINTEGRATION, REINTEGRATION_DAY, Direction.SKIP, 13),
        (Phase.CRISIS, Phase.FOLLOW_UP, FOLLOW_UP_DAY, Direction.SKIP, 37),
        (Phase.TRANSITION, Phase.FOLLOW_UP, FOLLOW_UP_DAY, Direction.SKIP, 37),
        (Phase.TRANSITION, Phase.CRISIS, TRANSITION_DAY, Direction.BACK, 4),
        (Phase.REINTEGRATION, Phase.CRISIS, REINTEGRATION_DAY, Direction.BACK, 13),
        (Phase.FOLLOW_UP, Phase.REINTEGRATION, FOLLOW_UP_DAY, Direction.BACK, 37),
    ],
)
def test_early_skipped_and_backward_changes_need_a_reason(
    phase: Phase, to_phase: Phase, today: date, direction: Direction, month: int
) -> None:
    with pytest.raises(InvalidError) as refusal:
        change(phase, to_phase, today=today, has_active_agreement=True)

    assert (refusal.value.code, refusal.value.pointer) == ("plan.reason_required", "/reason")
    changed = change(phase, to_phase, today=today, has_active_agreement=True, reason=ANY)
    assert (changed.direction, changed.month) == (direction, month)
    assert changed.is_early is (direction is Direction.FORWARD)


# Fails when a reason is only counted and not held against the direction.
@pytest.mark.parametrize(
    ("phase", "to_phase", "directions"),
    [
        (Phase.TRANSITION, Phase.CRISIS, ["FORWARD", "SKIP"]),
        (Phase.CRISIS, Phase.FOLLOW_UP, ["FORWARD", "BACK"]),
        (Phase.CRISIS, Phase.TRANSITION, ["SKIP", "BACK"]),
    ],
)
def test_a_reason_fits_the_direction(phase: Phase, to_phase: Phase, directions: list[str]) -> None:
    with pytest.raises(InvalidError) as refusal:
        change(phase, to_phase, has_active_agreement=True, reason=Reason("RELAPSE", directions))

    assert (refusal.value.code, refusal.value.pointer) == ("plan.reason_unfit", "/reason")


# Fails when the agreement is asked for on some ways only: a skip past REINTEGRATION needs it too.
@pytest.mark.parametrize(
    ("phase", "to_phase"),
    [
        (Phase.CRISIS, Phase.REINTEGRATION),
        (Phase.TRANSITION, Phase.REINTEGRATION),
        (Phase.FOLLOW_UP, Phase.REINTEGRATION),
        (Phase.CRISIS, Phase.FOLLOW_UP),
        (Phase.TRANSITION, Phase.FOLLOW_UP),
        (Phase.REINTEGRATION, Phase.FOLLOW_UP),
    ],
)
def test_every_way_to_reintegration_or_past_it_needs_an_active_agreement(
    phase: Phase, to_phase: Phase
) -> None:
    with pytest.raises(ConflictError) as refusal:
        change(phase, to_phase, reason=ANY)

    assert refusal.value.code == "plan.agreement_required"
    change(phase, to_phase, reason=ANY, has_active_agreement=True)


@pytest.mark.parametrize(
    ("phase", "to_phase"),
    [
        (Phase.CRISIS, Phase.TRANSITION),
        (Phase.REINTEGRATION, Phase.TRANSITION),
        (Phase.FOLLOW_UP, Phase.TRANSITION),
    ],
)
def test_no_other_phase_needs_an_agreement(phase: Phase, to_phase: Phase) -> None:
    change(phase, to_phase, reason=ANY)


# Fails when closing, planning or staying can be had through a change of phase.
@pytest.mark.parametrize("to_phase", [Phase.PLANNED, Phase.CLOSED, Phase.TRANSITION])
def test_a_change_names_another_running_phase(to_phase: Phase) -> None:
    with pytest.raises(ConflictError) as refusal:
        change(Phase.TRANSITION, to_phase, reason=ANY, has_active_agreement=True)

    assert (refusal.value.code, refusal.value.pointer) == ("plan.illegal_phase", "/to_phase")
    assert refusal.value.members == {"legal": ["CRISIS", "REINTEGRATION", "FOLLOW_UP"]}


@pytest.mark.parametrize(
    ("phase", "is_suspended"),
    [(Phase.PLANNED, False), (Phase.CLOSED, False), (Phase.CRISIS, True)],
)
def test_a_plan_that_does_not_run_changes_no_phase(*, phase: Phase, is_suspended: bool) -> None:
    with pytest.raises(ConflictError) as refusal:
        change(phase, Phase.TRANSITION, is_suspended=is_suspended, reason=ANY)

    assert refusal.value.code == "plan.illegal_step"


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.CLOSED])
@pytest.mark.parametrize("is_suspended", [True, False])
@pytest.mark.parametrize("closed_on", [ENTRY, FOLLOW_UP_DAY])
def test_a_plan_closes_from_any_phase_between_entry_and_today(
    *, phase: Phase, is_suspended: bool, closed_on: date
) -> None:
    close(
        phase,
        is_suspended=is_suspended,
        not_before=ENTRY,
        closed_on=closed_on,
        today=FOLLOW_UP_DAY,
    )


@pytest.mark.parametrize(
    "closed_on", [ENTRY - timedelta(days=1), FOLLOW_UP_DAY + timedelta(days=1)]
)
def test_a_closure_before_entry_or_in_the_future_is_refused(closed_on: date) -> None:
    with pytest.raises(InvalidError) as refusal:
        close(
            Phase.CRISIS,
            is_suspended=False,
            not_before=ENTRY,
            closed_on=closed_on,
            today=FOLLOW_UP_DAY,
        )

    assert (refusal.value.code, refusal.value.pointer) == ("plan.day_out_of_range", "/closed_on")


def test_a_closed_plan_does_not_close_again() -> None:
    with pytest.raises(ConflictError) as refusal:
        close(
            Phase.CLOSED, is_suspended=False, not_before=ENTRY, closed_on=ENTRY, today=FOLLOW_UP_DAY
        )

    assert refusal.value.members == {"legal": ["reopen"]}


def open_again(
    phase: Phase = Phase.CLOSED,
    *,
    closed_from: Phase = Phase.CRISIS,
    episode: int = 1,
    directions: tuple[str, ...] = ("BACK",),
    has_other_open_plan: bool = False,
) -> tuple[Phase, int]:
    return reopen(
        phase,
        closed_from=closed_from,
        episode=episode,
        reason=Reason("RE_TRAFFICKED", directions),
        has_other_open_plan=has_other_open_plan,
    )


def go_on_with(
    phase: Phase = Phase.CLOSED,
    *,
    closed_from: Phase = Phase.CRISIS,
    reason: Reason = ANY,
    has_other_open_plan: bool = False,
) -> tuple[Phase, int]:
    """Reopen a plan that is in its second episode."""
    return reopen(
        phase,
        closed_from=closed_from,
        episode=2,
        reason=reason,
        has_other_open_plan=has_other_open_plan,
    )


# Fails when a reopened plan begins at CRISIS by itself or keeps its episode's number.
@pytest.mark.parametrize("closed_from", [Phase.PLANNED, Phase.CRISIS, Phase.FOLLOW_UP])
def test_a_reopened_plan_goes_on_where_it_was_in_its_next_episode(closed_from: Phase) -> None:
    assert go_on_with(closed_from=closed_from) == (closed_from, 3)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.CLOSED])
def test_only_a_closed_plan_is_reopened(phase: Phase) -> None:
    with pytest.raises(ConflictError) as refusal:
        go_on_with(phase)

    assert refusal.value.code == "plan.illegal_step"


# Fails when a case can get two open plans by the back door.
def test_a_plan_is_not_reopened_beside_an_open_one_of_the_same_case() -> None:
    with pytest.raises(ConflictError) as refusal:
        go_on_with(has_other_open_plan=True)

    assert refusal.value.code == "plan.already_open"


def test_a_reopening_needs_a_reason_for_a_step_back() -> None:
    go_on_with(reason=Reason("RE_TRAFFICKED", ["BACK"]))

    with pytest.raises(InvalidError) as refusal:
        go_on_with(reason=Reason("READY_EARLY", ["FORWARD", "SKIP"]))

    assert (refusal.value.code, refusal.value.pointer) == ("plan.reason_unfit", "/reason")


@pytest.mark.parametrize("phase", Phase)
def test_only_a_closed_plan_is_not_open(phase: Phase) -> None:
    if phase is not Phase.CLOSED:
        require_open(phase)
        return
    with pytest.raises(ConflictError) as refusal:
        require_open(phase)

    assert (refusal.value.code, refusal.value.members) == (
        "plan.illegal_step",
        {"legal": ["reopen"]},
    )


# F44. Fails when the day itself is not overdue yet, or the day before already is.
@pytest.mark.parametrize(
    ("phase", "due_day", "month"),
    [
        (Phase.CRISIS, TRANSITION_DAY, 4),
        (Phase.TRANSITION, REINTEGRATION_DAY, 13),
        (Phase.REINTEGRATION, FOLLOW_UP_DAY, 37),
    ],
)
def test_a_plan_is_overdue_from_the_anniversary_on(phase: Phase, due_day: date, month: int) -> None:
    def ask(day: date, *, is_suspended: bool = False) -> Overdue | None:
        return overdue(phase, is_suspended=is_suspended, entered_on=ENTRY, today=day)

    assert ask(due_day - timedelta(days=1)) is None
    assert ask(due_day) == Overdue(due_day, month)
    assert ask(due_day + timedelta(days=400)) is not None
    assert ask(due_day, is_suspended=True) is None


@pytest.mark.parametrize("phase", [Phase.PLANNED, Phase.FOLLOW_UP, Phase.CLOSED])
def test_a_phase_without_a_window_is_never_overdue(phase: Phase) -> None:
    assert overdue(phase, is_suspended=False, entered_on=ENTRY, today=date(2040, 1, 1)) is None
