"""What falls with a withdrawn consent: also what its receiver had passed on."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Protocol
from uuid import UUID

from referral.domain.referral import OPEN, ReferralStatus

TAKEN_ON: Final = frozenset({ReferralStatus.ACCEPTED, ReferralStatus.COMPLETED})
"""The statuses in which the receiver works, or has worked, with the person."""


class Link(Protocol):
    """One referral of a case, as far as it says who has the case through whom."""

    @property
    def id(self) -> UUID: ...
    @property
    def sending_organisation_id(self) -> UUID: ...
    @property
    def receiving_organisation_id(self) -> UUID: ...
    @property
    def status(self) -> ReferralStatus: ...
    @property
    def acknowledged_at(self) -> datetime | None: ...
    @property
    def consent_withdrawn_on(self) -> date | None: ...


@dataclass(frozen=True, slots=True)
class Fallen:
    """Ids of referrals: whose receiver, and whose sender, keeps only the fact and the date."""

    to_receiver: frozenset[UUID]
    to_sender: frozenset[UUID]


def is_held(referrals: Iterable[Link], organisation_id: UUID, *, owner: UUID) -> bool:
    """Say whether an organisation has the case: as its owner, or by a referral it has taken on.

    Handing the case on inside its own house gives nobody a hold of it.
    """
    return organisation_id == owner or any(
        link.receiving_organisation_id == organisation_id != link.sending_organisation_id
        and link.status in TAKEN_ON
        and link.consent_withdrawn_on is None
        for link in referrals
    )


def fall_with(referrals: Sequence[Link], resting: Collection[UUID], *, owner: UUID) -> Fallen:
    """Return what falls when the referrals `resting` of a case lose their consent.

    A receiver that has the case by no other referral may not pass it on: what it sent and is still
    open falls too, as does all it handed on inside its own house, and so on from there. One that
    its receiver has ended stands for that receiver, who was given the data under a consent of its
    own; its sender reads it no longer.
    """
    fallen = frozenset(resting)
    while True:
        standing = [link for link in referrals if link.id not in fallen]
        lost = {
            link.receiving_organisation_id
            for link in referrals
            if link.acknowledged_at is not None
            and (link.id in fallen or link.consent_withdrawn_on is not None)
            and not is_held(standing, link.receiving_organisation_id, owner=owner)
        }
        passed_on = [link for link in referrals if link.sending_organisation_id in lost]
        falling = fallen | {link.id for link in passed_on if _rests_on_its_sender(link)}
        if falling == fallen:
            return Fallen(fallen, frozenset(link.id for link in passed_on))
        fallen = falling


def _rests_on_its_sender(link: Link) -> bool:
    is_inside = link.sending_organisation_id == link.receiving_organisation_id
    return link.consent_withdrawn_on is None and (is_inside or link.status in OPEN)
