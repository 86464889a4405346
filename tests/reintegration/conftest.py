"""The reintegration service in a folder of its own, on the day the tests take as today."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit import Kit, open_service
from tests.reintegration.plans import ACCEPTED_ON, today_is


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    today_is(ACCEPTED_ON)
    async with open_service("reintegration", tmp_path) as opened:
        yield opened
