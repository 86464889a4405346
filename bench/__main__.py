"""`make bench`: what Prag costs, beside what a plain service costs, in one run on one machine.

Read the ratios, not the absolutes: generator, servers and disk share the machine. The contestants
take turns, in reversed order every second round, and each ratio is taken within its round. The exit
code is 0 also when a goal is missed: this measures, it does not judge.
"""

import argparse
import os
import platform
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from subprocess import CalledProcessError
from time import perf_counter

from bench import country, creating, delay, letters, lists, postgres, production, relaying, starting
from bench.load import CONNECTIONS, LoadProcess
from bench.table import Row, show, write
from tests import kafka
from tests.conftest import PostgresUrls

ROUNDS = 5
LATEST = Path(__file__).parent / "latest.json"
_BUILD = LATEST.parent.parent / "build"


class Ground:
    """What the groups stand on, opened when the first of them asks for it."""

    def __init__(self, stack: ExitStack, folder: Path, rounds: int) -> None:
        self._stack = stack
        self._folder = folder
        self.rounds = rounds

    def home(self, name: str) -> Path:
        """Return a new folder of this name."""
        folder = self._folder / name
        folder.mkdir()
        return folder

    @cached_property
    def load(self) -> LoadProcess:
        return self._stack.enter_context(LoadProcess())

    @cached_property
    def urls(self) -> PostgresUrls:
        return self._stack.enter_context(postgres.running(self._folder / "postgres"))

    @cached_property
    def broker(self) -> kafka.Broker:
        """The broker; LackingError says why this machine can run none."""
        if lacking := kafka.missing():
            raise LackingError(f"no Kafka: {lacking}")
        try:
            kafka.fetch_jars()
        except CalledProcessError:
            raise LackingError("no Kafka: Maven could not fetch the broker") from None
        broker = self._stack.enter_context(kafka.running(self._folder / "kafka"))
        broker.provision()
        return broker


class LackingError(Exception):
    """A group needs what this machine lacks."""


GROUPS: dict[str, Callable[[Ground], list[Row]]] = {
    "sqlite": lambda on: creating.measure(on.load, on.home("sqlite"), on.rounds),
    "country": lambda on: country.measure(on.load, on.home("embedded"), on.rounds),
    "letters": lambda on: letters.measure(on.rounds),
    "start": lambda on: starting.measure(on.home("start"), on.urls, on.rounds),
    "create": lambda on: production.measure(on.load, on.home("create"), on.urls, on.rounds),
    "list": lambda on: lists.measure(on.load, on.home("list"), on.urls, on.rounds),
    "relay": lambda on: relaying.measure(on.load, on.home("relay"), on.urls, on.broker, on.rounds),
    "delay": lambda on: delay.measure(on.home("delay"), on.urls, on.broker, on.rounds),
}


def main() -> None:
    options = _options()
    busy = os.getloadavg()[0]
    print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{os.cpu_count()} CPUs, load {busy:.1f}; {CONNECTIONS} connections, "
        f"{options.rounds} rounds"
    )
    if busy > 1:
        print("The machine is at work already: the figures will be low and the ratios rough.")
    rows: list[Row] = []
    left_out = ["the plain reference on aiosqlite: no dependency of ours (decision 3)"]
    # Beside the checkout and not in /tmp, which may be memory: durable commits shall cost their due.
    _BUILD.mkdir(exist_ok=True)
    began = perf_counter()
    with tempfile.TemporaryDirectory(dir=_BUILD, prefix="bench-") as name, ExitStack() as stack:
        ground = Ground(stack, Path(name), options.rounds)
        for group in options.only or GROUPS:
            print(f"\n{group} (after {perf_counter() - began:.0f} s)", flush=True)
            try:
                rows += GROUPS[group](ground)
            except LackingError as error:
                left_out.append(f"{group}: {error}")
                print(f"left out: {error}")
    print(f"\n{perf_counter() - began:.0f} s")
    show(rows)
    for each in left_out:
        print(f"Left out: {each}.")
    if options.only:
        print(f"{LATEST.name} is left as it was: only {', '.join(options.only)} ran.")
    else:
        write(rows, left_out, LATEST)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each group")
    parser.add_argument(
        "--only", nargs="+", choices=[*GROUPS], help="these groups; latest.json stays as it is"
    )
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("at least one round is needed")
    return options


if __name__ == "__main__":
    main()
