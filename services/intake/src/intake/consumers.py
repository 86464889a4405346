from common.contracts.intake import ConsentGranted
from common.contracts.referral import (
    CONSENT_WITHDRAWN,
    REFERRAL_EVENTS,
    OrganisationChanged,
    OrganisationEntry,
    OrganisationRegistered,
    ReferralEvent,
)
from common.events import Event
from common.inbox import Handlers
from common.unit import Unit
from intake.models import KnownOrganisation, KnownReferral


async def on_referral(unit: Unit, event: Event) -> None:
    """Keep whom a case was referred to and how far that is; each event carries the whole of it."""
    referral = ReferralEvent.model_validate(event.data)
    unit.put(
        KnownReferral,
        referral_id=referral.referral_id,
        case_id=referral.case_id,
        receiving_organisation_id=referral.receiving_organisation_id,
        status=referral.status,
        consent_withdrawn_on=referral.on if referral.reason == CONSENT_WITHDRAWN else None,
    )
    if referral.reason == CONSENT_WITHDRAWN or referral.status == "CANCELLED":
        # Of what it agreed to, the receiver keeps the withdrawal.
        unit.withhold(
            referral.case_id,
            kind=ConsentGranted,
            other_organisation_id=referral.receiving_organisation_id,
        )


async def on_organisation(unit: Unit, event: Event) -> None:
    """Learn the kind of an organisation: a consent may mean all of a kind."""
    entry = OrganisationEntry.model_validate(event.data)
    unit.put(KnownOrganisation, organisation_id=entry.organisation_id, kind=entry.kind)


HANDLERS: Handlers = {
    OrganisationRegistered.type: on_organisation,
    OrganisationChanged.type: on_organisation,
    **{kind.type: on_referral for kind in REFERRAL_EVENTS},
}
