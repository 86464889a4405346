"""The referral service in a folder of its own, at the time the tests take as now."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit import Kit, open_service
from tests.referral.story import NOW, now_is


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    now_is(NOW)
    async with open_service("referral", tmp_path) as opened:
        yield opened
