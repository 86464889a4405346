"""What this country's own words, which it has forgotten, once made of a referral."""

from collections.abc import Mapping
from typing import Final

from referral.domain.cross_border import (
    TAKEN,
    WITHDRAWN_HERE,
    CrossBorderStatus,
    Direction,
    Kind,
    status_after_taken,
)

_SAID: Final[Mapping[str, CrossBorderStatus]] = {
    Kind.OFFER: CrossBorderStatus.SUBMITTED,
    Kind.TRANSFER_PLANNED: CrossBorderStatus.TRANSFER_PLANNED,
    Kind.DEPARTED: CrossBorderStatus.IN_TRANSFER,
    Kind.CANCELLED: CrossBorderStatus.CANCELLED,
    Kind.EXPIRED: CrossBorderStatus.EXPIRED,
    Kind.WITHDRAWN: CrossBorderStatus.CONSENT_WITHDRAWN,
    Kind.ACKNOWLEDGED: CrossBorderStatus.ACKNOWLEDGED,
    Kind.RETURNED: CrossBorderStatus.RETURNED_FOR_INFO,
    Kind.DECLINED: CrossBorderStatus.DECLINED,
    Kind.ACCEPTED: CrossBorderStatus.ACCEPTED,
    Kind.ARRIVED: CrossBorderStatus.ARRIVED,
    Kind.FAILED: CrossBorderStatus.FAILED,
}


_CALLING_OFF: Final = frozenset({Kind.CANCELLED, Kind.EXPIRED, Kind.WITHDRAWN})


_ENDED: Final[Mapping[Direction, frozenset[CrossBorderStatus]]] = {
    Direction.SENT: WITHDRAWN_HERE,
    Direction.RECEIVED: frozenset(_SAID[kind] for kind in _CALLING_OFF),
}

SAID_ONCE: Final = (Kind.WITHDRAWN, Kind.ERASED)
"""Letters of what happens once only: nobody can say them again whose words gave way to others."""


def makes_needless(kind: str) -> frozenset[Kind]:
    """Return the letters that need not be said any more once it is known that `kind` was said."""
    if kind in _CALLING_OFF:
        return frozenset({Kind.WITHDRAWN})
    return frozenset({Kind.ERASED}) if kind == Kind.ERASED else frozenset()


def status_again(
    direction: Direction, kind: str, status: CrossBorderStatus, *, word: str | None
) -> CrossBorderStatus:
    """Return the status after a letter of this country's own, which it wrote and has forgotten.

    `word` is what it said of who may edit the case. A kind that tells of no step leaves the status.
    So does every step before the end in a referral whose consent was withdrawn meanwhile, or that its
    sender has called off.
    """
    if word == TAKEN and direction is Direction.RECEIVED:
        return status_after_taken(status)
    if status in _ENDED[direction] and kind not in _CALLING_OFF:
        return status
    return _SAID.get(kind, status)
