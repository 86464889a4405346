"""A whole intake service, and what most of its tests begin with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import PostgresUrls
from tests.kit import Kit, open_service


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with open_service("intake", tmp_path) as opened:
        yield opened


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def kit_on_each(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    """The same on both engines."""
    url = None
    if request.param == "postgres":
        urls: PostgresUrls = request.getfixturevalue("postgres_urls")
        url = urls.new()
    async with open_service("intake", tmp_path, database_url=url) as opened:
        yield opened
