from typing import Annotated
from uuid import UUID

from fastapi import Query

from common.codelists import code_of
from common.http import CurrentPrincipal, IfMatch, UnitDep, router
from common.http.request import HereDep
from intake.commands import identity as commands
from intake.commands.disclosure import disclose_identity
from intake.schemas.identity import (
    IdentityRead,
    IdentityWrite,
    IdentityWritten,
    warnings_about,
)

identity = router(prefix="/v1/cases/{case_id}/identity", tags=["identity"])

Purpose = Annotated[
    str, code_of("purposes"), Query(description="For what it is read; entered in the audit trail.")
]


@identity.put("", response_model_exclude_unset=True)
async def put_identity(
    case_id: UUID,
    *,
    body: IdentityWrite,
    unit: UnitDep,
    principal: CurrentPrincipal,
    here: HereDep,
    expected: IfMatch,
) -> IdentityWritten:
    """Write down who the person is, whole: what is absent is forgotten. Answers the case's facts.

    A name needs a consent DATA_RECORD that holds today, by a guardian for a child; without it the
    answer is 403 `identity.consent_missing` and the case goes on under its id alone (IOM data
    protection principles). Where one holds, but this birth date makes a
    child of an adult or an adult of a child, it is 403 `identity.consent_by_other`, with `given_by`
    for whose consent counts: write the birth date into the case first (PATCH), record that consent,
    then come back. Each field is sealed by itself under the key of the case.

    A birth date takes the place of the one the case had. Beside an estimate the younger of both
    protects, until the estimate is cleared in the case with `estimated_age: null`. `warnings` names
    numbers that are unlikely (`document.checksum`): they were taken, papers may be forged. If-Match
    names the case's version.
    """
    case = await commands.put_identity(
        unit, case_id, body, principal=principal, here=here, expected=expected
    )
    return IdentityWritten.of(
        case, groups=principal.data_groups, warnings=warnings_about(body.documents)
    )


@identity.get("", response_model_exclude_unset=True)
async def get_identity(
    case_id: UUID, unit: UnitDep, principal: CurrentPrincipal, here: HereDep, purpose: Purpose
) -> IdentityRead:
    """Read who the person is, for a purpose you name. It is in the audit trail before you have it.

    An organisation the case was referred to gets it with a consent SHARE_NATIONAL in force that
    names the organisation, the purpose and the data group IDENTITY; contact details with CONTACT.
    Without it the answer is 403 `consent.missing`. 404 also while nothing was written down.
    """
    return await disclose_identity(unit, case_id, purpose=purpose, principal=principal, here=here)
