"""The ledger: what Prag can do, row by row, and the tests that show it.

docs/ledger.json holds the rows; `@pytest.mark.row("F1")` on a test says which row it shows.
`python -m tests.ledger --write` draws docs/features.md and the README's list from both,
`--check` fails where a row says more than a test shows, `--check --whole` also where no run of this
checkout has shown it.
"""

import argparse
import ast
import fcntl
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROWS = "docs/ledger.json"
PAGE = "docs/features.md"
README = "README.md"
RUN = "build/ledger-run.json"
BEGIN, END = "<!-- features:begin -->", "<!-- features:end -->"

LEFT_OUT = "left out"
"""Outcome of a test that a full run leaves to another command, which has not run here yet."""

STATES = ("works", "partly", "not yet")
SERVICES = ("intake", "referral", "reintegration", "analytics")
KINDS = {
    "F": "features",
    "X": "further features",
    "S": "items of the programme documents",
    "C": "requests of other systems' users",
}

Tests = Mapping[str, Sequence[str]]
"""Row id → node ids of the tests that carry its marker."""
Outcomes = Mapping[str, dict[str, Any]]
"""Node id → its rows and its outcome."""


class LedgerError(Exception):
    """The ledger or a marker cannot be read; the message names the row or file."""


@dataclass(frozen=True)
class Row:
    """One thing Prag does; `missing` says what a `partly` row lacks and is None otherwise."""

    id: str
    area: str
    text: str
    services: tuple[str, ...]
    state: str
    missing: str | None

    @property
    def standing(self) -> str:
        return f"partly: {self.missing}" if self.missing else self.state


@dataclass(frozen=True)
class Run:
    """What test runs showed; `full` once one of them left nothing out by hand."""

    full: bool
    tests: dict[str, dict[str, Any]]
    """Rows and outcome by node id."""

    @classmethod
    def load(cls, root: Path) -> "Run":
        path = root / RUN
        if not path.exists():
            return cls(full=False, tests={})
        stored = json.loads(path.read_text())
        return cls(full=stored["full"], tests=stored["tests"])

    def save(self, root: Path) -> None:
        path = root / RUN
        path.parent.mkdir(exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({"full": self.full, "tests": self.tests}, indent=1) + "\n")
        fresh.replace(path)


def record(root: Path, seen: Outcomes, *, left_out: Outcomes | None = None) -> None:
    """Keep what a run saw.

    A run is full where `left_out` names the tests it left to other commands: of these what was known
    stays, of all others it goes. Beside what a narrowed run saw everything stays.
    """
    lock = root / RUN.replace(".json", ".lock")
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # two runs of one checkout may end at once
        before = Run.load(root)
        if left_out is None:
            run = Run(before.full, {**before.tests, **seen})
        else:
            kept = {test: before.tests.get(test, none) for test, none in left_out.items()}
            run = Run(full=True, tests={**kept, **seen})
        run.save(root)


def load_rows(root: Path = ROOT) -> list[Row]:
    """Read the rows in their order; raise LedgerError at the first that is malformed."""
    areas = json.loads((root / ROWS).read_text())["areas"]
    rows = [_row(area["name"], fields) for area in areas for fields in area["rows"]]
    for id_, count in Counter(row.id for row in rows).items():
        if count > 1:
            raise LedgerError(f"{ROWS}: {id_} stands there {count} times")
    return rows


def _row(area: str, fields: dict[str, Any]) -> Row:
    missing = fields.get("missing")
    row = Row(
        fields["id"], area, fields["text"], tuple(fields["services"]), fields["state"], missing
    )
    faults = {
        "its id is a letter of F, X, S, C and a number": re.fullmatch(r"[FXSC]\d+", row.id),
        "its text has 1 to 90 characters": 0 < len(row.text) <= 90,
        "its services are known": row.services and {*row.services} <= {*SERVICES, "standalone"},
        f"its state is one of {', '.join(STATES)}": row.state in STATES,
        "`missing` stands in a `partly` row and only there": (row.state == "partly")
        == bool(missing),
        "it has no other fields": fields.keys() <= {"id", "text", "services", "state", "missing"},
    }
    for rule, holds in faults.items():
        if not holds:
            raise LedgerError(f"{ROWS}: {row.id}: must be so: {rule}")
    return row


# --- the markers


