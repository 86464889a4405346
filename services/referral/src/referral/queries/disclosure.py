"""What may be shown of a referral's free texts, and on which consents that rests."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from common.auth import Principal
from common.consent import Disclosure, covers, national_scope
from common.sealing import SubjectBox
from common.unit import Sealed, Unit
from referral.domain.referral import Side
from referral.models import KnownCase, Organisation, Referral
from referral.queries import directory
from referral.queries.referral import consent_of, find_case, list_consents, sides_of


@dataclass(frozen=True, slots=True)
class Notes:
    """The free texts of a referral, opened; None where nothing was written or may be shown."""

    note: str | None = None
    reason_note: str | None = None


async def open_notes(unit: Unit, referral: Referral, *, principal: Principal, on: date) -> Notes:
    """Open the free texts for a caller who sees the referral whole, and record who read what.

    What stands in a free text nobody knows before reading it, so they are for those who may know
    every data group; the receiver reads them only while consents cover it on the day `on`.
    """
    box = await unit.box(referral.case_id)
    is_written = referral.note is not None or referral.reason_note is not None
    if not is_written or box is None or not await _may_open(unit, referral, principal, on):
        record_reading(unit, referral)
        return Notes()
    record_reading(unit, referral, data_groups=referral.data_groups)
    return Notes(
        _open(box, referral, "note", referral.note),
        _open(box, referral, "reason_note", referral.reason_note),
    )


def record_reading(unit: Unit, referral: Referral, *, data_groups: Sequence[str] = ()) -> None:
    """Record that the referral is read; `data_groups` are those whose free texts were opened."""
    unit.disclose(
        "referral",
        [str(referral.id)],
        about=referral.case_id,
        data_groups=data_groups,
        purpose=referral.purpose,
        legal_basis="CONSENT",  # on which a referral stands
    )


def disclosure_of(
    referral: Referral, case: KnownCase, receiver: Organisation, on: date
) -> Disclosure:
    return Disclosure(
        scope=national_scope(receiver.kind),
        recipient_organisation_id=receiver.id,
        recipient_kind=receiver.kind,
        country=receiver.country,
        purpose=referral.purpose,
        data_groups=frozenset(referral.data_groups),
        is_minor=case.is_minor,
        on=on,
    )


async def _may_open(unit: Unit, referral: Referral, principal: Principal, on: date) -> bool:
    if not principal.may_read_texts:
        return False
    if Side.SENDER in sides_of(referral, principal):
        return True
    case = await find_case(unit, referral.case_id)
    receiver = await directory.find_organisation(unit, referral.receiving_organisation_id)
    if case is None or receiver is None:
        return False
    consents = [consent_of(row) for row in await list_consents(unit, referral.case_id)]
    return covers(consents, disclosure_of(referral, case, receiver, on))


def _open(box: SubjectBox, referral: Referral, column: str, sealed: Sealed | None) -> str | None:
    if sealed is None:
        return None
    return box.open(sealed, table=Referral.__tablename__, row=referral.id, column=column)
