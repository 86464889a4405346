"""Every service's migrations on both engines: step by step with rows in them, killed, down, and held up."""

import shutil
import threading
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import inspect

from common import migrations
from common.migrations import (
    LockedDatabaseError,
    NewerDatabaseError,
    check,
    downgrade,
    upgrade,
)
from tests.conftest import PostgresUrls
from tests.migrating import (
    Inserting,
    Sums,
    connect,
    fill,
    killed,
    lost,
    revision_of,
    revisions,
    shape,
    sums,
)
from tests.system.processes import KILLED, PATIENCE, poll

SERVICES = ("intake", "referral", "reintegration", "analytics")
MEANT: Mapping[tuple[str, str], set[str]] = {}
"""(service, revision) → what that step takes away or changes on purpose, as `lost` tells it.

Each line with its reason beside it. So far no step does."""
LONGEST_WAIT = 5.0
"""Seconds for which a migration may hold somebody up."""
HUGE = {"case_file", "referral", "plan", "case_fact"}
BIG = {
    *("outbox_message", "inbox_message", "audit_entry", "audit_link", "case_file", "consent"),
    *("notice", "referral", "cross_border_referral", "letter", "plan", "case_fact"),
}


def folder(service: str) -> Path:
    found: Path = import_module(f"{service}.migrate").MIGRATIONS
    return found


def usual(table: str) -> int:
    return 2000 if table in BIG else 100


def seeded(home: Path, *statements: str) -> Path:
    """Return a copy of referral's migrations whose last step begins with these."""
    copy = shutil.copytree(folder("referral"), home / "migrations")
    last = max(copy.glob("versions/0*.py"))
    first, found, rest = last.read_text().partition("def upgrade() -> None:\n")
    asked = "    from alembic import op\n\n"  # the step itself may leave all to common
    asked += "".join(f"    op.execute({each!r})\n" for each in statements)
    last.write_text(f"{first}{found}{asked}{rest}")
    return copy


def few(_: str) -> int:
    return 10


def read(url: str) -> tuple[str | None, Sums]:
    with connect(url) as connection:
        return revision_of(connection), sums(connection)


def climb(
    service: str,
    steps: Path,
    url: str,
    rows_of: Callable[[str], int] = usual,
    *,
    first: Callable[[str, Sums], None] | None = None,
) -> Sums:
    """Go up from nothing, rows in every table as soon as it is there; fail at the first that is lost.

    `first` is called before each step, with its revision and what is there.
    """
    before: Sums = {}
    for revision in revisions(steps):
        if first is not None:
            first(revision, before)
        upgrade(steps, url, revision)
        at, after = read(url)
        assert at == revision
        gone = set(lost(before, after)) - MEANT.get((service, revision), set())
        assert not gone, f"{service} {revision}: {sorted(gone)}"
        there = {table: after[table] for table in after if table in before}
        before = fill(url, there, rows_of)
    return before


@pytest.mark.parametrize("service", SERVICES)
def test_each_step_up_keeps_every_row_and_the_way_down_and_up_ends_at_the_models(
    service: str, database_url: str
) -> None:
    # Fails when a step loses or changes what was there, when a downgrade leaves a table behind,
    # when the migrations miss a column of the models, or when a killed step leaves what it had done
    # without its number: no later start would get past that.
    steps = folder(service)

    def die(revision: str, before: Sums) -> None:
        with connect(database_url) as connection:
            stood = revision_of(connection), shape(connection)
        assert killed(steps, database_url, revision) == KILLED
        with connect(database_url) as connection:
            assert (revision_of(connection), shape(connection)) == stood
            assert sums(connection) == before

    before = climb(service, steps, database_url, first=die)
    assert {table for table, columns in before.items() if columns[""] == "0"} == set()

    for revision in revisions(steps)[-2::-1]:
        downgrade(steps, database_url, revision)
        at, after = read(database_url)
        assert at == revision
        # What a step had added goes with it, and nothing else.
        assert lost({t: {c: before[t][c] for c in after[t]} for t in after}, after) == []
        before = after
    downgrade(steps, database_url)
    with connect(database_url) as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}

    upgrade(steps, database_url)
    check(steps, database_url)


@pytest.mark.slow
def test_a_hundred_thousand_events_go_up_with_the_rest(database_url: str) -> None:
    # On SQLite the outbox is copied by a step. Fails when one of them is lost or changed there.
    def rows_of(table: str) -> int:
        return 100_000 if table == "outbox_message" else few(table)

    whole = climb("intake", folder("intake"), database_url, rows_of)

    assert whole["outbox_message"][""] == "100000"