def marked_tests(root: Path = ROOT) -> dict[str, list[str]]:
    """Find every row marker under tests/ by reading the source; nothing is imported."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((root / "tests").rglob("test_*.py")):
        name = path.relative_to(root).as_posix()
        for row_id, test in _markers(ast.parse(path.read_text(), name), name):
            node = f"{name}::{test}"
            if node not in found[row_id]:
                found[row_id].append(node)
    return dict(found)


def _markers(tree: ast.Module, name: str) -> Iterator[tuple[str, str]]:
    tests = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]
    for node in tree.body:
        if node in tests:
            assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            shown_by = [node.name]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            shown_by = [test.name for test in tests]
        else:
            shown_by = []
        for row_id, line in _row_calls(node, name):
            if not shown_by:
                raise LedgerError(f"{name}:{line}: a row marker must stand on a test function")
            yield from ((row_id, test) for test in shown_by)


def _row_calls(node: ast.AST, name: str) -> Iterator[tuple[str, int]]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and re.fullmatch(
            r"(pytest\.)?mark\.row", ast.unparse(call.func)
        ):
            if not call.args or call.keywords:
                raise LedgerError(f"{name}:{call.lineno}: a row marker names at least one row")
            for argument in call.args:
                if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                    raise LedgerError(f"{name}:{call.lineno}: write the row's id in quotes")
                yield argument.value, call.lineno


# --- the rules


def unshown(rows: Sequence[Row], run: Run, *, whole: bool = False) -> list[str]:
    """Name the rows called `works` that no test has shown; `whole` forgives none that was left out."""
    enough = {"passed"} if whole else {"passed", LEFT_OUT}
    outcomes: dict[str, set[str]] = defaultdict(set)
    for test in run.tests.values():
        for row_id in test["rows"]:
            outcomes[row_id].add(test["outcome"])
    found = []
    for row in rows:
        if row.state == "works" and "failed" in outcomes[row.id]:
            found.append(f"{row.id} is said to work, but in the last run a test of it failed")
        elif row.state == "works" and not enough & outcomes[row.id]:
            when = "any run here" if whole else "the last full run"
            found.append(f"{row.id} is said to work, but in {when} no test of it passed")
    return found


def problems(root: Path = ROOT, *, whole: bool = False) -> list[str]:
    """Everything in which rows, tests, drawn pages and the last full run do not agree.

    With `whole` all runs of this checkout together are asked, full or not.
    """
    try:
        rows, tests = load_rows(root), marked_tests(root)
    except LedgerError as error:
        return [str(error)]
    known = {row.id for row in rows}
    found = [
        f"{node}: there is no row {row_id} in {ROWS}"
        for row_id in tests.keys() - known
        for node in tests[row_id]
    ]
    for row in rows:
        if row.state != "not yet" and row.id not in tests:
            found.append(f"{row.id} is called '{row.state}' and no test carries its marker")
        if row.state == "not yet" and row.id in tests:
            found.append(f"{row.id} is called 'not yet' and has tests: say `partly` and what lacks")
    found += [
        f"{path} is not what the ledger says: run make features"
        for path, content in _drawn(root, rows, tests).items()
        if not (root / path).exists() or (root / path).read_text() != content
    ]
    run = Run.load(root)
    # What a test showed that is gone, or shows another row now, counts no more.
    shows = {node: [id_ for id_ in tests if node in tests[id_]] for node in run.tests}
    now = {node: {**seen, "rows": shows[node]} for node, seen in run.tests.items()}
    asked = whole or run.full
    return found + (unshown(rows, Run(run.full, now), whole=whole) if asked else [])


# --- the pages


def write(root: Path = ROOT) -> None:
    """Draw the page and the README's list anew."""
    for path, content in _drawn(root, load_rows(root), marked_tests(root)).items():
        (root / path).write_text(content)


def _drawn(root: Path, rows: Sequence[Row], tests: Tests) -> dict[str, str]:
    readme = (root / README).read_text()
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise LedgerError(f"{README}: needs one {BEGIN} and one {END}")
    head, _, rest = readme.partition(BEGIN)
    tail = rest.partition(END)[2]
    return {
        PAGE: features_page(rows, tests),
        README: f"{head}{BEGIN}\n{readme_list(rows)}{END}{tail}",
    }


def features_page(rows: Sequence[Row], tests: Tests) -> str:
    """All rows by area, with their state and the tests that show them."""
    lines = [
        "# What Prag can do",
        "",
        "Drawn by `make features` from `docs/ledger.json` and the row markers of the tests; edit those.",
        "`works`: the tests named show the whole target. `partly`: they show it but for what is named.",
        "",
        "| rows | works | partly | not yet |",
        "|---|---:|---:|---:|",
    ]
    for letter, kind in KINDS.items():
        states = Counter(row.state for row in rows if row.id.startswith(letter))
        counts = " | ".join(str(states[state]) for state in STATES)
        lines.append(f"| {letter}: {kind} | {counts} |")
    for area in dict.fromkeys(row.area for row in rows):
        lines += ["", f"## {area}", ""]
        lines += ["| row | what | service | state | tests |", "|---|---|---|---|---|"]
        lines += [_line(row, tests) for row in rows if row.area == area]
    return "\n".join(lines) + "\n"


def _line(row: Row, tests: Tests) -> str:
    services = "all" if row.services == SERVICES else ", ".join(row.services)
    shown = "<br>".join(f"`{node.removeprefix('tests/')}`" for node in tests.get(row.id, ()))
    text, standing = (part.replace("|", r"\|") for part in (row.text, row.standing))
    return f"| {row.id} | {text} | {services} | {standing} | {shown} |"


def readme_list(rows: Sequence[Row]) -> str:
    """Only what works, by area; then how much is still missing."""
    states = Counter(row.state for row in rows)
    lines = []
    for area in dict.fromkeys(row.area for row in rows):
        working = [row for row in rows if row.area == area and row.state == "works"]
        if working:
            lines += [f"**{area}**", "", *(f"- {row.text} ({row.id})" for row in working), ""]
    lines.append(
        f"Of {len(rows)} rows, {states['works']} work, {states['partly']} work in part and "
        f"{states['not yet']} do not work yet: [every row with its tests]({PAGE})."
    )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Return 0, or 1 after printing what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.ledger")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help=f"draw {PAGE} and the README's list")
    action.add_argument("--check", action="store_true", help="fail where rows and tests disagree")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="with --check: each `works` row was shown in this checkout",
    )
    given = parser.parse_args(arguments)
    if given.whole and not given.check:
        parser.error("--whole goes with --check")
    try:
        if given.write:
            write(root)
            return 0
        found = problems(root, whole=given.whole)
    except LedgerError as error:
        found = [str(error)]
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
