"""The files of a country as a kill test reads them: with SQL of its own, changing nothing."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import analytics.consumers
import intake.consumers
import referral.consumers
import reintegration.consumers
from common.contracts.audit import HEAD_SEALED
from common.events import topic_of
from tests.system.processes import SERVICES

HANDLED = {
    "intake": intake.consumers.HANDLERS,
    "referral": referral.consumers.HANDLERS,
    "reintegration": reintegration.consumers.HANDLERS,
    "analytics": analytics.consumers.HANDLERS,
}
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """A broken promise. `kind` is lost, doubled or wrong."""

    invariant: str
    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.kind}: {self.what}"


@dataclass(frozen=True, slots=True)
class Stored:
    """All a service's database says, but for its own tables, which are asked for by name."""

    name: str
    path: Path
    outbox: list[Row] = field(default_factory=list)
    inbox: list[Row] = field(default_factory=list)

    def rows(self, table: str) -> list[Row]:
        return read(self.path, f'SELECT rowid, * FROM "{table}" ORDER BY rowid')  # noqa: S608

    @property
    def topics(self) -> set[str]:
        """What it subscribes to; the heads of its siblings are among it."""
        heads = {kind.type for service, kind in HEAD_SEALED.items() if service != self.name}
        return {topic_of(event) for event in {*HANDLED[self.name], *heads}}


def read(path: Path, query: str, *values: object) -> list[Row]:
    """Return rows of a database that others may be writing; it is not changed."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(query, values)]


def read_bus(home: Path) -> list[Row]:
    return read(home / "data" / "bus.db", 'SELECT * FROM record ORDER BY topic, "offset"')


def is_drained(home: Path) -> bool:
    """Tell whether nothing is on its way: outboxes sent, inboxes level with the bus, chains linked."""
    ends = ends_of(home)
    for name in SERVICES:
        path = home / "data" / f"{name}.db"
        # The position first: what is consumed after it was read shows in the ends at last.
        positions = positions_of(path)
        wanted = {topic: end for topic, end in ends.items() if topic in Stored(name, path).topics}
        waiting = read(
            path,
            "SELECT (SELECT count(*) FROM outbox_message WHERE published_at IS NULL)"
            " + (SELECT count(*) FROM inbox_pending) + (SELECT count(*) FROM audit_entry"
            " WHERE id NOT IN (SELECT entry_id FROM audit_link)) AS n",
        )
        if positions != wanted or waiting[0]["n"]:
            return False
    return ends_of(home) == ends


def ends_of(home: Path) -> dict[str, int]:
    query = 'SELECT topic, max("offset") + 1 AS "end" FROM record GROUP BY topic'
    return {row["topic"]: row["end"] for row in read(home / "data" / "bus.db", query)}


def positions_of(path: Path) -> dict[str, int]:
    """Return how far each topic was taken; one that was claimed and held nothing is at its beginning."""
    rows = read(path, "SELECT topic, next_offset FROM consumer_position WHERE next_offset > 0")
    return {row["topic"]: row["next_offset"] for row in rows}
