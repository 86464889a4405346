from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import select

from common.auth import Principal
from common.consent import Consent as KnownConsent
from common.errors import NotFoundError
from common.unit import Unit
from intake.models import Consent, ConsentWithdrawal
from intake.queries.case import Relation
from intake.queries.organisation import find_kind


async def list_consents(unit: Unit, case_id: UUID) -> list[KnownConsent]:
    """Return the consents of a case as the rules need them, oldest first."""
    return [as_domain(row) for row in await _rows(unit, case_id)]


async def list_seen(
    unit: Unit, case_id: UUID, relation: Relation, principal: Principal
) -> Sequence[Any]:
    """Return the rows the caller may see, oldest first, each with its `withdrawn_on`.

    A receiver of the case sees the consents that name its organisation, or all of its kind.
    """
    rows = await _rows(unit, case_id)
    if relation != "referred":
        return rows
    mine = principal.organisation_id
    kind = await find_kind(unit, mine)
    return [r for r in rows if r.recipient_organisation_id == mine or kind in r.recipient_kinds]


async def get_seen(
    unit: Unit, case_id: UUID, consent_id: UUID, relation: Relation, principal: Principal
) -> Any:  # noqa: ANN401  a row of Consent with withdrawn_on
    """Return one of the rows `list_seen` returns; NotFoundError."""
    for row in await list_seen(unit, case_id, relation, principal):
        if row.id == consent_id:
            return row
    raise NotFoundError


def as_domain(row: Any, *, withdrawn_on: date | None = None) -> KnownConsent:  # noqa: ANN401
    """Return a row as the rules need it; `withdrawn_on` for one that does not know of its end."""
    return KnownConsent(
        consent_id=row.id,
        scope=row.scope,
        given_by=row.given_by,
        guardian=row.guardian,
        granted_on=row.granted_on,
        expires_on=row.expires_on,
        is_withdrawn=(withdrawn_on or getattr(row, "withdrawn_on", None)) is not None,
        recipient_organisation_id=row.recipient_organisation_id,
        recipient_kinds=frozenset(row.recipient_kinds),
        recipient_countries=frozenset(row.recipient_countries),
        purposes=frozenset(row.purposes),
        data_groups=frozenset(row.data_groups),
    )


async def _rows(unit: Unit, case_id: UUID) -> Sequence[Any]:
    return await unit.rows(
        select(Consent, ConsentWithdrawal.withdrawn_on)
        .outerjoin(ConsentWithdrawal, ConsentWithdrawal.consent_id == Consent.id)
        .where(Consent.case_id == case_id)
        .order_by(Consent.recorded_at, Consent.id)
    )
