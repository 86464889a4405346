from datetime import date
from typing import Any
from uuid import UUID

from common.consent import counts, is_valid
from common.http import CurrentPrincipal, UnitDep, router
from common.http.request import HereDep
from common.unit import Unit
from intake.commands import consent as commands
from intake.models import Case, Consent
from intake.queries import case as cases
from intake.queries import consent as queries
from intake.schemas.consent import ConsentGrant, ConsentList, ConsentRead, ConsentWithdraw

consents = router(prefix="/v1/cases/{case_id}/consents", tags=["consent"])


@consents.post("", status_code=201)
async def grant_consent(
    case_id: UUID, body: ConsentGrant, unit: UnitDep, principal: CurrentPrincipal, here: HereDep
) -> ConsentRead:
    """Record a consent to one scope, as the person gave it.

    A scope of sharing names recipient, purpose and data groups, and across the border the country
    and that the risks were explained (code list consent_scopes). The recipient is an organisation,
    or all organisations of some kinds (`recipient_kinds`), never both. For a child a guardian
    consents, with the child's assent beside it; a guardian suspected of involvement is refused.
    Consents are never changed: a new one is added, an old one withdrawn.
    """
    granted = await commands.grant_consent(unit, case_id, body, principal=principal, here=here)
    # Its giver was checked with the grant.
    return ConsentRead.of(
        granted, withdrawn_on=None, is_valid=is_valid(queries.as_domain(granted), on=here.today)
    )


@consents.get("")
async def list_consents(
    case_id: UUID, unit: UnitDep, principal: CurrentPrincipal, here: HereDep
) -> ConsentList:
    """List the consents of a case, oldest first, withdrawn and expired ones with them.

    An organisation the case was referred to sees those that name it or all of its kind.
    """
    case, relation = await cases.see_case(unit, case_id, principal=principal)
    rows = await queries.list_seen(unit, case_id, relation, principal)
    _enter(unit, case, relation, *(row.id for row in rows))
    is_minor = await cases.is_minor(unit, case, on=here.today)
    return ConsentList(items=tuple(_read(row, is_minor=is_minor, today=here.today) for row in rows))


@consents.get("/{consent_id}")
async def get_consent(
    case_id: UUID, consent_id: UUID, unit: UnitDep, principal: CurrentPrincipal, here: HereDep
) -> ConsentRead:
    """Read one consent of a case."""
    case, relation = await cases.see_case(unit, case_id, principal=principal)
    consent = await queries.get_seen(unit, case_id, consent_id, relation, principal)
    _enter(unit, case, relation, consent_id)
    is_minor = await cases.is_minor(unit, case, on=here.today)
    return _read(consent, is_minor=is_minor, today=here.today)


@consents.post("/{consent_id}/withdraw")
async def withdraw_consent(
    case_id: UUID,
    consent_id: UUID,
    *,
    body: ConsentWithdraw,
    unit: UnitDep,
    principal: CurrentPrincipal,
    here: HereDep,
) -> ConsentRead:
    """Withdraw a consent. It needs no reason, holds at once and is never refused as stale.

    Nor because the case is another country's by now (`ownership`): it is the person's right. Every service that relied on the consent hears of it. The organisation a consent names may
    record its withdrawal too.
    """
    withdrawn_on = body.withdrawn_on or here.today
    consent = await commands.withdraw_consent(
        unit, case_id, consent_id, withdrawn_on=withdrawn_on, principal=principal, here=here
    )
    return ConsentRead.of(consent, withdrawn_on=withdrawn_on, is_valid=False)


def _enter(unit: Unit, case: Case, relation: cases.Relation, *shown: UUID) -> None:
    """Enter the look at a case's consents in the audit trail."""
    unit.audit(
        "read",
        Consent.__tablename__,
        [str(case.id), *map(str, shown)],
        about=case.id,
        legal_basis=cases.basis_of(case, relation),
    )


def _read(consent: Any, *, is_minor: bool, today: date) -> ConsentRead:  # noqa: ANN401
    """Return a row of Consent with its withdrawn_on as it stands today."""
    return ConsentRead.of(
        consent,
        withdrawn_on=consent.withdrawn_on,
        is_valid=counts(queries.as_domain(consent), is_minor=is_minor, on=today),
    )
