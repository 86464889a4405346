from datetime import date
from typing import Any
from uuid import UUID

from common.auth import Principal
from common.clock import new_id, utcnow
from common.contracts.intake import CaseIdentificationChanged
from common.events import EventData
from common.here import Here
from common.unit import Unit
from intake.commands.profile import profile_changed
from intake.commands.sealing import case_box, seal
from intake.domain import age
from intake.domain import identification as domain
from intake.domain.case import kind_after, require_open
from intake.domain.identification import RULE_VERSION, IdentificationStatus
from intake.domain.roles import AUTHORITY_OF, ActorRole
from intake.models import Case, IdentificationDecision
from intake.queries import case as cases
from intake.queries import identification as queries
from intake.schemas.identification import IdentificationDecide, IdentificationRead

PRESUMED_ON = "REASONABLE_GROUNDS"
"""Legal basis of a presumption made with the opening of a case (CETS 197 art. 10(2))."""


async def decide_identification(
    unit: Unit,
    case_id: UUID,
    body: IdentificationDecide,
    *,
    principal: Principal,
    here: Here,
    expected: int,
) -> IdentificationDecision:
    """Take one step of identification; how the person counts follows in the same change.

    Raises ForbiddenError `data_group.closed` for what the role itself may not know.
    """
    case = await cases.get_for_step(unit, case_id, principal=principal, expected=expected)
    require_open(case.status)
    given = {name for name in body.model_fields_set if getattr(body, name)}
    IdentificationRead.require_known(given, groups=principal.data_groups)
    last = await queries.find_last(unit, case_id)
    birth = (await cases.told_age(unit, case)).birth()
    facts = domain.CaseFacts(
        country=here.country,
        status=case.identification_status,
        is_minor=age.is_minor(birth, on=case.contact_on),
        is_age_known=birth is not None,
        last_decided_on=last.decided_on if last else None,
    )
    status = domain.decide(facts, _decision(body, principal), today=here.today)
    decision_id = new_id()
    note = seal(await case_box(unit, case_id), IdentificationDecision, decision_id, note=body.note)
    changes: dict[str, Any] = {"identification_status": status}
    events: list[EventData] = [_changed(case_id, body, facts.status)]
    kind = kind_after(case.beneficiary_kind, status)
    if kind is not case.beneficiary_kind:
        changes["beneficiary_kind"] = kind
        events.append(profile_changed(case, beneficiary_kind=kind))
    unit.change(Case, case, *events, about=case_id, **changes, updated_at=utcnow())
    is_new = last is None or domain.is_reopening(facts.status, status)
    return unit.add(
        IdentificationDecision,
        id=decision_id,
        case_id=case_id,
        number=last.number + 1 if last else 1,
        assessment=(last.assessment if last else 0) + is_new,
        status=status,
        previous_status=facts.status,
        decided_by=body.decided_by,
        participants=list(body.participants),
        legal_basis=body.legal_basis,
        decided_on=body.decided_on,
        rule_version=RULE_VERSION,
        exploitation_types=list(body.exploitation_types),
        acts=list(body.acts),
        means=list(body.means),
        **note,
    )


def record_presumption(unit: Unit, case_id: UUID, role: ActorRole, *, decided_on: date) -> None:
    """Begin the history of a case that is opened as presumed: whose word it was, and on what."""
    unit.add(
        IdentificationDecision,
        id=new_id(),
        case_id=case_id,
        number=1,
        assessment=1,
        status=IdentificationStatus.PRESUMED,
        previous_status=IdentificationStatus.REPORTED,
        decided_by=AUTHORITY_OF[role],
        participants=[],
        legal_basis=PRESUMED_ON,
        decided_on=decided_on,
        rule_version=RULE_VERSION,
        exploitation_types=[],
        acts=[],
        means=[],
        note=None,
    )


def _decision(body: IdentificationDecide, principal: Principal) -> domain.Decision:
    return domain.Decision(
        status=body.status,
        role=ActorRole(principal.role),
        decided_by=body.decided_by,
        decided_on=body.decided_on,
        legal_basis=body.legal_basis,
        participants=frozenset(body.participants),
        purposes=frozenset(body.exploitation_types),
        acts=frozenset(body.acts),
        means=frozenset(body.means),
        is_explained=body.note is not None,
    )


def _changed(
    case_id: UUID, body: IdentificationDecide, previous: IdentificationStatus
) -> CaseIdentificationChanged:
    is_identified = body.status is IdentificationStatus.IDENTIFIED
    return CaseIdentificationChanged(
        case_id=case_id,
        status=body.status,
        previous_status=previous,
        decided_by=body.decided_by,
        legal_basis=body.legal_basis,
        decided_on=body.decided_on,
        rule_version=RULE_VERSION,
        exploitation_types=body.exploitation_types if is_identified else (),
    )
