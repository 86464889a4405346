"""A referral to another country: which step is legal, for which side, and what a letter changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from common.errors import ConflictError, ForbiddenError, InvalidError


class CrossBorderStatus(StrEnum):
    DRAFT = "DRAFT"
    SUBMITTED = "SUBMITTED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RETURNED_FOR_INFO = "RETURNED_FOR_INFO"
    ACCEPTED = "ACCEPTED"
    DECLINED = "DECLINED"
    TRANSFER_PLANNED = "TRANSFER_PLANNED"
    IN_TRANSFER = "IN_TRANSFER"
    ARRIVED = "ARRIVED"
    FAILED = "FAILED"
    HANDED_OVER = "HANDED_OVER"
    CONSENT_WITHDRAWN = "CONSENT_WITHDRAWN"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    CLOSED = "CLOSED"
    """Called off, and the receiver has said that nothing of the person is left there."""


class Direction(StrEnum):
    """Whether this country sent the referral or received it; also whose step one is."""

    SENT = "SENT"
    RECEIVED = "RECEIVED"


class Move(StrEnum):
    """The steps somebody asks for; a value is the verb of the step's URL."""

    SUBMIT = "submit"
    RESUBMIT = "resubmit"
    ACKNOWLEDGE = "acknowledge"
    RETURN = "return"
    ACCEPT = "accept"
    DECLINE = "decline"
    PLAN_TRANSFER = "plan-transfer"
    DEPART = "depart"
    CONFIRM_ARRIVAL = "confirm-arrival"
    FAIL = "fail"
    CANCEL = "cancel"


_S = CrossBorderStatus
_SENDER: Final = frozenset({Direction.SENT})
_RECEIVER: Final = frozenset({Direction.RECEIVED})
_EITHER: Final = frozenset(Direction)

# domain.md section 4; ASSESSING is part of ACKNOWLEDGED, as inside a country. The sender may also
# call off a transfer that failed: what the receiver was given of the person has no purpose any more.
STEPS: Final[Mapping[_S, Mapping[Move, tuple[frozenset[Direction], _S]]]] = {
    _S.DRAFT: {
        Move.SUBMIT: (_SENDER, _S.SUBMITTED),
        Move.CANCEL: (_SENDER, _S.CANCELLED),
    },
    _S.SUBMITTED: {
        Move.ACKNOWLEDGE: (_RECEIVER, _S.ACKNOWLEDGED),
        Move.CANCEL: (_SENDER, _S.CANCELLED),
    },
    _S.ACKNOWLEDGED: {
        Move.ACCEPT: (_RECEIVER, _S.ACCEPTED),
        Move.DECLINE: (_RECEIVER, _S.DECLINED),
        Move.RETURN: (_RECEIVER, _S.RETURNED_FOR_INFO),
        Move.CANCEL: (_SENDER, _S.CANCELLED),
    },
    _S.RETURNED_FOR_INFO: {
        Move.RESUBMIT: (_SENDER, _S.SUBMITTED),
        Move.CANCEL: (_SENDER, _S.CANCELLED),
    },
    _S.ACCEPTED: {
        Move.PLAN_TRANSFER: (_SENDER, _S.TRANSFER_PLANNED),
        Move.CANCEL: (_SENDER, _S.CANCELLED),
    },
    _S.TRANSFER_PLANNED: {
        Move.DEPART: (_SENDER, _S.IN_TRANSFER),
        Move.CANCEL: (_SENDER, _S.CANCELLED),
    },
    _S.IN_TRANSFER: {
        Move.CONFIRM_ARRIVAL: (_RECEIVER, _S.ARRIVED),
        Move.FAIL: (_EITHER, _S.FAILED),
    },
    _S.FAILED: {Move.CANCEL: (_SENDER, _S.CANCELLED)},
}
"""The steps open in each status; a status that is not named is left by a letter or never."""

REASON_LISTS: Final[Mapping[Move, str]] = {
    Move.RETURN: "return_reasons",
    Move.DECLINE: "decline_reasons",
    Move.FAIL: "transfer_failures",
    Move.CANCEL: "cancel_reasons",
}
"""The steps that need a reason, and the code list it comes from."""

ERASING: Final = frozenset({_S.FAILED, _S.CANCELLED, _S.CONSENT_WITHDRAWN})
"""The statuses in which the sender waits for the word that nothing of the person is left."""

