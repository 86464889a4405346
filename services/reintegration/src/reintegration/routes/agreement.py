from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from uuid import UUID

from common.auth import Principal
from common.http import CurrentPrincipal, IfMatch, UnitDep, router
from common.http.request import Today
from common.unit import Unit
from reintegration.commands import agreement as commands
from reintegration.domain.agreement import Signature as SignatureGiven
from reintegration.domain.agreement import is_review_due
from reintegration.models import Agreement, Plan
from reintegration.queries import agreement as queries
from reintegration.queries.plan import DISCLOSED_ON, get_plan, groups_of, is_of, may_open
from reintegration.schemas import (
    AgreementCreate,
    AgreementRead,
    Agreements,
    MoneyRead,
    Signature,
    SignatureRead,
)

agreements = router(prefix="/v1/plans/{plan_id}/agreements", tags=["agreements"])


@agreements.post("", status_code=201, response_model_exclude_unset=True)
async def create_agreement(
    plan_id: UUID,
    body: AgreementCreate,
    unit: UnitDep,
    principal: CurrentPrincipal,
    today: Today,
) -> AgreementRead:
    """Write the next version of a plan's reintegration agreement.

    It is in force once the person and the case worker have signed, and for a child, or while the
    age is in doubt, the guardian too (NRM documentation: the support plan bears the signature of
    the person and of the interviewer). Signatures may come with the terms or later. A version in
    force replaces the ones before it. The ETag is the plan's.
    """
    plan, agreement, signatures = await commands.create_agreement(
        unit, plan_id, body, principal=principal, today=today
    )
    duties = body.duties if may_open(plan, principal) else None
    return _read(plan, agreement, signatures, principal, today, duties=duties)


@agreements.get("", response_model_exclude_unset=True)
async def list_agreements(
    plan_id: UUID, unit: UnitDep, principal: CurrentPrincipal, today: Today
) -> Agreements:
    """Read all versions of a plan's agreement, newest first.

    The duties are kept sealed under the key of the case. That they were opened, and by whom, is
    recorded before they leave. The owner of the case that is not the plan's organisation reads
    codes and dates only: `duties` and `money` are null. `duties` are null too for a role that may
    not know every data group: a text may hold anything. Once the person has withdrawn consent, the
    plan's organisation keeps only the fact that there was an agreement, and since when it held.
    """
    plan = await get_plan(unit, plan_id, principal=principal)
    found = await queries.list_agreements(unit, plan.id)
    return Agreements(items=await _open(unit, plan, found, principal, today))


@agreements.get("/{agreement_id}", response_model_exclude_unset=True)
async def get_agreement(
    plan_id: UUID, agreement_id: UUID, unit: UnitDep, principal: CurrentPrincipal, today: Today
) -> AgreementRead:
    """Read one version of a plan's agreement, as in the list. The ETag is the plan's."""
    plan = await get_plan(unit, plan_id, principal=principal)
    found = await queries.get_agreement(unit, plan.id, agreement_id)
    [agreement] = await _open(unit, plan, [found], principal, today)
    return agreement


@agreements.post("/{agreement_id}/sign")
async def sign_agreement(
    plan_id: UUID,
    agreement_id: UUID,
    body: Signature,
    *,
    unit: UnitDep,
    principal: CurrentPrincipal,
    expected: IfMatch,
    today: Today,
) -> SignatureRead:
    """Record that a party has signed a version of the agreement, on paper and today or earlier.

    With the last signature it needs the version is in force, and the ones before it are not. The
    versions compared by If-Match are the plan's.
    """
    signature = SignatureGiven(body.party, body.signed_on)
    await commands.sign_agreement(
        unit,
        plan_id,
        agreement_id,
        signature,
        principal=principal,
        expected=expected,
        today=today,
    )
    return SignatureRead.model_validate(signature)


async def _open(
    unit: Unit, plan: Plan, found: Sequence[Agreement], principal: Principal, today: date
) -> list[AgreementRead]:
    signatures = await queries.list_signatures(unit, found)
    duties = await _open_duties(unit, plan, found, principal)
    return [
        _read(
            plan,
            agreement,
            [SignatureGiven(row.party, row.signed_on) for row in signatures[agreement.id]],
            principal,
            today,
            duties=duties.get(agreement.id),
        )
        for agreement in found
    ]


async def _open_duties(
    unit: Unit, plan: Plan, found: Sequence[Agreement], principal: Principal
) -> dict[UUID, str]:
    """Open the duties for a caller who may read them, and record who read what."""
    table = Agreement.__tablename__
    ids = [str(agreement.id) for agreement in found]
    if not may_open(plan, principal):
        unit.audit("read", table, ids, about=plan.case_id, legal_basis=DISCLOSED_ON)
        return {}
    unit.disclose(
        table,
        ids,
        about=plan.case_id,
        data_groups=["SUPPORT"],
        purpose="ASSISTANCE",
        legal_basis=DISCLOSED_ON,
    )
    box = await unit.box(plan.case_id)
    if box is None:
        return {}
    return {
        agreement.id: box.open(agreement.duties, table=table, row=agreement.id, column="duties")
        for agreement in found
    }


def _read(
    plan: Plan,
    agreement: Agreement,
    signatures: Sequence[SignatureGiven],
    principal: Principal,
    today: date,
    *,
    duties: str | None,
) -> AgreementRead:
    """Return what the caller may know of an agreement: the same from every route."""
    money = None
    if is_of(plan, principal) and agreement.amount is not None and agreement.currency is not None:
        money = MoneyRead(amount=Decimal(agreement.amount), currency=agreement.currency)
    return AgreementRead.of(
        agreement,
        groups=groups_of(plan, principal),
        duties=duties,
        money=money,
        is_review_due=is_review_due(agreement.status, agreement.review_on, today),
        signatures=[SignatureRead.model_validate(signature) for signature in signatures],
    )
