from dataclasses import replace
from uuid import UUID

from common.auth import Principal
from common.clock import utcnow
from common.contracts.intake import CaseIdentityRecorded
from common.here import Here
from common.unit import Unit
from intake.commands.marker import end_childhood
from intake.commands.profile import age_columns
from intake.commands.sealing import case_box, keep_identity, seal
from intake.domain.age import age_facts
from intake.domain.case import require_open
from intake.domain.consent import require_record
from intake.models import Case
from intake.queries import case as cases
from intake.queries.consent import list_consents
from intake.schemas.identity import IdentityWrite


async def put_identity(
    unit: Unit,
    case_id: UUID,
    body: IdentityWrite,
    *,
    principal: Principal,
    here: Here,
    expected: int,
) -> Case:
    """Write down who the person is, field by field under the case's key.

    A birth date takes the place of the case's own and stands beside an estimate; the codes of age
    follow. Raises ForbiddenError as `require_record`, by the age that is written now.
    """
    case = await cases.get_for_step(unit, case_id, principal=principal, expected=expected)
    require_open(case.status)
    box = await case_box(unit, case_id)
    told = await cases.told_age(unit, case)
    birth_date = {}
    if body.birth_date is not None:
        told = replace(told, birth_date=body.birth_date)
        birth_date = seal(box, Case, case_id, birth_date=body.birth_date)
    ages = age_facts(
        told,
        contact_on=case.contact_on,
        today=here.today,
        is_new=body.birth_date is not None,
    )
    consents = await list_consents(unit, case_id)
    require_record(consents, is_minor=ages.is_minor, on=here.today)
    recorded = CaseIdentityRecorded(case_id=case_id, age_group=ages.group, is_minor=ages.is_minor)
    changed = unit.change(
        Case,
        case,
        recorded,
        *await end_childhood(unit, case_id, told.birth(), today=here.today),
        about=case_id,
        **age_columns(ages),
        **birth_date,
        has_identity=True,
        updated_at=utcnow(),
    )
    fields = body.model_dump(mode="json")
    keep_identity(unit, box, case_id, fields, legal_basis=case.legal_basis)
    return changed
