"""On SQLite: creating and reading cases over HTTP beside the plain reference, and relaying the events."""

import asyncio
import json
from pathlib import Path
from time import perf_counter
from uuid import UUID

from bench import processes
from bench.load import Drive, LoadProcess, Outcome
from bench.processes import Server
from bench.table import Row, Series
from common.bus import LocalBus
from common.db import open_database
from common.relay import Relay
from common.sealing import MasterKey, SubjectKeyRing
from prag.issuer import LocalIssuer

CREATE_SECONDS = 2.0
READ_SECONDS = 1.0

ORGANISATION = UUID("00000000-0000-4000-8000-00000000000a")
BODY = json.dumps(
    {
        "id": "{id}",
        "beneficiary_kind": "PRESUMED",
        "sex": "FEMALE",
        "urgency": "HIGH",
        "legal_basis": "PUBLIC_TASK",
        "birth_date": "2008-05~",
        "citizenships": ["RS"],
        "languages": ["sr-Latn", "rom"],
        "occurred_at": "2025-11-20T09:15:00Z",
        "note": "Pronađena na granici bez dokumenata, traži da pozove sestru.",
    },
    ensure_ascii=False,
)

_OURS = "intake"
_LOOSE = "plain ORM (WAL, synchronous=NORMAL)"
_DURABLE = "plain ORM (TRUNCATE, synchronous=FULL)"


class Caller:
    """Sends the same requests to every contestant, with a token of the instance in `home`."""

    def __init__(self, load: LoadProcess, home: Path) -> None:
        self._load = load
        self.headers = headers(home)

    def create(self, server: Server, seconds: float = CREATE_SECONDS) -> Outcome:
        """Create cases for `seconds`, each with a key of its own."""
        keyed = self.headers | {"Idempotency-Key": "{key}"}
        return self._load.drive(Drive(server.port, "POST", "/v1/cases", keyed, BODY, 201, seconds))

    def read(self, server: Server, ids: tuple[str, ...]) -> Outcome:
        """Read the cases named, over and over."""
        path = "/v1/cases/{id}"
        return self._load.drive(
            Drive(server.port, "GET", path, self.headers, "", 200, READ_SECONDS, ids=ids)
        )

    def list(self, server: Server, path: str) -> Outcome:
        """Read the same page, over and over, one at a time: no part of its delay hides in a queue."""
        return self._load.drive(
            Drive(server.port, "GET", path, self.headers, "", 200, READ_SECONDS, connections=1)
        )


def headers(home: Path) -> dict[str, str]:
    """Return what every request carries: a token of the instance in `home`, good for 15 minutes."""
    token = LocalIssuer(home).token("SOCIAL_WORKER", ORGANISATION, "bench")
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def measure(load: LoadProcess, folder: Path, rounds: int) -> list[Row]:
    """Let the contestants take turns; the relay clears what intake wrote after each round."""
    home = folder / "intake"
    with (
        processes.intake(home) as ours,
        processes.plain(folder, "WAL", "NORMAL") as loose,
        processes.plain(folder, "TRUNCATE", "FULL") as durable,
    ):
        caller = Caller(load, home)
        contestants = {_OURS: ours, _LOOSE: loose, _DURABLE: durable}
        figures = {name: Figures(name) for name in contestants}
        relayed = Series("LocalBus relay of its events", "/s")
        for server in contestants.values():
            caller.create(server, CREATE_SECONDS / 2)
        asyncio.run(relay_all(home))
        for number in range(rounds):
            for name in [*contestants][:: -1 if number % 2 else 1]:
                figures[name].take(number, caller, contestants[name])
            relayed.values.append(asyncio.run(relay_all(home)))
            print(f"round {number + 1}  relay: {relayed.values[-1]:.0f} events/s", flush=True)
    mine, plain, equal = (figures[name] for name in contestants)
    return [
        mine.created.against(plain.created, ratio_at_least=1.0, aim=", aim 1.5"),
        mine.created.against(equal.created),
        mine.cost.against(plain.cost),
        relayed.against(mine.created, ratio_at_least=5.0),
        mine.read.against(plain.read),
    ]


class Figures:
    """What one contestant did, round by round; what it cannot be asked is left out."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.created = Series(f"{name}: create a case", "/s")
        self.cost = Series(f"{name}: CPU of a create", "us")
        self.read = Series(f"{name}: read a case", "/s")

    def take(self, number: int, caller: Caller, server: Server, *, reads: bool = True) -> None:
        used = server.cpu_seconds()
        created = caller.create(server)
        used = server.cpu_seconds() - used
        self.created.values.append(created.rate)
        self.cost.values.append(used / created.answered * 1_000_000)
        told = (
            f"round {number + 1}  {self._name}: create {created.rate:.0f}/s "
            f"(p50 {created.p50_ms:.1f} ms, p99 {created.p99_ms:.1f} ms, "
            f"{self.cost.values[-1]:.0f} us of CPU)"
        )
        if reads:
            read = caller.read(server, created.ids)
            self.read.values.append(read.rate)
            told += f", read {read.rate:.0f}/s (p50 {read.p50_ms:.1f} ms)"
        print(told, flush=True)


async def relay_all(home: Path) -> float:
    """Relay every waiting event of intake's database to a LocalBus; return events a second."""
    keys = SubjectKeyRing(MasterKey.from_file(home / "keys" / "master.key"), "intake")
    database = open_database(processes.database_url(home), keys)
    bus = LocalBus(home / "bus.db")
    relay = Relay(database, bus)
    await relay.lead()
    total, started = 0, perf_counter()
    while published := await relay.publish_waiting():
        total += published
    seconds = perf_counter() - started
    await database.close()
    await bus.close()
    return total / seconds
