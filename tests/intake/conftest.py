"""A whole intake service, and what most of its tests begin with."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from common import clock
from tests.conftest import PostgresUrls
from tests.intake.crossing import Crossing, two_countries
from tests.kit import Kit, migrated, open_service


@pytest.fixture
def november() -> None:
    """Let it be the morning of 22 November 2026, a millisecond later at each look at the clock."""
    looks = count()
    began = datetime(2026, 11, 22, 10, tzinfo=UTC)
    clock.set_source(lambda: began + timedelta(milliseconds=next(looks)))


@pytest.fixture
async def kit(tmp_path: Path, november: None) -> AsyncIterator[Kit]:
    async with open_service("intake", tmp_path) as opened:
        yield opened


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def kit_on_each(
    request: pytest.FixtureRequest, tmp_path: Path, november: None
) -> AsyncIterator[Kit]:
    """The same on both engines."""
    url = None
    if request.param == "postgres":
        urls: PostgresUrls = request.getfixturevalue("postgres_urls")
        url = migrated("intake", urls)
    async with open_service("intake", tmp_path, database_url=url) as opened:
        yield opened


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def crossing(
    request: pytest.FixtureRequest, tmp_path: Path, november: None
) -> AsyncIterator[Crossing]:
    """Two countries; both databases are on the same engine."""
    urls: list[str | None] = [None, None]
    if request.param == "postgres":
        made: PostgresUrls = request.getfixturevalue("postgres_urls")
        urls = [migrated("intake", made) for _ in range(2)]
    async with two_countries(tmp_path, *urls) as opened:
        yield opened


@pytest.fixture
async def small(tmp_path: Path, november: None) -> AsyncIterator[Crossing]:
    """The same on SQLite alone, for what no engine changes."""
    async with two_countries(tmp_path) as opened:
        yield opened
