"""The judge of a kill test: reads the files a country left and says what of its promises is broken.

The numbers are those of the invariants: no loss (I1), no phantom (I2), one effect (I3), order (I4),
audited (I6), projections that can be made again (I7), durable answers (I9), every delivery accounted
for (I10). It reads the files with SQL of its own; only the projection is rebuilt by the code itself.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

from common.contracts.audit import HEAD_SEALED
from common.unit import SYSTEM
from tests.system.files import Fault, Row, Stored, ends_of, positions_of, read, read_bus
from tests.system.people import Done
from tests.system.processes import SERVICES
from tests.system.projections import find_differences

AGGREGATES = {
    "notice": "notice",
    "case": "case_file",
    "directory.organisation": "organisation",
    "directory.service": "service",
    "referral": "referral",
    "plan": "plan",
}
"""Table of an aggregate by how the types of its events begin."""


def find_faults(home: Path, done: Sequence[Done], empty: Path) -> list[Fault]:
    """Return every broken promise of a country that was drained and has ended.

    `done` is what people were told; `empty` a database of analytics without rows.
    """
    services = {}
    for name in SERVICES:
        path = home / "data" / f"{name}.db"
        stored = Stored(name, path)
        stored.outbox.extend(stored.rows("outbox_message"))
        stored.inbox.extend(stored.rows("inbox_message"))
        services[name] = stored
    bus = read_bus(home)
    return [
        *_damages(home),
        *_events(services, bus),
        *(fault for stored in services.values() for fault in _feed(stored)),
        *(fault for stored in services.values() for fault in _inbox(stored, bus, home)),
        *(fault for stored in services.values() for fault in _order(stored)),
        *_versions(services),
        *_answers(services, done),
        *_audited(services, done),
        *find_differences(services, bus, empty),
    ]


def _damages(home: Path) -> Iterator[Fault]:
    for name in (*SERVICES, "bus"):
        (found,) = read(home / "data" / f"{name}.db", "PRAGMA integrity_check")[0].values()
        if found != "ok":
            yield Fault("I9", "wrong", f"{name}.db is damaged")


def _events(services: dict[str, Stored], bus: Sequence[Row]) -> Iterator[Fault]:
    """I1, I2: what stands in the outboxes is what is on the bus, in the same bytes."""
    sent: dict[str, set[bytes]] = defaultdict(set)
    for record in bus:
        sent[UUID(json.loads(record["value"])["id"]).hex].add(record["value"])
    committed: set[str] = set()
    for stored in services.values():
        tail = _heads_of_the_end(stored)
        for row in stored.outbox:
            committed.add(row["event_id"])
            values = sent.get(row["event_id"], set())
            if not values and row["event_id"] not in tail:
                yield Fault("I1", "lost", f"{stored.name}: {row['type']} is not on the bus")
            elif values and (values != {row["payload"]} or row["published_at"] is None):
                yield Fault("I1", "wrong", f"{stored.name}: {row['type']} is there in other bytes")
    for event_id in sent.keys() - committed:
        yield Fault("I2", "wrong", f"event {event_id} is on the bus and nobody's")


def _heads_of_the_end(stored: Stored) -> set[str]:
    """The audit head sealed at the very end goes out at the next start."""
    last = stored.outbox[-1:]
    return {
        row["event_id"]
        for row in last
        if row["published_at"] is None and row["type"] == HEAD_SEALED[stored.name].type
    }


def _feed(stored: Stored) -> Iterator[Fault]:
    positions = sorted(r["feed_position"] for r in stored.outbox if r["published_at"] is not None)
    if positions != [*range(1, len(positions) + 1)]:
        yield Fault("I4", "wrong", f"{stored.name}: the feed has gaps or doubles")
    marked = stored.rows("relay_lease")[0]["feed_position"]
    if marked != len(positions):
        yield Fault(
            "I4", "wrong", f"{stored.name}: the feed ends at {len(positions)}, not {marked}"
        )


def _inbox(stored: Stored, bus: Sequence[Row], home: Path) -> Iterator[Fault]:
    """I3, I10: each event on the subscribed topics was taken once, and nothing is left over."""
    received = [record for record in bus if record["topic"] in stored.topics]
    digests = {
        UUID(json.loads(r["value"])["id"]).hex: hashlib.sha256(r["value"]).digest()
        for r in received
    }
    seen = {row["event_id"]: row["payload_sha256"] for row in stored.inbox}
    for event_id in digests.keys() - seen.keys():
        yield Fault("I3", "lost", f"{stored.name} never took event {event_id}")
    for event_id in seen.keys() - digests.keys():
        yield Fault("I3", "doubled", f"{stored.name} took event {event_id} that nobody sent")
    if any(seen[known] != digests[known] for known in seen.keys() & digests.keys()):
        yield Fault("I3", "wrong", f"{stored.name} took an event in other bytes")
    rest = {name: len(stored.rows(name)) for name in ("inbox_pending", "dead_letter")}
    rest["parked"] = sum(r["parked_at"] is not None for r in stored.rows("inbox_aggregate"))
    rest["not applied"] = sum(row["outcome"] != "applied" for row in stored.inbox)
    for what, count in rest.items():
        if count:
            yield Fault("I10", "wrong", f"{stored.name}: {count} {what}")
    duplicates = len(received) - len(digests)
    if len(received) != len(stored.inbox) + duplicates:
        yield Fault("I10", "wrong", f"{stored.name}: {len(received)} received, {len(seen)} taken")
    wanted = {topic: end for topic, end in ends_of(home).items() if topic in stored.topics}
    if positions_of(stored.path) != wanted:
        yield Fault("I10", "wrong", f"{stored.name} does not stand at the end of the bus")


def _order(stored: Stored) -> Iterator[Fault]:
    """I4: of each aggregate 1, 2, 3 … was told, and taken in that order."""
    told: dict[str, list[int]] = defaultdict(list)
    for row in stored.outbox:
        told[row["subject"]].append(row["seq"])
    taken: dict[str, list[int]] = defaultdict(list)
    for row in stored.inbox:
        taken[row["topic"] + " " + row["subject"]].append(row["seq"])
    for how, numbers in (("told", told), ("taken", taken)):
        for key, found in numbers.items():
            if found != [*range(1, len(found) + 1)]:
                yield Fault("I4", "wrong", f"{stored.name}: {key} was {how} in the order {found}")
    for row in stored.rows("inbox_aggregate"):
        key = row["topic"] + " " + row["subject"]
        if row["last_seq"] != len(taken[key]):
            yield Fault("I4", "wrong", f"{stored.name} stands at {row['last_seq']} of {key}")


def _table_of(event: str) -> str:
    """Return the aggregate's table for an event named as in `Done`."""
    first, _, rest = event.partition(".")
    return AGGREGATES[f"{first}.{rest.partition('_')[0]}" if first == "directory" else first]


