"""One run of the kill test: a country dies at a named point under load, comes back, and is judged."""

import random
import shutil
import signal
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from common.clock import monotonic
from tests.system.files import Fault, is_drained
from tests.system.load import prepare, run_load
from tests.system.oracle import find_faults
from tests.system.people import Done, Site
from tests.system.processes import KILLED, Country, KilledError, free_ports, poll, prag
from tests.system.projections import make_empty


@dataclass(frozen=True, slots=True)
class Point:
    """When a point is passed, at least how often until then, and how its runs go.

    `moments` are those of the runs in turn: under `load`, at the `stop` in the middle of it, at the
    `start` after the process was killed in the middle of it, at the first start of a `new` country.
    """

    moments: Sequence[str] = ("load", "load", "load")
    passes: tuple[int, int] = (1, 1)
    passes_at_start: tuple[int, int] = (1, 1)


POINTS = {
    "db.before_commit": Point(("load", "load", "start"), (10, 150), (1, 4)),
    "db.after_commit": Point(("load", "load", "start"), (10, 150), (1, 4)),
    "bus.before_commit": Point(passes=(5, 30)),
    "bus.after_commit": Point(passes=(5, 30)),
    "relay.before_send": Point(passes=(5, 30)),
    "relay.after_send": Point(passes=(5, 30)),
    "relay.after_mark": Point(passes=(5, 30)),
    "consumer.before_commit": Point(passes=(10, 120)),
    "consumer.after_commit": Point(passes=(10, 60)),
    "http.after_write": Point(passes=(5, 90)),
    "audit.after_link": Point(passes=(1, 3)),
    "audit.after_head": Point(("stop", "stop", "start"), (1, 2), (1, 2)),
    "migration.between": Point(("new", "new", "new"), (1, 3)),
    "migration.before_commit": Point(("new", "new", "new"), (1, 4)),
    "start.before_ready": Point(("start", "start", "start")),
    "shutdown.before_relay": Point(("stop", "stop", "stop")),
    "shutdown.before_close": Point(("stop", "stop", "stop"), (1, 4)),
}


@dataclass(frozen=True, slots=True)
class Run:
    """What is needed to do it again; only the threads' luck is not in it."""

    point: str
    moment: str
    n: int
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    run: Run
    faults: Sequence[Fault]
    repeated: int
    """Requests that had no answer when it died."""
    seconds: float
    """To `ready` after the kill."""
    queued: float
    """Seconds of these in which it waited for a processor that others used."""


def runs_of(name: str, seed: int) -> list[Run]:
    point = POINTS[name]
    chance = random.Random(f"{seed} {name}")  # noqa: S311
    runs: list[Run] = []
    for moment in point.moments:
        low, high = point.passes_at_start if moment == "start" else point.passes
        used = {run.n for run in runs if run.moment == moment}
        free = [n for n in range(low, high + 1) if n not in used] or [low]
        runs.append(Run(name, moment, chance.choice(free), chance.randrange(2**32)))
    return runs


