from common.contracts.intake import (
    CaseAssigned,
    CaseIdentityRecorded,
    CaseOpened,
    CaseProfileChanged,
)
from common.contracts.referral import (
    CrossBorderChanged,
    ReferralAccepted,
    ReferralCancelled,
    ReferralCompleted,
    ReferralConsentWithdrawn,
)
from common.events import Event
from common.inbox import Handlers
from common.unit import Unit
from reintegration.commands.referral import (
    end_referral,
    open_plan,
    open_received_plan,
    show_plans,
)
from reintegration.models import DepartedCase, KnownCase


async def on_case_opened(unit: Unit, event: Event) -> None:
    """Learn whose case it is and whether a guardian has to sign with the person."""
    case = CaseOpened.model_validate(event.data)
    unit.put(
        KnownCase,
        case_id=case.case_id,
        organisation_id=case.organisation_id,
        is_minor=case.is_minor,
    )
    await show_plans(unit, case.case_id, owner=case.organisation_id)


async def on_profile_changed(unit: Unit, event: Event) -> None:
    profile = CaseProfileChanged.model_validate(event.data)
    unit.update(KnownCase, {"case_id": profile.case_id}, is_minor=profile.is_minor)


async def on_identity_recorded(unit: Unit, event: Event) -> None:
    identity = CaseIdentityRecorded.model_validate(event.data)
    unit.update(KnownCase, {"case_id": identity.case_id}, is_minor=identity.is_minor)


async def on_case_assigned(unit: Unit, event: Event) -> None:
    """Learn whose case it is now: that of the organisation whose worker carries it."""
    assigned = CaseAssigned.model_validate(event.data)
    unit.update(KnownCase, {"case_id": assigned.case_id}, organisation_id=assigned.organisation_id)


async def on_referral_accepted(unit: Unit, event: Event) -> None:
    """Open a plan, or let the referral join the case's open one."""
    accepted = ReferralAccepted.model_validate(event.data)
    await open_plan(unit, accepted, country=event.country)


async def on_referral_completed(unit: Unit, event: Event) -> None:
    """Learn that a referral carries its plan no longer; the plan itself goes on."""
    await end_referral(unit, ReferralCompleted.model_validate(event.data))


async def on_referral_cancelled(unit: Unit, event: Event) -> None:
    """Stop the plan when consent was withdrawn and nothing else carries it."""
    await end_referral(unit, ReferralCancelled.model_validate(event.data))


async def on_referral_consent_withdrawn(unit: Unit, event: Event) -> None:
    """Stop the plan of a referral that had ended before consent was withdrawn."""
    await end_referral(unit, ReferralConsentWithdrawn.model_validate(event.data))


async def on_cross_border_changed(unit: Unit, event: Event) -> None:
    """Open a plan for a case handed over to this country; learn which one went from it."""
    changed = CrossBorderChanged.model_validate(event.data)
    if changed.status != "HANDED_OVER":
        return
    if changed.direction == "RECEIVED":
        await open_received_plan(unit, changed, country=event.country)
    elif changed.case_id is not None:
        unit.put(
            DepartedCase,
            case_id=changed.case_id,
            referral_id=changed.referral_id,
            departed_on=changed.on,
        )


HANDLERS: Handlers = {
    CaseOpened.type: on_case_opened,
    CaseProfileChanged.type: on_profile_changed,
    CaseIdentityRecorded.type: on_identity_recorded,
    CaseAssigned.type: on_case_assigned,
    ReferralAccepted.type: on_referral_accepted,
    ReferralCompleted.type: on_referral_completed,
    ReferralCancelled.type: on_referral_cancelled,
    ReferralConsentWithdrawn.type: on_referral_consent_withdrawn,
    CrossBorderChanged.type: on_cross_border_changed,
}
