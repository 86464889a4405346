"""What intake tells the others about notices, cases, identification and consent.

The subject of `intake.notice.*` is the notice, of every `intake.case.*` event the case, of
`intake.package.*` the referral by which a person's data came from another country. Consent events
travel under the case's sequence, so that their order with the case's own events holds.
"""

from datetime import date
from typing import ClassVar
from uuid import UUID

from common.contracts.types import (
    AgeGroup,
    Code,
    Country,
    Epoch,
    RuleVersion,
    SealedPackage,
    SubjectId,
)
from common.events import EventData


class NoticeReceived(EventData):
    """A partner has reported a person. `is_minor` is null when nothing is known of the age."""

    type: ClassVar[str] = "intake.notice.received.v1"

    notice_id: UUID
    organisation_id: UUID
    country: Country
    source: Code
    urgency: Code
    is_minor: bool | None
    has_location: bool
    received_on: date


class NoticeTriaged(EventData):
    """A notice was looked at; REJECT names the reason.

    The reporter reads this in the feed, so the case is named only where the reporter's own
    organisation has it. `CaseOpened` names the notice.
    """

    type: ClassVar[str] = "intake.notice.triaged.v1"

    notice_id: UUID
    decision: Code
    case_id: UUID | None = None
    reason: Code | None = None


class CaseOpened(EventData):
    """A case exists. `organisation_id` owns it.

    `referral_id` is set where it came from another country by that referral: it may not be edited
    here before the other country has handed it over.
    """

    type: ClassVar[str] = "intake.case.opened.v1"

    case_id: UUID
    organisation_id: UUID
    country: Country
    beneficiary_kind: Code
    identification_status: Code
    sex: Code
    age_group: AgeGroup
    is_minor: bool
    urgency: Code
    legal_basis: Code
    notice_id: UUID | None = None
    referral_id: UUID | None = None
    opened_on: date


class CaseProfileChanged(EventData):
    """Facts of a case changed; the payload is the whole new profile, not the difference."""

    type: ClassVar[str] = "intake.case.profile_changed.v1"

    case_id: UUID
    beneficiary_kind: Code
    sex: Code
    age_group: AgeGroup
    is_minor: bool
    urgency: Code


class CaseIdentityRecorded(EventData):
    """The person's identity was written or replaced. Only that fact and the codes derived of it."""

    type: ClassVar[str] = "intake.case.identity_recorded.v1"

    case_id: UUID
    sex: Code | None = None
    age_group: AgeGroup
    is_minor: bool


class CaseIdentificationChanged(EventData):
    """A step of identification was decided. `exploitation_types` is empty before IDENTIFIED."""

    type: ClassVar[str] = "intake.case.identification_changed.v1"

    case_id: UUID
    status: Code
    previous_status: Code
    decided_by: Code
    legal_basis: Code
    decided_on: date
    rule_version: RuleVersion
    exploitation_types: tuple[Code, ...]


class CaseAssigned(EventData):
    """A worker of `organisation_id` now carries the case."""

    type: ClassVar[str] = "intake.case.assigned.v1"

    case_id: UUID
    organisation_id: UUID
    worker: SubjectId


class CaseMarkerRecorded(EventData):
    """A population marker holds from `since` on. Never a special category: those are not told."""

    type: ClassVar[str] = "intake.case.marker_recorded.v1"

    case_id: UUID
    marker_id: UUID
    marker: Code
    since: date


class CaseMarkerEnded(EventData):
    """A population marker holds no longer; `until` is the last day on which it did."""

    type: ClassVar[str] = "intake.case.marker_ended.v1"

    case_id: UUID
    marker_id: UUID
    marker: Code
    until: date


class ConsentGranted(EventData):
    """The person, or a guardian beside a child, agreed to one scope.

    Without `recipient_organisation_id` or with an empty list the consent sets no limit there; the
    scopes that need a limit always carry it. `recipient_kinds` (organisation_kinds) mean every
    organisation of these kinds. It holds from `granted_on` through `expires_on`, both days
    included. `guardian` (guardian_kinds) is null where the person consented herself.
    """

    type: ClassVar[str] = "intake.case.consent_granted.v1"

    case_id: UUID
    consent_id: UUID
    scope: Code
    recipient_organisation_id: UUID | None = None
    recipient_kinds: tuple[Code, ...] = ()
    recipient_countries: tuple[Country, ...]
    purposes: tuple[Code, ...]
    data_groups: tuple[Code, ...]
    given_by: Code
    guardian: Code | None = None
    granted_on: date
    expires_on: date | None = None


class ConsentWithdrawn(EventData):
    """A consent holds no longer, from `withdrawn_on` on, that day included."""

    type: ClassVar[str] = "intake.case.consent_withdrawn.v1"

    case_id: UUID
    consent_id: UUID
    scope: Code
    withdrawn_on: date


class CasePackageReleased(EventData):
    """The person's data leave for the country that accepted her, sealed to its intake service."""

    type: ClassVar[str] = "intake.case.package_released.v1"

    case_id: UUID
    organisation_id: UUID
    referral_id: UUID
    recipient_country: Country
    package: SealedPackage


class CaseOwnershipSaid(EventData):
    """What this country says of who may edit the case, for the other country of the referral.

    `word` is GIVEN, RECALLED, TAKEN or REFUSED; `epoch` rises with every handover.
    """

    type: ClassVar[str] = "intake.case.ownership_said.v1"

    case_id: UUID
    organisation_id: UUID
    referral_id: UUID
    word: Code
    epoch: Epoch


class CaseErased(EventData):
    """What was known of the person is gone; ids, codes and days are left. `reason` says why."""

    type: ClassVar[str] = "intake.case.erased.v1"

    case_id: UUID
    organisation_id: UUID
    referral_id: UUID | None = None
    reason: Code
    erased_on: date


class PackageErased(EventData):
    """No case is here by a referral to this country that was called off or has failed.

    Told once for each, so that its sender hears that nothing is left. `reason` is the referral's
    status. A package that could not be read lies among the dead letters, for 30 days at most.
    """

    type: ClassVar[str] = "intake.package.erased.v1"

    referral_id: UUID
    reason: Code
    erased_on: date


class CasesPutBack(EventData):
    """The register was put back from a backup: no case is edited before PeersHeard, under `asked`.

    Its subject is the question, no case.
    """

    type: ClassVar[str] = "intake.case.put_back.v1"

    asked: UUID
