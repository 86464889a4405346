"""The rules of a referral between countries, by hand from domain.md section 4."""

from datetime import date, timedelta
from itertools import product

import pytest

from common.codelists import all_codes
from common.errors import ConflictError, ForbiddenError, InvalidError
from referral.domain.cross_border import (
    EFFECTS,
    LETTER_OF,
    ONLY_THE_FACT,
    OPEN,
    REASON_LISTS,
    STEPS,
    CrossBorderStatus,
    CrossBorderView,
    Direction,
    Kind,
    Move,
    Preparation,
    legal_moves,
    next_status,
    require_prepared,
    status_after,
    status_after_taken,
    view_of_received,
)

S = CrossBorderStatus
SENT, RECEIVED = Direction.SENT, Direction.RECEIVED

WAY = [
    (S.DRAFT, Move.SUBMIT, SENT, S.SUBMITTED),
    (S.SUBMITTED, Move.ACKNOWLEDGE, RECEIVED, S.ACKNOWLEDGED),
    (S.ACKNOWLEDGED, Move.RETURN, RECEIVED, S.RETURNED_FOR_INFO),
    (S.RETURNED_FOR_INFO, Move.RESUBMIT, SENT, S.SUBMITTED),
    (S.ACKNOWLEDGED, Move.DECLINE, RECEIVED, S.DECLINED),
    (S.ACKNOWLEDGED, Move.ACCEPT, RECEIVED, S.ACCEPTED),
    (S.ACCEPTED, Move.PLAN_TRANSFER, SENT, S.TRANSFER_PLANNED),
    (S.TRANSFER_PLANNED, Move.DEPART, SENT, S.IN_TRANSFER),
    (S.IN_TRANSFER, Move.CONFIRM_ARRIVAL, RECEIVED, S.ARRIVED),
    (S.IN_TRANSFER, Move.FAIL, SENT, S.FAILED),
    (S.IN_TRANSFER, Move.FAIL, RECEIVED, S.FAILED),
    *(
        (status, Move.CANCEL, SENT, S.CANCELLED)
        for status in (
            S.DRAFT,
            S.SUBMITTED,
            S.ACKNOWLEDGED,
            S.RETURNED_FOR_INFO,
            S.ACCEPTED,
            S.TRANSFER_PLANNED,
            S.FAILED,
        )
    ),
]


def test_each_step_leads_where_the_mechanism_says_and_no_other_is_legal() -> None:
    legal = {(status, move, side): end for status, move, side, end in WAY}

    for status, move, side in product(S, Move, Direction):
        if (status, move, side) in legal:
            end = next_status(status, move, direction=side, reason="OTHER")
            assert end is legal[status, move, side]
        else:
            with pytest.raises((ConflictError, ForbiddenError)):
                next_status(status, move, direction=side, reason="OTHER")


def test_a_refused_step_says_whose_it_is_or_which_are_legal() -> None:
    with pytest.raises(ForbiddenError, match=r"cross_border\.other_country"):
        next_status(S.SUBMITTED, Move.ACKNOWLEDGE, direction=SENT)
    with pytest.raises(ConflictError) as error:
        next_status(S.IN_TRANSFER, Move.CANCEL, direction=SENT, reason="OTHER")
    assert error.value.members == {"legal": ["fail"]}
    assert legal_moves(S.IN_TRANSFER, RECEIVED) == [Move.CONFIRM_ARRIVAL, Move.FAIL]


@pytest.mark.parametrize("move", REASON_LISTS)
def test_a_step_that_ends_or_returns_needs_a_reason(move: Move) -> None:
    status, side = next((s, d) for s, m, d, _ in WAY if m is move)

    with pytest.raises(InvalidError, match=r"referral\.reason_required"):
        next_status(status, move, direction=side)


def test_every_status_has_a_label_and_every_step_a_letter() -> None:
    assert {status.value for status in S} == all_codes("cross_border_statuses")
    assert set(LETTER_OF) == set(Move)
    for name in REASON_LISTS.values():
        assert all_codes(name)


# --- letters

PEER = {SENT: RECEIVED, RECEIVED: SENT}


