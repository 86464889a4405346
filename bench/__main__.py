"""`make bench`: what Prag costs, beside what a plain service costs, in one run on one machine.

Read the ratios, not the absolutes: generator, servers and disk share the machine. The contestants
take turns, in reversed order every second round, and each ratio is taken within its round.
"""

import asyncio
import json
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from time import perf_counter
from uuid import UUID

from bench import processes
from bench.load import CONNECTIONS, Drive, LoadProcess, Outcome
from bench.processes import Server
from bench.table import Row, Series, show, write
from common.bus import LocalBus
from common.db import open_database
from common.relay import Relay
from common.sealing import MasterKey, SubjectKeyRing
from prag.issuer import LocalIssuer

ROUNDS = 5
CREATE_SECONDS = 2.0
READ_SECONDS = 1.0
LATEST = Path("bench/latest.json")
ORGANISATION = UUID("00000000-0000-4000-8000-00000000000a")

BODY = {
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
}

OURS = "intake on SQLite"
DURABLE = "plain ORM, TRUNCATE/FULL"
LOOSE = "plain ORM, WAL/NORMAL"


def headers(folder: Path) -> dict[str, str]:
    token = LocalIssuer(folder).token("SOCIAL_WORKER", ORGANISATION, "bench")
    return {
        "Authorization": f"Bearer {token}",
        "Idempotency-Key": "{key}",
        "Content-Type": "application/json",
    }


class Bench:
    """One run: the load generator, the contestants, what was measured so far."""

    def __init__(self, load: LoadProcess, folder: Path) -> None:
        self._load = load
        self._folder = folder
        self.rows: list[Row] = []

    def measure_requests(self) -> None:
        """Create and read cases against the reference, and relay what was created."""
        home = self._folder / "intake"
        sent = headers_of_new(home)
        with (
            processes.intake(home) as ours,
            processes.plain(self._folder, "WAL", "NORMAL") as loose,
            processes.plain(self._folder, "TRUNCATE", "FULL") as durable,
        ):
            contestants = {OURS: ours, LOOSE: loose, DURABLE: durable}
            created = {name: Series(f"{name}: create", "/s") for name in contestants}
            read = {name: Series(f"{name}: get", "/s") for name in contestants}
            cost = {name: Series(f"{name}: CPU per create", "us") for name in contestants}
            relayed = Series("LocalBus relay", "events/s")
            for server in contestants.values():
                self.create(server, sent, seconds=CREATE_SECONDS / 2)
            asyncio.run(relay_all(home))
            for number in range(ROUNDS):
                order = [*contestants][:: -1 if number % 2 else 1]
                for name in order:
                    used = contestants[name].cpu_seconds()
                    outcome = self.create(contestants[name], sent)
                    used = contestants[name].cpu_seconds() - used
                    created[name].values.append(outcome.rate)
                    cost[name].values.append(used / outcome.answered * 1e6)
                    read[name].values.append(self.read(contestants[name], sent, outcome).rate)
                    tell(number, name, outcome, read[name].values[-1])
                relayed.values.append(asyncio.run(relay_all(home)))
                print(f"  round {number + 1}: relay {relayed.values[-1]:.0f} events/s", flush=True)
