from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, bindparam, false, or_, select, true

from common.auth import Principal
from common.authz import Authorisation
from common.consent import Consent
from common.contracts.intake import ConsentGranted
from common.db.base import Store
from common.errors import NotFoundError
from common.events import topic_of
from common.tables import InboxAggregate
from common.unit import Unit
from referral.domain.referral import (
    CALLED_OFF,
    OVERDUE,
    ReceiverView,
    ReferralStatus,
    Side,
    receiver_view,
)
from referral.models import KnownCase, KnownConsent, Referral

_REFERRAL = select(Referral).where(Referral.id == bindparam("id"))
_CASE = select(KnownCase).where(KnownCase.case_id == bindparam("case_id"))
_HEARD = select(InboxAggregate).where(
    InboxAggregate.topic == bindparam("topic"), InboxAggregate.subject == bindparam("subject")
)
_CONSENT = select(KnownConsent).where(KnownConsent.id == bindparam("id"))


_AUTHORISATION = Authorisation.of_package("referral")

_IDENTITY = "IDENTITY"
"""The data group of a case's id, which leads to the person."""

RELATION_OF = {Side.SENDER: "own", Side.RECEIVER: "referred"}
"""The relation of the authorisation table by which each side of a referral is open."""


# --- referrals


async def get_referral(unit: Unit, referral_id: UUID, *, principal: Principal) -> Referral:
    """Return a referral for reading: one the caller's relations open."""
    found = await find_referral(unit, referral_id)
    if found is None or not (_open_sides(found, principal) or _oversees(found, principal)):
        raise NotFoundError
    return found


async def get_for_step(unit: Unit, referral_id: UUID, *, principal: Principal) -> Referral:
    """Return a referral for a step: one the caller may read from a side of its organisation.

    Whether the step belongs to that side is the domain's decision. A role that may not read it from
    there is not told that it exists.
    """
    found = await find_referral(unit, referral_id)
    readable = _AUTHORISATION.granted("get_referral", principal.role)
    if found is None or not any(
        RELATION_OF[side] in readable for side in sides_of(found, principal)
    ):
        raise NotFoundError
    return found


async def find_referral(unit: Unit, referral_id: UUID) -> Referral | None:
    return await unit.find(_REFERRAL, id=referral_id)


def sides_of(referral: Referral, principal: Principal) -> frozenset[Side]:
    """Return the sides the caller's organisation stands on; a draft has no receiver yet."""
    sides = set()
    if referral.sending_organisation_id == principal.organisation_id:
        sides.add(Side.SENDER)
    is_receiver = referral.receiving_organisation_id == principal.organisation_id
    if is_receiver and (sides or referral.submitted_at is not None):
        sides.add(Side.RECEIVER)
    return frozenset(sides)


def view_of(referral: Referral, principal: Principal) -> ReceiverView:
    """Return how much of the referral the caller sees: the one answer for every route.

    Who only oversees sees the preview, and so does the receiver's staff in a role which may not know
    whose case it is: what intake closes to a role, a referral does not open to it.
    """
    sides = _open_sides(referral, principal)
    if Side.SENDER in sides:
        is_shut = referral.closed_to_sender_on is not None
        return ReceiverView.FACT if is_shut else ReceiverView.FULL
    if Side.RECEIVER in sides and _IDENTITY in principal.data_groups:
        return receiver_view(
            referral.status,
            was_submitted=referral.submitted_at is not None,
            was_acknowledged=referral.acknowledged_at is not None,
            is_withdrawn=referral.consent_withdrawn_on is not None,
        )
    return ReceiverView.PREVIEW