@pytest.mark.parametrize(
    ("seed", "told"),
    [
        ("DELETE FROM organisation", r"organisation: 10 rows became 0"),
        ("DELETE FROM letter WHERE number = 7", r"letter: 10 rows became 9"),
        ("UPDATE referral SET version = 0 WHERE version = 7", r"\['referral.version'\]"),
        ("ALTER TABLE referral DROP COLUMN note", r"\['referral.note'\]"),
        ("DROP TABLE slip", r"\['slip'\]"),
    ],
)
def test_a_step_that_loses_something_is_found(seed: str, told: str, tmp_path: Path) -> None:
    # The check of the checks: each seed is a mistake in the last migration.
    copy = seeded(tmp_path, seed)
    url = f"sqlite:///{tmp_path}/seeded.db"

    with pytest.raises(AssertionError, match=told):
        climb("referral", copy, url, few)


@pytest.mark.postgres
def test_a_step_that_waits_for_a_reader_lets_others_pass_and_is_done_after_it(
    postgres_urls: PostgresUrls,
) -> None:
    # Fails when a step waits for its lock without end: whoever asks after it would wait as long.
    url = postgres_urls.new()
    upgrade(folder("intake"), url, "0007")
    plain = url.replace("+asyncpg", "")
    done = threading.Event()

    def go_up() -> None:
        upgrade(folder("intake"), url)
        done.set()

    with psycopg.connect(plain) as reader, psycopg.connect(plain, autocommit=True) as asking:
        reader.execute("SELECT count(*) FROM case_file")
        thread = threading.Thread(target=go_up)
        thread.start()
        try:
            poll(lambda: _waits(asking))
            asking.execute(f"SET statement_timeout = '{PATIENCE:g}s'")
            assert asking.execute("SELECT count(*) FROM case_file").fetchone() == (0,)
            assert not done.is_set()
        finally:
            reader.rollback()
            thread.join(PATIENCE)
    assert done.is_set()
    assert read(url)[0] == revisions(folder("intake"))[-1]


@pytest.mark.postgres
def test_a_step_that_a_writer_waits_for_in_turn_steps_aside_and_is_done_after_it(
    postgres_urls: PostgresUrls, tmp_path: Path
) -> None:
    # Fails when a deadlock ends the migration: the country stands still until somebody starts it again.
    # Whose check comes first is given up; the writer's never comes.
    steps = seeded(
        tmp_path,
        "SET LOCAL deadlock_timeout = '2s'",
        *(f"LOCK {t}" for t in ("organisation", "letter")),
    )
    url = postgres_urls.new()
    upgrade(steps, url, revisions(steps)[-2])
    plain = url.replace("+asyncpg", "")
    thread = threading.Thread(target=partial(upgrade, steps, url))

    with psycopg.connect(plain) as writer, psycopg.connect(plain, autocommit=True) as asking:
        writer.execute("SET deadlock_timeout = '60s'")
        writer.execute("LOCK letter IN ROW EXCLUSIVE MODE")
        thread.start()
        try:
            poll(lambda: _waits(asking))
            writer.execute("LOCK organisation IN ROW EXCLUSIVE MODE")
        finally:
            writer.commit()
            thread.join(PATIENCE)
    assert read(url)[0] == revisions(steps)[-1]


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("service", SERVICES)
def test_who_writes_meanwhile_is_held_up_for_five_seconds_at_most(
    service: str, postgres_urls: PostgresUrls
) -> None:
    # Fails when a step holds a lock for long over 100,000 rows, or demands what the release before
    # does not write.
    url, steps = postgres_urls.new(), folder(service)
    there: Sums = {}
    for number, revision in enumerate(revisions(steps), 1):
        with Inserting(url, number * 200_000) as writer:
            poll(partial(_has_written, writer, 1))
            upgrade(steps, url, revision)
            poll(partial(_has_written, writer, writer.rows + 2))
        assert writer.refused == []
        assert writer.longest < LONGEST_WAIT
        there = fill(url, there, lambda table: 100_000 if table in HUGE else 100)


@pytest.mark.postgres
def test_a_step_that_never_gets_its_lock_gives_up_at_the_last_whole_one(
    postgres_urls: PostgresUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when it is tried for ever, or when a half-done step stays.
    url = postgres_urls.new()
    upgrade(folder("intake"), url, "0006")
    monkeypatch.setattr(migrations, "LOCK_PATIENCE", 0.0)

    with psycopg.connect(url.replace("+asyncpg", "")) as reader:
        reader.execute("SELECT count(*) FROM case_file")
        with pytest.raises(LockedDatabaseError):
            upgrade(folder("intake"), url)

    assert read(url)[0] == "0006"


def _has_written(writer: Inserting, rows: int) -> bool:
    return writer.rows >= rows


def _waits(asking: "psycopg.Connection[tuple[int]]") -> bool:
    """Tell whether somebody waits for a lock that makes others wait behind it."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
    return asking.execute(query).fetchone() != (0,)


@pytest.mark.parametrize("service", SERVICES)
def test_a_database_of_a_newer_release_is_left_alone(service: str, database_url: str) -> None:
    upgrade(folder(service), database_url)
    with connect(database_url) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()

    with pytest.raises(NewerDatabaseError):
        upgrade(folder(service), database_url)
