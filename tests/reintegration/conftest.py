"""The reintegration service in a folder of its own, on the day the tests take as today."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import PostgresUrls
from tests.kit import Kit, migrated, open_service
from tests.reintegration.plans import ACCEPTED_ON, today_is


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    today_is(ACCEPTED_ON)
    async with open_service("reintegration", tmp_path) as opened:
        yield opened


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def kit_on_each(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    """The same on both engines."""
    today_is(ACCEPTED_ON)
    url = None
    if request.param == "postgres":
        urls: PostgresUrls = request.getfixturevalue("postgres_urls")
        url = migrated("reintegration", urls)
    async with open_service("reintegration", tmp_path, database_url=url) as opened:
        yield opened
