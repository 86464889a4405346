from datetime import date
from uuid import UUID

from common.auth import Principal
from common.clock import new_id
from common.contracts.reintegration import (
    PlanAgreementDrafted,
    PlanAgreementPartySigned,
    PlanAgreementSigned,
)
from common.events import EventData
from common.unit import Unit
from reintegration.commands.steps import change_plan
from reintegration.domain import agreement as domain
from reintegration.domain.agreement import AgreementStatus, Signature
from reintegration.domain.plan import require_open
from reintegration.models import Agreement, AgreementSignature, Plan
from reintegration.queries import agreement as queries
from reintegration.queries.plan import find_case, get_carried
from reintegration.schemas import AgreementCreate


async def create_agreement(
    unit: Unit, plan_id: UUID, terms: AgreementCreate, *, principal: Principal, today: date
) -> tuple[Plan, Agreement, list[Signature]]:
    """Hand over the next version of a plan's agreement with the signatures it comes with."""
    plan = await get_carried(unit, plan_id, principal=principal)
    require_open(plan.phase)
    is_minor = await _is_minor(unit, plan)
    domain.check_terms(terms.parties, terms.review_on, is_minor=is_minor, today=today)
    signatures = _checked(terms, plan.opened_on, today)
    agreement_id = new_id()
    version = domain.next_version(await queries.find_newest_version(unit, plan.id))
    effective_on = domain.effective_on(signatures, is_minor=is_minor)
    events: list[EventData] = [
        PlanAgreementDrafted(
            plan_id=plan.id,
            case_id=plan.case_id,
            agreement_id=agreement_id,
            agreement_version=version,
            review_on=terms.review_on,
            drafted_on=today,
        ),
        *(_party_signed(plan, agreement_id, version, signature) for signature in signatures),
    ]
    if effective_on is not None:
        events.append(_signed(plan, agreement_id, version, terms.review_on, effective_on))
        await _supersede_before(unit, plan, version)
    changed = await change_plan(unit, plan, *events)
    unit.created_id = agreement_id
    unit.audit("create", Agreement.__tablename__, [str(agreement_id)], about=plan.case_id)
    box = await unit.box(plan.case_id) or await unit.new_box(plan.case_id)
    agreement = unit.add(
        Agreement,
        id=agreement_id,
        plan_id=plan.id,
        agreement_version=version,
        status=AgreementStatus.DRAFT if effective_on is None else AgreementStatus.ACTIVE,
        parties=list(dict.fromkeys(terms.parties)),
        duties=box.seal(
            terms.duties, table=Agreement.__tablename__, row=agreement_id, column="duties"
        ),
        amount=terms.money.amount if terms.money else None,
        currency=terms.money.currency if terms.money else None,
        review_on=terms.review_on,
        effective_on=effective_on,
    )
    for signature in signatures:
        _add_signature(unit, agreement_id, signature)
    return changed, agreement, signatures


async def sign_agreement(
    unit: Unit,
    plan_id: UUID,
    agreement_id: UUID,
    signature: Signature,
    *,
    principal: Principal,
    expected: int,
    today: date,
) -> None:
    """Hand over a party's signature; with the last one needed the version comes into force."""
    plan = await get_carried(unit, plan_id, principal=principal, expected=expected)
    require_open(plan.phase)
    agreement = await queries.get_agreement(unit, plan.id, agreement_id)
    signed = (await queries.list_signatures(unit, [agreement]))[agreement.id]
    earlier = [Signature(row.party, row.signed_on) for row in signed]
    domain.check_signature(
        signature,
        status=agreement.status,
        parties=agreement.parties,
        signed=earlier,
        opened_on=plan.opened_on,
        today=today,
    )
    version = agreement.agreement_version
    events: list[EventData] = [_party_signed(plan, agreement.id, version, signature)]
    if agreement.status is AgreementStatus.DRAFT:
        effective_on = domain.effective_on(
            [*earlier, signature], is_minor=await _is_minor(unit, plan)
        )
        if effective_on is not None:
            events.append(_signed(plan, agreement.id, version, agreement.review_on, effective_on))
            await _supersede_before(unit, plan, version)
            unit.update(
                Agreement,
                {"id": agreement.id},
                expect=1,
                status=AgreementStatus.ACTIVE,
                effective_on=effective_on,
            )
    await change_plan(unit, plan, *events)
    unit.audit("update", Agreement.__tablename__, [str(agreement.id)], about=plan.case_id)
    _add_signature(unit, agreement.id, signature)


def _checked(terms: AgreementCreate, opened_on: date, today: date) -> list[Signature]:
    signatures: list[Signature] = []
    for number, given in enumerate(terms.signatures):
        signature = Signature(given.party, given.signed_on)
        domain.check_signature(
            signature,
            status=AgreementStatus.DRAFT,
            parties=terms.parties,
            signed=signatures,
            opened_on=opened_on,
            today=today,
            place=f"/signatures/{number}",
        )
        signatures.append(signature)
    return signatures


async def _is_minor(unit: Unit, plan: Plan) -> bool | None:
    case = await find_case(unit, plan.case_id)
    return None if case is None else case.is_minor


async def _supersede_before(unit: Unit, plan: Plan, version: int) -> None:
    """Take the older versions out of force, with drafts nobody will sign any more."""
    for older in await queries.list_agreements(unit, plan.id):
        if older.agreement_version < version and older.status is not AgreementStatus.SUPERSEDED:
            unit.update(Agreement, {"id": older.id}, expect=1, status=AgreementStatus.SUPERSEDED)


def _add_signature(unit: Unit, agreement_id: UUID, signature: Signature) -> None:
    unit.add(
        AgreementSignature,
        agreement_id=agreement_id,
        party=signature.party,
        signed_on=signature.signed_on,
    )


def _party_signed(
    plan: Plan, agreement_id: UUID, version: int, signature: Signature
) -> PlanAgreementPartySigned:
    return PlanAgreementPartySigned(
        plan_id=plan.id,
        case_id=plan.case_id,
        agreement_id=agreement_id,
        agreement_version=version,
        party=signature.party,
        signed_on=signature.signed_on,
    )


def _signed(
    plan: Plan, agreement_id: UUID, version: int, review_on: date, effective_on: date
) -> PlanAgreementSigned:
    return PlanAgreementSigned(
        plan_id=plan.id,
        case_id=plan.case_id,
        agreement_id=agreement_id,
        agreement_version=version,
        review_on=review_on,
        signed_on=effective_on,
    )
