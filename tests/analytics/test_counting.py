"""What the database counts is what `domain.count_persons` counts, person by person, on both engines."""

import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from analytics.domain import FORMULAS, DataCut, Figure, Formula, Marked, PlanStart, count_persons
from analytics.models import CaseFact, MarkerFact, PlanFact
from analytics.queries import get_figures
from common.clock import utcnow
from common.db.base import unit_of
from common.runtime import Runtime
from tests.analytics.log import Log, consume, noon, today_is
from tests.kit import open_service

KINDS = ["VICTIM", "PRESUMED", "AT_RISK", "SECONDARY"]
SEXES = ["FEMALE", "MALE", "UNKNOWN"]
BANDS = ["0-11", "12-17", "18-24", "35+", "UNKNOWN"]
MARKERS = ["STREET_CHILD", "CHILD_BEGGING", "STATELESS"]
FIRST, DAYS = date(2023, 11, 1), 500
CUTS = ["2023-10-31", "2023-12-31", "2024-02-29", "2024-07-01", "2024-12-31", "2026-01-01"]


class Lives:
    """Random lives: profiles that change, several plans, starts dated back, markers begun and ended."""

    def __init__(self, seed: int) -> None:
        self.log = Log()
        self._chance = random.Random(seed)  # noqa: S311
        self._number = 0

    def add(self, person: int) -> None:
        at = self._day()
        self.log.case(person, at, **self._codes())
        for _ in range(self._chance.randrange(3)):
            at = self._day(at)
            self.log.profile(person, at, **self._codes())
        for _ in range(self._chance.randrange(4)):
            at = self._marker(person, at)
        for _ in range(self._chance.randrange(3)):
            self._plan(person)

    def _marker(self, person: int, at: str) -> str:
        self._number += 1
        number, code = self._number, self._chance.choice(MARKERS)
        since, at = self._day(), self._day(at)
        self.log.marker(number, at, code, of=person, since=since)
        if self._chance.random() < 0.6:
            at = self._day(at)
            self.log.marker_end(number, at, code, of=person, until=self._day(since))
        return at

    def _plan(self, person: int) -> None:
        self._number += 1
        number, opened = self._number, self._day()
        self.log.plan(number, person, opened)
        if self._chance.random() < 0.8:
            told = self._day(opened)
            self.log.phase(number, person, "CRISIS", told, entered_on=self._day())
            if self._chance.random() < 0.5:
                self.log.phase(number, person, "TRANSITION", self._day(told), entered_on=opened)

    def _day(self, after: str | None = None) -> str:
        first = date.fromisoformat(after) if after else FIRST
        day = first + timedelta(days=self._chance.randrange(DAYS))
        return min(day, FIRST + timedelta(days=DAYS)).isoformat()

    def _codes(self) -> dict[str, str]:
        pick = self._chance.choice
        return {"kind": pick(KINDS), "sex": pick(SEXES), "age_group": pick(BANDS)}


async def counted_one_by_one(
    runtime: Runtime, formulas: Sequence[Formula], cut: str
) -> list[Figure]:
    """Take every fact to Python, look at each person there, and let the domain count."""
    as_of = noon(cut)

    async def known(model: type[CaseFact] | type[MarkerFact] | type[PlanFact]) -> list[Any]:
        rows = await runtime.database.fetch(select(model.__table__))
        return [row for row in rows if row.happened_at <= as_of]

    cases, markers, plans = [await known(model) for model in (CaseFact, MarkerFact, PlanFact)]
    now = {row.case_id: row for row in sorted(cases, key=lambda row: row.seq)}
    marked: dict[UUID, list[Marked]] = {}
    for row in markers:
        if row.since is not None:
            ends = [e.until for e in markers if e.marker_id == row.marker_id and e.until]
            marked.setdefault(row.case_id, []).append(Marked(row.marker, *(ends or [None])))
    starts = [
        PlanStart(
            row.case_id,
            now[row.case_id].beneficiary_kind,
            now[row.case_id].sex,
            now[row.case_id].age_group,
            row.entered_on,
            tuple(marked.get(row.case_id, ())),
        )
        for row in plans
        if row.entered_on is not None and row.case_id in now
    ]
    cut_at = DataCut(as_of, len(cases) + len(markers) + len(plans))
    return [count_persons(formula, starts, cut_at) for formula in formulas]


@pytest.mark.parametrize("seed", range(4))
async def test_the_database_counts_as_the_domain_does_at_every_cut(
    seed: int, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Seeded: `max` of the starts; a newest fact without its cut; markers not distinct.

    And: an end on the day of the start taken for one before it; the end's own cut left out.
    """
    folder = tmp_path_factory.mktemp("country")
    today_is("2026-01-01")
    formulas = list(FORMULAS.values())
    lives = Lives(seed)
    for person in range(1, 61):
        lives.add(person)
    async with open_service("analytics", folder, database_url=database_url) as kit:
        await consume(kit.runtime, lives.log.events)
        unit = unit_of(kit.runtime.database, source="/RS/analytics", operation="test")
        found = []
        for cut in CUTS:
            figures = await get_figures(unit, formulas, noon(cut))
            assert figures == await counted_one_by_one(kit.runtime, formulas, cut), cut
            found += figures

    assert found[0].total == 0
    assert found[-3].total > 10
    assert len({figure.total for figure in found}) > 5
    assert any(cell.value > 1 for figure in found for cell in figure.marker_cells)


async def test_the_answer_of_the_database_does_not_grow_with_the_country(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Seeded: group by case; join the persons in Python."""
    folder = tmp_path_factory.mktemp("country")
    today_is("2026-01-01")
    async with open_service("analytics", folder, database_url=database_url) as kit:
        log = Log()
        for person in range(1, 201):
            log.case(person, "2025-01-01")
            log.start(person, person, "2025-02-01")
            log.marker(person, "2025-01-02", "STREET_CHILD", of=person)
        await consume(kit.runtime, log.events)
        unit = unit_of(kit.runtime.database, source="/RS/analytics", operation="test")
        sizes = []
        fetch = kit.runtime.database.fetch

        async def weighed(*asked: object) -> Sequence[object]:
            rows = await fetch(*asked)  # type: ignore[arg-type]  # handed on as it came
            sizes.append(len(rows))
            return rows

        kit.runtime.database.fetch = weighed  # type: ignore[method-assign,assignment]
        [figure, *_] = await get_figures(unit, FORMULAS.values(), utcnow())

    assert figure.total == 200
    assert figure.marker_cells[0].value == 200
    assert sizes == [1, 1, 1, 1, 1]
