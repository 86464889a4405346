"""What every step of a referral between countries is made of."""

from datetime import date
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from common.auth import Principal
from common.authz import refuse_step
from common.clock import utcnow
from common.consent import ConsentScope, Disclosure, coverage, require_consent
from common.contracts.referral import CrossBorderChanged
from common.errors import ConflictError
from common.events import EventData
from common.federation.custody import Statement
from common.here import Here
from common.unit import Unit
from referral.commands.letters import take_back, write_letter, write_receipt
from referral.commands.steps import require_here
from referral.domain.cross_border import (
    LETTER_OF,
    ONLY_THE_FACT,
    CrossBorderStatus,
    Direction,
    Kind,
    Move,
    next_status,
)
from referral.models import CrossBorderReferral, KnownCase, KnownConsent
from referral.queries import cross_border as queries
from referral.queries.referral import consent_of, find_case, find_heard, list_consents
from referral.schemas.letters import Body

_NOTHING: dict[str, Any] = {
    "sex": None,
    "age_group": None,
    "needs": [],
    "languages": [],
    "purpose": None,
    "data_groups": [],
}
"""What is left of the person to a country that keeps only the fact and the date."""


async def load(
    unit: Unit, referral_id: UUID, principal: Principal, expected: int
) -> CrossBorderReferral:
    """Return the referral a caller wants to take a step of.

    ForbiddenError `step.not_yours` for one it may only read, NotFoundError for any other.
    """
    row = await queries.get_for_step(unit, referral_id, principal=principal)
    if not queries.may_take(row, principal):
        refuse_step(may_read=True)
    return unit.shows(row, expected)


async def take_move(
    unit: Unit,
    row: CrossBorderReferral,
    move: Move,
    *,
    here: Here,
    reason: str | None = None,
    body: Body | None = None,
    **changed: Any,
) -> CrossBorderReferral:
    """Hand over the referral after a step of this country, with the letter that tells of it."""
    status = next_status(row.status, move, direction=row.direction, reason=reason)
    chain: dict[str, Any] = {}
    if row.status is not CrossBorderStatus.DRAFT or move is Move.SUBMIT:
        chain = await write_letter(unit, row, LETTER_OF[move], body, own=here.country)
    return change(unit, row, status, on=here.today, reason=reason, **chain, **changed)


async def say(
    unit: Unit,
    row: CrossBorderReferral,
    kind: Kind,
    body: Body | None = None,
    *,
    own: str,
    heard: Statement | None = None,
    columns: dict[str, Any] | None = None,
) -> None:
    """Hand over a letter, or with `heard` what is left of taking one, that tells nobody here a thing."""
    chain = await write_letter(unit, row, kind, body, own=own, heard=heard)
    note(unit, row, **chain, **(columns or {}))


async def answer_receipt(
    unit: Unit, row: CrossBorderReferral, heard: Statement, *, own: str, columns: dict[str, Any]
) -> CrossBorderReferral:
    """Hand over that a letter was taken which changes nothing and which no letter of ours answers."""
    await write_receipt(unit, row, heard, own=own)
    return note(unit, row, **columns)


def note(unit: Unit, row: CrossBorderReferral, **columns: Any) -> CrossBorderReferral:
    """Hand over columns that no answer and no event shows, on the referral as it was read."""
    unit.update(
        CrossBorderReferral,
        {"id": row.id, "version": row.version, "said": row.said},
        expect=1,
        **columns,
    )
    before = {each.key: getattr(row, each.key) for each in CrossBorderReferral.__table__.columns}
    return cast(CrossBorderReferral, SimpleNamespace(**before | columns))


def change(
    unit: Unit,
    row: CrossBorderReferral,
    status: CrossBorderStatus,
    *more: EventData,
    on: date,
    reason: str | None = None,
    **changed: Any,
) -> CrossBorderReferral:
    """Hand over the referral in its new status with the event that tells of it, and `more`.

    `reason` is that of the last step: without a new one the old one goes. A country that keeps only
    the fact forgets here what it was shown; one that calls off takes back what was not heard.
    """
    columns = {"reason": reason, **changed}
    if row.direction is Direction.RECEIVED and status in ONLY_THE_FACT:
        columns |= _NOTHING
        if row.organisation_id is not None:
            unit.withhold(row.id, organisation_id=row.organisation_id)
    if row.direction is Direction.SENT and status in ONLY_THE_FACT:
        take_back(unit, row)
    told = _event(row, status, on, columns)
    return unit.change(
        CrossBorderReferral,
        row,
        told,
        *more,
        about=columns.get("case_id", row.case_id),
        status=status,
        updated_at=utcnow(),
        **columns,
    )