WAITING: Final = frozenset({_S.SUBMITTED, _S.ACKNOWLEDGED})
"""The statuses in which the sender's clock runs: a receipt is no answer."""

OPEN: Final = WAITING | {
    _S.RETURNED_FOR_INFO,
    _S.ACCEPTED,
    _S.TRANSFER_PLANNED,
    _S.IN_TRANSFER,
    _S.ARRIVED,
    _S.FAILED,
}
"""The statuses in which a withdrawn consent calls the referral off, on either side."""

WITHDRAWN_HERE: Final = frozenset({_S.CONSENT_WITHDRAWN, _S.CLOSED})
"""The statuses of a sent referral whose receiver may still have to hear that the consent is withdrawn:
it says of one that failed by itself that nothing is left."""

WITH_PACKAGE: Final = frozenset({_S.ACCEPTED, _S.TRANSFER_PLANNED, _S.IN_TRANSFER, _S.ARRIVED})
"""The statuses in which the person's data may go to the receiver."""

ONLY_THE_FACT: Final = frozenset(
    {_S.DECLINED, _S.EXPIRED, _S.FAILED, _S.CANCELLED, _S.CONSENT_WITHDRAWN, _S.CLOSED}
)
"""The statuses in which the receiver keeps the fact and the date and nothing of the person."""


def legal_moves(status: CrossBorderStatus, direction: Direction) -> list[Move]:
    """Return the steps open to this country now, in the order of the table."""
    return [move for move, (sides, _) in STEPS.get(status, {}).items() if direction in sides]


def next_status(
    status: CrossBorderStatus, move: Move, *, direction: Direction, reason: str | None = None
) -> CrossBorderStatus:
    """Return the status after a step that somebody of this country asks for.

    Raises ConflictError `referral.illegal_step` with the legal steps, ForbiddenError
    `cross_border.other_country` when the step is the other country's, InvalidError
    `referral.reason_required`.
    """
    step = STEPS.get(status, {}).get(move)
    if step is None:
        legal = [str(other) for other in legal_moves(status, direction)]
        raise ConflictError("referral.illegal_step", legal=legal)
    sides, following = step
    if direction not in sides:
        raise ForbiddenError("cross_border.other_country")
    if move in REASON_LISTS and reason is None:
        raise InvalidError("referral.reason_required", pointer="/reason")
    return following


# --- guards


FRESH_FOR: Final = timedelta(days=30)
"""An assessment must be younger (domain.md section 4, our proposal)."""