def list_referrals(
    principal: Principal, *, direction: Side | None, case_id: UUID | None
) -> Select[Referral]:
    """Select the referrals the caller may see.

    By case only those are found whose case the caller may know: otherwise a receiver could ask
    whether a person it knows is behind a preview.
    """
    mine = principal.organisation_id
    was_sent = Referral.submitted_at.is_not(None)
    sent = and_(_opens(principal, "own"), Referral.sending_organisation_id == mine)
    received = and_(
        _opens(principal, "referred"), Referral.receiving_organisation_id == mine, was_sent
    )
    overseen = and_(_opens(principal, "all"), was_sent)
    visible = {
        Side.SENDER: sent,
        Side.RECEIVER: received,
        None: or_(sent, received, overseen),
    }[direction]
    statement = select(Referral).where(visible)
    if case_id is None:
        return statement
    acknowledged = and_(
        received,
        true() if _IDENTITY in principal.data_groups else false(),
        Referral.acknowledged_at.is_not(None),
        Referral.status.not_in(CALLED_OFF),
        Referral.consent_withdrawn_on.is_(None),
    )
    still_open = and_(sent, Referral.closed_to_sender_on.is_(None))
    return statement.where(Referral.case_id == case_id, or_(still_open, acknowledged))


def _open_sides(referral: Referral, principal: Principal) -> frozenset[Side]:
    return frozenset(
        side for side in sides_of(referral, principal) if RELATION_OF[side] in principal.relations
    )


def _oversees(referral: Referral, principal: Principal) -> bool:
    return "all" in principal.relations and referral.submitted_at is not None


def _opens(principal: Principal, relation: str) -> ColumnElement[bool]:
    return true() if relation in principal.relations else false()


async def find_accepted(unit: Unit, case_id: UUID, organisation_id: UUID) -> Referral | None:
    """Return a referral by which the organisation has this case in service, if there is one.

    A referral inside its own house gives nobody a case.
    """
    found = await unit.list(
        select(Referral)
        .where(
            Referral.case_id == case_id,
            Referral.receiving_organisation_id == organisation_id,
            Referral.sending_organisation_id != organisation_id,
            Referral.status == ReferralStatus.ACCEPTED,
        )
        .limit(1)
    )
    return found[0] if found else None


async def list_of_case(unit: Unit, case_id: UUID) -> Sequence[Referral]:
    """Return all referrals of a case, drafts and ended ones too, in the order of their drafting."""
    return await unit.list(
        select(Referral)
        .where(Referral.case_id == case_id)
        .order_by(Referral.recorded_at, Referral.id)
    )


async def list_overdue(store: Store, now: datetime) -> list[UUID]:
    """Return the referrals whose time to decide is over, the longest overdue first."""
    rows = await store.fetch(
        select(Referral.id)
        .where(Referral.status.in_(OVERDUE), Referral.respond_by <= now)
        .order_by(Referral.respond_by)
    )
    return [row.id for row in rows]


# --- what intake told us


async def find_case(unit: Unit, case_id: UUID) -> KnownCase | None:
    return await unit.find(_CASE, case_id=case_id)


async def find_heard(unit: Unit, case_id: UUID) -> int:
    """Return the newest version of a case that this service has heard of; 0 for none."""
    heard = await unit.find(_HEARD, topic=topic_of(ConsentGranted.type), subject=case_id)
    return 0 if heard is None else heard.last_seq


async def find_consent(unit: Unit, consent_id: UUID) -> KnownConsent | None:
    return await unit.find(_CONSENT, id=consent_id)


async def list_consents(unit: Unit, case_id: UUID) -> Sequence[KnownConsent]:
    return await unit.list(select(KnownConsent).where(KnownConsent.case_id == case_id))


def consent_of(row: KnownConsent) -> Consent:
    return Consent(
        consent_id=row.id,
        scope=row.scope,
        recipient_organisation_id=row.recipient_organisation_id,
        recipient_kinds=frozenset(row.recipient_kinds),
        recipient_countries=frozenset(row.recipient_countries),
        purposes=frozenset(row.purposes),
        data_groups=frozenset(row.data_groups),
        given_by=row.given_by,
        guardian=row.guardian,
        granted_on=row.granted_on,
        expires_on=row.expires_on,
        is_withdrawn=row.is_withdrawn,
    )
