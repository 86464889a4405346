"""Charts of figures: Vega-Lite drawn to SVG inside this process; no script, no network."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from analytics.domain import AgeGroup, Cell
from common import messages

SEXES: Final = ("FEMALE", "MALE", "UNKNOWN")
AGES: Final = (AgeGroup.CHILD, AgeGroup.ADULT, AgeGroup.UNKNOWN)

# Of Okabe and Ito's palette, which people tell apart who do not see all colours; grey is unknown.
_SEX_COLOURS: Final = ("#0072b2", "#e69f00", "#a3a9b0")
_AGE_COLOURS: Final = ("#009e73", "#cc79a7", "#a3a9b0")
_FONT: Final = "sans-serif"
_FONT_SIZE: Final = 13


def sex_of(cell: Cell) -> str:
    """Return the group in which a cell is drawn; a code without a bar of its own is not known."""
    return cell.sex if cell.sex in SEXES else "UNKNOWN"


def age_of(cell: Cell) -> str:
    return str(cell.age_group)


def draw_by_sex(cells: Iterable[Cell], language: str) -> str:
    """Return an SVG: persons by year, stacked by sex."""
    persons = ((c.year, sex_of(c), c.value) for c in cells)
    return _stacked(persons, SEXES, _SEX_COLOURS, language)


def draw_by_age(cells: Iterable[Cell], language: str) -> str:
    """Return an SVG: persons by year, stacked by age group."""
    persons = ((c.year, age_of(c), c.value) for c in cells)
    return _stacked(persons, AGES, _AGE_COLOURS, language)


def _stacked(
    persons: Iterable[tuple[int, str, int]],
    groups: Sequence[str],
    colours: Sequence[str],
    language: str,
) -> str:
    # Both libraries take a second and a hundred megabytes to load: only who looks at a chart pays.
    import altair  # noqa: PLC0415
    import vl_convert  # noqa: PLC0415

    names = [messages.text(f"ui.{group.lower()}", language) for group in groups]
    values: Counter[tuple[int, int]] = Counter()
    for year, group, value in persons:
        values[year, groups.index(group)] += value
    bars = [
        {
            "year": str(year),
            "group": names[rank],
            "rank": rank,  # the stack's order must not follow the alphabet of the reader's language
            "persons": value,
            "told": f"{year}, {names[rank]}: {value}",
        }
        for (year, rank), value in sorted(values.items())
    ]
    chart = (
        altair.Chart({"values": bars}, width=440, height=240, background="transparent")
        .mark_bar()
        .encode(
            x=altair.X("year:O", title=None, axis=altair.Axis(labelAngle=0)),
            y=altair.Y(
                "persons:Q",
                title=messages.text("ui.persons", language),
                axis=altair.Axis(tickMinStep=1),
            ),
            color=altair.Color(
                "group:N",
                title=None,
                sort=names,
                scale=altair.Scale(domain=names, range=[*colours]),
                legend=altair.Legend(orient="top"),
            ),
            order=altair.Order("rank:Q"),
            description=altair.Description("told:N"),
        )
        .configure(font=_FONT)
        .configure_axis(
            labelFontSize=_FONT_SIZE, titleFontSize=_FONT_SIZE, titleFontWeight="normal"
        )
        .configure_legend(labelFontSize=_FONT_SIZE)
        .configure_scale(bandPaddingInner=0.4, bandPaddingOuter=0.3)
        .configure_view(stroke=None)
    )
    spec: dict[str, Any] = chart.to_dict()
    svg: str = vl_convert.vegalite_to_svg(spec)
    return svg
