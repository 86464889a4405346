from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import date
from typing import TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    and_,
    bindparam,
    case,
    exists,
    false,
    null,
    or_,
    select,
)

from common.auth import Principal
from common.authz import Authorisation, refuse_step
from common.db.base import Database
from common.errors import NotFoundError
from common.unit import Unit
from reintegration.domain.plan import require_consent, require_here
from reintegration.models import DepartedCase, KnownCase, Plan, PlanReferral, PlanStep

T = TypeVar("T")

DISCLOSED_ON = "CONSENT"
"""Legal basis on which a plan is read and, see `may_open`, its texts are opened.

A plan comes of a referral, and a referral stands on consent.
"""

_AUTHORISATION = Authorisation.of_package("reintegration")
_OPEN_OF_CASE = select(Plan).where(
    Plan.case_id == bindparam("case_id"),
    Plan.phase != "CLOSED",
    Plan.consent_withdrawn_on.is_(None),
)
_STOPPED_AT = select(Plan).where(
    Plan.case_id == bindparam("case_id"),
    Plan.organisation_id == bindparam("organisation_id"),
    Plan.phase != "CLOSED",
    Plan.consent_withdrawn_on.is_not(None),
)
_PLAN = select(Plan).where(Plan.id == bindparam("id"))
_DEPARTED = select(DepartedCase).where(DepartedCase.case_id == bindparam("case_id"))
_CASE = select(KnownCase).where(KnownCase.case_id == bindparam("case_id"))


def visible(principal: Principal) -> ColumnElement[bool]:
    """Return the condition under which a caller may know of a plan.

    `own`: the plan is the caller's organisation's. `shared`: its case is; who referred the person
    follows how the plan goes on.
    """
    ways: list[ColumnElement[bool]] = [false()]
    if "own" in principal.relations:
        ways.append(Plan.organisation_id == principal.organisation_id)
    if "shared" in principal.relations:
        cases = select(KnownCase.case_id).where(
            KnownCase.organisation_id == principal.organisation_id
        )
        ways.append(Plan.case_id.in_(cases))
    return or_(*ways)


async def get_plan(
    unit: Unit, plan_id: UUID, *, principal: Principal, expected: int | None = None
) -> Plan:
    """Return a plan the caller may know of, and show its version in the answer.

    NotFoundError; PreconditionFailedError unless the plan is at the version `expected`, if given.
    """
    plan = await _find_seen(unit, plan_id, principal)
    if plan is None:
        raise NotFoundError
    return unit.shows(plan, expected)


async def _find_seen(unit: Unit, plan_id: UUID, principal: Principal) -> Plan | None:
    return await unit.find(select(Plan).where(Plan.id == plan_id, visible(principal)))


async def get_carried(
    unit: Unit,
    plan_id: UUID,
    *,
    principal: Principal,
    expected: int | None = None,
    wherever: bool = False,
) -> Plan:
    """Return a plan for a step of it, and show its version in the answer.

    ForbiddenError `step.not_yours` for one the caller may read and no more, `consent.missing` for a
    plan whose person has withdrawn consent; otherwise as `get_plan`. ConflictError
    `ownership.not_here` where the case went to another country, unless the step is one that is taken
    `wherever` the case is.
    """
    plan = await _find_seen(unit, plan_id, principal)
    if plan is None:
        reader = replace(principal, relations=_AUTHORISATION.granted("get_plan", principal.role))
        refuse_step(may_read=await _find_seen(unit, plan_id, reader) is not None)
    unit.shows(plan, expected)
    require_consent(plan.consent_withdrawn_on)
    if not wherever:
        departed = await unit.find(_DEPARTED, case_id=plan.case_id)
        require_here(None if departed is None else departed.departed_on)
    return plan


def groups_of(plan: Plan, principal: Principal) -> AbstractSet[str]:
    """Return the data groups of a plan that are open to a caller who may know of it.

    The one answer for every route, for the plan and all its parts: those of the caller's role. When
    consent was withdrawn none is open to the plan's organisation, which keeps only the fact and the
    dates; the owner of the case reads on.
    """
    is_closed = is_of(plan, principal) and plan.consent_withdrawn_on is not None
    return frozenset() if is_closed else principal.data_groups


