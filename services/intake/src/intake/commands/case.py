from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from common.auth import Principal
from common.clock import utcnow
from common.contracts.intake import CaseAssigned, CaseOpened
from common.errors import ForbiddenError, InvalidError
from common.events import EventData
from common.here import Here
from common.unit import Unit
from intake.commands.identification import record_presumption
from intake.commands.marker import end_childhood
from intake.commands.notice import conclude
from intake.commands.profile import age_columns, profile_changed
from intake.commands.sealing import case_box, seal
from intake.domain import case as domain
from intake.domain.age import AgeFacts, ToldAge, age_facts, is_minor
from intake.domain.case import BeneficiaryKind, CaseStatus
from intake.domain.identification import IdentificationStatus, check_legal_basis, check_opening
from intake.domain.notice import TriageDecision
from intake.domain.roles import ActorRole
from intake.models import Case, Notice
from intake.queries import case as queries
from intake.queries.notice import find_to_conclude
from intake.queries.reference import HiddenReferenceError
from intake.schemas.case import CaseCreate, CaseRead, CaseUpdate
from intake.schemas.notice import NoticeTriage

_TOLD = {"birth_date", "estimated_age", "estimated_age_margin"}
_PLAIN = {"sex", "urgency", "legal_basis", "occurred_at", "primary_case_id"}
_AT_OPENING = {
    "id",
    "beneficiary_kind",
    "notice_id",
    "estimated_age",
    "estimated_age_margin",
}
_LISTS = {"citizenships", "languages"}


async def create_case(unit: Unit, body: CaseCreate, *, principal: Principal, here: Here) -> Case:
    """Open a case. One that names a notice is what came of it: the notice is concluded with it.

    That is a triage, so it takes a role that may triage: ForbiddenError for another.
    HiddenReferenceError for a notice or a primary case that is not open to the caller.
    """
    if body.notice_id is None:
        return await open_case(unit, body, principal=principal, here=here)
    notice = await find_to_conclude(unit, body.notice_id, principal=principal)
    if notice is None:
        raise HiddenReferenceError(model=Notice, id=body.notice_id, pointer="/notice_id")
    case = await open_case(unit, body, principal=principal, here=here)
    triage = NoticeTriage(decision=TriageDecision.OPEN_CASE, case_id=case.id)
    await conclude(unit, notice, triage, case=case)
    return case


async def open_case(unit: Unit, body: CaseCreate, *, principal: Principal, here: Here) -> Case:
    """Hand over the case alone, with its key and, if it is presumed from the start, that step."""
    status = domain.identification_at_opening(body.beneficiary_kind)
    domain.check_primary(body.beneficiary_kind, has_primary=body.primary_case_id is not None)
    await _require_primary(unit, body.primary_case_id, principal)
    if body.country not in (None, here.country):
        # Whose word counts is the rule of the country whose register this is, not the caller's.
        raise InvalidError("field.choice", pointer="/country")
    today = here.today
    contact_on = here.day_of(body.occurred_at) if body.occurred_at else today
    told = ToldAge(
        body.birth_date, body.estimated_age, body.estimated_age_margin, estimated_on=contact_on
    )
    ages = age_facts(told, contact_on=contact_on, today=today)
    check_legal_basis(body.legal_basis, is_minor=ages.is_minor)
    role = ActorRole(principal.role)
    check_opening(status, role, country=here.country, is_minor=ages.was_known_minor)
    box = await unit.new_box(body.id)
    case = unit.create(
        Case,
        _opened(body, status, ages, principal=principal, country=here.country, today=today),
        about=body.id,
        **{name: getattr(body, name) for name in _PLAIN | _AT_OPENING},
        **seal(box, Case, body.id, birth_date=body.birth_date, note=body.note),
        **age_columns(ages),
        organisation_id=principal.organisation_id,
        country=here.country,
        status=CaseStatus.ACTIVE,
        identification_status=status,
        estimated_on=None if body.estimated_age is None else contact_on,
        citizenships=list(body.citizenships),
        languages=list(body.languages),
        worker=None,
        has_identity=False,
        contact_on=contact_on,
        opened_at=utcnow(),
    )
    if status is IdentificationStatus.PRESUMED:
        record_presumption(unit, body.id, role, decided_on=today)
    return case


