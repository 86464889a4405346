"""The pytest side of the ledger: knows the row markers, remembers what each marked test showed.

A full run that leaves a row called `works` without a passed test ends with a failing exit code. What
`-m` of the ini leaves to other commands makes a run no less full.
"""

import argparse
from collections.abc import Sequence

import pytest

from tests.ledger import LEFT_OUT, ROWS, LedgerError, Row, Run, load_rows, record, unshown


def pytest_configure(config: pytest.Config) -> None:
    try:
        rows = load_rows(config.rootpath)
    except LedgerError as error:
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(LedgerRecorder(config, rows), "ledger-recorder")


class LedgerRecorder:
    """Collects the outcome of every marked test and writes build/ledger-run.json at the end."""

    def __init__(self, config: pytest.Config, rows: Sequence[Row]) -> None:
        self._config = config
        self._rows = rows
        self._marked: dict[str, list[str]] = {}
        self._outcomes: dict[str, str] = {}
        self._left_out: set[str] = set()
        self._unshown: list[str] = []

    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        known = {row.id for row in self._rows}
        for item in items:
            ids = [id_ for marker in item.iter_markers("row") for id_ in marker.args]
            unknown = sorted(set(ids) - known)
            if unknown:
                raise pytest.UsageError(
                    f"{item.nodeid}: there is no row {', '.join(unknown)} in {ROWS}"
                )
            if ids:
                test = _function_of(item.nodeid)
                self._marked[test] = sorted({*self._marked.get(test, ()), *ids})

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._left_out.update(_function_of(item.nodeid) for item in items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = _function_of(report.nodeid)
        if test not in self._marked:
            return
        before = self._outcomes.get(test, "skipped")
        if "failed" in {before, report.outcome}:
            self._outcomes[test] = "failed"
        elif report.when == "call" and report.outcome == "passed":
            self._outcomes[test] = "passed"
        else:
            self._outcomes[test] = before

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self._config.option.collectonly:
            return
        full = self._is_full(session, exitstatus)
        seen = {
            test: {"rows": self._marked[test], "outcome": outcome}
            for test, outcome in sorted(self._outcomes.items())
        }
        if full:
            left_out = {
                test: {"rows": self._marked[test], "outcome": LEFT_OUT}
                for test in sorted(self._left_out & self._marked.keys())
            }
            record(self._config.rootpath, seen, left_out=left_out)
            self._unshown = unshown(self._rows, Run(full=True, tests={**left_out, **seen}))
            if self._unshown and exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        elif seen:
            record(self._config.rootpath, seen)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._unshown:
            terminalreporter.section("ledger", red=True)
            for line in self._unshown:
                terminalreporter.write_line(line)

    def _is_full(self, session: pytest.Session, exitstatus: int) -> bool:
        option = self._config.option
        narrowing = ("keyword", "ignore", "ignore_glob", "deselect", "lf", "stepwise")
        return (
            self._config.args_source is pytest.Config.ArgsSource.TESTPATHS
            and not any(getattr(option, name, None) for name in narrowing)
            and option.markexpr in {"", _default_markexpr(self._config)}
            and not session.shouldstop
            and not session.shouldfail
            and exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        )


def _default_markexpr(config: pytest.Config) -> str:
    """Return the `-m` that the ini gives to every run."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-m", default="")
    given, _ = parser.parse_known_args(config.getini("addopts"))
    return str(given.m)


def _function_of(nodeid: str) -> str:
    return nodeid.partition("[")[0]
