"""The referral service in a folder of its own, at the time the tests take as now."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from common import clock
from tests.kit import Kit, open_service
from tests.referral.crossing import BOSNIA, Crossing, open_crossing
from tests.referral.story import NOW, now_is
from tests.referral.world import World, open_world, tell_to_arrival


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    now_is(NOW)
    async with open_service("referral", tmp_path) as opened:
        yield opened


@pytest.fixture
async def crossing(tmp_path: Path) -> AsyncIterator[Crossing]:
    """Two countries and a hub; the receiver knows a third."""
    now_is(NOW)
    async with open_crossing(tmp_path) as opened:
        opened.r.land.settle_in(opened.r.kit.runtime, opened.s.land, BOSNIA)
        yield opened


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A crossing up to the arrival, kept step by step in a folder; its time is taken as now."""
    now_is(NOW)
    yield tell_to_arrival(tmp_path_factory.mktemp("told"))
    clock.set_source(None)


@pytest.fixture
async def world(told: Path, tmp_path: Path) -> AsyncIterator[World]:
    """Both countries once the person, and her data before her, have come."""
    now_is(NOW)
    async with open_world(told / "arrived", tmp_path) as opened:
        yield opened
