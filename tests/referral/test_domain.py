"""The national referral: every step, every refusal, deadlines, and what the receiver sees."""

from datetime import UTC, date, datetime
from itertools import product

import pytest

from common.errors import ConflictError, ForbiddenError, InvalidError
from referral.domain.referral import (
    CALLED_OFF,
    OVERDUE,
    SENT_AND_OPEN,
    STEPS,
    Action,
    ReceiverView,
    ReferralStatus,
    Side,
    Urgency,
    has_expired,
    next_status,
    receiver_view,
    respond_by,
)

# Written by hand from domain.md section 4, not from the code: status, step, side, next status. Beyond
# it the clock ends an acknowledged referral too, because a receipt is no answer (F35).
# Fails when a row of the table is dropped, added, given to the other side or led elsewhere.
SPECIFICATION = """
DRAFT              submit           SENDER    SUBMITTED
DRAFT              cancel           SENDER    CANCELLED
SUBMITTED          acknowledge      RECEIVER  ACKNOWLEDGED
SUBMITTED          return_for_info  RECEIVER  RETURNED_FOR_INFO
SUBMITTED          cancel           SENDER    CANCELLED
SUBMITTED          expire           CLOCK     EXPIRED
RETURNED_FOR_INFO  resubmit         SENDER    SUBMITTED
RETURNED_FOR_INFO  cancel           SENDER    CANCELLED
ACKNOWLEDGED       accept           RECEIVER  ACCEPTED
ACKNOWLEDGED       decline          RECEIVER  DECLINED
ACKNOWLEDGED       return_for_info  RECEIVER  RETURNED_FOR_INFO
ACKNOWLEDGED       cancel           SENDER    CANCELLED
ACKNOWLEDGED       expire           CLOCK     EXPIRED
ACCEPTED           complete         RECEIVER  COMPLETED
ACCEPTED           cancel           SENDER    CANCELLED
"""
LEGAL = {
    (ReferralStatus(status), Action(action)): (Side(side), ReferralStatus(following))
    for status, action, side, following in (
        row.split() for row in SPECIFICATION.splitlines() if row
    )
}
EVERYBODY = frozenset(Side)


@pytest.mark.parametrize(("status", "action"), LEGAL)
def test_a_legal_step_leads_where_the_specification_says(
    status: ReferralStatus, action: Action
) -> None:
    side, following = LEGAL[status, action]

    assert next_status(status, action, sides={side}, reason="OTHER") is following


@pytest.mark.parametrize(
    ("status", "action"), [pair for pair in product(ReferralStatus, Action) if pair not in LEGAL]
)
def test_any_other_step_is_refused_with_the_legal_ones(
    status: ReferralStatus, action: Action
) -> None:
    with pytest.raises(ConflictError) as refusal:
        next_status(status, action, sides=EVERYBODY, reason="OTHER")

    assert refusal.value.code == "referral.illegal_step"
    legal = [other.value for start, other in LEGAL if start is status]
    assert refusal.value.members == {"legal": legal}


# Fails when legal_actions forgets the caller's side.
def test_the_refusal_lists_only_the_callers_own_steps() -> None:
    with pytest.raises(ConflictError) as refusal:
        next_status(ReferralStatus.SUBMITTED, Action.ACCEPT, sides={Side.RECEIVER})

    assert refusal.value.members["legal"] == ["acknowledge", "return_for_info"]


# Fails when the side check is dropped: a sender would accept in the receiver's name.
@pytest.mark.parametrize(("status", "action"), LEGAL)
def test_a_step_of_the_other_side_is_forbidden(status: ReferralStatus, action: Action) -> None:
    side, _ = LEGAL[status, action]

    with pytest.raises(ForbiddenError) as refusal:
        next_status(status, action, sides=EVERYBODY - {side}, reason="OTHER")

    assert refusal.value.code == "referral.other_side"
    assert refusal.value.members == {"side": side.value}


def test_an_organisation_that_refers_to_itself_stands_on_both_sides() -> None:
    both = {Side.SENDER, Side.RECEIVER}

    assert next_status(ReferralStatus.DRAFT, Action.SUBMIT, sides=both) is ReferralStatus.SUBMITTED
    accepted = next_status(ReferralStatus.ACKNOWLEDGED, Action.ACCEPT, sides=both)
    assert accepted is ReferralStatus.ACCEPTED


