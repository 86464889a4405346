from functools import partial
from uuid import UUID

from fastapi import Request

from common.codelists import all_codes
from common.http import (
    CurrentPrincipal,
    Filter,
    Filters,
    IfMatch,
    Page,
    PageDep,
    UnitDep,
    page,
    router,
)
from common.http.request import HereDep
from common.tables import AuditEntry
from intake.commands import case as commands
from intake.commands import disclosure
from intake.models import Case
from intake.queries import case as queries
from intake.queries.access import list_access
from intake.queries.notice import list_leading_to
from intake.schemas.access import AccessRead
from intake.schemas.case import AssignCase, CaseCreate, CaseNoteRead, CaseRead, CaseUpdate

cases = router(prefix="/v1/cases", tags=["cases"])

FILTERS = Filters(
    status=Filter(Case.status, "code", all_codes("case_statuses")),
    beneficiary_kind=Filter(Case.beneficiary_kind, "code", all_codes("beneficiary_kinds")),
    identification_status=Filter(
        Case.identification_status, "code", all_codes("identification_status")
    ),
    urgency=Filter(Case.urgency, "code", all_codes("urgency")),
    is_minor=Filter(Case.is_minor, "flag"),
    opened_at=Filter(Case.opened_at, "time"),
)


@cases.post("", status_code=201, response_model_exclude_unset=True)
async def create_case(
    body: CaseCreate, unit: UnitDep, principal: CurrentPrincipal, here: HereDep
) -> CaseRead:
    """Open a case under an id you choose.

    The person counts as PRESUMED, AT_RISK or SECONDARY, each apart in every figure; VICTIM
    follows from identification only. PRESUMED opens services at once and needs a role that may
    presume in this country. A legal basis is needed. Age may be an EDTF date, an estimate or
    unknown: whoever may be under 18 is treated as a child (CETS 197 art. 10(3)). A name has no
    place here: identity is written apart, with consent. A case that names a notice is what came of
    it, and the notice says so; it takes a role that may triage notices. An id that is taken is
    answered with 409 `already_exists`, before any other conflict. Legal basis and note may be
    written here by a role that may not read them afterwards: what it knew itself, over nobody's.
    """
    case = await commands.create_case(unit, body, principal=principal, here=here)
    return CaseRead.of(case, groups=principal.data_groups)


@cases.get("", openapi_extra=FILTERS.openapi, response_model_exclude_unset=True)
async def list_cases(
    request: Request, unit: UnitDep, principal: CurrentPrincipal, pages: PageDep
) -> Page[CaseRead]:
    """List the cases open to you, newest first: of your organisation, or referred to it and taken on.

    Filters: status, beneficiary_kind, identification_status, urgency, is_minor, opened_at.
    """
    statement = FILTERS.apply(queries.list_cases(principal), request)
    read = partial(CaseRead.of, groups=principal.data_groups)
    return await page(unit, statement, pages, read, time=Case.recorded_at, id=Case.id)


@cases.get("/{case_id}", response_model_exclude_unset=True)
async def get_case(case_id: UUID, unit: UnitDep, principal: CurrentPrincipal) -> CaseRead:
    """Read the facts of a case: codes, days and ids, never who the person is.

    A field of a data group your role may not know (`x-data-group`) is absent. A receiver sees
    the case once it has accepted a referral of it, not with the acknowledgement. The look is entered in the access log.
    """
    case, relation = await queries.see_case(unit, case_id, principal=principal)
    basis = queries.basis_of(case, relation)
    unit.audit("read", Case.__tablename__, [str(case_id)], about=case_id, legal_basis=basis)
    return CaseRead.of(case, groups=principal.data_groups)


@cases.patch("/{case_id}", response_model_exclude_unset=True)
async def update_case(
    case_id: UUID,
    *,
    body: CaseUpdate,
    unit: UnitDep,
    principal: CurrentPrincipal,
    here: HereDep,
    expected: IfMatch,
) -> CaseRead:
    """Change facts of a case. An absent field stays, null forgets.

    Kinds that identification gives or takes away (PRESUMED, VICTIM) cannot be stated here. A new
    birth date or estimate decides anew whether a child's rules apply. A birth date and an estimate
    stand beside each other: the younger of both protects, until the estimate is cleared with
    `estimated_age: null`. A field of a data group your role may not know (`x-data-group` of the
    answer), and the note for a role that may not read it, is refused: 403 `data_group.closed`. A
    notice linked to the case may raise its urgency too, see `triage_notice`. A case that another
    country owns is edited there: 409 `ownership.not_here` here, as from every operation that changes
    a case or a part of it.
    """
    case = await commands.update_case(
        unit, case_id, body, principal=principal, here=here, expected=expected
    )
    return CaseRead.of(case, groups=principal.data_groups)


@cases.get("/{case_id}/note")
async def get_case_note(case_id: UUID, unit: UnitDep, principal: CurrentPrincipal) -> CaseNoteRead:
    """Read the note of a case. It is sealed; reading it is entered in the audit trail.

    Anything may stand in a free text, so it is for roles that may know every data group.
    """
    return await disclosure.disclose_note(unit, case_id, principal=principal)


@cases.post("/{case_id}/assign", response_model_exclude_unset=True)
async def assign_case(
    case_id: UUID,
    *,
    body: AssignCase,
    unit: UnitDep,
    principal: CurrentPrincipal,
    expected: IfMatch,
) -> CaseRead:
    """Put a case into the hands of a worker of its organisation, named by the `sub` of her token."""
    case = await commands.assign_case(
        unit, case_id, body.worker, principal=principal, expected=expected
    )
    return CaseRead.of(case, groups=principal.data_groups)


@cases.get("/{case_id}/access-log")
async def get_access_log(
    case_id: UUID, unit: UnitDep, principal: CurrentPrincipal, pages: PageDep
) -> Page[AccessRead]:
    """Read who acted on a case or looked at it in this service, newest first.

    For the person who asks who has seen her data, and for the data protection officer. A list or a
    page of the change feed that showed the case is found too, after about a second; so are the
    looks at the notices that led to the case. Reading the log is itself an entry in it. Other
    services keep their own trails.
    """
    case = await queries.get_case(unit, case_id, principal=principal)
    found = await page(
        unit,
        list_access(case_id, await list_leading_to(unit, case)),
        pages,
        AccessRead.model_validate,
        time=AuditEntry.at,
        id=AuditEntry.id,
        is_audited=False,
    )
    unit.audit("read", AuditEntry.__tablename__, [str(case_id)], about=case_id)
    return found
