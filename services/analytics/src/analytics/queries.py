"""Figures from facts, as they were known at a cut."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, func, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from analytics.domain import (
    BeneficiaryKind,
    DataCut,
    Figure,
    Formula,
    Marked,
    PlanStart,
    count_persons,
)
from analytics.models import CaseFact, MarkerFact, PlanFact, ReferralFact
from common.clock import utcnow
from common.unit import Unit


async def get_figure(unit: Unit, formula: Formula, cut_at: datetime | None = None) -> Figure:
    """Compute `formula` over every fact whose event had happened at `cut_at` (now if None)."""
    as_of = cut_at or utcnow()
    cut = DataCut(as_of=as_of, facts=await _count_facts(unit, as_of))
    case_seq = _newest(CaseFact.case_id, CaseFact.seq, CaseFact.happened_at, cut.as_of)
    started = (
        select(PlanFact.plan_id, func.min(PlanFact.entered_on).label("started_on"))
        .where(PlanFact.entered_on.is_not(None), PlanFact.happened_at <= cut.as_of)
        .group_by(PlanFact.plan_id)
        .subquery()
    )
    plan_case = select(PlanFact.plan_id, PlanFact.case_id).where(PlanFact.seq == 1).subquery()
    rows = await unit.rows(
        select(
            CaseFact.case_id,
            CaseFact.beneficiary_kind,
            CaseFact.sex,
            CaseFact.age_group,
            started.c.started_on,
        )
        .join(case_seq, and_(case_seq.c.id == CaseFact.case_id, case_seq.c.seq == CaseFact.seq))
        .join(plan_case, plan_case.c.case_id == CaseFact.case_id)
        .join(started, started.c.plan_id == plan_case.c.plan_id)
    )
    marked = await _marked(unit, cut.as_of)
    starts = [
        PlanStart(
            row.case_id,
            row.beneficiary_kind,
            row.sex,
            row.age_group,
            row.started_on,
            tuple(marked.get(row.case_id, ())),
        )
        for row in rows
    ]
    return count_persons(formula, starts, cut)


async def count_plans_by_phase(unit: Unit, formula: Formula) -> dict[str, int]:
    """Count plans of persons of the formula's kinds by the phase they are in now."""
    return await _counts(unit, _plans_by_phase(formula.kinds))


async def count_overdue_plans_by_phase(unit: Unit) -> dict[str, int]:
    """Count the plans, whosesoever, that have outstayed the phase they are in, by phase."""
    return await _counts(unit, _plans_by_phase(frozenset(BeneficiaryKind)).where(PlanFact.overdue))


def _plans_by_phase(kinds: Collection[str]) -> Select[str, int]:
    now = utcnow()
    newest = _newest(PlanFact.plan_id, PlanFact.seq, PlanFact.happened_at, now)
    case_newest = _newest(CaseFact.case_id, CaseFact.seq, CaseFact.happened_at, now)
    return (
        select(PlanFact.phase.label("code"), func.count().label("number"))
        .join(newest, and_(newest.c.id == PlanFact.plan_id, newest.c.seq == PlanFact.seq))
        .join(case_newest, case_newest.c.id == PlanFact.case_id)
        .join(
            CaseFact,
            and_(CaseFact.case_id == case_newest.c.id, CaseFact.seq == case_newest.c.seq),
        )
        .where(CaseFact.beneficiary_kind.in_(kinds))
        .group_by(PlanFact.phase)
    )


async def count_referrals_by_status(unit: Unit) -> dict[str, int]:
    """Count referrals by the status they have now."""
    newest = _newest(ReferralFact.referral_id, ReferralFact.seq, ReferralFact.happened_at, utcnow())
    return await _counts(
        unit,
        select(ReferralFact.status.label("code"), func.count().label("number"))
        .join(
            newest, and_(newest.c.id == ReferralFact.referral_id, newest.c.seq == ReferralFact.seq)
        )
        .group_by(ReferralFact.status),
    )


async def _marked(unit: Unit, as_of: datetime) -> dict[UUID, list[Marked]]:
    """Return the markers of every case as they were known at a time."""
    ended = aliased(MarkerFact)
    rows = await unit.rows(
        select(MarkerFact.case_id, MarkerFact.marker, ended.until)
        .outerjoin(
            ended,
            and_(
                ended.case_id == MarkerFact.case_id,
                ended.marker_id == MarkerFact.marker_id,
                ended.until.is_not(None),
                ended.happened_at <= as_of,
            ),
        )
        .where(MarkerFact.since.is_not(None), MarkerFact.happened_at <= as_of)
    )
    found: dict[UUID, list[Marked]] = {}
    for row in rows:
        found.setdefault(row.case_id, []).append(Marked(row.marker, row.until))
    return found


async def _count_facts(unit: Unit, as_of: datetime) -> int:
    """Count the facts a figure rests on: equal counts at one cut mean equal figures."""
    total = 0
    for model in (CaseFact, MarkerFact, PlanFact):
        statement = select(func.count().label("number")).where(model.happened_at <= as_of)
        [row] = await unit.rows(statement)
        total += row.number
    return total


async def _counts(unit: Unit, statement: Any) -> dict[str, int]:  # noqa: ANN401  a select of two columns
    rows: Sequence[Any] = await unit.rows(statement)
    return {row.code: row.number for row in rows}


def _newest(
    id_: InstrumentedAttribute[Any],
    seq: InstrumentedAttribute[int],
    happened_at: InstrumentedAttribute[datetime],
    cut_at: datetime,
) -> Any:  # noqa: ANN401  a subquery with the columns id and seq
    return (
        select(id_.label("id"), func.max(seq).label("seq"))
        .where(happened_at <= cut_at)
        .group_by(id_)
        .subquery()
    )
