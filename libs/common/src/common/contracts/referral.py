"""What referral tells the others about the directory and about referrals.

The subject of `referral.directory.organisation_*` is the organisation, of `service_*` the service,
of every `referral.referral.*` event the referral, inside the country or across its border; but see
PeersHeard.
"""

from datetime import date
from typing import Annotated, ClassVar, Final
from uuid import UUID

from pydantic import Field, StringConstraints

from common.contracts.types import AgeGroup, Code, Country, Epoch, SealedPackage
from common.events import EventData

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?$", max_length=8)]
"""A BCP 47 tag: a language, with a script where it is written in several (`sr-Cyrl`)."""


class OrganisationEntry(EventData):
    """What the directory says of an organisation: the whole entry, not the difference.

    `roles` are the actor roles its people may hold; None when the directory does not say.
    """

    organisation_id: UUID
    country: Country
    kind: Code
    sector: Code
    roles: tuple[Code, ...] | None = None


class OrganisationRegistered(OrganisationEntry):
    type: ClassVar[str] = "referral.directory.organisation_registered.v1"


class OrganisationChanged(OrganisationEntry):
    type: ClassVar[str] = "referral.directory.organisation_changed.v1"


class ServiceEntry(EventData):
    """What the directory says of a service: the whole entry. Whom it takes is listed in full.

    `capacity` and `free_places` are null for a service that counts no places.
    """

    service_id: UUID
    organisation_id: UUID
    country: Country
    service_type: Code
    sexes: tuple[Code, ...]
    age_groups: tuple[AgeGroup, ...]
    languages: tuple[Language, ...]
    accessibility: tuple[Code, ...]
    capacity: int | None = Field(ge=0)
    free_places: int | None = Field(ge=0)


class ServiceListed(ServiceEntry):
    type: ClassVar[str] = "referral.directory.service_listed.v1"


class ServiceChanged(ServiceEntry):
    """Also told when a referral took a place or gave it back."""

    type: ClassVar[str] = "referral.directory.service_changed.v1"


_KNOWN_TO_RECEIVER = frozenset({"ACKNOWLEDGED", "ACCEPTED", "COMPLETED"})
_CLOSED_TO_RECEIVER = frozenset({"DECLINED", "CANCELLED", "EXPIRED"})


class ReferralEvent(EventData):
    """A step of a referral, taken on the calendar day `on` of its country."""

    referral_id: UUID
    case_id: UUID
    sending_organisation_id: UUID
    receiving_organisation_id: UUID
    service_type: Code
    urgency: Code
    status: Code
    previous_status: Code | None = None
    reason: Code | None = None
    on: date

    def readers(self) -> list[UUID | None]:
        """Return both sides while the receiver knows whose case it is, else the sender alone.

        Before it has acknowledged, and once the referral is closed to it, a receiver sees a preview
        without the case, which the feed must not undo; of the end ReferralClosedToReceiver tells it.
        """
        is_known = bool({self.status, self.previous_status} & _KNOWN_TO_RECEIVER)
        if is_known and self.status not in _CLOSED_TO_RECEIVER:
            return super().readers()
        return [self.sending_organisation_id, None]


class ReferralDrafted(ReferralEvent):
    """The first step; it alone has no `previous_status`."""

    type: ClassVar[str] = "referral.referral.drafted.v1"


class ReferralSubmitted(ReferralEvent):
    """Sent to the receiver, for the first time or again after RETURNED_FOR_INFO."""

    type: ClassVar[str] = "referral.referral.submitted.v1"


class ReferralAcknowledged(ReferralEvent):
    type: ClassVar[str] = "referral.referral.acknowledged.v1"


class ReferralReturnedForInfo(ReferralEvent):
    type: ClassVar[str] = "referral.referral.returned_for_info.v1"


class ReferralAccepted(ReferralEvent):
    type: ClassVar[str] = "referral.referral.accepted.v1"


class ReferralDeclined(ReferralEvent):
    type: ClassVar[str] = "referral.referral.declined.v1"


class ReferralCompleted(ReferralEvent):
    type: ClassVar[str] = "referral.referral.completed.v1"


class ReferralCancelled(ReferralEvent):
    type: ClassVar[str] = "referral.referral.cancelled.v1"


class ReferralExpired(ReferralEvent):
    type: ClassVar[str] = "referral.referral.expired.v1"


CONSENT_WITHDRAWN: Final = "CONSENT_WITHDRAWN"
"""The code of cancel_reasons with which a referral loses the consent it rested on."""


