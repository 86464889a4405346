"""A small data folder with a real audit trail: four databases, entries, heads, witnesses, anchors."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import select

from common import clock
from common.audit import Sealer, on_head_sealed, public_key
from common.db import Database, open_database
from common.db.base import unit_of
from common.events import Event
from common.sealing import MasterKey, SubjectKeyRing
from common.tables import CommonBase, OutboxMessage
from common.unit import Actor
from tests.conftest import MASTER, create_tables

SERVICES = ("intake", "referral", "reintegration", "analytics")
START = datetime(2025, 3, 30, 0, 58, 0, tzinfo=UTC)
ORGANISATION = UUID("0a7e3f52-6c1f-4b58-9d5e-2f40c1f0a001")
CASE = UUID("0a7e3f52-6c1f-4b58-9d5e-2f40c1f0a002")


def make_trail(home: Path, entries: int, *, heads: Sequence[int]) -> None:
    """Write a folder whose intake has `entries` linked entries, sealed after each count in `heads`.

    The siblings know every head. A minute lies between entries and an hour before the last seal.
    """
    asyncio.run(_make(home, entries, {*heads}))


async def _make(home: Path, entries: int, heads: set[int]) -> None:
    (home / "data").mkdir(parents=True)
    (home / "audit").mkdir()
    keys = {service: public_key(MASTER, service).hex() for service in SERVICES}
    (home / "instance.json").write_text(json.dumps({"audit_keys": keys}))
    databases = {name: _open(home, name, MASTER) for name in SERVICES}
    anchor = home / "audit" / "intake.jsonl"
    sealer = Sealer(databases["intake"], MASTER, service="intake", anchor_file=anchor)
    for number in range(1, entries + 1):
        await _write_entry(databases["intake"], number)
        if number in heads:
            while await sealer.link_waiting():
                pass
            if number == entries:
                _set_clock(number, later=timedelta(hours=1))
            await sealer.seal_head()
    await sealer.link_waiting()
    await _tell_siblings(databases)
    clock.set_source(None)
    for database in databases.values():
        await database.close()


async def _write_entry(database: Database, number: int) -> None:
    """Write one entry; between them they hold every form a column can take."""
    _set_clock(number)
    unit = unit_of(
        database, source="/RS/intake", operation="get_identity", trace_id=f"{number:032x}"
    )
    unit.actor = Actor("ana", ORGANISATION, "SOCIAL_WORKER", "hotline" if number % 3 else None)
    if number % 2:
        unit.disclose(
            "identity",
            [str(CASE), 'ћ"\\\u2028\x7f'],
            about=CASE,
            data_groups=["IDENTITY"],
            purpose="ASSISTANCE",
            legal_basis="CONSENT",
        )
    else:
        unit.audit("list", "case", [], decision="deny")
    await database.write(unit)


async def _tell_siblings(databases: dict[str, Database]) -> None:
    payload = select(OutboxMessage.payload).order_by(OutboxMessage.id)
    for row in await databases["intake"].fetch(payload):
        for name, database in databases.items():
            if name != "intake":
                unit = unit_of(database, source=f"/RS/{name}", operation="consume")
                await on_head_sealed(unit, Event.model_validate_json(row.payload))
                await database.write(unit)


def _set_clock(number: int, *, later: timedelta = timedelta(0)) -> None:
    # Every fourth entry falls on a whole second, where the time is written without a fraction.
    fraction = 0 if number % 4 == 0 else 1234
    now = START + timedelta(minutes=number, microseconds=fraction) + later
    clock.set_source(lambda: now)


def _open(home: Path, name: str, master: MasterKey) -> Database:
    url = f"sqlite:///{home}/data/{name}.db"
    create_tables(url, CommonBase.metadata)
    return open_database(url, SubjectKeyRing(master, name))
