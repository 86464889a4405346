"""kill -9 at every named point (T1 and T2 on one process): nothing lost, nothing twice, back at once.

The base seed is printed; a run that failed is done for ever if it is added to AGAIN.
"""

import ast
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from statistics import median
from typing import Any

import pytest

from tests import house
from tests.chaos.plan import CARRYING
from tests.system.killing import POINTS, Killer, Outcome, Run, runs_of

pytestmark = [pytest.mark.system, pytest.mark.slow]

AT_ONCE = 2
READY_SECONDS = 10.0
AGAIN: dict[str, Sequence[Run]] = {
    # The load was over in two seconds, before the chain had been linked three times.
    "audit.after_link": [Run("audit.after_link", "load", 3, 2998232179)],
    # Tables of a migration stood without its revision, and the country never started again.
    "migration.before_commit": [Run("migration.before_commit", "new", 2, 1)],
}
_LINE = "{:24} {:>5} {:>5} {:>5} {:>8} {:>6} {:>9} {:>7} {:>8}"
_KINDS = ("lost", "doubled", "wrong")


class Runs:
    """The runs of all selected points, two at a time, begun with the first test that asks."""

    def __init__(self, killer: Killer, points: Sequence[str], seed: int) -> None:
        self.seed = seed
        self.outcomes: dict[str, list[Outcome]] = defaultdict(list)
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._begun: dict[str, list[tuple[Run, Future[Outcome]]]] = {
            point: [
                (run, self._pool.submit(killer.kill, run))
                for run in (*runs_of(point, seed), *AGAIN.get(point, ()))
            ]
            for point in points
        }

    def of(self, point: str) -> list[Outcome]:
        for run, begun in self._begun[point]:
            try:
                outcome = begun.result()
            except Exception as error:
                error.add_note(f"in {run}, base seed {self.seed}")
                raise
            self.outcomes[point].append(outcome)
        return self.outcomes[point]

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def table(self) -> str:
        """Return one line a point.

        The last two columns are the median and the longest time from the start after the kill to
        `ready`, without what the process waited for a processor that others used.
        """
        heads = (
            "point",
            "runs",
            "died",
            "lost",
            "doubled",
            "wrong",
            "repeated",
            "ready",
            "at most",
        )
        lines = [f"base seed {self.seed}", _LINE.format(*heads)]
        for point, outcomes in self.outcomes.items():
            kinds = [fault.kind for outcome in outcomes for fault in outcome.faults]
            seconds = [outcome.seconds - outcome.queued for outcome in outcomes]
            figures = (len(self._begun[point]), len(outcomes), *map(kinds.count, _KINDS))
            repeated = sum(outcome.repeated for outcome in outcomes)
            times = (f"{median(seconds):.1f} s", f"{max(seconds):.1f} s")
            lines.append(_LINE.format(point, *figures, repeated, *times))
        return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runs]:
    killer = Killer(tmp_path_factory.mktemp("kill"))
    killer.prepare()
    points = [
        str(item.callspec.params["point"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and "runs" in item.fixturenames
    ]
    begun = Runs(killer, points, random.SystemRandom().randrange(2**32))
    yield begun
    begun.close()
    show(request.config, begun.table())


def show(config: pytest.Config, table: str) -> None:
    (house.ROOT / "build").mkdir(exist_ok=True)
    (house.ROOT / "build" / "kill.txt").write_text(table)
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    with capture.global_and_fixture_disabled():
        reporter.write_line("")
        reporter.write(table)


def test_every_point_in_the_source_is_killed_at_and_named_by_a_literal() -> None:
    calls = [
        (name, ast.unparse(call.args[0]))
        for name, tree in house.sources("libs/", "services/", "deploy/")
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == "crash"
    ]

    # Those of the courier are passed by who has a hub: make chaos kills there.
    assert {ast.literal_eval(argument) for _, argument in calls} == {*POINTS, *CARRYING}
    owners = {name.split("/src/")[1].split("/")[0] for name, _ in calls}
    assert owners == {"common", "prag", "referral"}


@pytest.mark.row("C13")
@pytest.mark.parametrize("point", POINTS)
def test_what_was_answered_survives_a_kill_and_happens_once(runs: Runs, point: str) -> None:
    outcomes = runs.of(point)

    assert len({(outcome.run.n, outcome.run.seed) for outcome in outcomes}) >= 3
    for outcome in outcomes:
        assert outcome.faults == [], f"{outcome.run}, base seed {runs.seed}"
        # What it waits for a processor that others use is no part of its recovery.
        assert outcome.seconds - outcome.queued <= READY_SECONDS, outcome
