"""The audit chain: entries linked by hash, heads signed and told to the sibling services."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import func, select

from common.clock import monotonic, utcnow
from common.contracts.audit import head_sealed
from common.crash import crash
from common.db.base import Database, unit_of
from common.events import Event
from common.sealing import MasterKey
from common.tables import AuditEntry, AuditHead, AuditLink, AuditShown, KnownAuditHead
from common.telemetry import AUDIT_UNSEALED
from common.unit import DuplicateError, Unit

GENESIS = hashlib.sha256(b"prag-audit-v1").digest()
_BATCH = 1000
_SETTLING_SECONDS = 600.0
"""No transaction lasts so long: an entry with a lower id than one that old is there, or never comes."""


def entry_bytes(entry: Any) -> bytes:  # noqa: ANN401  a row of audit_entry
    """Return the canonical bytes of an entry: every column, RFC 8785, times in UTC."""
    return rfc8785.dumps(
        {c.key: _plain(getattr(entry, c.key)) for c in AuditEntry.__table__.columns}
    )


def link_hash(previous: bytes, entry: Any) -> bytes:  # noqa: ANN401
    return hashlib.sha256(b"\x00" + previous + entry_bytes(entry)).digest()


def head_message(service: str, last_seq: int, head: bytes) -> bytes:
    return f"prag-audit-head-v1|{service}|{last_seq}|".encode() + head


def signing_key(master: MasterKey, service: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(master.derive(f"{service}/audit"))


def public_key(master: MasterKey, service: str) -> bytes:
    return signing_key(master, service).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


class Sealer:
    """Links new entries and seals heads; exactly one runs per service (it leads with the relay)."""

    def __init__(
        self,
        database: Database,
        master: MasterKey,
        *,
        service: str,
        source: str | None = None,
        anchor_file: Path | None = None,
    ) -> None:
        self._database = database
        self._service = service
        self._source = source or f"/{service}"
        self._key = signing_key(master, service)
        self._anchor_file = anchor_file
        self._subject: UUID = uuid5(NAMESPACE_URL, f"prag:{service}:audit")
        self._settled = 0
        """Up to this id every entry is linked, so that a long trail is not read again and again."""
        self._settling: tuple[float, int] | None = None

    async def link_waiting(self) -> int:
        """Link entries that are not in the chain yet, oldest first; return how many.

        Nothing is linked when another sealer, started by mistake, was faster.
        """
        rows = await self._database.fetch(
            select(AuditEntry)
            .outerjoin(AuditLink, AuditLink.entry_id == AuditEntry.id)
            .where(AuditLink.seq.is_(None), AuditEntry.id > self._settled)
            .order_by(AuditEntry.id)
            .limit(_BATCH)
        )
        AUDIT_UNSEALED.labels(self._service).set(len(rows))
        if rows and not await self._link(rows):
            return 0
        AUDIT_UNSEALED.labels(self._service).set(0)  # else a country at work would never be at rest
        if len(rows) < _BATCH:
            await self._settle()
        return len(rows)

    async def _link(self, rows: Sequence[AuditEntry]) -> bool:
        seq, previous = await self._head()
        unit = self._unit()
        for entry in rows:
            seq += 1
            previous = link_hash(previous, entry)
            unit.add(AuditLink, seq=seq, entry_id=entry.id, hash=previous)
        for entry in rows:
            if entry.action == "list":
                for id_ in dict.fromkeys(entry.object_ids):
                    unit.add(AuditShown, object_id=id_, entry_id=entry.id)
        if not await self._write(unit):
            return False
        crash("audit.after_link")
        return True

    async def _settle(self) -> None:
        """Remember the highest id when all were linked; a while later, begin behind it."""
        if self._settling is not None:
            since, highest = self._settling
            if monotonic() - since < _SETTLING_SECONDS:
                return
            self._settled = highest
        rows = await self._database.fetch(select(func.max(AuditLink.entry_id).label("highest")))
        self._settling = monotonic(), rows[0].highest or 0

    async def seal_head(self) -> bool:
        """Sign and publish the newest head if there is a new one; return whether there was."""
        seq, head = await self._head()
        heads = await self._database.fetch(
            select(AuditHead).order_by(AuditHead.last_seq.desc()).limit(1)
        )
        last = heads[0] if heads else None
        if seq == (last.last_seq if last else 0):
            return False
        signature = self._key.sign(head_message(self._service, seq, head))
        version = last.version + 1 if last else 1
        unit = self._unit()
        unit.add(
            AuditHead,
            last_seq=seq,
            hash=head,
            signature=signature,
            version=version,
            sealed_at=utcnow(),
        )
        unit.tell(
            self._subject,
            head_sealed(self._service, last_seq=seq, head=head, signature=signature),
            first_seq=version,
        )
        if not await self._write(unit):
            return False
        crash("audit.after_head")
        if self._anchor_file is not None:
            line = {
                "service": self._service,
                "last_seq": seq,
                "head": head.hex(),
                "signature": signature.hex(),
                "sealed_at": utcnow().isoformat(),
            }
            with self._anchor_file.open("a") as anchors:
                anchors.write(json.dumps(line) + "\n")
        return True

    async def _head(self) -> tuple[int, bytes]:
        rows = await self._database.fetch(select(AuditLink).order_by(AuditLink.seq.desc()).limit(1))
        return (rows[0].seq, rows[0].hash) if rows else (0, GENESIS)

    def _unit(self) -> Unit:
        return unit_of(self._database, source=self._source, operation="seal_audit")

    async def _write(self, unit: Unit) -> bool:
        try:
            await self._database.write(unit)
        except DuplicateError as error:
            if error.table not in {AuditLink.__tablename__, AuditHead.__tablename__}:
                raise
            return False
        return True


async def on_head_sealed(unit: Unit, event: Event) -> None:
    """Keep a sibling's head: to rewrite its chain unseen, one would have to rewrite ours too."""
    unit.put(
        KnownAuditHead,
        source=event.type.split(".", 1)[0],
        last_seq=event.data["last_seq"],
        hash=bytes.fromhex(event.data["head"]),
        signature=bytes.fromhex(event.data["signature"]),
        received_at=utcnow(),
    )


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
