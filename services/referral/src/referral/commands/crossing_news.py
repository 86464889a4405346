"""What becomes of referrals between countries when the clock, a consent or intake says so.

What this country's own events say takes effect at once. Where the peer must first say what it heard
before a backup was put back, only the letter waits, and no event of the case behind it.
"""

from datetime import date
from uuid import UUID

import structlog

from common.clock import utcnow
from common.contracts.intake import CaseOwnershipSaid, CasePackageReleased
from common.contracts.referral import CONSENT_WITHDRAWN, PackageReceived
from common.here import Here
from common.unit import Unit
from referral.commands.crossing import change, note, rest_package_on_consent, say
from referral.commands.letters import Columns, must_wait, open_owed, owe, write_letter
from referral.domain.cross_border import (
    ERASING,
    GIVEN,
    OPEN,
    TAKEN,
    WAITING,
    WITH_PACKAGE,
    WITHDRAWN_HERE,
    CrossBorderStatus,
    Direction,
    Kind,
    status_after_taken,
)
from referral.models import CrossBorderReferral, OwedLetter
from referral.queries import cross_border as queries
from referral.queries.letters import list_owed
from referral.schemas.letters import OwnershipWord, Package

logger = structlog.get_logger(__name__)


async def expire_cross_border(unit: Unit, referral_id: UUID, *, here: Here) -> None:
    """End a sent referral whose time to decide is over; nothing happens if it was decided meanwhile."""
    row = await queries.find_cross_border(unit, referral_id)
    if row is None or row.direction is not Direction.SENT or row.respond_by is None:
        return
    if row.status in WAITING and utcnow() >= row.respond_by:
        chain = await write_letter(unit, row, Kind.EXPIRED, own=here.country)
        change(unit, row, CrossBorderStatus.EXPIRED, on=here.today, **chain)


async def withdraw_from_cross_border(
    unit: Unit, case_id: UUID, consent_id: UUID, *, on: date, own: str
) -> None:
    """Call off what rests on a consent that was withdrawn on the day `on`; the receiver will erase.

    As inside the country another consent that covers the same does not keep it. What was handed over
    is the other country's, whom the person then asks.
    """
    for row in await queries.list_sent_of_case(unit, case_id):
        if row.status in OPEN and str(consent_id) in row.consent_ids:
            chain = await _write_or_owe(unit, row, Kind.WITHDRAWN, on=on, own=own)
            change(
                unit,
                row,
                CrossBorderStatus.CONSENT_WITHDRAWN,
                on=on,
                reason=CONSENT_WITHDRAWN,
                consent_withdrawn_on=on,
                **chain,
            )


async def send_package(
    unit: Unit, released: CasePackageReleased, *, on: date, own: str, is_owed: bool = False
) -> None:
    """Send on what intake sealed for the other country's register; `is_owed` once it has waited.

    Nothing is sent of a referral that was called off while it was released, or while it waited.
    """
    row = await queries.find_cross_border(unit, released.referral_id)
    if (
        row is None
        or row.case_id != released.case_id
        or row.direction is not Direction.SENT
        or row.status not in WITH_PACKAGE
        or row.purpose is None
    ):
        return
    package = Package(
        purpose=row.purpose, data_groups=tuple(row.data_groups), package=released.package
    )
    resting = await rest_package_on_consent(unit, row, on=on)
    if not is_owed and await must_wait(unit, row):
        await owe(unit, row, Kind.PACKAGE, released, on=on)
        note(unit, row, consent_ids=resting)  # so that a withdrawal finds it while it waits
        return
    chain = await write_letter(unit, row, Kind.PACKAGE, package, own=own)
    change(unit, row, row.status, on=on, consent_ids=resting, packaged_at=utcnow(), **chain)


