from datetime import date
from typing import Any
from uuid import UUID

from common.auth import Principal
from common.clock import new_id
from common.contracts.intake import ConsentGranted, ConsentWithdrawn
from common.here import Here
from common.unit import Unit
from intake.domain import consent as domain
from intake.models import Case, Consent, ConsentWithdrawal
from intake.queries import case as cases
from intake.queries import consent as queries
from intake.schemas.consent import ConsentGrant


async def grant_consent(
    unit: Unit, case_id: UUID, body: ConsentGrant, *, principal: Principal, here: Here
) -> Consent:
    """Add a consent to a case. Earlier consents stay as they are."""
    case = await cases.get_for_step(unit, case_id, principal=principal)
    domain.check_grant(
        _grant(body),
        is_minor=await cases.is_minor(unit, case, on=here.today),
        own_country=here.country,
        today=here.today,
    )
    consent_id = body.id or new_id()
    granted = ConsentGranted(
        case_id=case_id,
        consent_id=consent_id,
        scope=body.scope,
        recipient_organisation_id=body.recipient_organisation_id,
        recipient_kinds=body.recipient_kinds,
        recipient_countries=body.recipient_countries,
        purposes=body.purposes,
        data_groups=body.data_groups,
        given_by=body.given_by,
        guardian=body.guardian,
        granted_on=body.granted_on,
        expires_on=body.expires_on,
    )
    also = await _informed(unit, case_id, body.recipient_organisation_id)
    unit.change(Case, case, granted, about=case_id, also=also)
    unit.created_id = consent_id
    lists = {name: list(getattr(body, name)) for name in _LISTS}
    fields = body.model_dump(exclude={"id", "guardian_suspected", *lists})
    return unit.add(Consent, id=consent_id, case_id=case_id, **fields, **lists)


async def withdraw_consent(
    unit: Unit,
    case_id: UUID,
    consent_id: UUID,
    *,
    withdrawn_on: date,
    principal: Principal,
    here: Here,
) -> Any:  # noqa: ANN401  a row of Consent as it was before
    """End a consent from `withdrawn_on` on. The consent's own row stays as it was.

    The receiver of a case may take the withdrawal too, of a consent that names its organisation or
    all of its kind: a person says so where she is. So it is taken whichever country owns the case.
    """
    case, relation = await cases.see_for_step(unit, case_id, principal=principal, wherever=True)
    consent = await queries.get_seen(unit, case_id, consent_id, relation, principal)
    domain.check_withdrawal(queries.as_domain(consent), withdrawn_on=withdrawn_on, today=here.today)
    withdrawn = ConsentWithdrawn(
        case_id=case_id, consent_id=consent_id, scope=consent.scope, withdrawn_on=withdrawn_on
    )
    also = await _informed(unit, case_id, consent.recipient_organisation_id)
    unit.change(Case, case, withdrawn, about=case_id, also=also)
    unit.add(ConsentWithdrawal, consent_id=consent_id, withdrawn_on=withdrawn_on)
    return consent


async def _informed(unit: Unit, case_id: UUID, recipient: UUID | None) -> UUID | None:
    """Return the organisation a consent names if it may read it: it has the case in service."""
    if recipient is None or not await cases.has_in_service(unit, case_id, recipient):
        return None
    return recipient


def _grant(body: ConsentGrant) -> domain.Grant:
    fields = body.model_dump(exclude=_NOT_IN_GRANT)
    return domain.Grant(
        **fields | {name: frozenset(getattr(body, name)) for name in _LISTS},
    )


_LISTS = ("recipient_kinds", "recipient_countries", "purposes", "data_groups")
_NOT_IN_GRANT = {"id", "form_version", "language", "interpreter_present", "witness_present"}