class Lacking(StrEnum):
    """What a draft lacks before it may be sent."""

    RISK_ASSESSMENT = "RISK_ASSESSMENT"
    NEEDS_ASSESSMENT = "NEEDS_ASSESSMENT"
    GUARDIAN = "GUARDIAN"
    TRANSFER_BASIS = "TRANSFER_BASIS"


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a draft declares of how it was prepared."""

    is_minor: bool
    risk_assessed_on: date | None
    needs_assessed_on: date | None
    guardian_appointed_on: date | None
    transfer_basis: str | None


def require_prepared(draft: Preparation, *, on: date) -> None:
    """Refuse to send a draft that is not prepared: ConflictError `cross_border.not_ready`.

    Domain.md section 4: assessments younger than 30 days, for a child an appointed guardian; section
    7: a legal basis of the transfer, without which no country may send (RS to XK among them).
    """
    guardian = draft.guardian_appointed_on
    met = {
        Lacking.RISK_ASSESSMENT: _is_fresh(draft.risk_assessed_on, on),
        Lacking.NEEDS_ASSESSMENT: _is_fresh(draft.needs_assessed_on, on),
        Lacking.GUARDIAN: not draft.is_minor or (guardian is not None and guardian <= on),
        Lacking.TRANSFER_BASIS: draft.transfer_basis is not None,
    }
    lacking = [name.value for name, is_met in met.items() if not is_met]
    if lacking:
        raise ConflictError("cross_border.not_ready", lacking=lacking)


def _is_fresh(assessed_on: date | None, on: date) -> bool:
    return assessed_on is not None and assessed_on <= on < assessed_on + FRESH_FOR


@dataclass(frozen=True, slots=True)
class TransferPlan:
    """What must be so before a person travels."""

    precondition: str
    has_informed_decision: bool
    took_part_in_planning: bool
    has_travel_documents: bool
    planned_on: date


def require_safe(plan: TransferPlan, *, on: date) -> None:
    """Refuse a transfer that is not safe or not the person's own decision (nrm.bg 3.2).

    InvalidError `cross_border.not_safe` names the first condition that is not met,
    `cross_border.planned_in_past` a day that is over. `precondition` is a code of
    return_preconditions; that one is met is what the schema demands.
    """
    for condition in ("has_informed_decision", "took_part_in_planning", "has_travel_documents"):
        if not getattr(plan, condition):
            raise InvalidError("cross_border.not_safe", pointer=f"/{condition}")
    if plan.planned_on < on:
        raise InvalidError("cross_border.planned_in_past", pointer="/planned_on")


# --- letters


class Kind(StrEnum):
    """The kinds of letters."""

    OFFER = "offer"
    PACKAGE = "package"
    TRANSFER_PLANNED = "transfer_planned"
    DEPARTED = "departed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned"
    DECLINED = "declined"
    ACCEPTED = "accepted"
    ARRIVED = "arrived"
    ERASED = "erased"
    FAILED = "failed"
    OWNERSHIP = "ownership"


OF_THE_PERSON: Final = (Kind.OFFER, Kind.PACKAGE)
"""The letters that say something of the person; once the referral is called off their words go."""

LETTER_OF: Final[Mapping[Move, Kind]] = {
    Move.SUBMIT: Kind.OFFER,
    Move.RESUBMIT: Kind.OFFER,
    Move.ACKNOWLEDGE: Kind.ACKNOWLEDGED,
    Move.RETURN: Kind.RETURNED,
    Move.ACCEPT: Kind.ACCEPTED,
    Move.DECLINE: Kind.DECLINED,
    Move.PLAN_TRANSFER: Kind.TRANSFER_PLANNED,
    Move.DEPART: Kind.DEPARTED,
    Move.CONFIRM_ARRIVAL: Kind.ARRIVED,
    Move.FAIL: Kind.FAILED,
    Move.CANCEL: Kind.CANCELLED,
}
"""The letter by which the other country hears of a step."""


def _to(following: _S, *before: _S) -> dict[_S, _S | None]:
    return dict.fromkeys(before, following)


def _as_it_is(*statuses: _S) -> dict[_S, _S | None]:
    return {status: status for status in statuses}


def _late(*statuses: _S) -> dict[_S, _S | None]:
    return dict.fromkeys(statuses)


_CALLED_OFF: Final = (_S.CANCELLED, _S.EXPIRED, _S.CONSENT_WITHDRAWN)
_BEFORE_ANSWER: Final = (_S.SUBMITTED, _S.ACKNOWLEDGED, _S.RETURNED_FOR_INFO, _S.ACCEPTED)

# The letters of one country come in its order, but two countries may write at the same time. Who wins:
# the sender who calls off, or whose clock has ended; of a transfer the receiver, who sees the person;
# of a withdrawal against a handover, whoever of both came first at the receiver.
EFFECTS: Final[Mapping[tuple[Direction, Kind], Mapping[_S, _S | None]]] = {
    (Direction.RECEIVED, Kind.OFFER): _to(_S.SUBMITTED, _S.RETURNED_FOR_INFO),
    (Direction.RECEIVED, Kind.PACKAGE): _as_it_is(*WITH_PACKAGE) | _late(_S.FAILED),
    (Direction.RECEIVED, Kind.TRANSFER_PLANNED): _to(_S.TRANSFER_PLANNED, _S.ACCEPTED),
    (Direction.RECEIVED, Kind.DEPARTED): _to(_S.IN_TRANSFER, _S.TRANSFER_PLANNED),
    (Direction.RECEIVED, Kind.FAILED): _to(_S.FAILED, _S.IN_TRANSFER)
    | _late(_S.FAILED, _S.ARRIVED),
    (Direction.RECEIVED, Kind.CANCELLED): _to(
        _S.CANCELLED, *_BEFORE_ANSWER, _S.TRANSFER_PLANNED, _S.FAILED, _S.ARRIVED
    )
    | _as_it_is(_S.DECLINED),
    (Direction.RECEIVED, Kind.EXPIRED): _to(_S.EXPIRED, *_BEFORE_ANSWER) | _late(_S.DECLINED),
    (Direction.RECEIVED, Kind.WITHDRAWN): _to(_S.CONSENT_WITHDRAWN, *OPEN)
    | _as_it_is(_S.DECLINED)
    | _late(_S.HANDED_OVER),
    (Direction.RECEIVED, Kind.OWNERSHIP): _as_it_is(
        _S.ARRIVED, _S.HANDED_OVER, _S.CONSENT_WITHDRAWN
    ),
    (Direction.SENT, Kind.ACKNOWLEDGED): _to(_S.ACKNOWLEDGED, _S.SUBMITTED) | _late(*_CALLED_OFF),
    (Direction.SENT, Kind.RETURNED): _to(_S.RETURNED_FOR_INFO, _S.ACKNOWLEDGED)
    | _late(*_CALLED_OFF),
    (Direction.SENT, Kind.DECLINED): _to(_S.DECLINED, _S.ACKNOWLEDGED) | _late(*_CALLED_OFF),
    (Direction.SENT, Kind.ACCEPTED): _to(_S.ACCEPTED, _S.ACKNOWLEDGED) | _late(*_CALLED_OFF),
    (Direction.SENT, Kind.ARRIVED): _to(_S.ARRIVED, _S.IN_TRANSFER, _S.FAILED)
    | _late(_S.CANCELLED, _S.CONSENT_WITHDRAWN),
    (Direction.SENT, Kind.FAILED): _to(_S.FAILED, _S.IN_TRANSFER)
    | _late(_S.FAILED, _S.CANCELLED, _S.CONSENT_WITHDRAWN),
    (Direction.SENT, Kind.OWNERSHIP): _as_it_is(
        _S.ARRIVED, _S.HANDED_OVER, _S.CONSENT_WITHDRAWN, _S.CLOSED
    ),
    (Direction.SENT, Kind.ERASED): _to(_S.CLOSED, _S.CANCELLED, _S.CONSENT_WITHDRAWN)
    | _as_it_is(_S.FAILED)
    | _late(_S.CLOSED),
}
"""What a letter makes of a referral that this country sent or received: status → the status after it.

