"""What services keep of each other, compared with the truth or with a making from the beginning (I7)."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from uuid import UUID

import analytics.consumers
import analytics.models
from common.bus import Delivery
from common.consumer import Consumer
from common.db import open_database
from common.sealing import MasterKey, ServiceBox, SubjectKeyRing
from common.tables import CommonBase
from tests.conftest import create_tables
from tests.system.files import Fault, Row, Stored

PROJECTIONS = ("case_fact", "plan_fact", "referral_fact")
_KEY = MasterKey(bytes(32))
_CASE = (
    "organisation_id",
    "country",
    "beneficiary_kind",
    "sex",
    "age_group",
    "is_minor",
    "urgency",
)
_CONSENT = (
    "case_id", "scope", "recipient_organisation_id", "recipient_kinds", "recipient_countries",
    "purposes", "data_groups", "given_by", "guardian", "granted_on", "expires_on", "is_withdrawn",
)  # fmt: skip
_REFERRAL = ("case_id", "receiving_organisation_id", "status", "consent_withdrawn_on")


def make_empty(path: Path) -> Path:
    """Make a database of analytics without rows, to be copied for each rebuilding."""
    create_tables(f"sqlite:///{path}", analytics.models.Base.metadata, CommonBase.metadata)
    return path


def find_differences(
    services: Mapping[str, Stored], bus: Sequence[Row], empty: Path
) -> Iterator[Fault]:
    """Return where a copy or a projection is not what the events say."""
    cases = services["intake"].rows("case_file")
    referrals = services["referral"].rows("referral")
    organisations = services["referral"].rows("organisation")
    withdrawn = {row["consent_id"] for row in services["intake"].rows("consent_withdrawal")}
    consents = [
        row | {"is_withdrawn": row["id"] in withdrawn} for row in services["intake"].rows("consent")
    ]
    for keeper, table, key, truth, columns in (
        ("referral", "known_case", "case_id", cases, _CASE),
        ("reintegration", "known_case", "case_id", cases, ("organisation_id", "is_minor")),
        ("referral", "known_consent", "id", consents, _CONSENT),
        ("intake", "known_organisation", "organisation_id", organisations, ("kind",)),
        ("intake", "known_referral", "referral_id", referrals, _REFERRAL),
    ):
        known = services[keeper].rows(table)
        is_so = {row["id"]: [row[column] for column in columns] for row in truth}
        is_known = {row[key]: [row[column] for column in columns] for row in known}
        if is_so != is_known:
            yield Fault("I7", "wrong", f"{keeper}: {table} is not what is true")
    yield from _plans(services, referrals)
    yield from _rebuilt(services["analytics"], bus, empty)


def _plans(services: Mapping[str, Stored], referrals: Sequence[Row]) -> Iterator[Fault]:
    """One plan for each case taken in, and one place held for each referral that holds one."""
    accepted = {
        row["subject"] for row in services["referral"].outbox if ".accepted." in row["type"]
    }
    plans = [row["referral_id"] for row in services["reintegration"].rows("plan")]
    joined = {row["referral_id"] for row in services["reintegration"].rows("plan_referral")}
    if len(plans) != len({*plans}) or joined != accepted:
        kind = "lost" if len(plans) < len(accepted) else "doubled"
        yield Fault("I3", kind, f"{len(plans)} plans for {len(accepted)} accepted referrals")
    for service in services["referral"].rows("service"):
        held = sum(row["holds_place"] for row in referrals if row["service_id"] == service["id"])
        if service["free_places"] != service["capacity"] - held:
            yield Fault("I3", "doubled", f"{held} places are held, {service['free_places']} free")


def _rebuilt(live: Stored, bus: Sequence[Row], empty: Path) -> Iterator[Fault]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy(empty, folder))
        asyncio.run(_build(path, [row for row in bus if row["topic"] in live.topics]))
        rebuilt = Stored("rebuilt", path)
        for table in PROJECTIONS:
            if dump(rebuilt, table) != dump(live, table):
                yield Fault("I7", "wrong", f"{table} is not what the bus makes of it")


async def _build(path: Path, records: Sequence[Row]) -> None:
    """Make the projections from the first event on, by the handlers that made the live ones."""
    database = open_database(f"sqlite:///{path}", SubjectKeyRing(_KEY, "analytics"))
    consumer = Consumer(
        database,
        analytics.consumers.HANDLERS,
        service="analytics",
        box=ServiceBox(_KEY, "analytics"),
    )
    wanted = {*consumer.topics}
    await consumer.accept_all(
        [Delivery(r["topic"], 0, r["offset"], r["value"]) for r in records if r["topic"] in wanted]
    )
    await database.close()


def dump(stored: Stored, table: str) -> list[str]:
    """Return a table's rows as text in one order, whatever order they were written in."""
    rows = ({k: v for k, v in row.items() if k != "rowid"} for row in stored.rows(table))
    return sorted(
        json.dumps(row, sort_keys=True, default=lambda raw: UUID(raw).hex) for row in rows
    )
