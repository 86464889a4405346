"""Referrals to and from other countries, as far as a caller may see them."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, bindparam, false, or_, select, true

from common.auth import Principal
from common.authz import Authorisation
from common.contracts.referral import PackageReceived
from common.db.base import Store
from common.errors import NotFoundError
from common.events import emptied_type, topic_of
from common.tables import OutboxMessage
from common.unit import Unit
from referral.domain.cross_border import (
    WAITING,
    CrossBorderView,
    Direction,
    view_of_received,
)
from referral.models import CrossBorderReferral

_REFERRAL = select(CrossBorderReferral).where(CrossBorderReferral.id == bindparam("id"))
_AUTHORISATION = Authorisation.of_package("referral")
_IDENTITY = "IDENTITY"
"""The data group of a case's id, which leads to the person."""
_RELATION_OF = {Direction.SENT: "own", Direction.RECEIVED: "referred"}
"""The relation by which a referral is open to the organisation that sends the person or takes her in."""


async def find_cross_border(unit: Unit, referral_id: UUID) -> CrossBorderReferral | None:
    return await unit.find(_REFERRAL, id=referral_id)


async def get_cross_border(
    unit: Unit, referral_id: UUID, *, principal: Principal
) -> CrossBorderReferral:
    """Return a referral that the caller's relations open."""
    found = await find_cross_border(unit, referral_id)
    if found is None or not _is_open(found, principal, principal.relations):
        raise NotFoundError
    return found


async def get_for_custody(
    unit: Unit, referral_id: UUID, *, principal: Principal
) -> CrossBorderReferral:
    """Return a referral of which the caller sees at least the offer.

    The kinds and the times of what was said tell how far it came, which a header and a fact do not.
    """
    found = await get_cross_border(unit, referral_id, principal=principal)
    if view_of(found, principal) not in {CrossBorderView.WHOLE, CrossBorderView.OFFER}:
        raise NotFoundError
    return found


async def get_for_step(
    unit: Unit, referral_id: UUID, *, principal: Principal
) -> CrossBorderReferral:
    """Return a referral for a step: one the caller may read.

    Whether the step is this country's is the domain's decision, and `may_take` says whether it is
    this caller's.
    """
    readable = _AUTHORISATION.granted("get_cross_border_referral", principal.role)
    found = await find_cross_border(unit, referral_id)
    if found is None or not _is_open(found, principal, readable):
        raise NotFoundError
    return found


def may_take(row: CrossBorderReferral, principal: Principal) -> bool:
    """Say whether the relations that open the step to the caller's role hold for this referral."""
    return _is_open(row, principal, principal.relations)


def view_of(row: CrossBorderReferral, principal: Principal) -> CrossBorderView:
    """Return how much of the referral the caller sees: the one answer for every route."""
    if row.direction is Direction.RECEIVED:
        return view_of_received(row.status, was_acknowledged=row.acknowledged_at is not None)
    return CrossBorderView.WHOLE if _is_mine(row, principal) else CrossBorderView.OFFER


def knows_case(row: CrossBorderReferral, principal: Principal) -> bool:
    """Say whether the caller may know which case of this country it is."""
    return (
        _is_mine(row, principal)
        and _IDENTITY in principal.data_groups
        and view_of(row, principal) is not CrossBorderView.FACT
    )


def list_cross_border(principal: Principal, *, case_id: UUID | None) -> Select[CrossBorderReferral]:
    """Select the referrals the caller may see; by case those whose case it may know."""
    is_sent = CrossBorderReferral.direction == Direction.SENT
    mine = CrossBorderReferral.organisation_id == principal.organisation_id
    own = and_(_opens(principal, "own"), is_sent, mine)
    referred = and_(_opens(principal, "referred"), ~is_sent, mine)
    overseen = and_(
        _opens(principal, "all"), or_(~is_sent, CrossBorderReferral.submitted_at.is_not(None))
    )
    statement = select(CrossBorderReferral).where(or_(own, referred, overseen))
    if case_id is None:
        return statement
    is_known = true() if _IDENTITY in principal.data_groups else false()
    still = or_(own, and_(referred, CrossBorderReferral.sex.is_not(None)))
    return statement.where(CrossBorderReferral.case_id == case_id, is_known, still)


def _is_mine(row: CrossBorderReferral, principal: Principal) -> bool:
    return row.organisation_id == principal.organisation_id and _RELATION_OF[
        row.direction
    ] in _AUTHORISATION.granted("get_cross_border_referral", principal.role)


def _is_open(row: CrossBorderReferral, principal: Principal, relations: frozenset[str]) -> bool:
    if row.organisation_id == principal.organisation_id and (
        _RELATION_OF[row.direction] in relations
    ):
        return True
    is_told = row.direction is Direction.RECEIVED or row.submitted_at is not None
    return "all" in relations and is_told


def _opens(principal: Principal, relation: str) -> ColumnElement[bool]:
    return true() if relation in principal.relations else false()


async def list_sent_of_case(unit: Unit, case_id: UUID) -> Sequence[CrossBorderReferral]:
    """Return the referrals by which this country sent a person abroad, drafts too."""
    return await unit.list(
        select(CrossBorderReferral)
        .where(
            CrossBorderReferral.case_id == case_id,
            CrossBorderReferral.direction == Direction.SENT,
        )
        .order_by(CrossBorderReferral.recorded_at, CrossBorderReferral.id)
    )


async def list_emptied(store: Store, since: date) -> Sequence[Any]:
    """Return (topic, subject, payload) of what was told of persons erased here since that day, emptied."""
    told = OutboxMessage
    return await store.fetch(
        select(told.topic, told.subject, told.payload)
        .join(CrossBorderReferral, CrossBorderReferral.id == told.subject)
        .where(
            CrossBorderReferral.erased_on >= since,
            told.type == emptied_type(topic_of(PackageReceived.type)),
        )
    )


async def list_cross_border_overdue(store: Store, now: datetime) -> list[UUID]:
    """Return the sent referrals whose time to decide is over, the longest overdue first."""
    rows = await store.fetch(
        select(CrossBorderReferral.id)
        .where(
            CrossBorderReferral.direction == Direction.SENT,
            CrossBorderReferral.status.in_(WAITING),
            CrossBorderReferral.respond_by <= now,
        )
        .order_by(CrossBorderReferral.respond_by)
    )
    return [row.id for row in rows]
