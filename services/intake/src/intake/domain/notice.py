"""A first notice: taken whatever is missing, looked at in time, and answered with a decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from common.errors import ConflictError, InvalidError


class Urgency(StrEnum):
    """Codes of the list urgency, the least urgent first; the list holds the hours to answer."""

    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"
    CRISIS = "CRISIS"


class NoticeQueue(StrEnum):
    """Where a notice waits. LOCAL: whoever serves its place. TRIAGE: the national desk."""

    LOCAL = "LOCAL"
    TRIAGE = "TRIAGE"


class NoticeStatus(StrEnum):
    RECEIVED = "RECEIVED"
    CASE_OPENED = "CASE_OPENED"
    LINKED = "LINKED"
    REJECTED = "REJECTED"


class TriageDecision(StrEnum):
    """What comes of a notice: a new case, a known case, or nothing."""

    OPEN_CASE = "OPEN_CASE"
    LINK_CASE = "LINK_CASE"
    REJECT = "REJECT"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a decision must name, and what it leads to. What is not needed must be absent."""

    case: bool
    reason: bool
    status: NoticeStatus


NEEDS: Mapping[TriageDecision, Needs] = {
    TriageDecision.OPEN_CASE: Needs(case=True, reason=False, status=NoticeStatus.CASE_OPENED),
    TriageDecision.LINK_CASE: Needs(case=True, reason=False, status=NoticeStatus.LINKED),
    TriageDecision.REJECT: Needs(case=False, reason=True, status=NoticeStatus.REJECTED),
}


def queue_of(place_code: str | None, *, known_places: frozenset[str]) -> NoticeQueue:
    """Return where the notice waits.

    A missing or unknown place is no error: the national desk finds it out (F2).
    """
    return NoticeQueue.LOCAL if place_code in known_places else NoticeQueue.TRIAGE


def more_urgent(one: Urgency, other: Urgency) -> Urgency:
    """Return the higher urgency: a notice linked to a case may raise the case, never calm it."""
    return max(one, other, key=list(Urgency).index)


def triage(
    status: NoticeStatus, decision: TriageDecision, *, case_id: UUID | None, reason: str | None
) -> NoticeStatus:
    """Return the notice's status after the decision; a notice is decided once.

    `reason` is a code of triage_reasons. Raises ConflictError `notice.already_triaged`, InvalidError `notice.case_required`,
    `notice.case_not_applicable`, `notice.reason_required` or `notice.reason_not_applicable`.
    """
    if status is not NoticeStatus.RECEIVED:
        raise ConflictError("notice.already_triaged", notice_status=status.value)
    needs = NEEDS[decision]
    for name, needed, given in (
        ("case", needs.case, case_id is not None),
        ("reason", needs.reason, reason is not None),
    ):
        if needed and not given:
            raise InvalidError(f"notice.{name}_required", pointer=_POINTERS[name])
        if given and not needed:
            raise InvalidError(f"notice.{name}_not_applicable", pointer=_POINTERS[name])
    return needs.status


_POINTERS = {"case": "/case_id", "reason": "/reason"}