class Killer:
    """Does runs, each on a copy of a country with a directory and a case, prepared once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._empty = make_empty(folder / "empty.db")
        self._home = folder / "prepared"
        self._done: list[Done] = []

    def prepare(self) -> None:
        with Country(self._home, "--empty") as country:
            country.wait_ready()
            with closing(Site(self._home, country.port_base)) as site:
                site.is_up()
                prepare(site)
            poll(lambda: is_drained(self._home))
            assert country.end() == 0
        self._done = site.done

    def live(self, home: Path, seed: int) -> list[Done]:
        """Let a country live undisturbed in `home` and end; return what was answered."""
        shutil.copytree(self._home, home)
        with Country(home, "--empty") as country:
            country.wait_ready()
            with closing(Site(home, country.port_base, self._done)) as site:
                site.is_up()
                run_load(site, seed)
            poll(lambda: is_drained(home))
            assert country.end() == 0
        return site.done

    def kill(self, run: Run) -> Outcome:
        """Do one run. AssertionError where the point was not reached or the country stays away."""
        home = self._folder / f"{run.point}-{run.moment}-{run.n}-{run.seed}"
        outcome = self._kill_new(run, home) if run.moment == "new" else self._kill_used(run, home)
        shutil.rmtree(home)
        return outcome

    def _kill_new(self, run: Run, home: Path) -> Outcome:
        ports = free_ports()
        _start_and_die(run, home, ports)
        with Country(home, "--empty", port_base=ports) as country:
            times = _wait_ready(country)
            with closing(Site(home, ports)) as site, ThreadPoolExecutor(1) as others:
                site.is_up()
                prepare(site)
                load = others.submit(run_load, site, run.seed)
                faults = self._end(country, site, load, home)
        return Outcome(run, faults, site.repeated, *times)

    def _kill_used(self, run: Run, home: Path) -> Outcome:
        shutil.copytree(self._home, home)
        ports = free_ports()
        # The site is closed before the pool: whoever waits in vain must not be waited for.
        with ThreadPoolExecutor(1) as others, closing(Site(home, ports, self._done)) as site:
            load = others.submit(run_load, site, run.seed)
            _live_and_die(run, home, site, load)
            if run.moment == "start":
                _start_and_die(run, home, ports)
            with Country(home, "--empty", port_base=ports) as country:
                times = _wait_ready(country)
                site.is_up()
                faults = self._end(country, site, load, home)
        return Outcome(run, faults, site.repeated, *times)

    def _end(
        self, country: Country, site: Site, load: "Future[None]", home: Path
    ) -> Sequence[Fault]:
        """Let everybody finish, let the news arrive, end it, and judge what it left."""
        load.result()
        poll(lambda: is_drained(home))
        assert country.end() == 0
        assert country.errors() == ""
        faults = find_faults(home, site.done, self._empty)
        verified = prag("verify-audit", home=home)
        if verified.returncode != 0:
            faults.append(Fault("I6", "wrong", verified.stdout + verified.stderr))
        return faults


def _armed(run: Run) -> str:
    return f"{run.point}:{run.n}"


def _wait_ready(country: Country) -> tuple[float, float]:
    """Return the seconds until it was ready, and how many of them it waited for a processor."""
    asked = monotonic()
    country.wait_ready()
    schedule = Path(f"/proc/{country.process.pid}/schedstat")
    queued = int(schedule.read_text().split()[1]) / 1e9 if schedule.exists() else 0.0
    return monotonic() - asked, queued


def _live_and_die(run: Run, home: Path, site: Site, load: "Future[None]") -> None:
    """Start, work, and die at the point or by a kill from outside."""
    crash_at = "" if run.moment == "start" else _armed(run)
    with Country(home, "--empty", port_base=site.port_base, crash_at=crash_at) as country:
        try:
            country.wait_ready()
        except KilledError:  # a slow start passes a point often: it died as in the moment `start`
            return
        site.is_up()
        if run.moment != "load":
            enough = len(site.done) + 10 + run.seed % 70
            poll(lambda: len(site.done) >= enough or load.done())
            country.send(signal.SIGTERM if run.moment == "stop" else signal.SIGKILL)
        # Longer than the load, which may be over before what a clock paces was passed n times.
        poll(lambda: country.exit_code is not None or _is_broken(load))
        assert country.exit_code == KILLED, f"{run} was not reached: {_cause(load)}"


def _start_and_die(run: Run, home: Path, ports: int) -> None:
    with Country(home, "--empty", port_base=ports, crash_at=_armed(run)) as country:
        poll(lambda: country.exit_code is not None)
        assert country.exit_code == KILLED, f"{run} was not reached: {country.errors()}"


def _is_broken(load: "Future[None]") -> bool:
    return load.done() and load.exception() is not None


def _cause(load: "Future[None]") -> object:
    return load.exception() if load.done() else "the load goes on"
