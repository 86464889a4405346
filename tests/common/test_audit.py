"""The audit chain, checked here by the format's description alone."""

import asyncio
import hashlib
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import create_engine, select, text
from sqlalchemy.pool import NullPool

from common import clock
from common.audit import Sealer, on_head_sealed, public_key
from common.bus import Bus
from common.clock import monotonic, utcnow
from common.db import Database
from common.events import Event
from common.relay import Relay
from common.sealing import MasterKey
from common.tables import AuditEntry, AuditHead, AuditLink, KnownAuditHead
from common.unit import Actor
from tests.common.things import ORGANISATION, made, new_unit, on_bus
from tests.conftest import MASTER, fixed_id

KEY = Ed25519PublicKey.from_public_bytes(public_key(MASTER, "intake"))


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


async def first_fault(database: Database) -> str | None:
    """Recompute the chain and hold it against the signed heads; name what does not fit first."""
    entries = {row.id: row for row in await database.fetch(select(AuditEntry))}
    links = await database.fetch(select(AuditLink).order_by(AuditLink.seq))
    heads = await database.fetch(select(AuditHead).order_by(AuditHead.last_seq))
    previous = hashlib.sha256(b"prag-audit-v1").digest()
    at = {0: previous}
    for seq, link in enumerate(links, 1):
        entry = entries.pop(link.entry_id, None)
        if link.seq != seq or entry is None:
            return f"gap at {seq}"
        columns = {c.key: plain(getattr(entry, c.key)) for c in AuditEntry.__table__.columns}
        previous = hashlib.sha256(b"\x00" + previous + rfc8785.dumps(columns)).digest()
        if previous != link.hash:
            return f"link {seq}"
        at[seq] = previous
    for head in heads:
        message = f"prag-audit-head-v1|intake|{head.last_seq}|".encode() + head.hash
        try:
            KEY.verify(head.signature, message)
        except InvalidSignature:
            return f"signature {head.last_seq}"
        if at.get(head.last_seq) != head.hash:
            return f"head {head.last_seq}"
    return "entry outside the chain" if entries else None


def sealer_of(database: Database, anchor_file: Path | None = None) -> Sealer:
    return Sealer(database, MASTER, service="intake", anchor_file=anchor_file)


async def written(database: Database, *numbers: int) -> None:
    """Write one full entry for each number: no column is empty."""
    for number in numbers:
        unit = new_unit(database, f"operation_{number}")
        unit.actor = Actor("worker-7", ORGANISATION, "SOCIAL_WORKER", "case-tool")
        unit.trace_id = "t" * 32
        unit.audit(
            "read",
            "thing",
            [str(fixed_id(number)), "b"],
            about=fixed_id(number),
            data_groups=["IDENTITY"],
            purpose="ASSISTANCE",
            legal_basis="CONSENT",
        )
        await database.write(unit)


