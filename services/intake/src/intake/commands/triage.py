"""Where a notice meets a case: what comes of it."""

from uuid import UUID

from common.auth import Principal
from common.clock import utcnow
from common.errors import InvalidError
from common.here import Here
from common.unit import Unit
from intake.commands.case import open_case
from intake.commands.notice import conclude
from intake.commands.profile import profile_changed
from intake.domain.case import require_open
from intake.domain.notice import TriageDecision, more_urgent, triage
from intake.domain.ownership import require_confirmed, require_here
from intake.models import Case, Notice
from intake.queries import notice as queries
from intake.queries.case import get_named, is_asking, ownership_of
from intake.schemas.case import CaseCreate
from intake.schemas.notice import NoticeTriage


async def triage_notice(
    unit: Unit,
    notice_id: UUID,
    body: NoticeTriage,
    *,
    principal: Principal,
    here: Here,
    expected: int,
) -> Notice:
    """Decide what comes of a notice; a case it opens is handed over in the same Unit."""
    notice = await queries.get_notice(unit, notice_id, principal=principal, expected=expected)
    triage(notice.status, body.decision, case_id=body.case_id, reason=body.reason)
    case = None
    if body.decision is TriageDecision.OPEN_CASE:
        case = await _open(unit, notice, body, principal=principal, here=here)
    elif body.decision is TriageDecision.LINK_CASE:
        case = await _link(unit, notice, body, principal=principal)
    concluded = await conclude(unit, notice, body, case=case)
    return unit.shows(concluded)


async def _open(
    unit: Unit, notice: Notice, body: NoticeTriage, *, principal: Principal, here: Here
) -> Case:
    """Open a case from what the notice says; the notice's texts stay with the notice."""
    if body.legal_basis is None:
        raise InvalidError("field.missing", pointer="/legal_basis")
    opening = CaseCreate(
        id=_named(body),
        beneficiary_kind=body.beneficiary_kind,
        sex=notice.sex or "UNKNOWN",
        urgency=notice.urgency,
        legal_basis=body.legal_basis,
        estimated_age=notice.estimated_age,
        estimated_age_margin=notice.estimated_age_margin,
        occurred_at=notice.occurred_at or notice.recorded_at,
        notice_id=notice.id,
    )
    return await open_case(unit, opening, principal=principal, here=here)


async def _link(unit: Unit, notice: Notice, body: NoticeTriage, *, principal: Principal) -> Case:
    """Return the known case, made as urgent as the notice; HiddenReferenceError.

    It may be another organisation's. Who triages may not change such a case otherwise, but must see
    to it that news of danger does not wait: a notice raises the urgency and never lowers it. A case
    that another country owns takes no notice: whoever is met here again needs a case here.
    """
    case = await get_named(unit, _named(body), principal=principal, pointer="/case_id")
    require_here(ownership_of(case))
    require_confirmed(is_asking=await is_asking(unit))
    require_open(case.status)
    urgency = more_urgent(case.urgency, notice.urgency)
    if urgency is case.urgency:
        return case
    told = profile_changed(case, urgency=urgency)
    return unit.change(Case, case, told, about=case.id, urgency=urgency, updated_at=utcnow())


def _named(body: NoticeTriage) -> UUID:
    """Return the case the decision names; that it does was checked with the decision."""
    if body.case_id is None:
        raise InvalidError("notice.case_required", pointer="/case_id")
    return body.case_id