def is_of(plan: Plan, principal: Principal) -> bool:
    """Say whether a plan is the caller's organisation's, whose terms with the person it holds.

    The owner of the case follows the plan by codes and dates.
    """
    return plan.organisation_id == principal.organisation_id


def may_open(plan: Plan, principal: Principal) -> bool:
    """Say whether the texts of a plan may be opened for a caller who may know of it.

    They are the receiving organisation's, as long as the person's consent carries the plan, and
    there for those who may know every data group.
    """
    is_carried = plan.consent_withdrawn_on is None
    return is_of(plan, principal) and is_carried and principal.may_read_texts


def shown(column: SQLColumnExpression[T], reader: str) -> ColumnElement[T | None]:
    """Return a column as the organisation named by the parameter `reader` may know it.

    As `groups_of` says: a filter must not tell what the answer hides.
    """
    is_closed = and_(
        Plan.organisation_id == bindparam(reader, type_=Plan.organisation_id.type),
        Plan.consent_withdrawn_on.is_not(None),
    )
    return case((is_closed, null()), else_=column)


def list_plans(principal: Principal) -> Select[Plan]:
    """Return the statement of all plans the caller may know of."""
    return select(Plan).where(visible(principal))


async def find_plan(unit: Unit, plan_id: UUID) -> Plan | None:
    """Return a plan whoever it belongs to: for what the service does by itself."""
    return await unit.find(_PLAN, id=plan_id)


async def find_referral(unit: Unit, referral_id: UUID) -> PlanReferral | None:
    """Return a referral that a plan rests on; None for one that was never accepted."""
    return await unit.find(select(PlanReferral).where(PlanReferral.referral_id == referral_id))


async def find_open_plan(unit: Unit, case_id: UUID) -> Plan | None:
    """Return the plan of a case that is not closed and that consent carries; there is one at most.

    One that consent no longer carries does not keep the person from support elsewhere.
    """
    return await unit.find(_OPEN_OF_CASE, case_id=case_id)


async def find_stopped_plan(unit: Unit, case_id: UUID, organisation_id: UUID) -> Plan | None:
    """Return the plan of a case that is open at the organisation, but not carried by consent."""
    return await unit.find(_STOPPED_AT, case_id=case_id, organisation_id=organisation_id)


async def find_case(unit: Unit, case_id: UUID) -> KnownCase | None:
    """Return what is known of a case; None until intake's event has come."""
    return await unit.find(_CASE, case_id=case_id)


async def find_owner(unit: Unit, case_id: UUID) -> UUID | None:
    """Return the organisation that owns a case; None until intake's event has come."""
    case = await find_case(unit, case_id)
    return None if case is None else case.organisation_id


async def list_plans_of(unit: Unit, case_id: UUID) -> Sequence[Plan]:
    """Return all plans of a case, whoever they belong to."""
    return await unit.list(select(Plan).where(Plan.case_id == case_id))


async def list_steps(unit: Unit, plan_id: UUID) -> Sequence[PlanStep]:
    """Return a plan's steps, first to last."""
    return await unit.list(
        select(PlanStep).where(PlanStep.plan_id == plan_id).order_by(PlanStep.plan_version)
    )


async def list_referrals(unit: Unit, plan_id: UUID) -> Sequence[PlanReferral]:
    """Return the referrals a plan rests on, in the order of their acceptance."""
    return await unit.list(
        select(PlanReferral)
        .where(PlanReferral.plan_id == plan_id)
        .order_by(PlanReferral.accepted_on, PlanReferral.referral_id)
    )


async def list_overdue(database: Database, today: date) -> list[UUID]:
    """Return the plans that are overdue in their phase and were not yet told of, longest first.

    None of a case that went to another country: nobody here can move it on.
    """
    rows = await database.fetch(
        select(Plan.id)
        .where(Plan.due_on <= today, Plan.is_suspended.is_(False), Plan.overdue_phase.is_(None))
        .where(~exists().where(DepartedCase.case_id == Plan.case_id))
        .order_by(Plan.due_on, Plan.id)
    )
    return [row.id for row in rows]
