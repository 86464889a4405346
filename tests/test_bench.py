"""The references of the benchmark do the work they are said to do, and a ratio is judged as its goal is."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from bench import creating, processes
from bench.load import Drive, LoadProcess
from bench.postgres import plain
from bench.processes import Server
from bench.table import Series
from tests.conftest import PostgresUrls

_TABLES = ("case_file", "outbox", "audit")


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize(
    ("start", "tables"),
    [
        (lambda url: processes.raw(plain(url)), _TABLES),
        (processes.drf, ("bench_case", "bench_outbox", "bench_audit")),
    ],
    ids=["asyncpg", "django"],
)
def test_a_create_of_the_reference_is_three_rows(
    start: Callable[[str], Server],
    tables: tuple[str, ...],
    postgres_urls: PostgresUrls,
    tmp_path: Path,
) -> None:
    """Seeded: leave one of the inserts out; the reference would be faster than it claims to be."""
    url = postgres_urls.new()
    keyed = creating.headers(tmp_path) | {"Idempotency-Key": "{key}"}

    with start(url) as server, LoadProcess() as load:
        drive = Drive(server.port, "POST", "/v1/cases", keyed, creating.BODY, 201, 30.0, count=20)
        made = load.drive(drive)

    assert made.answered == 20
    with psycopg.connect(plain(url)) as connection:
        for table in tables:
            [(count,)] = connection.execute(f"SELECT count(*) FROM {table}".encode())  # noqa: S608
            assert count == 20, table


def test_a_ratio_is_taken_within_its_round() -> None:
    # Fails when the medians are divided instead: the machine was slow in the second round.
    ours, theirs = Series("ours", "/s"), Series("theirs", "/s")
    ours.values, theirs.values = [80.0, 8.0, 90.0], [100.0, 10.0, 100.0]

    row = ours.against(theirs, ratio_at_least=0.7, aim=", aim 0.8")

    assert (row.value, row.ratio, row.met) == (80.0, 0.8, True)
    assert row.goal == ">= 0.7 x, aim 0.8"


@pytest.mark.parametrize(("value", "met"), [(12.0, True), (13.0, False)])
def test_a_ratio_may_have_to_be_small(value: float, met: bool) -> None:  # noqa: FBT001
    ours, theirs = Series("ours", "ms"), Series("theirs", "ms")
    ours.values, theirs.values = [value], [10.0]

    assert ours.against(theirs, ratio_at_most=1.2).met is met