async def link_case(unit: Unit, referral_id: UUID, case_id: UUID, *, on: date) -> None:
    """Learn which case this country's register opened for a referral."""
    row = await queries.find_cross_border(unit, referral_id)
    if row is not None and row.direction is Direction.RECEIVED and row.case_id is None:
        change(unit, row, row.status, on=on, reason=row.reason, case_id=case_id)


async def say_ownership(
    unit: Unit, said: CaseOwnershipSaid, *, on: date, own: str, is_owed: bool = False
) -> None:
    """Tell the other country what this one's register says of who may edit the case.

    Where that is the receiver's word that it took the case, the referral is handed over.
    """
    row = await queries.find_cross_border(unit, said.referral_id)
    if row is None or row.case_id != said.case_id:
        return
    if said.word == GIVEN and (row.owning_word, row.owning_epoch) == (said.word, said.epoch):
        return  # the register, which was put back, knows it again
    if not is_owed and await must_wait(unit, row):
        await owe(unit, row, Kind.OWNERSHIP, said, on=on)
        return
    body = OwnershipWord(word=said.word, epoch=said.epoch)
    is_taken = said.word == TAKEN and row.direction is Direction.RECEIVED
    status = status_after_taken(row.status) if is_taken else row.status
    if status is row.status:
        await say(unit, row, Kind.OWNERSHIP, body, own=own)
        return
    chain = await write_letter(unit, row, Kind.OWNERSHIP, body, own=own)
    change(unit, row, status, on=on, **chain)


async def say_erased(unit: Unit, referral_id: UUID, *, on: date, own: str) -> None:
    """Tell the sender that nothing of the person is left in this country's register, on the day `on`.

    The package she came in goes from this service's archive in the same Unit.
    """
    row = await queries.find_cross_border(unit, referral_id)
    if row is None or row.direction is not Direction.RECEIVED:
        return
    await unit.empty(row.id, PackageReceived)
    if row.erased_on is not None:
        return  # it was said before: an archive that was put back since is full again all the same
    # For a reason of its own the register needs to tell nobody.
    is_awaited = row.status in ERASING
    chain = await _write_or_owe(unit, row, Kind.ERASED, on=on, own=own) if is_awaited else {}
    change(
        unit,
        row,
        row.status,
        on=on,
        reason=row.reason,
        erased_on=on,
        **chain,
    )


# --- what had to wait


async def _write_or_owe(
    unit: Unit, row: CrossBorderReferral, kind: Kind, *, on: date, own: str
) -> Columns:
    """Hand over a letter that says no more than its kind, or that the peer is to hear it later."""
    if await must_wait(unit, row):
        await owe(unit, row, kind, on=on)
        return {}
    return await write_letter(unit, row, kind, own=own)


async def pay_owed(unit: Unit, referral_id: UUID, *, own: str) -> None:
    """Write the first letter that is owed of a referral, unless it has no place any more.

    NotYetError `cross_border.unconfirmed` where it must wait longer.
    """
    row, waiting = (
        await queries.find_cross_border(unit, referral_id),
        await list_owed(unit, referral_id),
    )
    if row is None or not waiting:
        return
    owed = waiting[0]
    unit.remove(OwedLetter, id=owed.id, expect=1)
    match owed.kind:
        case Kind.PACKAGE:
            package = CasePackageReleased.model_validate_json(await open_owed(unit, row, owed))
            await send_package(unit, package, on=owed.said_on, own=own, is_owed=True)
        case Kind.OWNERSHIP:
            said = CaseOwnershipSaid.model_validate_json(await open_owed(unit, row, owed))
            await say_ownership(unit, said, on=owed.said_on, own=own, is_owed=True)
        case Kind.WITHDRAWN if row.status in WITHDRAWN_HERE:
            await say(unit, row, Kind.WITHDRAWN, own=own)
        case Kind.ERASED if row.status in ERASING:
            await say(unit, row, Kind.ERASED, own=own)
        case _:  # of a referral that went another way by what its peer gave back
            logger.error("letter.not_said", type=owed.kind, subject=str(row.id))
