from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    and_,
    bindparam,
    exists,
    false,
    or_,
    select,
    true,
)

from common.auth import Principal
from common.authz import Authorisation, refuse_step
from common.db.base import Database
from common.errors import NotFoundError
from common.unit import AnySelect, Unit
from intake.domain import age
from intake.domain.age import AgeBasis, ToldAge
from intake.domain.case import CaseStatus
from intake.domain.ownership import Holding, Ownership, require_confirmed, require_here
from intake.models import Case, KnownReferral, Standing
from intake.queries.reference import HiddenReferenceError

Relation = Literal["own", "assigned", "all", "referred"]

TAKEN_ON = ("ACCEPTED", "COMPLETED")
"""Statuses of a referral in which its receiver works with the person and may know the facts.

A withdrawn consent shuts them again, after completion too.
"""


def _taken_on(receiver: UUID | BindParameter[UUID]) -> tuple[ColumnElement[bool], ...]:
    return (
        KnownReferral.receiving_organisation_id == receiver,
        # Not in_(): its list would be written into the statement anew at each call.
        or_(*(KnownReferral.status == status for status in TAKEN_ON)),
        KnownReferral.consent_withdrawn_on.is_(None),
    )


_AUTHORISATION = Authorisation.of_package("intake")
_CASE = select(Case).where(Case.id == bindparam("id"))
_IS_ASKING = exists().where(Standing.asked.is_not(None))
_SEEN: AnySelect = select(
    Case,
    exists()
    .where(KnownReferral.case_id == Case.id, *_taken_on(bindparam("reader")))
    .label("is_referred"),
    _IS_ASKING.label("is_asking"),
).where(Case.id == bindparam("id"))
"""One statement whether the case is absent or another's: the time taken tells neither."""


async def see_case(
    unit: Unit, case_id: UUID, *, principal: Principal, expected: int | None = None
) -> tuple[Case, Relation]:
    """Return a case with the nearest relation that opens it to the caller, and show its version.

    NotFoundError where none does; PreconditionFailedError unless it is at the version `expected`.
    """
    case = await unit.find(_SEEN, id=case_id, reader=principal.organisation_id)
    relation = None if case is None else _relation(case, principal)
    if case is None or relation is None:
        raise NotFoundError
    return unit.shows(case, expected), relation


async def see_for_step(
    unit: Unit,
    case_id: UUID,
    *,
    principal: Principal,
    expected: int | None = None,
    wherever: bool = False,
) -> tuple[Case, Relation]:
    """Return a case for a step, as `see_case` does; ForbiddenError `step.not_yours`.

    That refusal is for who may read the case, but does not stand to it as the step needs. A case
    that another country owns is edited there: ConflictError `ownership.not_here`, unless the step
    is one that is taken `wherever` the case is. `ownership.unconfirmed` where the register was put
    back from a backup and peers are asked whether they own it.
    """
    case = await unit.find(_SEEN, id=case_id, reader=principal.organisation_id)
    relation = None if case is None else _relation(case, principal)
    if case is None or relation is None:
        readable = _AUTHORISATION.granted("get_case", principal.role)
        reader = replace(principal, relations=readable)
        refuse_step(may_read=case is not None and _relation(case, reader) is not None)
    unit.shows(case, expected)
    if not wherever:
        require_here(ownership_of(case))
        require_confirmed(is_asking=case.is_asking)
    return case, relation


async def get_for_step(
    unit: Unit,
    case_id: UUID,
    *,
    principal: Principal,
    expected: int | None = None,
    wherever: bool = False,
) -> Case:
    """Return a case for a step, as `see_for_step` does."""
    case, _ = await see_for_step(
        unit, case_id, principal=principal, expected=expected, wherever=wherever
    )
    return case


async def is_asking(unit: Unit) -> bool:
    """Tell whether the register was put back and no case is edited before the peers have answered."""
    return bool(await unit.rows(select(Standing.id).where(Standing.asked.is_not(None))))


def ownership_of(case: Case) -> Ownership:
    return Ownership(case.holding, case.epoch, case.refused)


