from functools import partial

from common.clock import utcnow
from common.contracts.intake import ConsentGranted
from common.contracts.referral import (
    CONSENT_WITHDRAWN,
    REFERRAL_EVENTS,
    CrossBorderChanged,
    OrganisationChanged,
    OrganisationEntry,
    OrganisationRegistered,
    OwnershipHeard,
    OwnershipSaidBefore,
    PackageReceived,
    PeersHeard,
    ReferralEvent,
)
from common.events import Event
from common.federation.peers import read_own_keys, read_peers
from common.inbox import Handlers
from common.runtime import Runtime
from common.unit import Unit
from intake.commands.erasure import erase_case, say_package_erased
from intake.commands.ownership import end_asking, hear_of, hear_own
from intake.commands.reception import receive_package
from intake.domain.transfer import AWAITED, ERASING, RECEIVED
from intake.models import KnownOrganisation, KnownReferral, KnownTransfer
from intake.queries.case import ownership_of
from intake.queries.transfer import find_received


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


async def on_cross_border_changed(unit: Unit, event: Event) -> None:
    """Keep how far a referral across the border is; erase what came by one that was called off.

    Unless the case had become this country's before. Where there is none and the sender waits for
    a word, that is said.
    """
    changed = CrossBorderChanged.model_validate(event.data)
    columns = changed.model_dump(exclude={"previous_status", "reason", "on", "data_groups"})
    unit.put(KnownTransfer, **columns, data_groups=list(changed.data_groups))
    if changed.direction != RECEIVED or changed.status not in ERASING:
        return
    case = await find_received(unit, changed.referral_id)
    if case is None:
        if changed.status in AWAITED:
            await say_package_erased(
                unit, changed.referral_id, reason=changed.status, on=changed.on
            )
    elif case.erased_on is None and not ownership_of(case).was_here:
        await erase_case(unit, case, reason=changed.status, on=changed.on)


async def on_ownership_heard(unit: Unit, event: Event) -> None:
    """Hear what the other country says of who may edit a case."""
    await hear_of(unit, OwnershipHeard.model_validate(event.data))


async def on_ownership_said_before(unit: Unit, event: Event) -> None:
    """Know again what this country said of who may edit a case."""
    await hear_own(unit, OwnershipSaidBefore.model_validate(event.data))


async def on_peers_heard(unit: Unit, event: Event) -> None:
    """Go on, now that every peer has said what it heard of this country."""
    end_asking(unit, PeersHeard.model_validate(event.data).asked)


async def on_package_received(unit: Unit, event: Event, *, runtime: Runtime) -> None:
    """Open a case for a person whom another country sends, from her data."""
    settings = runtime.settings
    # Read each time: a key that was replaced opens what was sealed before, for a month.
    keys = read_own_keys(settings.own_keys_file, runtime.master, runtime.name)
    told = PackageReceived.model_validate(event.data)
    here, directory = settings.here, read_peers(settings.peers_folder).directory

    def is_over(kid: str) -> bool:
        return directory.is_over(here.country, kid, utcnow())

    await receive_package(unit, told, keys=keys, is_over=is_over, here=here)


def handlers_of(runtime: Runtime) -> Handlers:
    """Return all handlers; what they need besides an event is the running service's."""
    return {
        **HANDLERS,
        PackageReceived.type: partial(on_package_received, runtime=runtime),
    }


HANDLERS: Handlers = {
    OrganisationRegistered.type: on_organisation,
    OrganisationChanged.type: on_organisation,
    **{kind.type: on_referral for kind in REFERRAL_EVENTS},
    CrossBorderChanged.type: on_cross_border_changed,
    OwnershipHeard.type: on_ownership_heard,
    OwnershipSaidBefore.type: on_ownership_said_before,
    PeersHeard.type: on_peers_heard,
}
"""Those that need nothing but the event."""
