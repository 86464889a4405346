"""On PostgreSQL: how fast intake's API process is there, and how large it is at rest.

Ready means that `/readyz` answers, after the process looked at its database's roles, settings and
migration; the reference only asks `SELECT 1`. Size is the resident memory before the first request
but those for `/readyz`. Both run without `rich`, which structlog loads where it finds it: it is here
for import-linter alone, and no country installs it.
"""

from collections.abc import Callable
from pathlib import Path

from bench import processes
from bench.postgres import Intake
from bench.processes import Server
from bench.table import Row, Series
from tests.conftest import PostgresUrls

_IDLE_MEGABYTES = 110.0


def measure(folder: Path, urls: PostgresUrls, rounds: int) -> list[Row]:
    """Start and end both in turn on the same database, once more than `rounds` to warm the disk."""
    ours = Intake(urls, folder)
    path = _without_rich(folder / "installed")
    start = Series("intake on PostgreSQL: start to ready", "s")
    size = Series("intake on PostgreSQL: API process resident when idle", "MB")
    bare_start = Series("bare FastAPI + SQLAlchemy on PostgreSQL: start to ready", "s")
    bare_size = Series("bare FastAPI + SQLAlchemy on PostgreSQL: resident when idle", "MB")
    contestants: tuple[tuple[Series, Series, Callable[[], Server]], ...] = (
        (start, size, lambda: ours.api(PYTHONPATH=path)),
        (
            bare_start,
            bare_size,
            lambda: processes.bare(ours.login.application, PYTHONPATH=path),
        ),
    )
    for _, _, begin in contestants:
        with begin():
            pass
    for number in range(rounds):
        for seconds, megabytes, begin in contestants[:: -1 if number % 2 else 1]:
            with begin() as server:
                seconds.values.append(server.start_seconds)
                megabytes.values.append(server.idle_megabytes())
        print(
            f"round {number + 1}  ready after {start.values[-1]:.2f} s, {size.values[-1]:.0f} MB; "
            f"bare: {bare_start.values[-1]:.2f} s, {bare_size.values[-1]:.0f} MB",
            flush=True,
        )
    return [
        start.against(bare_start, ratio_at_most=1.2),
        size.against(bare_size, value_at_most=_IDLE_MEGABYTES),
    ]


def _without_rich(folder: Path) -> str:
    """Return a PYTHONPATH under which `import rich` finds nothing."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text('import sys\n\nsys.modules["rich"] = None\n')
    return str(folder)
