"""The whole country in one process: how fast it is there, how large it is, what it creates."""

from pathlib import Path

from bench import processes
from bench.creating import Caller
from bench.load import LoadProcess
from bench.table import Row, Series

_START_SECONDS = 5.0
_IDLE_MEGABYTES = 220.0


def measure(load: LoadProcess, folder: Path, rounds: int) -> list[Row]:
    """Start and end a country on one folder `rounds` times, beside a bare FastAPI and SQLAlchemy."""
    home = folder / "country"
    first = Series("country: first start to ready", "s")
    start = Series("country: start to ready", "s")
    size = Series("country: resident when idle", "MB")
    created = Series("country: create a case, all four services and workers at work", "/s")
    bare_start = Series("bare FastAPI + SQLAlchemy: start", "s")
    bare_size = Series("bare FastAPI + SQLAlchemy: resident", "MB")
    bare_created = Series("plain ORM (WAL, synchronous=NORMAL): create a case", "/s")
    with processes.country(home) as server:
        first.values.append(server.start_seconds)
    print(f"first start  {first.values[0]:.2f} s", flush=True)
    for number in range(rounds):
        with processes.plain(folder, "WAL", "NORMAL") as server:
            caller = Caller(load, home)
            bare_start.values.append(server.start_seconds)
            bare_size.values.append(server.idle_megabytes())
            bare_created.values.append(caller.create(server).rate)
        with processes.country(home) as server:
            start.values.append(server.start_seconds)
            size.values.append(server.idle_megabytes())
            created.values.append(caller.create(server).rate)
        print(
            f"round {number + 1}  country: ready {start.values[-1]:.2f} s, "
            f"{size.values[-1]:.0f} MB, create {created.values[-1]:.0f}/s; "
            f"bare: ready {bare_start.values[-1]:.2f} s, {bare_size.values[-1]:.0f} MB",
            flush=True,
        )
    return [
        start.against(bare_start, value_at_most=_START_SECONDS),
        first.against(bare_start, value_at_most=_START_SECONDS),
        size.against(bare_size, value_at_most=_IDLE_MEGABYTES),
        created.against(bare_created),
    ]
