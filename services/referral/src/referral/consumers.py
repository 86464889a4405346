from functools import partial
from typing import Any

from common.contracts.intake import (
    CaseAssigned,
    CaseErased,
    CaseIdentityRecorded,
    CaseOpened,
    CaseOwnershipSaid,
    CasePackageReleased,
    CaseProfileChanged,
    CasesPutBack,
    ConsentGranted,
    ConsentWithdrawn,
    PackageErased,
)
from common.events import Event
from common.here import Here
from common.inbox import Handlers
from common.runtime import Runtime
from common.unit import Unit
from referral.commands.crossing_news import (
    link_case,
    say_erased,
    say_ownership,
    send_package,
    withdraw_from_cross_border,
)
from referral.commands.ending import withdraw_from_referrals
from referral.commands.held import ask_peers, peers_of
from referral.domain.cross_border import GIVEN, TAKEN
from referral.models import KnownCase, KnownConsent
from referral.queries.referral import find_case, find_consent

# The events of a case come in their order, its consents' among them, and nothing here needs an event
# of another topic. A case's first event is its opening: an update that meets no row is a gap in the
# history, so it raises and parks that case instead of being lost.


async def on_case_opened(unit: Unit, event: Event) -> None:
    """Remember the case, and make the key for what referrals will say of it."""
    case = CaseOpened.model_validate(event.data)
    if await unit.box(case.case_id) is None:
        await unit.new_box(case.case_id)
    unit.put(
        KnownCase,
        case_id=case.case_id,
        version=event.seq,
        organisation_id=case.organisation_id,
        country=case.country,
        beneficiary_kind=case.beneficiary_kind,
        sex=case.sex,
        age_group=case.age_group,
        is_minor=case.is_minor,
        urgency=case.urgency,
    )
    if case.referral_id is not None:
        await link_case(unit, case.referral_id, case.case_id, on=case.opened_on)


async def on_profile_changed(unit: Unit, event: Event) -> None:
    profile = CaseProfileChanged.model_validate(event.data)
    _change_case(
        unit,
        event,
        beneficiary_kind=profile.beneficiary_kind,
        sex=profile.sex,
        age_group=profile.age_group,
        is_minor=profile.is_minor,
        urgency=profile.urgency,
    )


async def on_identity_recorded(unit: Unit, event: Event) -> None:
    identity = CaseIdentityRecorded.model_validate(event.data)
    derived: dict[str, Any] = {"age_group": identity.age_group}
    if identity.sex is not None:
        derived["sex"] = identity.sex
    _change_case(unit, event, is_minor=identity.is_minor, **derived)


async def on_case_assigned(unit: Unit, event: Event) -> None:
    """Learn who owns the case now: the organisation of the worker who carries it."""
    assigned = CaseAssigned.model_validate(event.data)
    _change_case(unit, event, organisation_id=assigned.organisation_id)


async def on_consent_granted(unit: Unit, event: Event) -> None:
    consent = ConsentGranted.model_validate(event.data)
    known = await find_consent(unit, consent.consent_id)
    if known is not None and known.version >= event.seq:
        return  # what came later, a withdrawal, stays true
    unit.put(
        KnownConsent,
        id=consent.consent_id,
        version=event.seq,
        case_id=consent.case_id,
        scope=consent.scope,
        recipient_organisation_id=consent.recipient_organisation_id,
        recipient_kinds=list(consent.recipient_kinds),
        recipient_countries=list(consent.recipient_countries),
        purposes=list(consent.purposes),
        data_groups=list(consent.data_groups),
        given_by=consent.given_by,
        guardian=consent.guardian,
        granted_on=consent.granted_on,
        expires_on=consent.expires_on,
        is_withdrawn=False,
        uses=0,
    )


async def on_consent_withdrawn(unit: Unit, event: Event) -> None:
    """End the consent, and tell everybody who was sent something under it.

    CONSENT_WITHDRAWN of domain.md section 4: inside the country an open referral becomes CANCELLED
    with that reason, one that has ended keeps its status, and of both the receiver keeps the fact
    and the date only. So does the sender of what a receiver had passed on.
    """
    withdrawn = ConsentWithdrawn.model_validate(event.data)
    known = await find_consent(unit, withdrawn.consent_id)
    if known is None:
        raise LookupError("a consent's first event is its grant")
    unit.update(
        KnownConsent,
        {"id": known.id, "uses": known.uses},
        expect=1,
        version=event.seq,
        is_withdrawn=True,
    )
    case = await find_case(unit, known.case_id)
    if case is None:
        raise LookupError("a case's first event is its opening")
    on = withdrawn.withdrawn_on
    await withdraw_from_referrals(unit, case, known.id, on=on)
    await withdraw_from_cross_border(unit, case.case_id, known.id, on=on, own=event.country)


async def on_package_released(unit: Unit, event: Event, *, here: Here) -> None:
    """Send the person's data on to the country that accepted her; this service cannot read them."""
    released = CasePackageReleased.model_validate(event.data)
    await send_package(unit, released, on=here.day_of(event.time), own=here.country)


async def on_ownership_said(unit: Unit, event: Event, *, here: Here) -> None:
    """Remember whether another country has the case, or is offered it, and tell it so."""
    said = CaseOwnershipSaid.model_validate(event.data)
    if said.word == GIVEN:
        _change_case(unit, event, given_epoch=said.epoch, given_by=said.referral_id)
    elif said.word == TAKEN:
        _change_case(unit, event, given_epoch=None, given_by=None)
    await say_ownership(unit, said, on=here.day_of(event.time), own=here.country)


async def on_case_erased(unit: Unit, event: Event, *, here: Here) -> None:
    erased = CaseErased.model_validate(event.data)
    if erased.referral_id is not None:
        await say_erased(unit, erased.referral_id, on=erased.erased_on, own=here.country)


async def on_package_erased(unit: Unit, event: Event) -> None:
    erased = PackageErased.model_validate(event.data)
    await say_erased(unit, erased.referral_id, on=erased.erased_on, own=event.country)


async def on_cases_put_back(unit: Unit, event: Event, *, runtime: Runtime) -> None:
    """Ask every peer what it heard of this country, for the register that was put back."""
    asked = CasesPutBack.model_validate(event.data).asked
    await ask_peers(unit, peers_of(runtime), asked=asked)


def _change_case(unit: Unit, event: Event, **changed: Any) -> None:
    unit.update(KnownCase, {"case_id": event.subject}, expect=1, version=event.seq, **changed)


HANDLERS: Handlers = {
    CaseOpened.type: on_case_opened,
    CaseProfileChanged.type: on_profile_changed,
    CaseIdentityRecorded.type: on_identity_recorded,
    CaseAssigned.type: on_case_assigned,
    ConsentGranted.type: on_consent_granted,
    ConsentWithdrawn.type: on_consent_withdrawn,
    PackageErased.type: on_package_erased,
}
"""Those that need nothing but the event."""


def handlers_of(runtime: Runtime) -> Handlers:
    """Return all handlers; what they need besides an event is the running service's."""
    here = runtime.settings.here
    return {
        **HANDLERS,
        CasePackageReleased.type: partial(on_package_released, here=here),
        CaseOwnershipSaid.type: partial(on_ownership_said, here=here),
        CaseErased.type: partial(on_case_erased, here=here),
        CasesPutBack.type: partial(on_cases_put_back, runtime=runtime),
    }
