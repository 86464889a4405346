"""The pytest side of the ledger: knows the row markers, remembers what each marked test showed.

A full run that leaves a row called `works` without a passed test ends with a failing exit code.
"""

from collections.abc import Sequence

import pytest

from tests.ledger import ROWS, LedgerError, Row, Run, load_rows, unshown


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
        self._narrowed = False
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
        self._narrowed = True

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
        before = Run.load(self._config.rootpath)
        # A narrowed run renews what it saw and leaves the rest of the last full run as it was.
        run = Run(full=True, tests=seen) if full else Run(before.full, before.tests | seen)
        if full or seen:
            run.save(self._config.rootpath)
        if full:
            self._unshown = unshown(self._rows, run)
            if self._unshown and exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._unshown:
            terminalreporter.section("ledger", red=True)
            for line in self._unshown:
                terminalreporter.write_line(line)

    def _is_full(self, session: pytest.Session, exitstatus: int) -> bool:
        option = self._config.option
        chosen = (option.keyword, option.markexpr, option.ignore, option.ignore_glob)
        return (
            self._config.args_source is pytest.Config.ArgsSource.TESTPATHS
            and not any(chosen)
            and not getattr(option, "lf", False)
            and not self._narrowed
            and not session.shouldstop
            and not session.shouldfail
            and exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        )


def _function_of(nodeid: str) -> str:
    return nodeid.partition("[")[0]