async def update_case(
    unit: Unit,
    case_id: UUID,
    body: CaseUpdate,
    *,
    principal: Principal,
    here: Here,
    expected: int,
) -> Case:
    """Change the facts that were given; an empty body changes nothing.

    Raises ForbiddenError `data_group.closed` for a field that the role itself may not know.
    """
    case = await queries.get_for_step(unit, case_id, principal=principal, expected=expected)
    domain.require_open(case.status)
    given = body.model_fields_set
    CaseRead.require_known(given, groups=principal.data_groups)
    if "note" in given and not queries.reads_note(case, principal):
        raise ForbiddenError("data_group.closed", pointer="/note")
    if not given:
        return case
    changes: dict[str, Any] = {name: getattr(body, name) for name in given & _PLAIN}
    changes |= {name: list(getattr(body, name)) for name in given & _LISTS}
    await _change_kind(unit, case, body, changes, principal)
    ended: list[EventData] = []
    if given & _TOLD or "occurred_at" in given:
        told, columns = await _told_anew(unit, case, body, here)
        changes |= columns
        ended = await end_childhood(unit, case_id, told.birth(), today=here.today)
    if "legal_basis" in given:
        check_legal_basis(changes["legal_basis"], is_minor=changes.get("is_minor", case.is_minor))
    if "note" in given:
        changes |= seal(await case_box(unit, case_id), Case, case_id, note=body.note)
    events = [profile_changed(case, **changes), *ended]
    return unit.change(Case, case, *events, about=case_id, **changes, updated_at=utcnow())


async def assign_case(
    unit: Unit, case_id: UUID, worker: str, *, principal: Principal, expected: int
) -> Case:
    """Put a case into the hands of a worker of its organisation."""
    case = await queries.get_for_step(unit, case_id, principal=principal, expected=expected)
    domain.require_open(case.status)
    assigned = CaseAssigned(case_id=case_id, organisation_id=case.organisation_id, worker=worker)
    return unit.change(Case, case, assigned, about=case_id, worker=worker, updated_at=utcnow())


async def come_of_age(unit: Unit, case_id: UUID, *, here: Here) -> None:
    """Take note that the person of a case is a child no longer, if so."""
    case = await queries.load_case(unit, case_id)
    if case is None or not case.is_minor or not queries.ownership_of(case).may_edit:
        return
    birth = (await queries.told_age(unit, case)).birth()
    if is_minor(birth, on=here.today):
        return
    ended = await end_childhood(unit, case_id, birth, today=here.today, to_the_day=True)
    grown = profile_changed(case, is_minor=False)
    unit.change(Case, case, grown, *ended, about=case_id, is_minor=False, updated_at=utcnow())


async def _require_primary(unit: Unit, case_id: UUID | None, principal: Principal) -> None:
    if case_id is None:
        return
    pointer = "/primary_case_id"
    primary = await queries.get_named(unit, case_id, principal=principal, pointer=pointer)
    if primary.beneficiary_kind is BeneficiaryKind.SECONDARY:
        raise InvalidError("reference.unknown", pointer=pointer)


async def _change_kind(
    unit: Unit, case: Case, body: CaseUpdate, changes: dict[str, Any], principal: Principal
) -> None:
    """Check how the person shall count and to whose case they belong, where either was given."""
    if not body.model_fields_set & {"beneficiary_kind", "primary_case_id"}:
        return
    kind = case.beneficiary_kind
    if body.beneficiary_kind is not None:
        kind = domain.change_kind(kind, body.beneficiary_kind, case.identification_status)
        changes["beneficiary_kind"] = kind
    primary = changes.get("primary_case_id", case.primary_case_id)
    domain.check_primary(kind, has_primary=primary is not None)
    if primary != case.primary_case_id:
        await _require_primary(unit, primary, principal)


async def _told_anew(
    unit: Unit, case: Case, body: CaseUpdate, here: Here
) -> tuple[ToldAge, dict[str, Any]]:
    """Join what is told of the age now with what was told before; return it with its columns."""
    given = body.model_fields_set
    before = await queries.told_age(unit, case)
    contact_on = case.contact_on
    if "occurred_at" in given:
        contact_on = here.day_of(body.occurred_at or case.opened_at)
    told = replace(before, **{name: getattr(body, name) for name in given & _TOLD})
    if body.estimated_age is not None:
        told = replace(told, estimated_on=here.today)
    box = await case_box(unit, case.id)
    is_new = "birth_date" in given
    ages = age_facts(told, contact_on=contact_on, today=here.today, is_new=is_new)
    return told, {
        **age_columns(ages),
        **seal(box, Case, case.id, birth_date=told.birth_date),
        "estimated_age": told.estimated_age,
        "estimated_age_margin": told.estimated_age_margin,
        "estimated_on": None if told.estimated_age is None else told.estimated_on,
        "contact_on": contact_on,
    }


def _opened(
    body: CaseCreate,
    status: IdentificationStatus,
    ages: AgeFacts,
    *,
    principal: Principal,
    country: str,
    today: date,
) -> CaseOpened:
    return CaseOpened(
        case_id=body.id,
        organisation_id=principal.organisation_id,
        country=country,
        beneficiary_kind=body.beneficiary_kind,
        identification_status=status,
        sex=body.sex,
        age_group=ages.group,
        is_minor=ages.is_minor,
        urgency=body.urgency,
        legal_basis=body.legal_basis,
        notice_id=body.notice_id,
        opened_on=today,
    )