class ReferralConsentWithdrawn(ReferralEvent):
    """The consent that a referral rested on was withdrawn after it had ended; its status stays.

    `on` is the day of the withdrawal, `reason` CONSENT_WITHDRAWN. A referral still open is
    cancelled with that reason instead. Whoever acknowledged it keeps only the fact and the date.
    """

    type: ClassVar[str] = "referral.referral.consent_withdrawn.v1"

    def readers(self) -> list[UUID | None]:
        """Return the sender alone, as of every event that closes a referral to its receiver."""
        return [self.sending_organisation_id, None]


class ReferralClosedToReceiver(EventData):
    """The receiver of a referral, which it had acknowledged, no longer sees whose case it is.

    Told beside the event that says why: the decline, cancellation, expiry, or withdrawal of consent
    (which may follow one of these, and is then told again). It holds no more than the preview that
    the receiver is left with. Its reader is the receiver; who that is stands in the events before.
    """

    type: ClassVar[str] = "referral.referral.closed_to_receiver.v1"

    referral_id: UUID
    status: Code


class ReferralClosedToSender(EventData):
    """The sender of a referral lost the case with a withdrawn consent, and sees it no longer.

    It had the case by another referral, and passed it on with this one. It keeps only the fact and
    the date; this is the last event it reads of it, and why the receiver may have lost it too is
    told to nobody but the bus.
    """

    type: ClassVar[str] = "referral.referral.closed_to_sender.v1"

    referral_id: UUID
    sending_organisation_id: UUID
    status: Code

    def readers(self) -> list[UUID | None]:
        """Return the sender alone: why it lost the case is nothing the receiver has to know."""
        return [self.sending_organisation_id, None]


EVENT_BY_STATUS: dict[str, type[ReferralEvent]] = {
    "DRAFT": ReferralDrafted,
    "SUBMITTED": ReferralSubmitted,
    "ACKNOWLEDGED": ReferralAcknowledged,
    "RETURNED_FOR_INFO": ReferralReturnedForInfo,
    "ACCEPTED": ReferralAccepted,
    "DECLINED": ReferralDeclined,
    "COMPLETED": ReferralCompleted,
    "CANCELLED": ReferralCancelled,
    "EXPIRED": ReferralExpired,
}
"""The event that tells of a referral's arrival in a status."""

REFERRAL_EVENTS: tuple[type[ReferralEvent], ...] = (
    *EVENT_BY_STATUS.values(),
    ReferralConsentWithdrawn,
)
"""What changes between a receiver and the case; what only tells a side that it is shut does not."""


class CrossBorderChanged(EventData):
    """A step of a referral to or from another country, `peer_country`, on the day `on`.

    `direction` is SENT in the country of the person's case, RECEIVED in the other. `case_id` is the
    case in the country that tells it, null where it has none yet; `organisation_id` the
    organisation there that sends the person or takes her in. `recipient_organisation_id` and
    `recipient_kind` say who takes her in, once accepted, `data_groups` and `purpose` what for.
    """

    type: ClassVar[str] = "referral.referral.cross_border_changed.v1"

    referral_id: UUID
    direction: Code
    peer_country: Country
    case_id: UUID | None = None
    organisation_id: UUID | None = None
    recipient_organisation_id: UUID | None = None
    recipient_kind: Code | None = None
    purpose: Code | None = None
    data_groups: tuple[Code, ...] = ()
    urgency: Code
    status: Code
    previous_status: Code | None = None
    reason: Code | None = None
    on: date


class PackageReceived(EventData):
    """The other country sent the person's data, sealed to the intake service of this one."""

    type: ClassVar[str] = "referral.referral.package_received.v1"

    referral_id: UUID
    sender_country: Country
    organisation_id: UUID
    purpose: Code
    data_groups: tuple[Code, ...]
    urgency: Code
    package: SealedPackage


class OwnershipHeard(EventData):
    """What the other country says of who may edit the case: GIVEN, RECALLED, TAKEN or REFUSED.

    Under which `epoch`; it rises with every handover and every handover taken back.
    """

    type: ClassVar[str] = "referral.referral.ownership_heard.v1"

    referral_id: UUID
    organisation_id: UUID
    word: Code
    epoch: Epoch


class OwnershipSaidBefore(EventData):
    """What this country itself said of who may edit a case, and may have forgotten: it was put back.

    Words as in OwnershipHeard. `case_id` is null where nobody here knows any more which case it was.
    """

    type: ClassVar[str] = "referral.referral.ownership_said_before.v1"

    referral_id: UUID
    case_id: UUID | None = None
    organisation_id: UUID | None = None
    word: Code
    epoch: Epoch


class PeersHeard(EventData):
    """Every peer has said what it heard of this country: the answer to CasesPutBack, its subject too.

    What the register has to know of it was told under the same subject before.
    """

    type: ClassVar[str] = "referral.referral.peers_heard.v1"

    asked: UUID
