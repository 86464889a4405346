"""Charts of figures: Vega-Lite drawn to SVG inside this process; no script, no network."""

from collections.abc import Iterable
from typing import Any

from analytics.domain import Cell
from common import messages

# A palette that stays apart for people who do not tell red from green.
_COLOURS = ["#2f4b7c", "#d45087", "#9a9a9a"]
_SEXES = ("FEMALE", "MALE")
_AGES = ("CHILD", "ADULT")


def draw_by_sex(cells: Iterable[Cell], language: str) -> str:
    """Return an SVG: persons by year, stacked by sex."""
    order = [_word(name, language) for name in (*_SEXES, "UNKNOWN")]
    rows = [
        (c.year, _word(c.sex if c.sex in _SEXES else "UNKNOWN", language), c.value) for c in cells
    ]
    return _stacked(rows, messages.text("ui.sex", language), order, language)


def draw_by_age(cells: Iterable[Cell], language: str) -> str:
    """Return an SVG: persons by year, stacked by age group."""
    order = [_word(name, language) for name in (*_AGES, "UNKNOWN")]
    rows = [(c.year, _word(c.age_group, language), c.value) for c in cells]
    return _stacked(rows, messages.text("ui.age_group", language), order, language)


def _stacked(rows: list[tuple[int, str, int]], title: str, order: list[str], language: str) -> str:
    # Both libraries take a second and a hundred megabytes to load: only who looks at a chart pays.
    import altair  # noqa: PLC0415
    import vl_convert  # noqa: PLC0415

    values: dict[tuple[int, str], int] = {}
    for year, group, value in rows:
        values[year, group] = values.get((year, group), 0) + value
    data = [{"year": str(y), "group": g, "persons": v} for (y, g), v in sorted(values.items())]
    chart = (
        altair.Chart(altair.Data(values=data), width=520, height=260)
        .mark_bar()
        .encode(
            x=altair.X(
                "year:O", title=messages.text("ui.year", language), axis=altair.Axis(labelAngle=0)
            ),
            y=altair.Y(
                "persons:Q",
                title=messages.text("ui.persons", language),
                axis=altair.Axis(tickMinStep=1),
            ),
            color=altair.Color(
                "group:N", title=title, sort=order, scale=altair.Scale(domain=order, range=_COLOURS)
            ),
            order=altair.Order("group:N"),
        )
        .configure(font="sans-serif")
        .configure_view(stroke=None)
    )
    spec: dict[str, Any] = chart.to_dict()
    svg: str = vl_convert.vegalite_to_svg(spec)
    return svg


def _word(code: str, language: str) -> str:
    return messages.text(f"ui.{code.lower()}", language)
