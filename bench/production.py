"""On PostgreSQL: creating and reading cases over HTTP, ours beside bare asyncpg and beside Django.

Ours is intake's API process as production starts it: verified token (remembered after its first
use), sealed fields, idempotency, outbox and audit in one statement, row-level security, and an entry
in the audit trail for each read. No worker runs beside it, so no figure holds relaying.
"""

from contextlib import ExitStack
from pathlib import Path

from bench import processes
from bench.creating import CREATE_SECONDS, Caller, Figures
from bench.load import LoadProcess
from bench.postgres import Intake, plain
from bench.table import Row
from tests.conftest import PostgresUrls

_OURS = "intake on PostgreSQL"
_RAW = "FastAPI + bare asyncpg, three inserts"
_DRF = "Django REST framework, gunicorn threads, three inserts"


def measure(load: LoadProcess, folder: Path, urls: PostgresUrls, rounds: int) -> list[Row]:
    """Let the three take turns; Django is asked to create only."""
    ours = Intake(urls, folder)
    caller = Caller(load, folder)
    with ExitStack() as stack:
        contestants = {
            _OURS: stack.enter_context(ours.api()),
            _RAW: stack.enter_context(processes.raw(plain(urls.new()))),
            _DRF: stack.enter_context(processes.drf(urls.new())),
        }
        figures = {name: Figures(name) for name in contestants}
        for server in contestants.values():
            caller.create(server, CREATE_SECONDS / 2)
        for number in range(rounds):
            for name in [*contestants][:: -1 if number % 2 else 1]:
                figures[name].take(number, caller, contestants[name], reads=name != _DRF)
    mine, raw, drf = (figures[name] for name in contestants)
    return [
        mine.created.against(raw.created, ratio_at_least=0.7, aim=", aim 0.85"),
        mine.created.against(drf.created, ratio_at_least=3.0),
        mine.cost.against(raw.cost),
        mine.read.against(raw.read, ratio_at_least=0.5),
    ]
