from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConflictError, InvalidError
from intake.domain.notice import (
    NoticeQueue,
    NoticeStatus,
    TriageDecision,
    Urgency,
    more_urgent,
    queue_of,
    triage,
)

CASE = UUID(int=1)
PLACES = frozenset({"PRISHTINA", "PRIZREN"})


@given(st.none() | st.text(max_size=40))
def test_an_unknown_place_goes_to_the_triage_desk_and_is_never_refused(place: str | None) -> None:
    """Seeded: raise for a place that is not in the list (F2)."""
    expected = NoticeQueue.LOCAL if place in PLACES else NoticeQueue.TRIAGE

    assert queue_of(place, known_places=PLACES) is expected


def test_a_known_place_goes_to_whoever_serves_it() -> None:
    assert queue_of("PRIZREN", known_places=PLACES) is NoticeQueue.LOCAL


@pytest.mark.parametrize(
    ("decision", "case_id", "reason", "status"),
    [
        ("OPEN_CASE", CASE, None, "CASE_OPENED"),
        ("LINK_CASE", CASE, None, "LINKED"),
        ("REJECT", None, "OUTSIDE_MANDATE", "REJECTED"),
    ],
)
def test_what_comes_of_a_notice(
    decision: str, case_id: UUID | None, reason: str | None, status: str
) -> None:
    result = triage(NoticeStatus.RECEIVED, TriageDecision(decision), case_id=case_id, reason=reason)

    assert result == status


@pytest.mark.parametrize(
    ("decision", "case_id", "reason", "code"),
    [
        ("OPEN_CASE", None, None, "notice.case_required"),
        ("LINK_CASE", None, "DUPLICATE", "notice.case_required"),
        ("LINK_CASE", CASE, "DUPLICATE", "notice.reason_not_applicable"),
        ("REJECT", None, None, "notice.reason_required"),
        ("REJECT", CASE, "OUTSIDE_MANDATE", "notice.case_not_applicable"),
    ],
)
def test_a_decision_names_what_it_needs_and_nothing_else(
    decision: str, case_id: UUID | None, reason: str | None, code: str
) -> None:
    """Seeded: let REJECT pass without a reason."""
    with pytest.raises(InvalidError) as refusal:
        triage(NoticeStatus.RECEIVED, TriageDecision(decision), case_id=case_id, reason=reason)

    assert refusal.value.code == code
    assert refusal.value.pointer in {"/case_id", "/reason"}


@pytest.mark.parametrize(
    ("status", "decision"),
    list(product(set(NoticeStatus) - {NoticeStatus.RECEIVED}, TriageDecision)),
)
def test_a_notice_is_decided_once(status: NoticeStatus, decision: TriageDecision) -> None:
    with pytest.raises(ConflictError, match=r"notice\.already_triaged"):
        triage(status, decision, case_id=CASE, reason=None)


@given(st.sampled_from(Urgency), st.sampled_from(Urgency))
def test_a_linked_notice_never_calms_a_case(case: Urgency, notice: Urgency) -> None:
    """Seeded: compare the codes as text; CRISIS sorts before LOW."""
    ranks = {"LOW": 1, "NORMAL": 2, "HIGH": 3, "CRISIS": 4}

    assert ranks[more_urgent(case, notice)] == max(ranks[case], ranks[notice])