def forge(url: str, *statements: str) -> None:
    """Write into the database past everything, as one who owns it could."""
    engine = create_engine(url.replace("+asyncpg", "+psycopg"), poolclass=NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


async def removed(database: Database, *links: AuditLink) -> None:
    """Take links away: for the sealer their entries have only just been committed."""
    unit = new_unit(database)
    for link in links:
        unit.remove(AuditLink, entry_id=link.entry_id)
    await database.write(unit)


# --- the chain


@pytest.mark.row("F65")
async def test_a_chain_goes_on_over_restarts_and_its_heads_are_signed_and_told(
    database: Database, bus: Bus, tmp_path: Path
) -> None:
    # Fails when a restart begins a new chain, or a head is sealed without being signed or told.
    anchors = tmp_path / "anchors"
    for number in (1, 2, 3):
        await written(database, number * 10, number * 10 + 1)
        sealer = sealer_of(database, anchors)  # a new one each time: nothing may be remembered
        assert await sealer.link_waiting() == 2
        assert await sealer.link_waiting() == 0
        assert await sealer.seal_head()
        assert not await sealer.seal_head()
    relay = Relay(database, bus)
    await relay.lead()
    await relay.publish_waiting()

    assert await first_fault(database) is None
    heads = await database.fetch(select(AuditHead).order_by(AuditHead.last_seq))
    assert [(head.last_seq, head.version) for head in heads] == [(2, 1), (4, 2), (6, 3)]
    events = await on_bus(bus, "intake.audit")
    assert [(e.type, e.seq, e.data["last_seq"]) for e in events] == [
        ("intake.audit.head_sealed.v1", n, 2 * n) for n in (1, 2, 3)
    ]
    lines = [json.loads(line) for line in anchors.read_text().splitlines()]
    for head, event, line in zip(heads, events, lines, strict=True):
        told = (head.hash.hex(), head.signature.hex())
        assert (event.data["head"], event.data["signature"]) == told
        assert (line["head"], line["signature"]) == told


async def test_more_entries_than_one_batch_are_linked_in_their_order(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when a batch forgets the hash it ended with, or starts over.
    monkeypatch.setattr("common.audit._BATCH", 4)
    await made(database, *(fixed_id(n) for n in range(10)))
    sealer = sealer_of(database)

    assert [await sealer.link_waiting() for _ in range(4)] == [4, 4, 2, 0]
    assert await first_fault(database) is None


async def test_two_sealers_started_by_mistake_make_one_chain(database: Database) -> None:
    # Fails when both links of one place can stand, or the slower one ends with an error.
    await written(database, *range(6))
    sealers = [sealer_of(database) for _ in range(3)]

    counts = await asyncio.gather(*(sealer.link_waiting() for sealer in sealers))
    sealed = await asyncio.gather(*(sealer.seal_head() for sealer in sealers))

    assert (sum(counts), sealed.count(True)) == (6, 1)
    assert await first_fault(database) is None


async def test_a_sealer_forgets_what_is_long_linked_and_finds_what_came_late(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when it begins behind an id below which a slow transaction may still commit, also by a
    # clock that jumps ahead; and when it never does and reads the whole trail each time.
    began, now = monotonic(), utcnow()
    await written(database, *range(5))
    sealer = sealer_of(database)
    assert await sealer.link_waiting() == 5
    clock.set_source(lambda: now + timedelta(days=9))
    assert await sealer.link_waiting() == 0  # a transaction may still be on its way
    late = [row for row in await database.fetch(select(AuditLink)) if row.entry_id in {2, 5}]
    await removed(database, *late)

    assert await sealer.link_waiting() == 2
    monkeypatch.setattr("common.audit.monotonic", lambda: began + 660)
    assert await sealer.link_waiting() == 0
    await removed(database, *late)

    assert await sealer.link_waiting() == 0
    assert await sealer_of(database).link_waiting() == 2


COLUMNS = {
    "at": "at = '2020-01-01 00:00:00.000000'",
    "actor": "actor = 'worker-8'",
    "client_id": "client_id = NULL",
    "organisation_id": "organisation_id = NULL",
    "role": "role = 'DPO'",
    "action": "action = 'list'",
    "operation": "operation = 'operation_3 '",
    "object_type": "object_type = 'thinG'",
    "object_ids": """object_ids = '["b"]'""",
    "subject": "subject = NULL",
    "data_groups": "data_groups = '[]'",
    "purpose": "purpose = 'ASSISTANCF'",
    "legal_basis": "legal_basis = NULL",
    "decision": "decision = 'deny'",
    "trace_id": "trace_id = 'u' || substr(trace_id, 2)",
}


def test_every_column_of_an_entry_is_among_the_forgeries() -> None:
    assert {*COLUMNS, "id"} == {column.key for column in AuditEntry.__table__.columns}


async def test_a_change_of_any_column_of_an_entry_is_found(
    database: Database, database_url: str
) -> None:
    # T37. Fails when a column is left out of the hashed bytes.
    await written(database, 1, 2, 3, 4)
    await sealer_of(database).link_waiting()
    for column, change in COLUMNS.items():
        entry = (await database.fetch(select(AuditEntry).where(AuditEntry.id == 3)))[0]
        before = getattr(entry, column)
        forge(
            database_url,
            "CREATE TABLE kept AS SELECT * FROM audit_entry WHERE id = 3",
            f"UPDATE audit_entry SET {change} WHERE id = 3",  # noqa: S608  columns named above
        )
        assert await first_fault(database) == "link 3", column
        forge(
            database_url,
            f"UPDATE audit_entry SET {column} = (SELECT {column} FROM kept) WHERE id = 3",  # noqa: S608
            "DROP TABLE kept",
        )
        [entry] = await database.fetch(select(AuditEntry).where(AuditEntry.id == 3))
        assert getattr(entry, column) == before

    assert await first_fault(database) is None


@pytest.mark.parametrize(
    ("forgery", "fault"),
    [
        (["DELETE FROM audit_entry WHERE id = 2"], "gap at 2"),
        (["DELETE FROM audit_link WHERE seq = 2"], "gap at 2"),
        (
            ["DELETE FROM audit_entry WHERE id > 4", "DELETE FROM audit_link WHERE seq > 4"],
            "head 6",
        ),
        (["DELETE FROM audit_entry", "DELETE FROM audit_link"], "head 6"),
        (
            [
                "UPDATE audit_link SET entry_id = -4 WHERE entry_id = 4",
                "UPDATE audit_link SET entry_id = 4 WHERE entry_id = 5",
                "UPDATE audit_link SET entry_id = 5 WHERE entry_id = -4",
            ],
            "link 4",
        ),
        (["UPDATE audit_entry SET id = -id WHERE id = 4"], "gap at 4"),
        (["UPDATE audit_head SET last_seq = 5"], "signature 5"),
        (["UPDATE audit_head SET signature = hash"], "signature 6"),
        (
            [
                "CREATE TEMPORARY TABLE twin AS SELECT * FROM audit_entry WHERE id = 1",
                "UPDATE twin SET id = 7",
                "INSERT INTO audit_entry SELECT * FROM twin",
            ],
            "entry outside the chain",
        ),
    ],
    ids=["entry", "link", "tail", "all", "swap", "renumber", "head", "signature", "insert"],
)
async def test_what_is_taken_out_cut_off_swapped_or_put_in_is_found(
    database: Database, database_url: str, forgery: list[str], fault: str
) -> None:
    # T37. Fails when positions have gaps, a head does not vouch for its place, or one is not signed.
    await written(database, *range(6))
    sealer = sealer_of(database)
    await sealer.link_waiting()
    await sealer.seal_head()
    assert await first_fault(database) is None

    forge(database_url, *forgery)

    assert await first_fault(database) == fault


async def test_a_chain_written_anew_by_another_key_is_found_by_what_siblings_keep(
    database: Database, database_url: str
) -> None:
    # Fails when siblings keep only the newest head, or take it without its signature.
    await written(database, *range(4))
    sealer = sealer_of(database)
    await sealer.link_waiting()
    await sealer.seal_head()
    [head] = await database.fetch(select(AuditHead))
    told = Event.model_validate_json(
        (await database.fetch(select(text("payload FROM outbox_message"))))[0].payload
    )
    unit = new_unit(database)
    await on_head_sealed(unit, told)
    await database.write(unit)

    forge(
        database_url,
        "UPDATE audit_entry SET actor = 'nobody' WHERE id = 2",
        "DELETE FROM audit_link",
        "DELETE FROM audit_head",
        "DELETE FROM outbox_message",
    )
    rewriting = Sealer(database, MasterKey(bytes(32)), service="intake")
    await rewriting.link_waiting()
    await rewriting.seal_head()

    [known] = await database.fetch(select(KnownAuditHead))
    assert (known.source, known.last_seq) == ("intake", 4)
    assert (known.hash, known.signature) == (head.hash, head.signature)
    [link] = await database.fetch(select(AuditLink).where(AuditLink.seq == 4))
    assert link.hash != known.hash
    assert await first_fault(database) == "signature 4"
