import json
from uuid import UUID

from common.auth import Principal
from common.clock import utcnow
from common.errors import ForbiddenError
from common.here import Here
from common.unit import Unit
from intake.commands.sealing import case_box, seal
from intake.domain import declaration as domain
from intake.domain.case import require_open
from intake.models import Case, Declaration
from intake.queries import case as cases
from intake.queries import declaration as queries
from intake.queries.consent import list_consents
from intake.schemas.declaration import DeclarationFact, DeclarationRecord

SEALED_BYTES = 2048
"""Every content is as long as any other: else the length of the sealed bytes would tell the code."""


async def record_declaration(
    unit: Unit, case_id: UUID, body: DeclarationRecord, *, principal: Principal, here: Here
) -> DeclarationFact:
    """Seal what a person declares of herself. Nobody outside the service is told that she did.

    Raises as `check_declaration` does; ForbiddenError `data_group.closed` for a group the role may
    not know.
    """
    case = await cases.get_for_step(unit, case_id, principal=principal)
    require_open(case.status)
    if domain.GROUP[body.category] not in principal.data_groups:
        raise ForbiddenError("data_group.closed", pointer="/category")
    domain.check_declaration(
        body.category,
        self_declared=body.self_declared,
        purposes=frozenset(body.purposes),
        consents=await list_consents(unit, case_id),
        is_minor=await cases.is_minor(unit, case, on=here.today),
        on=here.today,
    )
    # The consents are those of this version: a withdrawal that comes now stops the record.
    unit.require_unchanged(Case, id=case.id, version=case.version)
    unit.created_id = body.id
    row = unit.add(
        Declaration,
        id=body.id,
        case_id=case_id,
        recorded_by=principal.subject,
        withdrawn_at=None,
        **seal(await case_box(unit, case_id), Declaration, body.id, content=_content(body)),
    )
    _note(unit, case, row)
    return DeclarationFact.model_validate(row)


async def withdraw_declaration(
    unit: Unit, case_id: UUID, declaration_id: UUID, *, principal: Principal
) -> DeclarationFact:
    """Forget what a person declared; that there was something, and until when, stays.

    It takes back her explicit consent (GDPR art. 7(3)) to what never left this country, so it is
    taken whichever country owns the case.
    """
    case = await cases.get_for_step(unit, case_id, principal=principal, wherever=True)
    row = await queries.get_declaration(unit, case_id, declaration_id)
    domain.require_standing(is_withdrawn=row.withdrawn_at is not None)
    now = utcnow()
    unit.update(Declaration, {"id": row.id}, expect=1, content=None, withdrawn_at=now)
    _note(unit, case, row)
    return DeclarationFact(
        id=row.id,
        case_id=case_id,
        recorded_by=row.recorded_by,
        recorded_at=row.recorded_at,
        withdrawn_at=now,
    )


def _content(body: DeclarationRecord) -> str:
    said = body.model_dump(mode="json", include={"category", "own_words", "purposes"})
    text = json.dumps(said, ensure_ascii=False)
    return text + " " * (SEALED_BYTES - len(text.encode()))


def _note(unit: Unit, case: Case, row: Declaration) -> None:
    # Both groups, whichever it is: the trail shall not tell what was declared.
    unit.audit(
        "write",
        Declaration.__tablename__,
        [str(row.id)],
        about=case.id,
        data_groups=sorted(domain.DATA_GROUPS),
        legal_basis="CONSENT",
    )