# Fails when one of the three steps is taken off the list of those that need a reason.
@pytest.mark.parametrize(
    ("status", "action", "side"),
    [
        (ReferralStatus.DRAFT, Action.CANCEL, Side.SENDER),
        (ReferralStatus.SUBMITTED, Action.CANCEL, Side.SENDER),
        (ReferralStatus.SUBMITTED, Action.RETURN_FOR_INFO, Side.RECEIVER),
        (ReferralStatus.ACKNOWLEDGED, Action.RETURN_FOR_INFO, Side.RECEIVER),
        (ReferralStatus.ACKNOWLEDGED, Action.DECLINE, Side.RECEIVER),
    ],
)
def test_declining_cancelling_and_returning_need_a_reason(
    status: ReferralStatus, action: Action, side: Side
) -> None:
    with pytest.raises(InvalidError) as refusal:
        next_status(status, action, sides={side})

    assert (refusal.value.code, refusal.value.pointer) == ("referral.reason_required", "/reason")


@pytest.mark.parametrize(
    ("status", "action", "side"),
    [
        (ReferralStatus.DRAFT, Action.SUBMIT, Side.SENDER),
        (ReferralStatus.SUBMITTED, Action.ACKNOWLEDGE, Side.RECEIVER),
        (ReferralStatus.RETURNED_FOR_INFO, Action.RESUBMIT, Side.SENDER),
        (ReferralStatus.ACKNOWLEDGED, Action.ACCEPT, Side.RECEIVER),
        (ReferralStatus.ACCEPTED, Action.COMPLETE, Side.RECEIVER),
    ],
)
def test_the_other_steps_need_none(status: ReferralStatus, action: Action, side: Side) -> None:
    next_status(status, action, sides={side})


def test_every_status_can_be_reached_and_four_of_them_end_the_referral() -> None:
    reached = {ReferralStatus.DRAFT} | {end for _, end in LEGAL.values()}

    assert reached == set(ReferralStatus)
    assert {status for status in ReferralStatus if not STEPS[status]} == {
        ReferralStatus.DECLINED,
        ReferralStatus.COMPLETED,
        ReferralStatus.CANCELLED,
        ReferralStatus.EXPIRED,
    }


BELGRADE = "Europe/Belgrade"


# Fails when hours are added to the local wall clock instead of to the instant: summer time began
# on 29 March 2026 at 01:00 UTC, and 24 wall-clock hours would be 23.
@pytest.mark.parametrize(("urgency", "hours"), [(Urgency.CRISIS, 24), (Urgency.HIGH, 48)])
def test_hours_are_elapsed_hours_over_a_change_to_summer_time(urgency: Urgency, hours: int) -> None:
    submitted_at = datetime.fromisoformat("2026-03-28T12:00:00+01:00")

    deadline = respond_by(submitted_at, urgency, zone=BELGRADE)

    assert (deadline - submitted_at.astimezone(UTC)).total_seconds() == hours * 3600
    assert deadline.tzinfo is UTC


# Days counted on a paper calendar. Fails when the day of submission is counted, when a weekend or a
# holiday is, when the local day is taken in UTC, or when the deadline is noon or the last day's start.
@pytest.mark.parametrize(
    ("submitted_at", "holidays", "deadline"),
    [
        # Friday: 9-13 and 16-20 March; the 21st begins at 23:00 UTC.
        ("2026-03-06T15:00:00+01:00", [], "2026-03-20T23:00:00Z"),
        # Saturday and Sunday count as their Friday.
        ("2026-03-07T15:00:00+01:00", [], "2026-03-20T23:00:00Z"),
        ("2026-03-08T23:59:00+01:00", [], "2026-03-20T23:00:00Z"),
        # Monday at 00:30 local is still Sunday in UTC: 10-13, 16-20 and 23 March.
        ("2026-03-09T00:30:00+01:00", [], "2026-03-23T23:00:00Z"),
        # Over the change to summer time: 23-27 March, 30 March - 3 April; midnight is 22:00 UTC.
        ("2026-03-20T09:00:00+01:00", [], "2026-04-03T22:00:00Z"),
        # Serbia's 1 May (a Friday) and Orthodox Easter 2026 (10 and 13 April).
        ("2026-04-24T09:00:00+02:00", ["2026-05-01"], "2026-05-11T22:00:00Z"),
        ("2026-04-03T09:00:00+02:00", ["2026-04-10", "2026-04-13"], "2026-04-21T22:00:00Z"),
        # A holiday on a Saturday gives no extra day.
        ("2026-03-06T15:00:00+01:00", ["2026-03-14"], "2026-03-20T23:00:00Z"),
        # Over the year's end.
        ("2026-12-24T09:00:00+01:00", ["2027-01-01"], "2027-01-08T23:00:00Z"),
    ],
)
@pytest.mark.parametrize("urgency", [Urgency.NORMAL, Urgency.LOW])
def test_ten_working_days_end_with_the_local_day(
    submitted_at: str, holidays: list[str], deadline: str, urgency: Urgency
) -> None:
    due = respond_by(
        datetime.fromisoformat(submitted_at),
        urgency,
        zone=BELGRADE,
        holidays={date.fromisoformat(day) for day in holidays},
    )

    assert due == datetime.fromisoformat(deadline)


