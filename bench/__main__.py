"""`make bench`: what Prag costs, beside what a plain service costs, in one run on one machine.

Read the ratios, not the absolutes: generator, servers and disk share the machine. The contestants
take turns, in reversed order every second round, and each ratio is taken within its round. The exit
code is 0 also when a goal is missed: this measures, it does not judge.
"""

import os
import platform
import sqlite3
import tempfile
from pathlib import Path

from bench import country, creating
from bench.load import CONNECTIONS, LoadProcess
from bench.table import show, write

ROUNDS = 5
LATEST = Path(__file__).parent / "latest.json"
_BUILD = LATEST.parent.parent / "build"


def main() -> None:
    busy = os.getloadavg()[0]
    print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{os.cpu_count()} CPUs, load {busy:.1f}; {CONNECTIONS} connections, {ROUNDS} rounds"
    )
    if busy > 1:
        print("The machine is at work already: the figures will be low and the ratios rough.")
    # Beside the checkout and not in /tmp, which may be memory: durable commits shall cost their due.
    _BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_BUILD, prefix="bench-") as name, LoadProcess() as load:
        rows = creating.measure(load, Path(name), ROUNDS)
        rows += country.measure(load, Path(name), ROUNDS)
    show(rows)
    print(
        "Left out: the plain reference on aiosqlite, which is not among the dependencies "
        "(docs/decisions/0003-sqlite-in-one-thread.md)."
    )
    write(rows, LATEST)


if __name__ == "__main__":
    main()
