from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from sqlalchemy import ColumnElement, Select, false, or_, select, true

from common.auth import Principal
from common.authz import Authorisation
from common.errors import NotFoundError
from common.tables import OutboxMessage
from common.unit import AnySelect, Unit
from intake.models import Case, Notice

_AUTHORISATION = Authorisation.of_package("intake")


async def get_notice(
    unit: Unit, notice_id: UUID, *, principal: Principal, expected: int | None = None
) -> Notice:
    """Return a notice that is open to the caller, and show its version.

    NotFoundError; PreconditionFailedError unless it is at the version `expected`, if given.
    """
    notice = await find_notice(unit, notice_id, principal=principal)
    if notice is None:
        raise NotFoundError
    return unit.shows(notice, expected)


async def find_notice(unit: Unit, notice_id: UUID, *, principal: Principal) -> Notice | None:
    """Return a notice; None where it is not open to the caller."""
    return await unit.find(select(Notice).where(Notice.id == notice_id, _visible(principal)))


async def find_to_conclude(unit: Unit, notice_id: UUID, *, principal: Principal) -> Notice | None:
    """Return a notice the caller may triage; ForbiddenError for a role that may triage none."""
    relations = _AUTHORISATION.relations("triage_notice", principal.role)
    return await find_notice(unit, notice_id, principal=replace(principal, relations=relations))


def list_notices(principal: Principal) -> AnySelect:
    """Return the statement of all notices open to the caller, each with who owns its case."""
    owner: Select[Notice, UUID] = (
        select(Notice, Case.organisation_id.label("case_organisation_id"))
        .outerjoin(Case, Case.id == Notice.case_id)
        .where(_visible(principal))
    )
    return owner


async def owner_of_case(unit: Unit, notice: Notice) -> UUID | None:
    """Return the organisation that owns the notice's case, None if it has led to none."""
    if notice.case_id is None:
        return None
    rows = await unit.rows(select(Case.organisation_id).where(Case.id == notice.case_id))
    return rows[0].organisation_id if rows else None


async def list_leading_to(unit: Unit, case: Case) -> set[UUID]:
    """Return the ids of the notices that led to a case: that opened it, or were linked to it."""
    rows = await unit.rows(select(Notice.id).where(Notice.case_id == case.id))
    opened_by = set() if case.notice_id is None else {case.notice_id}
    return opened_by | {row.id for row in rows}


async def list_taken(unit: Unit, ids: Iterable[UUID]) -> set[UUID]:
    """Return those of `ids` that are a record's already, of whatever kind: each has told events."""
    told = select(OutboxMessage.subject).where(OutboxMessage.subject.in_(list(ids)))
    return {row.subject for row in await unit.rows(told)}


def _visible(principal: Principal) -> ColumnElement[bool]:
    if "all" in principal.relations:
        return true()
    mine = Notice.organisation_id == principal.organisation_id
    return or_(false(), *([mine] if "own" in principal.relations else []))
