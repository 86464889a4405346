"""The exchange with other countries goes on, whatever its hub's client lets out."""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from common.bus import BusError, LocalBus
from referral import worker
from tests.kit import open_service


async def let_out() -> None:
    """Let out that a task of one's own was cancelled, as a library may."""
    own = asyncio.create_task(asyncio.Event().wait())
    own.cancel()
    await own


class LeakyHub(LocalBus):
    """A hub whose client lets that out at one place, where each side of the exchange comes by."""

    def __init__(self, path: Path, at: str) -> None:
        super().__init__(path)
        self._at = at

    async def check(self, *, reads: Collection[str], writes: Collection[str]) -> None:
        if self._at == "check":
            await let_out()
        raise BusError

    async def close(self) -> None:
        await super().close()
        if self._at == "close":
            await let_out()


@pytest.mark.parametrize("at", ["check", "close"])
async def test_a_hub_s_client_that_lets_out_its_own_cancelled_task_ends_no_exchange(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when that ends the task that takes letters: its group, and so the process, lives on
    # without a word, and no letter is taken until a restart.
    monkeypatch.setattr(worker, "_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(worker, "open_bus", lambda _: LeakyHub(tmp_path / "hub.db", at))

    async with open_service("referral", tmp_path) as kit:
        hub: dict[str, Any] = {"hub_url": f"local://{tmp_path}/hub.db"}
        settings = kit.runtime.settings.model_copy(update=hub)
        with capture_logs() as told:
            running = asyncio.create_task(worker.exchange(replace(kit.runtime, settings=settings)))
            async with asyncio.timeout(10):
                while sum(each["event"] == "exchange.begins_anew" for each in told) < 3:
                    await asyncio.wait([running], timeout=0.01)
            assert not running.done()
            running.cancel()
            await asyncio.wait([running])

    assert running.cancelled()
    assert {each["error"] for each in told if each["event"] == "exchange.begins_anew"} == {
        "LostTaskError"
    }