# A receipt is no answer. Fails with `now > deadline`, and when the clock ends anything that has been
# decided on, or does not end what was only acknowledged.
def test_what_nobody_has_decided_on_expires_at_the_deadline_itself() -> None:
    deadline = datetime(2026, 3, 20, 23, tzinfo=UTC)
    just_before = datetime(2026, 3, 20, 22, 59, 59, 999999, tzinfo=UTC)

    expired = {status for status in ReferralStatus if has_expired(status, deadline, deadline)}

    assert expired == {ReferralStatus.SUBMITTED, ReferralStatus.ACKNOWLEDGED} == OVERDUE
    assert not any(has_expired(status, deadline, just_before) for status in ReferralStatus)


# Fails when a draft or an ended referral is thought to rest on a consent, or an open one is not.
def test_the_statuses_that_rest_on_a_consent_are_those_sent_and_open() -> None:
    without = {ReferralStatus.DRAFT, ReferralStatus.COMPLETED}

    assert set(ReferralStatus) - CALLED_OFF - without == SENT_AND_OPEN


NOTHING, PREVIEW, FULL = ReceiverView.NOTHING, ReceiverView.PREVIEW, ReceiverView.FULL


# Fails when a referral that comes back from RETURNED_FOR_INFO unread shows its note, or when a
# receiver that has declined keeps it.
@pytest.mark.parametrize(
    ("status", "was_submitted", "was_acknowledged", "view"),
    [
        (ReferralStatus.DRAFT, False, False, NOTHING),
        (ReferralStatus.CANCELLED, False, False, NOTHING),
        (ReferralStatus.SUBMITTED, True, False, PREVIEW),
        (ReferralStatus.RETURNED_FOR_INFO, True, False, PREVIEW),
        (ReferralStatus.EXPIRED, True, False, PREVIEW),
        (ReferralStatus.CANCELLED, True, False, PREVIEW),
        (ReferralStatus.ACKNOWLEDGED, True, True, FULL),
        (ReferralStatus.RETURNED_FOR_INFO, True, True, FULL),
        (ReferralStatus.SUBMITTED, True, True, FULL),
        (ReferralStatus.ACCEPTED, True, True, FULL),
        (ReferralStatus.COMPLETED, True, True, FULL),
        (ReferralStatus.DECLINED, True, True, PREVIEW),
        (ReferralStatus.CANCELLED, True, True, PREVIEW),
        (ReferralStatus.EXPIRED, True, True, PREVIEW),
    ],
)
def test_the_receiver_sees_the_preview_until_it_has_acknowledged(
    *, status: ReferralStatus, was_submitted: bool, was_acknowledged: bool, view: ReceiverView
) -> None:
    seen = receiver_view(
        status,
        was_submitted=was_submitted,
        was_acknowledged=was_acknowledged,
        is_withdrawn=False,
    )

    assert seen is view


# Fails when what was completed stays open for good.
@pytest.mark.parametrize("status", ReferralStatus)
def test_a_withdrawal_takes_the_receiver_back_to_the_preview(status: ReferralStatus) -> None:
    seen = receiver_view(status, was_submitted=True, was_acknowledged=True, is_withdrawn=True)

    assert seen is PREVIEW
