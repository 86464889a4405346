"""Figures from facts, as they were known at a cut. The database counts; here come only the sums."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, distinct, exists, extract, func, or_, select
from sqlalchemy.orm import aliased

from analytics.domain import Counted, CountedMarker, DataCut, Figure, Formula, sum_up
from analytics.models import CaseFact, MarkerFact, PlanFact, ReferralFact
from common.clock import utcnow
from common.unit import AnySelect, Unit


async def get_figure(unit: Unit, formula: Formula, cut_at: datetime | None = None) -> Figure:
    """Compute `formula` over every fact whose event had happened at `cut_at` (now if None)."""
    [figure] = await get_figures(unit, [formula], cut_at)
    return figure


async def get_figures(
    unit: Unit, formulas: Iterable[Formula], cut_at: datetime | None = None
) -> list[Figure]:
    """Compute several formulas over the same facts, as `get_figure` does one.

    By the rules of `domain.count_persons`, but with as few rows for a hundred thousand persons as
    for ten.
    """
    as_of = cut_at or utcnow()
    cut = DataCut(as_of=as_of, facts=await _count_facts(unit, as_of))
    counted = [
        Counted(row.kind, int(row.year), row.sex, row.age_band, row.number)
        for row in await unit.rows(_count_persons(as_of))
    ]
    marked = [
        CountedMarker(row.kind, int(row.year), row.marker, row.number)
        for row in await unit.rows(_count_marked_persons(as_of))
    ]
    return [sum_up(formula, counted, marked, cut) for formula in formulas]


@dataclass(frozen=True, slots=True)
class PlanCount:
    """How many plans of persons of a kind are in a phase, within its window or overdue."""

    kind: str
    phase: str
    overdue: bool
    number: int


async def count_plans(unit: Unit) -> list[PlanCount]:
    """Count plans by the phase they are in now and the kind their person has now."""
    now = utcnow()
    rows = await unit.rows(
        select(
            CaseFact.beneficiary_kind.label("kind"),
            PlanFact.phase,
            PlanFact.overdue,
            func.count().label("number"),
        )
        .join(CaseFact, CaseFact.case_id == PlanFact.case_id)
        .where(_is_newest(PlanFact, "plan_id", now), _is_newest(CaseFact, "case_id", now))
        .group_by(CaseFact.beneficiary_kind, PlanFact.phase, PlanFact.overdue)
    )
    return [PlanCount(row.kind, row.phase, row.overdue, row.number) for row in rows]


def by_phase(plans: Iterable[PlanCount], kinds: Collection[str]) -> Mapping[str, int]:
    """Return how many plans of persons of these kinds are in each phase."""
    return _sums(plan for plan in plans if plan.kind in kinds)


def overdue_by_phase(plans: Iterable[PlanCount]) -> Mapping[str, int]:
    """Return how many plans, whosesoever, have outstayed the phase they are in, by phase."""
    return _sums(plan for plan in plans if plan.overdue)


def _sums(plans: Iterable[PlanCount]) -> Mapping[str, int]:
    sums = Counter[str]()
    for plan in plans:
        sums[plan.phase] += plan.number
    return sums


async def count_referrals_by_status(unit: Unit) -> dict[str, int]:
    """Count referrals by the status they have now."""
    rows = await unit.rows(
        select(ReferralFact.status, func.count().label("number"))
        .where(_is_newest(ReferralFact, "referral_id", utcnow()))
        .group_by(ReferralFact.status)
    )
    return {row.status: row.number for row in rows}


def _count_persons(as_of: datetime) -> AnySelect:
    """Count cases, each once, by the year of their first start and their codes at the cut."""
    started = _first_starts(as_of)
    year = extract("year", started.c.started_on).label("year")
    group = (CaseFact.beneficiary_kind, year, CaseFact.sex, CaseFact.age_group)
    counted: AnySelect = (
        select(
            CaseFact.beneficiary_kind.label("kind"),
            year,
            CaseFact.sex,
            CaseFact.age_group.label("age_band"),
            func.count().label("number"),
        )
        .join(started, started.c.case_id == CaseFact.case_id)
        .where(_is_newest(CaseFact, "case_id", as_of))
        .group_by(*group)
    )
    return counted


def _count_marked_persons(as_of: datetime) -> AnySelect:
    """Count cases by marker: one that held on the day of the first start or later, however often."""
    started, ended = _first_starts(as_of), aliased(MarkerFact)
    year = extract("year", started.c.started_on).label("year")
    counted: AnySelect = (
        select(
            CaseFact.beneficiary_kind.label("kind"),
            year,
            MarkerFact.marker,
            func.count(distinct(CaseFact.case_id)).label("number"),
        )
        .join(started, started.c.case_id == CaseFact.case_id)
        .join(MarkerFact, MarkerFact.case_id == CaseFact.case_id)
        .outerjoin(
            ended,
            and_(
                ended.case_id == MarkerFact.case_id,
                ended.marker_id == MarkerFact.marker_id,
                ended.until.is_not(None),
                ended.happened_at <= as_of,
            ),
        )
        .where(
            _is_newest(CaseFact, "case_id", as_of),
            MarkerFact.since.is_not(None),
            MarkerFact.happened_at <= as_of,
            or_(ended.until.is_(None), ended.until >= started.c.started_on),
        )
        .group_by(CaseFact.beneficiary_kind, year, MarkerFact.marker)
    )
    return counted


def _first_starts(as_of: datetime) -> Any:  # noqa: ANN401  a subquery: case_id, started_on
    """Return the day of the first start of each case that has one; all of a plan's facts name its case."""
    return (
        select(PlanFact.case_id, func.min(PlanFact.entered_on).label("started_on"))
        .where(PlanFact.entered_on.is_not(None), PlanFact.happened_at <= as_of)
        .group_by(PlanFact.case_id)
        .subquery()
    )


async def _count_facts(unit: Unit, as_of: datetime) -> int:
    """Count the facts a figure rests on: equal counts at one cut mean equal figures."""
    total = 0
    for model in (CaseFact, MarkerFact, PlanFact):
        statement: Select[int] = select(func.count().label("number")).where(
            model.happened_at <= as_of
        )
        [row] = await unit.rows(statement)
        total += row.number
    return total


def _is_newest(
    model: type[CaseFact] | type[PlanFact] | type[ReferralFact], id_: str, as_of: datetime
) -> ColumnElement[bool]:
    """Say of a fact that it was known at the cut and none of its aggregate came after it."""
    later = aliased(model)
    return and_(
        model.happened_at <= as_of,
        ~exists().where(
            getattr(later, id_) == getattr(model, id_),
            later.seq > model.seq,
            later.happened_at <= as_of,
        ),
    )
