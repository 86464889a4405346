from common.contracts.referral import REFERRAL_EVENTS, ReferralEvent
from common.events import Event
from common.inbox import Handlers
from common.unit import Unit
from intake.models import KnownReferral


async def on_referral(unit: Unit, event: Event) -> None:
    """Keep whom a case was referred to and how far that is; each event carries the whole of it."""
    referral = ReferralEvent.model_validate(event.data)
    unit.put(
        KnownReferral,
        referral_id=referral.referral_id,
        case_id=referral.case_id,
        receiving_organisation_id=referral.receiving_organisation_id,
        status=referral.status,
    )


HANDLERS: Handlers = {kind.type: on_referral for kind in REFERRAL_EVENTS}
