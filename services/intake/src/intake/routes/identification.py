from uuid import UUID

from common.http import CurrentPrincipal, IfMatch, UnitDep, router
from common.http.request import HereDep
from intake.commands import identification as commands
from intake.commands.disclosure import disclose_decisions
from intake.schemas.identification import (
    IdentificationDecide,
    IdentificationHistory,
    IdentificationRead,
)

identification = router(prefix="/v1/cases/{case_id}/identification", tags=["identification"])


@identification.post("", response_model_exclude_unset=True)
async def decide_identification(
    case_id: UUID,
    *,
    body: IdentificationDecide,
    unit: UnitDep,
    principal: CurrentPrincipal,
    here: HereDep,
    expected: IfMatch,
) -> IdentificationRead:
    """Take one step of identification, with who decided, when and on which legal basis.

    REPORTED → SCREENING → PRESUMED or REJECTED; PRESUMED → FORMAL_ASSESSMENT → IDENTIFIED or
    NOT_VICTIM; DISCONTINUED from any open status; new facts reopen NOT_VICTIM and REJECTED as a new
    assessment. Screening roles presume; only the roles and authorities the country entitles decide
    formally, for a child by its own rule. IDENTIFIED needs an act, a purpose and, for an adult, a
    means (Palermo Protocol art. 3). Turning somebody down needs a note; nothing does it by itself.
    Services stay open from PRESUMED on. If-Match names the case's version.
    """
    decided = await commands.decide_identification(
        unit, case_id, body, principal=principal, here=here, expected=expected
    )
    return IdentificationRead.of(decided, groups=principal.data_groups, note=body.note)


@identification.get("", response_model_exclude_unset=True)
async def list_identification(
    case_id: UUID, unit: UnitDep, principal: CurrentPrincipal, here: HereDep
) -> IdentificationHistory:
    """Read every step of a case's identification, oldest first; each stays as it was decided.

    Notes are sealed; opening them is entered in the audit trail. Anything may stand in them, so they
    are null for a role that may not know every data group. A field of a data group your role may
    not know (`x-data-group`) is absent. An organisation the case was referred to reads the
    steps without the notes, and exploitation_types, acts and means only under a consent in force
    that names it and EXPLOITATION.
    """
    found = await disclose_decisions(unit, case_id, principal=principal, here=here)
    return IdentificationHistory(items=tuple(found))
