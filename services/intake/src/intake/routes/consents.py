from datetime import date
from typing import Any
from uuid import UUID

from common.consent import is_valid
from common.http import CurrentPrincipal, UnitDep, router
from common.http.request import HereDep
from intake.commands import consent as commands
from intake.models import Consent
from intake.queries import consent as queries
from intake.queries.case import see_case
from intake.schemas.consent import ConsentGrant, ConsentList, ConsentRead, ConsentWithdraw

consents = router(prefix="/v1/cases/{case_id}/consents", tags=["consent"])


@consents.post("", status_code=201)
async def grant_consent(
    case_id: UUID, body: ConsentGrant, unit: UnitDep, principal: CurrentPrincipal, here: HereDep
) -> ConsentRead:
    """Record a consent to one scope, as the person gave it (F10).

    A scope of sharing names recipient, purpose and data groups, and across the border the country
    and that the risks were explained (code list consent_scopes). The recipient is an organisation,
    or all organisations of some kinds (`recipient_kinds`), never both. For a child a guardian
    consents, with the child's assent beside it; a guardian suspected of involvement is refused.
    Consents are never changed: a new one is added, an old one withdrawn.
    """
    granted = await commands.grant_consent(unit, case_id, body, principal=principal, here=here)
    return _read(granted, here.today)


@consents.get("")
async def list_consents(
    case_id: UUID, unit: UnitDep, principal: CurrentPrincipal, here: HereDep
) -> ConsentList:
    """List the consents of a case, oldest first, withdrawn and expired ones with them.

    An organisation the case was referred to sees those that name it or all of its kind.
    """
    _, relation = await see_case(unit, case_id, principal=principal)
    rows = await queries.list_seen(unit, case_id, relation, principal)
    unit.audit("read", Consent.__tablename__, [str(case_id)], about=case_id)
    return ConsentList(items=tuple(_read(row, here.today) for row in rows))


@consents.get("/{consent_id}")
async def get_consent(
    case_id: UUID, consent_id: UUID, unit: UnitDep, principal: CurrentPrincipal, here: HereDep
) -> ConsentRead:
    """Read one consent of a case."""
    _, relation = await see_case(unit, case_id, principal=principal)
    return _read(await queries.get_seen(unit, case_id, consent_id, relation, principal), here.today)


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

    Every service that relied on the consent hears of it. The organisation a consent names may
    record its withdrawal too.
    """
    withdrawn_on = body.withdrawn_on or here.today
    consent = await commands.withdraw_consent(
        unit, case_id, consent_id, withdrawn_on=withdrawn_on, principal=principal, here=here
    )
    return _read(consent, here.today, withdrawn_on=withdrawn_on)


def _read(consent: Any, today: date, withdrawn_on: date | None = None) -> ConsentRead:  # noqa: ANN401
    """Return a row of Consent, with or without withdrawn_on, as it stands today."""
    ended_on = withdrawn_on or getattr(consent, "withdrawn_on", None)
    known = queries.as_domain(consent, withdrawn_on=ended_on)
    return ConsentRead.of(consent, withdrawn_on=ended_on, is_valid=is_valid(known, on=today))
