"""National indicators: formulas with versions, over the facts known at one cut of the data."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Final, Literal
from uuid import UUID


class BeneficiaryKind(StrEnum):
    VICTIM = "VICTIM"
    PRESUMED = "PRESUMED"
    AT_RISK = "AT_RISK"
    SECONDARY = "SECONDARY"


class AgeGroup(StrEnum):
    """The two groups of EU and UNODC figures (code list age_bands), and neither of them."""

    CHILD = "CHILD"
    ADULT = "ADULT"
    UNKNOWN = "UNKNOWN"


_ADULT_AT: Final = 18


@dataclass(frozen=True, slots=True)
class Formula:
    """What an indicator counts. A change of meaning is a new version; old ones stay computable."""

    code: str
    version: int
    kinds: frozenset[BeneficiaryKind]


# Presumed victims count like identified ones: services open at PRESUMED (domain.md section 5).
# Persons at risk and secondary beneficiaries are never part of a total of victims (section 6).
PERSONS_ASSISTED: Final = Formula(
    "persons_assisted", 1, frozenset({BeneficiaryKind.VICTIM, BeneficiaryKind.PRESUMED})
)
PERSONS_AT_RISK_ASSISTED: Final = Formula(
    "persons_at_risk_assisted", 1, frozenset({BeneficiaryKind.AT_RISK})
)
SECONDARY_BENEFICIARIES: Final = Formula(
    "secondary_beneficiaries", 1, frozenset({BeneficiaryKind.SECONDARY})
)
FORMULAS: Final[Mapping[tuple[str, int], Formula]] = {
    (formula.code, formula.version): formula
    for formula in (PERSONS_ASSISTED, PERSONS_AT_RISK_ASSISTED, SECONDARY_BENEFICIARIES)
}


@dataclass(frozen=True, slots=True)
class Marked:
    """A population marker of a case and the last day on which it held, None while it does."""

    marker: str
    until: date | None


@dataclass(frozen=True, slots=True)
class PlanStart:
    """A started plan of a case, with the case's codes as they stand at the cut.

    `age_band` is intake's band of the age at first contact (`12-17`, `35+`) or UNKNOWN. `marked`
    are all markers told of the case, in any order.
    """

    case_id: UUID
    kind: str
    sex: str
    age_band: str
    started_on: date
    marked: tuple[Marked, ...] = ()

    @property
    def markers(self) -> frozenset[str]:
        """The markers that held on the day of the start or later: who was helped, living how.

        What was over before the help began says nothing of the persons helped.
        """
        return frozenset(
            each.marker
            for each in self.marked
            if each.until is None or each.until >= self.started_on
        )


@dataclass(frozen=True, slots=True)
class DataCut:
    """Which facts a figure rests on: those of events that had happened by `as_of`.

    `facts` is how many of them were known when the figure was made. An event that arrives late adds
    one, and shows why the same instant gives another number afterwards.
    """

    as_of: datetime
    facts: int


@dataclass(frozen=True, slots=True)
class Cell:
    year: int
    sex: str
    age_group: AgeGroup
    value: int


@dataclass(frozen=True, slots=True)
class MarkerCell:
    """Persons of one year who carry a marker. Who carries several is in the cell of each."""

    year: int
    marker: str
    value: int


@dataclass(frozen=True, slots=True)
class Figure:
    """An indicator's exact numbers with what is needed to compute them again (X19).

    Cells with no person are left out; the others are ordered by year, sex, age group. The cells of
    markers are ordered by year and marker and do not add up to the total.
    """

    formula: Formula
    cut: DataCut
    cells: tuple[Cell, ...]
    marker_cells: tuple[MarkerCell, ...] = ()

    @property
    def total(self) -> int:
        return sum(cell.value for cell in self.cells)

    @property
    def query_hash(self) -> str:
        """SHA-256 of formula, version and cut: equal hashes promise equal numbers."""
        instant = self.cut.as_of.astimezone(UTC).isoformat(timespec="microseconds")
        query = [self.formula.code, self.formula.version, instant, self.cut.facts]
        return hashlib.sha256(json.dumps(query, separators=(",", ":")).encode()).hexdigest()


def age_group(age_band: str) -> AgeGroup:
    """Return the group of a band. An unknown age stays unknown: figures do not count guesses."""
    if age_band == AgeGroup.UNKNOWN:
        return AgeGroup.UNKNOWN
    youngest = int(age_band.rstrip("+").partition("-")[0])
    return AgeGroup.CHILD if youngest < _ADULT_AT else AgeGroup.ADULT


def count_persons(formula: Formula, starts: Iterable[PlanStart], cut: DataCut) -> Figure:
    """Count distinct cases of the formula's kinds, each once, in the year of its first start.

    A case may have several starts (a second plan, a new episode), in any order. This says what the
    formulas mean, person by person; a whole country is counted by the database (`queries`), and
    must come to the same.
    """
    first: dict[UUID, PlanStart] = {}
    for start in starts:
        known = first.get(start.case_id)
        if known is None or start.started_on < known.started_on:
            first[start.case_id] = start
    persons = [start for start in first.values() if start.kind in formula.kinds]
    counted = Counter(
        (start.started_on.year, start.sex, age_group(start.age_band)) for start in persons
    )
    marked = Counter((start.started_on.year, code) for start in persons for code in start.markers)
    return _figure(formula, cut, counted, marked)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many persons of one make had their first start in a year."""

    kind: str
    year: int
    sex: str
    age_band: str
    number: int


