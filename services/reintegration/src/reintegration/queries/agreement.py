from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select

from common.errors import NotFoundError
from common.unit import Unit
from reintegration.domain.agreement import AgreementStatus
from reintegration.models import Agreement, AgreementSignature


async def get_agreement(unit: Unit, plan_id: UUID, agreement_id: UUID) -> Agreement:
    """Return a version of the agreement of a plan the caller was shown; NotFoundError."""
    agreement = await unit.find(
        select(Agreement).where(Agreement.id == agreement_id, Agreement.plan_id == plan_id)
    )
    if agreement is None:
        raise NotFoundError
    return agreement


async def list_agreements(unit: Unit, plan_id: UUID) -> Sequence[Agreement]:
    """Return all versions of a plan's agreement, newest first."""
    return await unit.list(
        select(Agreement)
        .where(Agreement.plan_id == plan_id)
        .order_by(Agreement.agreement_version.desc())
    )


async def list_signatures(
    unit: Unit, agreements: Sequence[Agreement]
) -> dict[UUID, list[AgreementSignature]]:
    """Return the signatures of each of the agreements, earliest first."""
    rows = await unit.list(
        select(AgreementSignature)
        .where(AgreementSignature.agreement_id.in_([agreement.id for agreement in agreements]))
        .order_by(AgreementSignature.signed_on, AgreementSignature.party)
    )
    signatures: dict[UUID, list[AgreementSignature]] = {a.id: [] for a in agreements}
    for row in rows:
        signatures[row.agreement_id].append(row)
    return signatures


async def has_active_agreement(unit: Unit, plan_id: UUID) -> bool:
    """Say whether a version of the plan's agreement is in force."""
    return bool(
        await unit.rows(
            select(Agreement.id).where(
                Agreement.plan_id == plan_id, Agreement.status == AgreementStatus.ACTIVE
            )
        )
    )


async def find_newest_version(unit: Unit, plan_id: UUID) -> int | None:
    """Return the number of the plan's newest agreement; None while it has none."""
    [row] = await unit.rows(
        select(func.max(Agreement.agreement_version).label("newest")).where(
            Agreement.plan_id == plan_id
        )
    )
    newest: int | None = row.newest
    return newest