def _told(services: dict[str, Stored]) -> Counter[tuple[str, str]]:
    """Count the events by aggregate and name, but for audit heads."""
    names = (
        (UUID(row["subject"]).hex, row["type"].split(".", 1)[1].rpartition(".")[0])
        for stored in services.values()
        for row in stored.outbox
    )
    return Counter(name for name in names if name[1] != "audit.head_sealed")


def _versions(services: dict[str, Stored]) -> Iterator[Fault]:
    """An aggregate stands where its events end: state and outbox were written together."""
    events: dict[str, Counter[str]] = defaultdict(Counter)
    for (subject, name), count in _told(services).items():
        events[_table_of(name)][subject] += count
    tables = {row["table"]: row["stored"] for row in _aggregates(services)}
    for table, stored in tables.items():
        versions = {row["id"]: row["version"] for row in stored.rows(table)}
        for subject in versions.keys() | events[table].keys():
            if versions.get(subject, 0) < events[table][subject]:
                yield Fault("I2", "wrong", f"{table} {subject}: more was told than is so")
            if versions.get(subject, 0) > events[table][subject]:
                yield Fault("I1", "lost", f"{table} {subject}: less was told than is so")


def _aggregates(services: dict[str, Stored]) -> Iterator[Row]:
    for service, tables in (
        ("intake", ("notice", "case_file")),
        ("referral", ("organisation", "service", "referral")),
        ("reintegration", ("plan",)),
    ):
        for table in tables:
            yield {"table": table, "stored": services[service]}


def _answers(services: dict[str, Stored], done: Sequence[Done]) -> Iterator[Fault]:
    """I9: what was answered is there; and nothing else is: no request had a second effect."""
    promised = Counter((subject.hex, name) for each in done for subject, name in each.told)
    told = _told(services)
    for (subject, name), count in (promised - told).items():
        yield Fault("I9", "lost", f"{name} of {subject} was answered {count} times more than told")
    for (subject, name), count in (told - promised).items():
        yield Fault("I3", "doubled", f"{name} of {subject} was told {count} times too often")
    for name, stored in services.items():
        answered = [each for each in done if each.service == name]
        yield from _records(stored, answered)
        keys = sum(each.is_post and each.trace_id != "" for each in answered)
        kept = len(stored.rows("idempotency_answer"))
        if kept != keys:
            yield Fault("I3", "wrong", f"{name}: {keys} keys were answered, {kept} are kept")


def _records(stored: Stored, done: Sequence[Done]) -> Iterator[Fault]:
    """I9: every record that was answered is there, with at least that version."""
    tables = {_table_of(each.told[0][1]) for each in done}
    tables |= {each.part[0] for each in done if each.part is not None}
    rows = {table: {_key(row): row for row in stored.rows(table)} for table in tables}
    for each in done:
        subject, name = each.told[0]
        row = rows[_table_of(name)].get(subject.hex)
        if row is None or row["version"] < each.version:
            yield Fault("I9", "lost", f"{name} of {subject} was answered and is not there")
        if each.part is not None and each.part[1].hex not in rows[each.part[0]]:
            yield Fault("I9", "lost", f"a row of {each.part[0]} was answered and is not there")


def _key(row: Row) -> str:
    """Return the key of a row; it is the first column of these tables."""
    return next(str(value) for column, value in row.items() if column != "rowid")


def _audited(services: dict[str, Stored], done: Iterable[Done]) -> Iterator[Fault]:
    """I6: each change has its entry, once."""
    changes = _entries(services)
    for each in done:
        found = changes[each.trace_id or each.service]
        for subject, name in each.told:
            if found[subject.hex] == 0:
                yield Fault("I6", "lost", f"{name} of {subject} has no audit entry")
        if each.trace_id and max(found.values(), default=0) > 1:
            yield Fault("I6", "doubled", f"a change of {each.told[0]} has two audit entries")


def _entries(services: dict[str, Stored]) -> dict[str, Counter[str]]:
    """Count the changes on record, by request and record; a service's own under its name."""
    changes: dict[str, Counter[str]] = defaultdict(Counter)
    for stored in services.values():
        for row in stored.rows("audit_entry"):
            if row["action"] in {"create", "update"}:
                # What an event led to carries the trace of the request that began it all.
                by = stored.name if row["actor"] == SYSTEM.subject else row["trace_id"]
                for record in json.loads(row["object_ids"]):
                    changes[by][UUID(record).hex] += 1
    return changes
