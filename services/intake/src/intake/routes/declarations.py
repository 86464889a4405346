from typing import Annotated
from uuid import UUID

from fastapi import Query

from common.codelists import code_of
from common.http import CurrentPrincipal, UnitDep, router
from common.http.request import HereDep
from intake.commands import declaration as commands
from intake.commands.disclosure import disclose_declarations
from intake.models import Declaration
from intake.queries.case import get_case
from intake.queries.declaration import get_declaration as find_declaration
from intake.schemas.declaration import DeclarationFact, DeclarationList, DeclarationRecord

declarations = router(prefix="/v1/cases/{case_id}/declarations", tags=["declarations"])

Purpose = Annotated[
    str, code_of("purposes"), Query(description="For what it is read; entered in the audit trail.")
]


@declarations.post("", status_code=201)
async def record_declaration(
    case_id: UUID,
    body: DeclarationRecord,
    unit: UnitDep,
    principal: CurrentPrincipal,
    here: HereDep,
) -> DeclarationFact:
    """Keep what a person declares of herself: ethnicity, disability, pregnancy.

    Only her own word is taken (`self_declared`), and only with an explicit consent: a DATA_RECORD
    in force that names each of the purposes and the data group (GDPR art. 9(2)(a)); otherwise 403
    `consent.missing`. It is sealed, stands in no event and no figure, and never leaves the
    organisation that carries the case.
    """
    return await commands.record_declaration(unit, case_id, body, principal=principal, here=here)


@declarations.get("")
async def list_declarations(
    case_id: UUID, unit: UnitDep, principal: CurrentPrincipal, here: HereDep, purpose: Purpose
) -> DeclarationList:
    """Read what a person declared, for a purpose you name. It is in the audit trail before you have it.

    Shown is what she agreed to for that purpose, while the consent holds, of the data groups your
    role may know.
    """
    found = await disclose_declarations(
        unit, case_id, purpose=purpose, principal=principal, here=here
    )
    return DeclarationList(items=tuple(found))


@declarations.get("/{declaration_id}")
async def get_declaration(
    case_id: UUID, declaration_id: UUID, unit: UnitDep, principal: CurrentPrincipal
) -> DeclarationFact:
    """Read that there is a declaration and since when; not what it says."""
    await get_case(unit, case_id, principal=principal)
    found = await find_declaration(unit, case_id, declaration_id)
    unit.audit("read", Declaration.__tablename__, [str(found.id)], about=case_id)
    return DeclarationFact.model_validate(found)


@declarations.post("/{declaration_id}/withdraw")
async def withdraw_declaration(
    case_id: UUID, declaration_id: UUID, unit: UnitDep, principal: CurrentPrincipal
) -> DeclarationFact:
    """Forget what a person declared. It needs no reason and is never refused as stale.

    Nor because the case is another country's by now: it is the person's right.
    """
    return await commands.withdraw_declaration(unit, case_id, declaration_id, principal=principal)
