"""The rows of a run: printed for people, written for programs."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `ratio` is `value` by the figure of `against`; without a goal it informs only."""

    name: str
    value: float
    unit: str
    ratio: float
    against: str
    goal: str | None = None
    met: bool | None = None


class Series:
    """The figures of one thing, round by round."""

    def __init__(self, name: str, unit: str) -> None:
        self.name = name
        self.unit = unit
        self.values: list[float] = []

    def against(
        self,
        peer: "Series",
        *,
        ratio_at_least: float | None = None,
        ratio_at_most: float | None = None,
        value_at_most: float | None = None,
        aim: str = "",
    ) -> Row:
        """Return the medians; the ratio is the median of the rounds' own ratios.

        At most one of the three bounds is the goal.
        """
        value = median(self.values)
        ratio = median(
            mine / theirs for mine, theirs in zip(self.values, peer.values, strict=False)
        )
        goal, met = None, None
        if ratio_at_least is not None:
            goal, met = f">= {ratio_at_least:g} x{aim}", ratio >= ratio_at_least
        if ratio_at_most is not None:
            goal, met = f"<= {ratio_at_most:g} x{aim}", ratio <= ratio_at_most
        if value_at_most is not None:
            goal, met = f"<= {value_at_most:g} {self.unit}", value <= value_at_most
        return Row(self.name, round(value, 3), self.unit, round(ratio, 3), peer.name, goal, met)


def show(rows: list[Row]) -> None:
    """Print the table, and below it plainly which goals were missed."""
    cells = [("what", "value", "ratio", "against", "goal", "met")]
    for row in rows:
        met = "" if row.met is None else "yes" if row.met else "NO"
        number = f"{row.value:.0f}" if row.value >= 100 else f"{row.value:.2f}"  # noqa: PLR2004
        cells.append(
            (row.name, f"{number} {row.unit}", f"{row.ratio:.2f}", row.against, row.goal or "", met)
        )
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    print()
    for line in cells:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )
    missed = [row for row in rows if row.met is False]
    print()
    print(f"MISSED: {'; '.join(row.name for row in missed)}" if missed else "All goals are met.")


def write(rows: list[Row], left_out: list[str], path: Path) -> None:
    content = {"rows": [asdict(row) for row in rows], "left_out": left_out}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
