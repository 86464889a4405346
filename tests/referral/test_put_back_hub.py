"""A country that was put back, and a hub that loses what it is asked, or is not there (C1, F36)."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from common.bus import Record
from common.federation.custody import GIVEN_BACK, ROLL
from common.federation.envelope import Letter, open_envelope
from common.federation.peers import read_own_keys, read_peers
from intake.models import Standing
from referral.commands import roll
from referral.models import PeerToHear
from referral.worker import run
from tests.conftest import fixed_id
from tests.intake.bodies import OTHER
from tests.referral.story import NOW, now_is
from tests.referral.test_put_back import code
from tests.referral.whole import Whole
from tests.referral.world import World, open_world

pytestmark = pytest.mark.slow

Posted = list[tuple[Letter, Record]]


class Losing:
    """A hub that hands on what `keep` leaves of the letters that come together."""

    def __init__(self, recipient: Whole, hub: Any, keep: Callable[[Posted], Posted]) -> None:
        self._recipient, self.hub, self._keep = recipient, hub, keep
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.hub, name)

    async def publish(self, records: Sequence[Record]) -> None:
        posted = [(self._open(record), record) for record in records]
        kept = self._keep(posted)
        self.lost += sum(one is not other for one, other in zip(kept, posted, strict=False))
        self.lost += len(posted) - len(kept)
        await self.hub.publish([record for _, record in kept])

    def _open(self, record: Record) -> Letter:
        runtime = self._recipient.referral.runtime
        settings = runtime.settings
        return open_envelope(
            record.value,
            country=settings.country,
            keys=read_own_keys(settings.own_keys_file, runtime.master, runtime.name).opening,
            signer=read_peers(settings.peers_folder).directory.signer,
        )


def of_kind(posted: Posted, kind: str) -> list[int]:
    return [n for n, (letter, _) in enumerate(posted) if letter.said.statement.kind == kind]


def without(kind: str, place: int) -> Callable[[Posted], Posted]:
    """Lose one of the letters of a kind that come together."""

    def keep(posted: Posted) -> Posted:
        found = of_kind(posted, kind)
        lost = found[place] if found else None
        return [each for n, each in enumerate(posted) if n != lost]

    return keep


def turned(posted: Posted) -> Posted:
    """Hand the parts of an answer on the last one first."""
    found = of_kind(posted, GIVEN_BACK)
    places = dict(zip(found, reversed(found), strict=True))
    return [posted[places.get(n, n)] for n in range(len(posted))]


async def waits(country: Whole) -> bool:
    """Tell whether a country still waits for its peer, in both services."""
    asking = await country.intake.rows(select(Standing.asked).where(Standing.asked.is_not(None)))
    return bool(await country.referral.rows(select(PeerToHear))) and bool(asking)


async def call(country: Whole) -> None:
    """Let it be the next day for the courier of a country."""
    country.courier._called_at = None


@pytest.mark.row("C1", "F36")
@pytest.mark.parametrize(
    "keep",
    [without(GIVEN_BACK, 0), without(GIVEN_BACK, 1), without(GIVEN_BACK, -1), turned],
    ids=["first", "second", "last", "turned"],
)
async def test_an_answer_that_did_not_come_whole_is_none(
    told: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keep: Callable[[Posted], Posted],
) -> None:
    # Fails when the last part is taken for all of them: the case is edited in both countries.
    now_is(NOW)
    monkeypatch.setattr(roll, "CHUNK", 1)
    async with open_world(told / "sent", tmp_path) as world:
        copy = world.back_up_by_command(world.s)
        await world.go_on_to_arrival()
        await world.handed_over()
        assert (await world.r.edit()).status_code == 200
        await world.put_back(world.s, copy)
        losing = Losing(world.s, world.r.courier._turns._hub, keep)
        world.r.courier._turns._hub = losing

        await world.rest()

        assert losing.lost > 0
        assert await waits(world.s)
        assert code(await world.s.edit()) == (409, "ownership.unconfirmed")
        assert (await world.r.edit()).status_code == 200

        world.r.courier._turns._hub = losing.hub
        await call(world.s)
        await world.rest()
        assert not await waits(world.s)
        assert await world.holdings() == (("NONE", 2), ("OWNER", 2))
        assert code(await world.s.edit()) == (409, "ownership.not_here")


@pytest.mark.row("C1", "F36")
@pytest.mark.parametrize("place", [0, 1])
async def test_a_question_that_did_not_come_whole_is_not_answered(
    told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    # Fails when the answer to the last letter of a roll is taken for that to all of them.
    now_is(NOW)
    monkeypatch.setattr(roll, "PAGE", 1)
    async with open_world(told / "sent", tmp_path) as world:
        await world.open_case(OTHER)
        await world.draft(fixed_id(78), OTHER)
        submitted = await world.s.do(f"{world.path[:-36]}{fixed_id(78)}", "submit")
        assert submitted.status_code == 200, submitted.text
        await world.rest()
        await world.put_back(world.s, world.back_up_by_command(world.s))
        losing = Losing(world.r, world.s.courier._turns._hub, without(ROLL, place))
        world.s.courier._turns._hub = losing

        await world.rest()

        assert losing.lost > 0
        assert await waits(world.s)
        world.s.courier._turns._hub = losing.hub
        await call(world.s)
        await world.rest()
        assert not await waits(world.s)


@pytest.mark.row("C1", "F36")
async def test_put_back_without_its_hub_a_country_edits_nothing_until_it_has_one(
    world: World,
) -> None:
    # Fails when a first start without the hub takes the question for answered: who puts a country
    # back with care connects it last.
    copy = world.back_up_by_command(world.s)
    await world.handed_over()
    await world.s.seal_audit()
    assert (await world.r.edit()).status_code == 200

    world.s.is_connected = False
    await world.put_back(world.s, copy)
    await world.s.hear()
    assert code(await world.s.edit()) == (409, "ownership.unconfirmed")

    await world.s.end()
    world.s.is_connected = True
    await world.s.start()
    await world.s.hear()
    assert code(await world.s.edit()) == (409, "ownership.unconfirmed")
    await world.rest()
    assert await world.holdings() == (("NONE", 2), ("OWNER", 2))
    assert code(await world.s.edit()) == (409, "ownership.not_here")


@pytest.mark.row("C1", "F36")
async def test_only_who_would_ask_the_peers_says_that_there_is_no_hub(world: World) -> None:
    # Fails when the API says it too, whose settings never name one, or the worker says nothing.
    world.s.is_connected = False
    copy = world.back_up_by_command(world.s)

    with capture_logs() as told:
        await world.put_back(world.s, copy)  # what the API does before it answers
    assert [line["event"] for line in told if line["event"].startswith("rejoin.")] == []
    assert await world.s.referral.rows(select(PeerToHear))

    async with asyncio.timeout(30):
        with capture_logs() as told:
            worker = asyncio.ensure_future(run(world.s.referral.runtime))
            while not any(line["event"] == "rejoin.no_hub" for line in told):
                assert await world.s.referral.rows(select(PeerToHear))  # it stays so
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