@dataclass(frozen=True, slots=True)
class CountedMarker:
    """How many persons of a kind, first helped in a year, carried a marker then or later."""

    kind: str
    year: int
    marker: str
    number: int


def sum_up(
    formula: Formula, counted: Iterable[Counted], marked: Iterable[CountedMarker], cut: DataCut
) -> Figure:
    """Return what `count_persons` returns of the persons that were counted elsewhere by its rules."""
    cells = Counter[tuple[int, str, AgeGroup]]()
    for each in counted:
        if each.kind in formula.kinds:
            cells[each.year, each.sex, age_group(each.age_band)] += each.number
    markers = Counter[tuple[int, str]]()
    for told in marked:
        if told.kind in formula.kinds:
            markers[told.year, told.marker] += told.number
    return _figure(formula, cut, cells, markers)


def _figure(
    formula: Formula,
    cut: DataCut,
    cells: Mapping[tuple[int, str, AgeGroup], int],
    markers: Mapping[tuple[int, str], int],
) -> Figure:
    return Figure(
        formula,
        cut,
        tuple(Cell(*key, value) for key, value in sorted(cells.items())),
        tuple(MarkerCell(*key, value) for key, value in sorted(markers.items())),
    )


Dimension = Literal["year", "sex", "age_group"]


def totals_by(cells: Iterable[Cell], dimension: Dimension) -> dict[str, int]:
    """Return the sums per value of one dimension, in the order of its values."""
    sums: Counter[str] = Counter()
    for cell in cells:
        sums[str(getattr(cell, dimension))] += cell.value
    return dict(sorted(sums.items()))


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole, kept as both counts: shares of several years can still be added up."""

    part: int
    whole: int

    @property
    def percent(self) -> Decimal | None:
        """The share in per cent with one decimal, halves rounded up; None of an empty whole."""
        if self.whole == 0:
            return None
        exact = Decimal(100 * self.part) / Decimal(self.whole)
        return exact.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)


# TVRP's shares are of all persons assisted: somebody of unknown sex or age is in the whole, not in
# the part (domain.md section 9: 296 and 651 of 1 711).


def male_share(cells: Iterable[Cell]) -> Share:
    """Return the share of men and boys among all persons of the cells (TVRP, F84)."""
    cells = tuple(cells)
    return Share(sum(c.value for c in cells if c.sex == "MALE"), sum(c.value for c in cells))


def child_share(cells: Iterable[Cell]) -> Share:
    """Return the share of children among all persons of the cells (TVRP, F84)."""
    cells = tuple(cells)
    children = sum(c.value for c in cells if c.age_group is AgeGroup.CHILD)
    return Share(children, sum(c.value for c in cells))


def shares_by_year(cells: Iterable[Cell]) -> dict[int, tuple[Share, Share]]:
    """Return the male and the child share of each year that has persons."""
    years: dict[int, list[Cell]] = {}
    for cell in cells:
        years.setdefault(cell.year, []).append(cell)
    return {year: (male_share(group), child_share(group)) for year, group in sorted(years.items())}
