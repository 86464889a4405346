"""The analytics service in a folder of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit import Kit, open_service


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with open_service("analytics", tmp_path) as opened:
        yield opened