@pytest.mark.parametrize(("status", "move", "side", "end"), WAY)
def test_the_other_country_comes_to_the_same_status_by_the_letter(
    status: S, move: Move, side: Direction, end: S
) -> None:
    if status is S.DRAFT:
        return  # the first letter makes the row
    assert status_after(PEER[side], LETTER_OF[move], status) is end


def test_a_country_never_hears_its_own_word_from_the_other() -> None:
    own_only = {
        SENT: {Kind.OFFER, Kind.PACKAGE, Kind.TRANSFER_PLANNED, Kind.DEPARTED, Kind.CANCELLED},
        RECEIVED: {Kind.ACKNOWLEDGED, Kind.RETURNED, Kind.DECLINED, Kind.ACCEPTED, Kind.ARRIVED},
    }
    for side, kinds in own_only.items():
        for kind, status in product(kinds, S):
            with pytest.raises(ConflictError, match=r"letter\.out_of_place"):
                status_after(side, kind, status)


def test_no_letter_finds_a_draft_and_none_opens_what_was_handed_over() -> None:
    for (side, kind), effects in EFFECTS.items():
        assert S.DRAFT not in effects, (side, kind)
        assert effects.get(S.HANDED_OVER) in (None, S.HANDED_OVER), (side, kind)


@pytest.mark.parametrize("status", OPEN)
def test_a_withdrawal_reaches_the_receiver_in_every_open_status(status: S) -> None:
    assert status_after(RECEIVED, Kind.WITHDRAWN, status) is S.CONSENT_WITHDRAWN


@pytest.mark.parametrize("end", [S.CANCELLED, S.EXPIRED, S.CONSENT_WITHDRAWN])
@pytest.mark.parametrize("kind", [Kind.ACKNOWLEDGED, Kind.RETURNED, Kind.DECLINED, Kind.ACCEPTED])
def test_an_answer_that_met_the_end_has_no_effect(kind: Kind, end: S) -> None:
    assert status_after(SENT, kind, end) is None


def test_two_countries_that_write_at_once_agree_in_the_end() -> None:
    """Every pair of steps that two countries may take in one status, each before it hears the other."""
    for status in STEPS:
        if status is S.DRAFT:
            continue
        for one, other in product(legal_moves(status, SENT), legal_moves(status, RECEIVED)):
            mine = next_status(status, one, direction=SENT, reason="OTHER")
            theirs = next_status(status, other, direction=RECEIVED, reason="OTHER")

            here = status_after(SENT, LETTER_OF[other], mine) or mine
            there = status_after(RECEIVED, LETTER_OF[one], theirs) or theirs

            is_over = {here, there} <= ONLY_THE_FACT
            assert here is there or is_over, (status, one, other)


def test_a_case_once_taken_is_handed_over_on_both_sides() -> None:
    assert status_after_taken(S.ARRIVED) is S.HANDED_OVER
    assert status_after_taken(S.CONSENT_WITHDRAWN) is S.HANDED_OVER
    assert status_after_taken(S.CLOSED) is S.CLOSED


# --- who sees what


@pytest.mark.row("F37")
def test_the_receiver_sees_a_header_an_offer_and_in_the_end_the_fact() -> None:
    assert view_of_received(S.SUBMITTED, was_acknowledged=False) is CrossBorderView.HEADER
    assert view_of_received(S.ACKNOWLEDGED, was_acknowledged=True) is CrossBorderView.OFFER
    assert view_of_received(S.HANDED_OVER, was_acknowledged=True) is CrossBorderView.OFFER
    for status, was in product(ONLY_THE_FACT, (True, False)):
        assert view_of_received(status, was_acknowledged=was) is CrossBorderView.FACT


def test_an_assessment_grows_old_in_thirty_days() -> None:
    day = date(2026, 5, 4)
    for days, is_fresh in ((0, True), (29, True), (30, False), (-1, False)):
        assessed = day - timedelta(days=days)
        draft = Preparation(
            is_minor=False,
            risk_assessed_on=assessed,
            needs_assessed_on=day,
            guardian_appointed_on=None,
            transfer_basis="LAW",
        )
        if is_fresh:
            require_prepared(draft, on=day)
        else:
            with pytest.raises(ConflictError, match=r"cross_border\.not_ready"):
                require_prepared(draft, on=day)
