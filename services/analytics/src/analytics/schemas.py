from decimal import Decimal

from pydantic import ConfigDict, Field

from analytics.domain import AgeGroup, Cell, DataCut, Figure, Share, shares_by_year, totals_by
from common.schema import Instant, ReadModel, coded


class DataCutRead(ReadModel):
    """The facts a figure rests on: those of events up to `as_of`, and how many were known then."""

    as_of: Instant
    facts: int


class CellRead(ReadModel):
    year: int
    sex: str = coded("sex_gender")
    age_group: AgeGroup
    value: int


class MarkerCellRead(ReadModel):
    """Persons of a year who carried a population marker when they were first helped, or later.

    Who carried several is in the cell of each: these cells do not add up to the total.
    """

    year: int
    marker: str = Field(json_schema_extra={"x-codelist": "population_markers"})
    value: int


class TotalsRead(ReadModel):
    """The sums over the other two dimensions, by the values of one."""

    year: dict[str, int]
    sex: dict[str, int]
    age_group: dict[str, int]


class ShareRead(ReadModel):
    """A part of a whole; `percent` has one decimal and is null for an empty whole."""

    part: int
    whole: int
    percent: Decimal | None


class YearSharesRead(ReadModel):
    """The shares of men and boys and of children among all persons of a year."""

    year: int
    male: ShareRead
    child: ShareRead


class IndicatorRead(ReadModel):
    """Exact national numbers with what is needed to compute them again.

    Cells without a person are left out. Equal `query_hash` promises equal numbers.
    """

    model_config = ConfigDict(json_schema_extra={"x-data-class": "P3"})

    formula: str
    formula_version: int
    query_hash: str
    data_cut: DataCutRead
    total: int
    totals: TotalsRead
    shares: list[YearSharesRead]
    cells: list[CellRead]
    by_marker: list[MarkerCellRead]

    @classmethod
    def of(cls, figure: Figure) -> "IndicatorRead":
        cells = figure.cells
        return cls(
            formula=figure.formula.code,
            formula_version=figure.formula.version,
            query_hash=figure.query_hash,
            data_cut=_cut(figure.cut),
            total=figure.total,
            totals=TotalsRead(
                year=totals_by(cells, "year"),
                sex=totals_by(cells, "sex"),
                age_group=totals_by(cells, "age_group"),
            ),
            shares=[
                YearSharesRead(year=year, male=_share(male), child=_share(child))
                for year, (male, child) in shares_by_year(cells).items()
            ],
            cells=[_cell(cell) for cell in cells],
            by_marker=[MarkerCellRead.model_validate(cell) for cell in figure.marker_cells],
        )


def _cut(cut: DataCut) -> DataCutRead:
    return DataCutRead(as_of=cut.as_of, facts=cut.facts)


def _share(share: Share) -> ShareRead:
    return ShareRead(part=share.part, whole=share.whole, percent=share.percent)


def _cell(cell: Cell) -> CellRead:
    return CellRead.model_validate(cell)
