"""What both countries keep of what was said shows any change (F41), and the exchange stands alone."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from common.bus import LocalBus, Log, Position
from common.events import topic_of
from common.federation.custody import (
    RECEIPT,
    CustodyError,
    SignedStatement,
    digest_of,
    verify,
)
from common.federation.mail import topic_to
from referral.worker import run
from tests.federation.countries import directory_of, land
from tests.kit import ELSEWHERE
from tests.referral.crossing import Crossing, open_crossing
from tests.referral.story import NOW, now_is


@pytest.fixture
async def crossing(tmp_path: Path) -> AsyncIterator[Crossing]:
    now_is(NOW)
    async with open_crossing(tmp_path) as opened:
        yield opened


def fault(statements: list[SignedStatement], crossing: Crossing) -> str | None:
    directory = directory_of(crossing.s.land, crossing.r.land)
    try:
        verify(statements, directory.signer)
    except CustodyError as error:
        return error.reason
    return None


@pytest.mark.row("F41")
async def test_any_statement_that_is_changed_or_missing_is_found(crossing: Crossing) -> None:
    """Seeded: leave the kind out of what is signed; do not chain a letter to the one before."""
    case, _ = await crossing.ready()
    referral_id = await crossing.handed_over(case)

    for country in (crossing.s, crossing.r):
        whole = await country.custody(referral_id)
        assert fault(whole, crossing) is None
        links = [each for each in whole if each.statement.kind != RECEIPT]
        assert len(links) == 9
        for link in links:
            at = whole.index(link)
            assert fault([*whole[:at], *whole[at + 1 :]], crossing) in {"gap", "heard"}
            for changed in (
                {"kind": "expired"},
                {"digest": "0" * 64},
                {"said_at": link.statement.said_at + timedelta(seconds=1)},
            ):
                said = link.statement.model_copy(update=changed)
                forged = link.model_copy(update={"statement": said})
                assert fault([*whole[:at], forged, *whole[at + 1 :]], crossing) == "signature"


@pytest.mark.row("F41")
async def test_both_countries_keep_the_same_statements(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.handed_over(case)

    here = {each.statement.hash for each in await crossing.s.custody(referral_id)}
    there = {each.statement.hash for each in await crossing.r.custody(referral_id)}

    assert here == there


async def test_a_statement_is_shown_once_it_is_signed(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    await crossing.s.do(referral_id, "submit")
    assert await crossing.s.custody(referral_id) == []

    await crossing.s.send()

    [offer] = await crossing.s.custody(referral_id)
    assert (offer.statement.kind, offer.statement.number) == ("offer", 1)
    answer = await crossing.s.read_custody(referral_id)
    assert answer.json() == {"statements": [offer.model_dump(mode="json")]}
    stranger = crossing.s.caller("SOCIAL_WORKER", ELSEWHERE)
    assert (await crossing.s.read_custody(referral_id, stranger)).status_code == 404


@pytest.mark.row("F37")
async def test_only_who_sees_the_offer_reads_how_far_it_came(crossing: Crossing) -> None:
    """Seeded: show the chain to whoever may read the referral."""
    case, _ = await crossing.ready()
    referral_id = await crossing.sent(case)
    assert (await crossing.r.read_custody(referral_id)).status_code == 404

    await crossing.r.do(referral_id, "acknowledge")
    await crossing.post()
    assert (await crossing.r.read_custody(referral_id)).status_code == 200
    await crossing.s.do(referral_id, "cancel", {"reason": "OTHER"})
    await crossing.post()

    assert (await crossing.r.read_custody(referral_id)).status_code == 404
    assert (await crossing.s.read_custody(referral_id)).status_code == 200


@pytest.mark.row("F37")
async def test_the_digests_tell_nobody_the_words(crossing: Crossing) -> None:
    """Seeded: hash the words without their salt; whoever reads the chain finds them by trying."""
    case, _ = await crossing.ready()
    one, other = await crossing.sent(case), await crossing.sent(case)
    offer = {
        "age_group": "25-34",
        "sex": "FEMALE",
        "needs": ["SHELTER", "COUNSELLING_INFORMATION"],
        "languages": ["sq"],
        "urgency": "HIGH",
    }
    digests = [(await crossing.r.custody(each))[0].statement.digest for each in (one, other)]

    row = await crossing.r.row(one)
    assert {name: getattr(row, name) for name in offer} == offer
    assert digests[0] != digests[1]
    assert digest_of(offer) not in digests


async def test_what_was_said_is_signed_by_the_key_of_that_day(crossing: Crossing) -> None:
    """Seeded: sign with the key of the day on which the hub is back; nobody then takes the letter."""
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    await crossing.s.do(referral_id, "submit")
    later = NOW + timedelta(days=10)
    old, new = crossing.s.land, land("RS")
    renewed = replace(old, chain=[*old.chain])
    times = {"not_before": later, "not_after": later + timedelta(days=90)}
    renewed.extend("sign", new.signing.public.kid, new.signing.public.raw, **times)
    crossing.s.land = renewed
    renewed.settle_in(crossing.s.kit.runtime, crossing.r.land, also=new.private[1])
    crossing.r.land.settle_in(crossing.r.kit.runtime, renewed)
    now_is(later + timedelta(days=1))

    await crossing.post()

    [offer] = [s for s in await crossing.r.custody(referral_id) if s.statement.kind == "offer"]
    assert (offer.statement.said_at, offer.kid) == (NOW, old.signing.public.kid)
    assert await crossing.r.dead() == []


# --- the worker


async def _from_the_start(_topic: str, _partition: int, _log: Log) -> Position:
    return Position(0)


async def _next(bus: LocalBus, topic: str) -> Any:
    """Wait for the first record of a topic, as a consumer does."""
    reading = await bus.subscribe([topic], group="t", position_of=_from_the_start)
    while True:
        if found := await reading.poll(seconds=1):
            return found[0]


async def test_without_its_hub_the_country_goes_on_and_later_it_writes(
    crossing: Crossing, tmp_path: Path
) -> None:
    """Seeded: let what goes wrong with the hub leave the task group of the worker."""
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    await crossing.s.do(referral_id, "submit")
    away = tmp_path / "away"
    runtime = crossing.s.kit.runtime
    settings = runtime.settings.model_copy(update={"hub_url": f"local://{away}/hub.db"})
    [told, *_] = await crossing.s.kit.events(referral_id)

    async with asyncio.timeout(30):
        worker = asyncio.ensure_future(run(replace(runtime, settings=settings)))
        try:
            first = await _next(LocalBus(crossing.s.kit.home / "bus.db"), topic_of(told.type))
            assert not worker.done()
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        away.mkdir()
        worker = asyncio.ensure_future(run(replace(runtime, settings=settings)))
        try:
            letter = await _next(LocalBus(away / "hub.db"), topic_to("XK"))
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    assert first.value
    assert b"FEMALE" not in letter.value