The same status where the letter says something besides; None where it came too late to do anything.
"""


def status_after(
    direction: Direction, kind: Kind, status: CrossBorderStatus
) -> CrossBorderStatus | None:
    """Return the status after a letter, None where an honest one has no effect any more.

    ConflictError `letter.out_of_place` for one that no honest peer sends to a referral in this status.
    """
    effects = EFFECTS.get((direction, kind), {})
    if status not in effects:
        raise ConflictError("letter.out_of_place")
    return effects[status]


GIVEN: Final = "GIVEN"
"""What a register says of a case that it lets go of."""
RECALLED: Final = "RECALLED"
"""What it says to have it back, if it was not taken yet."""
TAKEN: Final = "TAKEN"
REFUSED: Final = "REFUSED"
"""What a register answers to a case it is given."""
OWNING_WORDS: Final = frozenset({GIVEN, RECALLED, TAKEN, REFUSED})

_HANDED_OVER_FROM: Final = frozenset({_S.ARRIVED, _S.CONSENT_WITHDRAWN})


def status_after_taken(status: CrossBorderStatus) -> CrossBorderStatus:
    """Return the status once the receiver's register has taken the case; on both sides alike.

    A withdrawal that met a case already taken has not undone it (crossing: who was first).
    """
    return _S.HANDED_OVER if status in _HANDED_OVER_FROM else status


# --- who sees what


class CrossBorderView(StrEnum):
    """How much of a referral somebody sees."""

    WHOLE = "WHOLE"
    """Its sender: also how it was prepared."""
    OFFER = "OFFER"
    """What crosses the border: the receiver after it has acknowledged, and who oversees a sent one."""
    HEADER = "HEADER"
    """From where, how urgent, for which age, by when."""
    FACT = "FACT"


def view_of_received(status: CrossBorderStatus, *, was_acknowledged: bool) -> CrossBorderView:
    """Return what the receiving country sees: no more than the header before it has acknowledged (F37).

    Once the referral was called off it keeps only the fact (domain.md section 4).
    """
    if status in ONLY_THE_FACT:
        return CrossBorderView.FACT
    return CrossBorderView.OFFER if was_acknowledged else CrossBorderView.HEADER