def _event(
    row: CrossBorderReferral, status: CrossBorderStatus, on: date, columns: dict[str, Any]
) -> CrossBorderChanged:
    def now(name: str) -> Any:  # noqa: ANN401
        return columns.get(name, getattr(row, name))

    # Nobody hears more than a reading shows: of what was called off the receiver has the fact, and
    # of why, what it said itself.
    is_known = row.direction is Direction.SENT or status not in ONLY_THE_FACT
    is_own_word = is_known or status is CrossBorderStatus.DECLINED
    return CrossBorderChanged(
        referral_id=row.id,
        direction=row.direction,
        peer_country=row.peer_country,
        case_id=now("case_id") if is_known else None,
        organisation_id=now("organisation_id"),
        recipient_organisation_id=now("recipient_organisation_id") if is_known else None,
        recipient_kind=now("recipient_kind") if is_known else None,
        purpose=now("purpose"),
        data_groups=tuple(now("data_groups")),
        urgency=now("urgency"),
        status=status,
        previous_status=row.status,
        reason=columns["reason"] if is_own_word else None,
        on=on,
    )


# --- consent


async def rest_on_consent(
    unit: Unit, row: CrossBorderReferral, case: KnownCase, *, on: date
) -> list[str]:
    """Return the consents the offer rests on; they must still be so when the Unit is written.

    ForbiddenError `consent.missing` unless consents to share across the border, for the receiver and
    country named, the purpose and every data group, hold on the day `on`.
    """
    known = {found.id: found for found in await list_consents(unit, case.case_id)}
    used = require_consent(
        [consent_of(found) for found in known.values()],
        _disclosure(row, case, row.requested_organisation_id, row.requested_kind, on),
        case_version=await find_heard(unit, case.case_id),
    )
    for consent_id in used:
        _use(unit, known[consent_id])
    return [str(consent_id) for consent_id in used]


async def rest_package_on_consent(unit: Unit, row: CrossBorderReferral, *, on: date) -> list[str]:
    """Return the consents the referral rests on once the person's data have left.

    They were demanded where the data were opened; a withdrawal of any of them calls it off.
    """
    resting = list(row.consent_ids)
    case = await find_case(unit, row.case_id) if row.case_id else None
    if case is None:
        return resting
    known = {found.id: found for found in await list_consents(unit, case.case_id)}
    shown = _disclosure(row, case, row.recipient_organisation_id, row.recipient_kind, on)
    for consent in coverage([consent_of(found) for found in known.values()], shown).consents:
        if str(consent.consent_id) not in resting:
            _use(unit, known[consent.consent_id])
            resting.append(str(consent.consent_id))
    return resting


def _use(unit: Unit, row: KnownConsent) -> None:
    found_as = {"id": row.id, "version": row.version, "uses": row.uses}
    unit.update(KnownConsent, found_as, expect=1, uses=row.uses + 1)


def _disclosure(
    row: CrossBorderReferral,
    case: KnownCase,
    organisation_id: UUID | None,
    kind: str | None,
    on: date,
) -> Disclosure:
    return Disclosure(
        scope=ConsentScope.SHARE_CROSS_BORDER,
        recipient_organisation_id=organisation_id,
        recipient_kind=kind,
        country=row.peer_country,
        purpose=row.purpose,
        data_groups=frozenset(row.data_groups),
        is_minor=case.is_minor,
        on=on,
    )


async def case_of_sender(
    unit: Unit, case_id: UUID | None, organisation_id: UUID | None
) -> KnownCase:
    """Return the case an organisation sends abroad: its own, also when the Unit is written.

    ConflictError `referral.case_unknown` for any other, whether it exists or not, and
    `ownership.not_here` for one that another country has or is offered.
    """
    case = await find_case(unit, case_id) if case_id else None
    if case is None or case.organisation_id != organisation_id:
        raise ConflictError("referral.case_unknown")
    require_here(case)
    unit.require_unchanged(KnownCase, case_id=case.case_id, version=case.version)
    return case