async def get_case(
    unit: Unit, case_id: UUID, *, principal: Principal, expected: int | None = None
) -> Case:
    """Return a case that is open to the caller, as `see_case` does."""
    case, _ = await see_case(unit, case_id, principal=principal, expected=expected)
    return case


async def has_in_service(unit: Unit, case_id: UUID, organisation_id: UUID) -> bool:
    """Tell whether an organisation has taken the case on by a referral that consent carries."""
    found = await unit.rows(
        select(KnownReferral.referral_id).where(
            KnownReferral.case_id == case_id, *_taken_on(organisation_id)
        )
    )
    return bool(found)


async def get_named(unit: Unit, case_id: UUID, *, principal: Principal, pointer: str) -> Case:
    """Return a case the request names beside its subject, in the field `pointer` leads to.

    HiddenReferenceError where none is open to the caller.
    """
    case = await unit.find(select(Case).where(Case.id == case_id, _visible(principal)))
    if case is None:
        raise HiddenReferenceError(model=Case, id=case_id, pointer=pointer)
    return case


def reads_note(case: Case, principal: Principal) -> bool:
    """Tell whether the caller may read the note of a case: only then may it be overwritten."""
    readable = _AUTHORISATION.granted("get_case_note", principal.role)
    return _relation(case, replace(principal, relations=readable)) is not None


async def load_case(unit: Unit, case_id: UUID) -> Case | None:
    """Return a case whoever it belongs to: for what the service does by itself."""
    return await unit.find(_CASE, id=case_id)


def list_cases(principal: Principal) -> Select[Case]:
    """Return the statement of all cases open to the caller."""
    return select(Case).where(_visible(principal))


async def list_minors(database: Database) -> Sequence[UUID]:
    """Return the open cases of ours treated as a child's of whose age something is known."""
    rows = await database.fetch(
        select(Case.id).where(
            Case.is_minor.is_(True),
            Case.age_basis != AgeBasis.UNKNOWN,
            Case.status.in_([CaseStatus.ACTIVE, CaseStatus.FOLLOW_UP]),
            Case.holding == Holding.OWNER,
        )
    )
    return [row.id for row in rows]


async def told_age(unit: Unit, case: Case) -> ToldAge:
    """Open what was told of the person's age, to decide with; it does not leave the service."""
    box = await unit.box(case.id)
    written = None
    if box is not None and case.birth_date is not None:
        written = box.open(
            case.birth_date, table=Case.__tablename__, row=case.id, column="birth_date"
        )
    return ToldAge(written, case.estimated_age, case.estimated_age_margin, case.estimated_on)


async def is_minor(unit: Unit, case: Case, *, on: date) -> bool:
    """Tell whether the person is treated as a child on a day; see intake.domain.age."""
    return age.is_minor((await told_age(unit, case)).birth(), on=on)


def basis_of(case: Case, relation: Relation) -> str:
    """Return the legal basis on which a case is read: a receiver has it by a referral, on consent."""
    return "CONSENT" if relation == "referred" else case.legal_basis


def _relation(case: Any, principal: Principal) -> Relation | None:  # noqa: ANN401  a row of _SEEN
    relations = principal.relations
    is_own = case.organisation_id == principal.organisation_id
    if is_own and "own" in relations:
        return "own"
    # A worker who went to another organisation leaves the cases behind.
    if is_own and "assigned" in relations and case.worker == principal.subject:
        return "assigned"
    if "all" in relations:
        return "all"
    return "referred" if case.is_referred and "referred" in relations else None


def _visible(principal: Principal) -> ColumnElement[bool]:
    """Return what `_relation` decides, as a condition for many cases at once."""
    mine = Case.organisation_id == principal.organisation_id
    referred = select(KnownReferral.case_id).where(*_taken_on(principal.organisation_id))
    conditions: dict[str, ColumnElement[bool]] = {
        "own": mine,
        "assigned": and_(mine, Case.worker == principal.subject),
        "all": true(),
        "referred": Case.id.in_(referred),
    }
    return or_(
        false(), *(conditions[name] for name in sorted(principal.relations & conditions.keys()))
    )
