"""A disk that fails for a moment while the files of the peers are read: nothing is lost by it."""

import asyncio
import errno
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from common.federation.peers import OWN
from referral import worker
from tests.referral.crossing import URL, Crossing, draft
from tests.referral.story import withdrawn


class Disk:
    """Fails to read the files of one folder while it is told to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails, self.asked, read = True, 0, Path.read_bytes

        def refused(path: Path) -> bytes:
            if self.fails and path.parent == folder:
                self.asked += 1
                raise OSError(errno.EIO, "Input/output error")
            return read(path)

        monkeypatch.setattr(Path, "read_bytes", refused)


def peers_of(crossing: Crossing) -> Path:
    """Return the receiver's folder, which is to be read anew: as at a start, or after any change."""
    folder = crossing.r.kit.runtime.settings.peers_folder
    assert folder is not None
    (folder / OWN).touch()
    return folder


async def test_no_letter_is_buried_because_the_files_of_the_peers_could_not_be_read_once(
    crossing: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when the peer counts as unknown for that moment, or ever after: its letters are buried.
    case, consent = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    await case.tell(crossing.s.kit, withdrawn(consent))
    await crossing.s.send()
    disk = Disk(peers_of(crossing), monkeypatch)

    with pytest.raises(OSError, match="error"):
        await crossing.r.collect()
    with pytest.raises(OSError, match="error"):
        await crossing.r.send()
    disk.fails = False
    await crossing.post()

    assert disk.asked >= 2
    assert await crossing.r.dead() == []
    assert await crossing.r.status(referral_id) == "CONSENT_WITHDRAWN"
    assert await crossing.s.status(referral_id) == "CLOSED"


async def test_who_works_meanwhile_is_asked_to_wait(
    crossing: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when the peer is told to be unknown, or the answer is an error that nobody expected.
    case, _ = await crossing.ready()
    folder = crossing.s.kit.runtime.settings.peers_folder
    assert folder is not None
    (folder / OWN).touch()
    disk = Disk(folder, monkeypatch)

    first = await crossing.s.by("submit").post(URL, json=draft(case.id))
    disk.fails = False
    second = await crossing.s.by("submit").post(URL, json=draft(case.id))

    assert (first.status_code, first.json()["code"]) == (503, "unavailable")
    assert second.status_code == 201


async def test_the_exchange_goes_on_by_itself_once_the_files_can_be_read(
    crossing: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when the reader or the sender of letters ends, or buries what it reads meanwhile.
    monkeypatch.setattr(worker, "_AGAIN_SECONDS", 0.01)
    case, consent = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    await case.tell(crossing.s.kit, withdrawn(consent))
    await crossing.s.send()
    runtime = crossing.r.kit.runtime
    hub = {"hub_url": f"local://{crossing.folder}/hub.db"}
    settings = runtime.settings.model_copy(update=hub)
    disk = Disk(peers_of(crossing), monkeypatch)

    with capture_logs() as told:
        running = asyncio.create_task(worker.exchange(replace(runtime, settings=settings)))
        async with asyncio.timeout(60):
            while not {"courier.waits", "exchange.begins_anew"} <= {each["event"] for each in told}:
                assert not running.done()
                await asyncio.wait([running], timeout=0.01)
            disk.fails = False
            while await crossing.s.status(referral_id) != "CLOSED":
                assert not running.done()
                await asyncio.wait([running], timeout=0.01)
                await crossing.s.collect()
    running.cancel()
    await asyncio.wait([running])

    assert await crossing.r.status(referral_id) == "CONSENT_WITHDRAWN"
    assert await crossing.r.dead() == []
