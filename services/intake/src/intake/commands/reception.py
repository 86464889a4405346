"""Opening a case for a person whom another country sends, from the package with her data."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from common.clock import new_id, utcnow
from common.contracts.intake import CaseIdentityRecorded, CaseOpened
from common.contracts.referral import PackageReceived
from common.errors import InvalidError, NotYetError
from common.events import EventData
from common.federation.package import PackageError, UnknownKeyError, open_package
from common.federation.peers import OwnKeys
from common.here import Here
from common.sealing import SubjectBox
from common.unit import Unit
from intake.commands.profile import age_columns, profile_changed
from intake.commands.sealing import case_box, keep_identity, seal
from intake.domain.age import AgeFacts, ToldAge, age_facts, estimate_of
from intake.domain.case import CaseStatus
from intake.domain.notice import Urgency
from intake.domain.ownership import HEARD_OF
from intake.domain.transfer import ERASING
from intake.models import Case, CaseIdentity, CaseOrigin
from intake.queries import transfer as queries
from intake.queries.case import ownership_of
from intake.schemas.package import Package, Received, receive

BASIS = "CONSENT"
"""On which ground the data are held: she agreed that they are sent here, and may take that back."""


async def receive_package(
    unit: Unit,
    told: PackageReceived,
    *,
    keys: OwnKeys,
    is_over: Callable[[str], bool],
    here: Here,
) -> None:
    """Open a case for the organisation that accepted the person; nobody here edits it yet.

    Another package of the same referral replaces what the first one told, as long as the case was
    never this country's. Nothing happens once the referral has ended: the data are not opened.
    InvalidError `package.unreadable` for one that is not for us, or not whole. NotYetError
    `package.key_missing` for one that may be, whose key is not at hand: the file of keys may be gone,
    or older than the last rotation, and its sender, who heard that it came, holds these words no more.
    NotYetError `letter.unreadable` for one that opens and has a form that a later release may read.
    `is_over` tells of a key's id whether its private half is gone for good.
    """
    transfer = await queries.find_transfer(unit, told.referral_id)
    case = await queries.find_received(unit, told.referral_id)
    has_ended = transfer is not None and transfer.status in ERASING
    if has_ended or (case is not None and _is_settled(case)):
        return
    received = _aged(receive(_opened(told, keys, is_over, here)), on=here.today)
    if case is None:
        case_id = await _open(unit, told, received, here)
    else:
        case_id = case.id
        await _replace(unit, case, received, here)
    unit.put(
        CaseOrigin,
        case_id=case_id,
        referral_id=told.referral_id,
        sender_country=told.sender_country,
        purpose=told.purpose,
        data_groups=list(told.data_groups),
        exploitation_types=received.exploitation_types,
        unmapped=received.unmapped,
        received_at=utcnow(),
    )
    unit.audit(
        "write",
        CaseOrigin.__tablename__,
        [str(case_id), str(told.referral_id)],
        about=case_id,
        data_groups=sorted(told.data_groups),
        purpose=told.purpose,
        legal_basis=BASIS,
    )


def _is_settled(case: Case) -> bool:
    return case.erased_on is not None or ownership_of(case).was_here


def _opened(
    told: PackageReceived, keys: OwnKeys, is_over: Callable[[str], bool], here: Here
) -> Package:
    try:
        document = open_package(
            told.package,
            keys=keys.opening,
            sender=told.sender_country,
            recipient=here.country,
            referral_id=told.referral_id,
        )
    except UnknownKeyError as unknown:
        if is_over(unknown.kid):
            raise InvalidError("package.unreadable") from None
        raise NotYetError("package.key_missing") from None
    except PackageError:
        raise InvalidError("package.unreadable") from None
    try:
        return Package.model_validate(document)
    except ValidationError:  # of which nothing may be logged
        raise NotYetError("letter.unreadable") from None


async def _open(unit: Unit, told: PackageReceived, received: Received, here: Here) -> UUID:
    case_id, today = new_id(), here.today
    ages = _ages(received, contact_on=today, today=today)
    box = await unit.new_box(case_id)
    urgency = _urgency(told, received)
    facts = received.facts
    opened = CaseOpened(
        case_id=case_id,
        organisation_id=told.organisation_id,
        country=here.country,
        beneficiary_kind=facts["beneficiary_kind"],
        identification_status=facts["identification_status"],
        sex=facts["sex"],
        age_group=ages.group,
        is_minor=ages.is_minor,
        urgency=urgency,
        legal_basis=BASIS,
        referral_id=told.referral_id,
        opened_on=today,
    )
    unit.create(
        Case,
        opened,
        *_recorded(case_id, received, ages),
        about=case_id,
        id=case_id,
        organisation_id=told.organisation_id,
        country=here.country,
        status=CaseStatus.ACTIVE,
        **facts,
        **_birth_date(box, case_id, received),
        **age_columns(ages),
        urgency=urgency,
        legal_basis=BASIS,
        has_identity=received.identity is not None,
        contact_on=today,
        opened_at=utcnow(),
        holding=HEARD_OF.holding,
        epoch=HEARD_OF.epoch,
        refused=HEARD_OF.refused,
    )
    if received.identity is not None:
        keep_identity(unit, box, case_id, received.identity, legal_basis=BASIS)
    return case_id


async def _replace(unit: Unit, case: Case, received: Received, here: Here) -> None:
    box = await case_box(unit, case.id)
    ages = _ages(received, contact_on=case.contact_on, today=here.today)
    # How far identification is was told with the opening; from there on it has a history.
    facts = {k: v for k, v in received.facts.items() if k != "identification_status"}
    changes = {**facts, **age_columns(ages), **_birth_date(box, case.id, received)}
    unit.change(
        Case,
        case,
        profile_changed(case, **changes),
        *_recorded(case.id, received, ages),
        about=case.id,
        **changes,
        has_identity=received.identity is not None,
        updated_at=utcnow(),
    )
    if received.identity is None:
        unit.remove(CaseIdentity, case_id=case.id)
    else:
        keep_identity(unit, box, case.id, received.identity, legal_basis=BASIS)


def _aged(received: Received, *, on: date) -> Received:
    """Take the band of the age for an estimate where nothing closer was told."""
    facts, band = received.facts, received.age_group
    estimate = None if band is None else estimate_of(band)
    if estimate is not None and _born(received) is None and facts["estimated_age"] is None:
        years, margin = estimate
        facts |= {"estimated_age": years, "estimated_age_margin": margin, "estimated_on": on}
    return received


def _ages(received: Received, *, contact_on: date, today: date) -> AgeFacts:
    facts = received.facts
    told = ToldAge(
        _born(received),
        facts["estimated_age"],
        facts["estimated_age_margin"],
        facts["estimated_on"],
    )
    return age_facts(told, contact_on=contact_on, today=today)


def _born(received: Received) -> str | None:
    return None if received.identity is None else received.identity["birth_date"]


def _birth_date(box: SubjectBox, case_id: UUID, received: Received) -> Mapping[str, Any]:
    return seal(box, Case, case_id, birth_date=_born(received))


def _recorded(case_id: UUID, received: Received, ages: AgeFacts) -> list[EventData]:
    if received.identity is None:
        return []
    return [
        CaseIdentityRecorded(case_id=case_id, age_group=ages.group, is_minor=ages.is_minor),
    ]


def _urgency(told: PackageReceived, received: Received) -> Urgency:
    if told.urgency in frozenset(Urgency):
        return Urgency(told.urgency)
    received.unmapped["urgency"] = [told.urgency]
    return Urgency.NORMAL
