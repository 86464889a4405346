"""The judge of the kill test is judged: it finds nothing in a healthy country and every planted fault."""

# ruff: noqa: S608  these statements are put together from this file's own words

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.system.files import Fault
from tests.system.killing import Killer
from tests.system.oracle import find_faults
from tests.system.people import Done
from tests.system.projections import make_empty

pytestmark = [pytest.mark.system, pytest.mark.slow]


class Healthy:
    """A country that lived a day undisturbed."""

    def __init__(self, folder: Path) -> None:
        killer = Killer(folder)
        killer.prepare()
        self.home = folder / "healthy"
        self.done: list[Done] = killer.live(self.home, seed=1)
        self._empty = make_empty(folder / "compared.db")

    def judge(self, home: Path) -> list[Fault]:
        return find_faults(home, self.done, self._empty)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Healthy:
    return Healthy(tmp_path_factory.mktemp("oracle"))


@contextmanager
def changing(home: Path, name: str) -> Iterator[sqlite3.Connection]:
    """Open a database for a change that the country itself would not allow."""
    with closing(sqlite3.connect(home / "data" / f"{name}.db")) as database, database:
        triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (trigger,) in triggers.fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        yield database
        assert database.total_changes > 0, "nothing was planted"


def sql(name: str, statement: str) -> Callable[[Path], None]:
    def plant(home: Path) -> None:
        with changing(home, name) as database:
            database.execute(statement)

    return plant


_HOT = "version = (SELECT max(version) FROM case_file)"
_EVENT = "(SELECT max(event_id) FROM outbox_message WHERE type LIKE 'intake.case.%')"
_RECORD = "topic = 'intake.case' AND \"offset\" = 3"
_TAKEN = (
    "(SELECT event_id FROM inbox_message WHERE topic = 'intake.case' AND seq = 2"
    " ORDER BY event_id LIMIT 1)"
)

PLANTS: dict[str, tuple[Callable[[Path], None], tuple[str, str]]] = {
    "an outbox row that was lost": (
        sql("intake", f"DELETE FROM outbox_message WHERE event_id = {_EVENT}"),
        ("I2", "wrong"),
    ),
    "an event that was marked and not sent": (
        sql("bus", f"DELETE FROM record WHERE {_RECORD}"),
        ("I1", "lost"),
    ),
    "a changed byte on the bus": (
        sql(
            "bus",
            "UPDATE record SET value = CAST(replace(value, '\"RS\"', '\"ME\"') AS BLOB)"
            f" WHERE {_RECORD}",
        ),
        ("I1", "wrong"),
    ),
    "a changed byte in the outbox": (
        sql(
            "intake",
            "UPDATE outbox_message SET payload = CAST(payload || ' ' AS BLOB)"
            f" WHERE event_id = {_EVENT}",
        ),
        ("I1", "wrong"),
    ),
    "an event nobody took": (
        sql("analytics", f"DELETE FROM inbox_message WHERE event_id = {_TAKEN}"),
        ("I3", "lost"),
    ),
    "a gap": (
        sql("referral", f"UPDATE inbox_message SET seq = 9 WHERE event_id = {_TAKEN}"),
        ("I4", "wrong"),
    ),
    "an aggregate that stands elsewhere": (
        sql("referral", "UPDATE inbox_aggregate SET last_seq = last_seq + 1 WHERE last_seq = 1"),
        ("I4", "wrong"),
    ),
    "an effect that happened twice": (
        sql(
            "analytics",
            "INSERT INTO case_fact SELECT case_id, seq + 100, happened_at, country,"
            " organisation_id, beneficiary_kind, identification_status, sex, age_group"
            " FROM case_fact LIMIT 1",
        ),
        ("I7", "wrong"),
    ),
    "an effect that never happened": (
        sql("analytics", "DELETE FROM referral_fact WHERE seq = 2"),
        ("I7", "wrong"),
    ),
    "a place taken twice": (
        sql("referral", "UPDATE service SET free_places = free_places - 1"),
        ("I3", "doubled"),
    ),
    "a copy of a case that is not true": (
        sql("referral", "UPDATE known_case SET urgency = 'LOW'"),
        ("I7", "wrong"),
    ),
    "a withdrawal that did not arrive": (
        sql("referral", "UPDATE known_consent SET is_withdrawn = 0"),
        ("I7", "wrong"),
    ),
    "a record that is missing": (
        sql("intake", "DELETE FROM notice WHERE id = (SELECT max(id) FROM notice)"),
        ("I9", "lost"),
    ),
    "a consent that is missing": (
        sql("intake", "DELETE FROM consent WHERE id = (SELECT max(id) FROM consent)"),
        ("I9", "lost"),
    ),
    "a record that went back": (
        sql("intake", f"UPDATE case_file SET version = version - 1 WHERE {_HOT}"),
        ("I9", "lost"),
    ),
    "a request that took effect twice": (
        sql(
            "intake",
            "UPDATE outbox_message SET seq = 99, subject = (SELECT other.subject"
            " FROM outbox_message AS other WHERE other.type = outbox_message.type"
            " AND other.subject <> outbox_message.subject LIMIT 1)"
            " WHERE id = (SELECT min(id) FROM outbox_message WHERE type LIKE '%notice.received%')",
        ),
        ("I3", "doubled"),
    ),
    "an answer that was not kept": (
        sql(
            "referral",
            "DELETE FROM idempotency_answer WHERE key = (SELECT max(key) FROM idempotency_answer)",
        ),
        ("I3", "wrong"),
    ),
    "a change without audit": (
        sql(
            "intake",
            "DELETE FROM audit_entry WHERE id ="
            " (SELECT max(id) FROM audit_entry WHERE action = 'create')",
        ),
        ("I6", "lost"),
    ),
    "a change audited twice": (
        sql(
            "intake",
            "UPDATE audit_entry SET (trace_id, object_ids) = (SELECT trace_id, object_ids"
            " FROM audit_entry WHERE action = 'create' ORDER BY id LIMIT 1)"
            " WHERE id = (SELECT max(id) FROM audit_entry WHERE action = 'create')",
        ),
        ("I6", "doubled"),
    ),
    "a parked aggregate": (
        sql("reintegration", "UPDATE inbox_aggregate SET parked_at = '2026-01-01 00:00:00.000000'"),
        ("I10", "wrong"),
    ),
    "an event that waits": (
        sql(
            "intake",
            "INSERT INTO inbox_pending SELECT topic, subject, seq, event_id, '', received_at"
            " FROM inbox_message LIMIT 1",
        ),
        ("I10", "wrong"),
    ),
    "a consumer that did not read on": (
        sql("analytics", "UPDATE consumer_position SET next_offset = next_offset - 1"),
        ("I10", "wrong"),
    ),
    "a hole in the feed": (
        sql(
            "intake",
            "UPDATE outbox_message SET feed_position = 1000000 WHERE feed_position = 5",
        ),
        ("I4", "wrong"),
    ),
}


def test_a_healthy_country_has_no_faults(healthy: Healthy) -> None:
    assert len(healthy.done) > 100
    assert healthy.judge(healthy.home) == []


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_found(healthy: Healthy, tmp_path: Path, name: str) -> None:
    home = tmp_path / "planted"
    shutil.copytree(healthy.home, home)
    plant, found = PLANTS[name]
    plant(home)

    assert found in {(fault.invariant, fault.kind) for fault in healthy.judge(home)}
