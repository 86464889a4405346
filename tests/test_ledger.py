"""The ledger refuses every claim that no test bears out. Each test works on a small house of its own."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import ledger

pytest_plugins = ["pytester"]

README = f"# House\n\n{ledger.BEGIN}\n{ledger.END}\n\nMore.\n"
MARKED = '@pytest.mark.row("F1")\ndef test_case() -> None:\n    assert True\n'
ON_KAFKA = '@pytest.mark.kafka\n@pytest.mark.row("F2")\ndef test_far() -> None: ...\n'


def row(id_: str = "F1", state: str = "works", **more: Any) -> dict[str, Any]:
    return {"id": id_, "text": "A case", "services": ["intake"], "state": state, **more}


def house(root: Path, *rows: dict[str, Any], test: str = MARKED) -> Path:
    """Lay a repository with these rows and one test file; its pages are drawn if they can be."""
    for folder in ("docs", "tests"):
        (root / folder).mkdir()
    (root / ledger.ROWS).write_text(json.dumps({"areas": [{"name": "Area", "rows": rows}]}))
    (root / ledger.README).write_text(README)
    (root / "tests/conftest.py").write_text('pytest_plugins = ["tests.ledger_plugin"]\n')
    (root / "tests/test_case.py").write_text(f"import pytest\n\n\n{test}")
    (root / "pytest.ini").write_text(
        "[pytest]\ntestpaths = tests\naddopts = -m 'not kafka' --import-mode=importlib -p no:asyncio -p no:hypothesispytest -p no:anyio -p no:platformdirs\n"
        "markers =\n    row(*ids)\n    kafka\n"
    )
    return root


def drawn(root: Path) -> Path:
    ledger.write(root)
    return root


def test_rows_and_tests_that_agree_raise_no_problem(tmp_path: Path) -> None:
    root = drawn(house(tmp_path, row(), row("F2", "not yet")))

    assert ledger.problems(root) == []
    assert ledger.main(["--check"], root) == 0


@pytest.mark.parametrize("state", ["works", "partly"])
def test_a_claim_without_a_test_is_a_problem(
    tmp_path: Path, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = row("F2", state, **({"missing": "merge"} if state == "partly" else {}))
    root = drawn(house(tmp_path, row(), claim))

    assert ledger.main(["--check"], root) == 1
    assert capsys.readouterr().err.startswith(f"F2 is called '{state}' and no test carries")


def test_a_row_with_tests_may_not_be_called_not_yet(tmp_path: Path) -> None:
    root = drawn(house(tmp_path, row(state="not yet")))

    assert ledger.problems(root) == [
        "F1 is called 'not yet' and has tests: say `partly` and what lacks"
    ]


def test_a_marker_of_an_unknown_row_is_a_problem(tmp_path: Path) -> None:
    root = drawn(house(tmp_path, row(), test=MARKED.replace('"F1"', '"F1", "F99"')))

    [problem] = ledger.problems(root)
    assert problem.startswith("tests/test_case.py::test_case: there is no row F99")


@pytest.mark.parametrize(
    "test",
    [
        "ROWS = 'F1'\n@pytest.mark.row(ROWS)\ndef test_case() -> None: ...\n",
        "@pytest.mark.row()\ndef test_case() -> None: ...\n",
        '@pytest.mark.row("F1")\ndef helper() -> None: ...\n',
        '@pytest.mark.row("F1")\nclass TestCase: ...\n',
    ],
)
def test_a_marker_that_cannot_be_read_is_a_problem(tmp_path: Path, test: str) -> None:
    root = house(tmp_path, row(), test=test)

    [problem] = ledger.problems(root)
    assert problem.startswith("tests/test_case.py:")


def test_markers_are_found_on_functions_parameters_and_modules(tmp_path: Path) -> None:
    test = (
        'pytestmark = [pytest.mark.row("S1"), pytest.mark.slow]\n'
        '@pytest.mark.row("F1", "F2")\nasync def test_a() -> None: ...\n'
        '@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.row("X1"))])\n'
        "def test_b(n: int) -> None: ...\n"
    )
    root = house(tmp_path, row(), test=test)

    assert ledger.marked_tests(root) == {
        "S1": ["tests/test_case.py::test_a", "tests/test_case.py::test_b"],
        "F1": ["tests/test_case.py::test_a"],
        "F2": ["tests/test_case.py::test_a"],
        "X1": ["tests/test_case.py::test_b"],
    }


@pytest.mark.parametrize("page", [ledger.PAGE, ledger.README])
def test_a_page_that_was_edited_or_is_stale_is_a_problem(tmp_path: Path, page: str) -> None:
    root = drawn(house(tmp_path, row()))
    (root / page).write_text((root / page).read_text().replace("A case", "Everything"))

    assert ledger.problems(root) == [f"{page} is not what the ledger says: run make features"]


def test_writing_keeps_the_rest_of_the_readme(tmp_path: Path) -> None:
    partly = row("F2", "partly", missing="the second half")
    root = drawn(house(tmp_path, row(), partly, test=MARKED.replace('"F1"', '"F1", "F2"')))

    readme = (root / ledger.README).read_text()
    assert readme.startswith(f"# House\n\n{ledger.BEGIN}\n**Area**\n\n- A case (F1)\n\n")
    assert readme.endswith(f"{ledger.END}\n\nMore.\n")
    assert "(F2)" not in readme
    page = (root / ledger.PAGE).read_text()
    assert (
        "| F2 | A case | intake | partly: the second half | `test_case.py::test_case` |\n" in page
    )
    assert "| F: features | 1 | 1 | 0 |\n" in page


def test_a_readme_without_its_markers_is_refused(tmp_path: Path) -> None:
    root = house(tmp_path, row())
    (root / ledger.README).write_text("# House\n")

    assert ledger.main(["--write"], root) == 1
    assert ledger.main(["--check"], root) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        row("G1"),
        row(state="done"),
        row(state="partly"),
        row(missing="nothing"),
        row() | {"services": ["billing"]},
        row() | {"services": []},
        row() | {"text": "x" * 91},
        row(note="more"),
    ],
)
def test_a_malformed_row_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ledger.LedgerError, match=f"^{ledger.ROWS}: {wrong['id']}: must be so"):
        ledger.load_rows(house(tmp_path, wrong))


def test_a_row_may_stand_only_once(tmp_path: Path) -> None:
    with pytest.raises(ledger.LedgerError, match="F1 stands there 2 times"):
        ledger.load_rows(house(tmp_path, row(), row()))


# --- with pytest itself


def test_a_full_run_records_what_was_shown(pytester: pytest.Pytester) -> None:
    root = house(pytester.path, row())

    result = pytester.runpytest_inprocess()

    assert result.ret == pytest.ExitCode.OK
    shown = {"tests/test_case.py::test_case": {"rows": ["F1"], "outcome": "passed"}}
    assert ledger.Run.load(root) == ledger.Run(full=True, tests=shown)


@pytest.mark.parametrize(
    "test",
    [
        f'@pytest.mark.skip(reason="no server")\n{MARKED}',
        'def test_other() -> None: ...\n@pytest.mark.row("F2")\ndef test_f2() -> None: ...\n',
        "def test_other() -> None: ...\n",
    ],
)
def test_a_full_run_that_leaves_a_working_row_unshown_fails(
    pytester: pytest.Pytester, test: str
) -> None:
    root = drawn(house(pytester.path, row(), row("F2", "not yet"), test=test))

    result = pytester.runpytest_inprocess()

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["F1 is said to work, but in the last full run no test of it *"])
    assert any(problem.startswith("F1 is said to work") for problem in ledger.problems(root))


def test_a_narrowed_run_claims_nothing_but_renews_what_it_saw(pytester: pytest.Pytester) -> None:
    root = drawn(house(pytester.path, row()))
    assert pytester.runpytest_inprocess("-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert not ledger.Run.load(root).full
    pytester.runpytest_inprocess()
    (root / "tests/test_case.py").write_text(
        f"import pytest\n\n\n{MARKED.replace('True', 'False')}def test_other() -> None: ...\n"
    )

    result = pytester.runpytest_inprocess("-k", "case")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert ledger.Run.load(root).full
    assert ledger.problems(root) == ["F1 is said to work, but in the last run a test of it failed"]


@pytest.mark.parametrize(
    "narrowed",
    [
        ["-k", "case"],
        ["-m", "row"],
        ["--ignore=tests/other"],
        ["--deselect=tests/test_case.py::test_other"],
        ["--lf"],
        ["--sw"],
        ["tests/test_case.py"],
    ],
)
def test_whatever_narrows_a_run_by_hand_keeps_it_from_claiming(
    pytester: pytest.Pytester, narrowed: list[str]
) -> None:
    # Fails when one of the ways is forgotten: rows of what was left out would be called unshown.
    root = house(pytester.path, row(), test=f"{MARKED}def test_other() -> None: ...\n")

    assert pytester.runpytest_inprocess(*narrowed).ret == pytest.ExitCode.OK

    assert not ledger.Run.load(root).full


def test_what_the_ini_leaves_to_another_command_makes_a_run_no_less_full(
    pytester: pytest.Pytester,
) -> None:
    """Seeded: count any `-m`, or what it deselects, as narrowed; forget what the other command showed."""
    root = drawn(house(pytester.path, row(), row("F2"), test=MARKED + ON_KAFKA))

    assert pytester.runpytest_inprocess().ret == pytest.ExitCode.OK
    assert ledger.Run.load(root).full
    assert ledger.main(["--check"], root) == 0
    assert ledger.problems(root, whole=True) == [
        "F2 is said to work, but in any run here no test of it passed"
    ]

    assert pytester.runpytest_inprocess("-m", "kafka").ret == pytest.ExitCode.OK
    assert ledger.main(["--check", "--whole"], root) == 0
    assert pytester.runpytest_inprocess().ret == pytest.ExitCode.OK
    assert ledger.main(["--check", "--whole"], root) == 0


def test_what_failed_under_another_command_fails_the_check_and_not_the_run(
    pytester: pytest.Pytester,
) -> None:
    """Seeded: judge a run by what others recorded; forget what they recorded."""
    failing = ON_KAFKA.replace("...", "assert False")
    root = drawn(house(pytester.path, row(), row("F2"), test=MARKED + failing))
    assert pytester.runpytest_inprocess("-m", "kafka").ret == pytest.ExitCode.TESTS_FAILED

    assert pytester.runpytest_inprocess().ret == pytest.ExitCode.OK
    assert ledger.problems(root) == ["F2 is said to work, but in the last run a test of it failed"]


def test_the_whole_is_asked_of_all_runs_though_none_was_full(pytester: pytest.Pytester) -> None:
    """Seeded: ask only where a run was full, as `--check` does: runs in parts would show nothing."""
    root = drawn(house(pytester.path, row(), row("F2"), test=MARKED + ON_KAFKA))
    pytester.runpytest_inprocess("tests/test_case.py")

    assert ledger.main(["--check"], root) == 0
    assert ledger.main(["--check", "--whole"], root) == 1
    pytester.runpytest_inprocess("-m", "kafka")
    assert ledger.main(["--check", "--whole"], root) == 0

    (root / "tests/test_case.py").write_text(
        f"import pytest\n\n\n{MARKED.replace('True', 'False')}{ON_KAFKA}"
    )
    pytester.runpytest_inprocess("-k", "case")
    assert ledger.problems(root, whole=True) == [
        "F1 is said to work, but in the last run a test of it failed"
    ]


@pytest.mark.parametrize(
    "before",
    [
        MARKED.replace("test_case", "test_gone"),
        MARKED.replace('"F1"', '"F1", "F2"'),
    ],
    ids=["test gone", "row gone"],
)
def test_what_is_marked_no_more_shows_nothing(pytester: pytest.Pytester, before: str) -> None:
    """Seeded: believe the record of a test that is gone, or the rows that a test had when it ran."""
    root = house(pytester.path, row(), row("F2"), test=before)
    pytester.runpytest_inprocess("tests/test_case.py")
    (root / "tests/test_case.py").write_text(
        f"import pytest\n\n\n{MARKED}{ON_KAFKA.replace('far', 'new')}"
    )

    found = ledger.problems(drawn(root), whole=True)

    unshown = ["F1", "F2"] if "test_gone" in before else ["F2"]
    assert [problem.split()[0] for problem in found] == unshown


def test_the_whole_is_no_matter_of_drawing(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        ledger.main(["--write", "--whole"], house(tmp_path, row()))


def test_runs_that_end_at_once_all_keep_what_they_saw(tmp_path: Path) -> None:
    # Fails when what others recorded is read before it is one's turn to write.
    seen = {
        f"tests/test_case.py::test_{n}": {"rows": ["F1"], "outcome": "passed"} for n in range(80)
    }

    with ThreadPoolExecutor(8) as runs:
        [*runs.map(lambda test: ledger.record(tmp_path, {test: seen[test]}), seen)]

    assert ledger.Run.load(tmp_path) == ledger.Run(full=False, tests=seen)


def test_one_failed_case_of_a_parametrised_test_outweighs_the_passed_ones(
    pytester: pytest.Pytester,
) -> None:
    test = (
        '@pytest.mark.row("F1")\n@pytest.mark.parametrize("n", [0, 1, 2])\n'
        "def test_case(n: int) -> None:\n    assert n != 1\n"
    )
    root = house(pytester.path, row(), test=test)

    pytester.runpytest_inprocess()

    shown = {"tests/test_case.py::test_case": {"rows": ["F1"], "outcome": "failed"}}
    assert ledger.Run.load(root).tests == shown


def test_an_unknown_row_stops_the_run(pytester: pytest.Pytester) -> None:
    house(pytester.path, row(), test=MARKED.replace("F1", "F99"))

    result = pytester.runpytest_inprocess()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_case: there is no row F99 in docs/ledger.json*"])


def test_a_malformed_ledger_stops_the_run(pytester: pytest.Pytester) -> None:
    house(pytester.path, row(state="done"))

    result = pytester.runpytest_inprocess()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
