"""Persons assisted, its dimensions and shares."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count, permutations
from uuid import UUID

import pytest

from analytics.domain import (
    FORMULAS,
    PERSONS_ASSISTED,
    PERSONS_AT_RISK_ASSISTED,
    SECONDARY_BENEFICIARIES,
    AgeGroup,
    Cell,
    DataCut,
    Figure,
    PlanStart,
    Share,
    age_group,
    child_share,
    count_persons,
    male_share,
    shares_by_year,
    totals_by,
)

CUT = DataCut(as_of=datetime(2026, 6, 1, 8, tzinfo=UTC), facts=58)
CHILD, ADULT, UNKNOWN = AgeGroup.CHILD, AgeGroup.ADULT, AgeGroup.UNKNOWN


def plan_start(
    case: int,
    started_on: str,
    *,
    kind: str = "VICTIM",
    sex: str = "FEMALE",
    age_band: str = "25-34",
) -> PlanStart:
    return PlanStart(UUID(int=case), kind, sex, age_band, date.fromisoformat(started_on))


def cells_of(*starts: PlanStart) -> tuple[Cell, ...]:
    return count_persons(PERSONS_ASSISTED, starts, CUT).cells


# Fails when PRESUMED is forgotten, or when AT_RISK or SECONDARY slips into the total of victims.
def test_identified_and_presumed_victims_count_others_are_counted_apart() -> None:
    starts = [
        plan_start(1, "2025-02-01", kind="VICTIM"),
        plan_start(2, "2025-02-01", kind="PRESUMED"),
        plan_start(3, "2025-02-01", kind="AT_RISK"),
        plan_start(4, "2025-02-01", kind="SECONDARY"),
        plan_start(5, "2025-02-01", kind="SECONDARY"),
        plan_start(6, "2025-02-01", kind="SECONDARY"),
        plan_start(7, "2025-02-01", kind="A_NEWER_CODE"),
    ]

    assert count_persons(PERSONS_ASSISTED, starts, CUT).total == 2
    assert count_persons(PERSONS_AT_RISK_ASSISTED, starts, CUT).total == 1
    assert count_persons(SECONDARY_BENEFICIARIES, starts, CUT).total == 3


# Fails when starts are counted instead of cases, when the last start decides the year, or when the
# order in which events arrive matters.
def test_a_case_counts_once_in_the_year_of_its_first_start() -> None:
    starts = [
        plan_start(1, "2024-12-31"),
        plan_start(1, "2025-03-01"),
        plan_start(1, "2026-01-01"),
        plan_start(2, "2025-01-01"),
    ]

    assert {cells_of(*order) for order in permutations(starts)} == {
        (Cell(2024, "FEMALE", ADULT, 1), Cell(2025, "FEMALE", ADULT, 1))
    }


# Fails when 18 is a child's age, or when an unknown age is guessed.
@pytest.mark.parametrize(
    ("band", "group"),
    [
        ("0-11", CHILD),
        ("12-17", CHILD),
        ("18-24", ADULT),
        ("25-34", ADULT),
        ("35+", ADULT),
        ("UNKNOWN", UNKNOWN),
    ],
)
def test_bands_fall_into_children_and_adults(band: str, group: AgeGroup) -> None:
    assert age_group(band) is group


def test_cells_are_ordered_and_hold_no_zero() -> None:
    cells = cells_of(
        plan_start(1, "2025-05-05", sex="MALE", age_band="12-17"),
        plan_start(2, "2024-05-05", sex="UNKNOWN", age_band="UNKNOWN"),
        plan_start(3, "2025-05-05", sex="FEMALE", age_band="0-11"),
        plan_start(4, "2025-05-05", sex="FEMALE", age_band="12-17"),
        plan_start(5, "2025-05-05", sex="FEMALE", age_band="35+"),
    )

    assert cells == (
        Cell(2024, "UNKNOWN", UNKNOWN, 1),
        Cell(2025, "FEMALE", ADULT, 1),
        Cell(2025, "FEMALE", CHILD, 2),
        Cell(2025, "MALE", CHILD, 1),
    )


# Fails when a dimension drops a cell: every dimension must add up to the same total.
def test_each_dimension_adds_up_to_the_total() -> None:
    figure = Figure(PERSONS_ASSISTED, CUT, RS_2021)

    assert figure.total == 43
    assert totals_by(figure.cells, "year") == {"2021": 43}
    assert totals_by(figure.cells, "sex") == {"FEMALE": 34, "MALE": 9}
    assert totals_by(figure.cells, "age_group") == {"ADULT": 29, "CHILD": 14}


def test_nobody_assisted_is_a_figure_too() -> None:
    figure = count_persons(PERSONS_ASSISTED, [], CUT)

    assert (figure.total, figure.cells) == (0, ())
    assert totals_by(figure.cells, "year") == {}
    assert shares_by_year(figure.cells) == {}
    assert male_share(figure.cells).percent is None


# X19. Fails when a figure loses its formula's version or its cut.
def test_a_figure_names_formula_version_and_cut() -> None:
    figure = count_persons(PERSONS_ASSISTED, [], CUT)

    assert (figure.formula.code, figure.formula.version) == ("persons_assisted", 1)
    assert figure.cut is CUT
    assert FORMULAS["persons_assisted", 1] is PERSONS_ASSISTED
    assert {code for code, _ in FORMULAS} == {
        "persons_assisted",
        "persons_at_risk_assisted",
        "secondary_beneficiaries",
    }


# X19. Fails when the hash depends on the time zone an instant is written in, or leaves the instant,
# the number of facts or the formula out.
def test_the_query_hash_changes_with_what_the_numbers_depend_on_and_nothing_else() -> None:
    def query_hash(as_of: str, facts: int) -> str:
        cut = DataCut(datetime.fromisoformat(as_of), facts)
        return count_persons(PERSONS_ASSISTED, [], cut).query_hash

    base = query_hash("2026-06-01T08:00:00Z", 58)

    assert base == query_hash("2026-06-01T10:00:00+02:00", 58)
    assert base != query_hash("2026-06-01T08:00:00.000001Z", 58)
    assert base != query_hash("2026-06-01T08:00:00Z", 59)
    assert base != count_persons(SECONDARY_BENEFICIARIES, [], CUT).query_hash
    assert len(base) == 64


# Published figures (published_figures, RS2021 and XK2021): women, men, girls, boys.
RS_2021 = (
    Cell(2021, "FEMALE", ADULT, 21),
    Cell(2021, "FEMALE", CHILD, 13),
    Cell(2021, "MALE", ADULT, 8),
    Cell(2021, "MALE", CHILD, 1),
)
XK_2021 = (
    Cell(2021, "FEMALE", ADULT, 4),
    Cell(2021, "FEMALE", CHILD, 16),
    Cell(2021, "MALE", CHILD, 2),
)
# The programme over all years (domain.md section 9): 1 711 persons, 296 male, 651 children. How the
# two cross is not published; the shares must not depend on it.
TVRP = (
    Cell(2014, "FEMALE", ADULT, 1711 - 296 - 600),
    Cell(2014, "FEMALE", CHILD, 600),
    Cell(2014, "MALE", ADULT, 296 - 51),
    Cell(2014, "MALE", CHILD, 51),
)


@pytest.mark.parametrize(
    ("cells", "male", "children"),
    [
        (RS_2021, "20.9", "32.6"),
        (XK_2021, "9.1", "81.8"),
        (TVRP, "17.3", "38.0"),
        ((Cell(2020, "MALE", CHILD, 1), Cell(2020, "UNKNOWN", UNKNOWN, 3)), "25.0", "25.0"),
    ],
)
def test_published_shares(cells: tuple[Cell, ...], male: str, children: str) -> None:
    assert male_share(cells).percent == Decimal(male)
    assert child_share(cells).percent == Decimal(children)


# Fails with binary floats or half-to-even: 1 of 16 is 6.25 %, 3 of 16 is 18.75 %.
@pytest.mark.parametrize(("part", "percent"), [(1, "6.3"), (3, "18.8"), (0, "0.0"), (16, "100.0")])
def test_a_share_is_rounded_half_up_to_one_decimal(part: int, percent: str) -> None:
    assert Share(part, 16).percent == Decimal(percent)


def numbered(starts: list[tuple[str, str, str, int]]) -> Iterator[PlanStart]:
    case = count(1)
    for started_on, sex, age_band, persons in starts:
        for _ in range(persons):
            yield plan_start(next(case), started_on, sex=sex, age_band=age_band)


# The programme's own trend (seed 002): 10 % male in 2007, 21.6 % in 2014; children under a quarter,
# then 70 %. Fails when a share of one year takes the other year's persons in.
def test_shares_per_year_follow_the_programmes_trend() -> None:
    starts = numbered(
        [
            ("2007-03-01", "FEMALE", "18-24", 70),
            ("2007-03-01", "FEMALE", "12-17", 20),
            ("2007-03-01", "MALE", "25-34", 10),
            ("2014-03-01", "FEMALE", "12-17", 250),
            ("2014-03-01", "FEMALE", "35+", 142),
            ("2014-03-01", "MALE", "0-11", 100),
            ("2014-03-01", "MALE", "18-24", 8),
        ]
    )

    shares = shares_by_year(cells_of(*starts))

    assert {year: (male.percent, child.percent) for year, (male, child) in shares.items()} == {
        2007: (Decimal("10.0"), Decimal("20.0")),
        2014: (Decimal("21.6"), Decimal("70.0")),
    }
