"""What cannot be sealed for one peer: it rests or is buried, and all other words leave."""

import json
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from common.db.base import unit_of
from common.federation.custody import Statement
from common.unit import Unit
from referral import courier
from referral.models import Custody, Letter, Slip
from referral.worker import courier_of
from tests.conftest import fixed_id
from tests.referral.crossing import BOSNIA, Country, Crossing
from tests.referral.story import NOW, now_is
from tests.referral.test_hostile_rolls import roll_of
from tests.referral.test_newer_peer import OFFER, said_in_r

REFERRAL = fixed_id(9191)


def unit_in(country: Country) -> Unit:
    return unit_of(country.kit.runtime.database, source="/tests", operation="test")


async def said_long_ago(crossing: Crossing, *sizes: int) -> None:
    """Let R have statements of Bosnia that are as long as they could be before they were bounded."""
    said: Statement | None = None
    unit = unit_in(crossing.r)
    for number, size in enumerate(sizes, 1):
        fields: dict[str, Any] = {"referral_id": REFERRAL, "number": number}
        if said is not None:
            fields |= {"previous": said.hash, "kind": "cancelled"}
        body = {"reason": "OTHER"} if said else OFFER
        said = await said_in_r(crossing, body, BOSNIA, **fields)
        owning = {"word": "GIVEN", "epoch": 2, "later": "A" * size}
        text = json.dumps(said.model_dump(mode="json") | {"owning": owning})
        where = {"referral_id": REFERRAL, "author": "BA", "number": number, "receipt_of": 0}
        unit.update(Custody, where, expect=1, statement=text)
    assert await crossing.r.collect() == len(sizes)
    await crossing.r.kit.runtime.database.write(unit)


async def waiting(crossing: Crossing) -> list[tuple[str, int, int]]:
    """Return what waits to be told of rolls: to whom, and which part of how many."""
    rows = await crossing.r.kit.rows(select(Slip.peer, Slip.body).order_by(Slip.position))
    return sorted((row.peer, row.body["part"], row.body["parts"]) for row in rows)


async def test_however_long_what_a_peer_said_is_it_is_given_back_in_parts_that_can_be_sealed(
    crossing: Crossing,
) -> None:
    """Seeded: cut an answer by the number of its statements alone."""
    await crossing.ready()
    await said_long_ago(crossing, 180_000, 180_000)

    await roll_of(crossing, BOSNIA, REFERRAL)

    assert await waiting(crossing) == [("BA", 0, 2), ("BA", 1, 2)]
    assert await courier_of(crossing.r.kit.runtime, crossing.r.hub).send_slips() == 2


async def test_a_word_that_no_letter_holds_is_buried_and_all_others_leave(
    crossing: Crossing,
) -> None:
    # Fails when the courier's round ends at what it cannot seal for one peer: nothing leaves for
    # any country, each time it begins anew.
    case, _ = await crossing.ready()
    referral_id = await crossing.sent(case)
    await said_long_ago(crossing, 300_000, 10)
    await roll_of(crossing, BOSNIA, REFERRAL)
    await roll_of(crossing, crossing.s.land, referral_id)
    before = await waiting(crossing)
    too_long = select(Slip.id).where(Slip.peer == "BA", Slip.position == 0)
    [[slip]] = await crossing.r.kit.rows(too_long)

    with capture_logs() as lines:
        sent = await courier_of(crossing.r.kit.runtime, crossing.r.hub).send_slips()

    assert before == [("BA", 0, 2), ("BA", 1, 2), ("RS", 0, 1)]
    assert sent == 2
    assert await waiting(crossing) == []
    assert await crossing.r.dead() == ["slip.cannot_seal"]
    [line] = [line for line in lines if line["log_level"] == "error"]
    assert (line["event"], line["country"]) == ("courier.slip_buried", "BA")
    assert line["subject"] == str(slip)


async def test_letters_that_cannot_be_sealed_rest_and_keep_none_behind_them(
    crossing: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when what cannot be sealed keeps its place at the head of its peer's queue, or is opened,
    # with its audit entry and its line in the log, at each look.
    monkeypatch.setattr(courier, "BATCH", 1)
    s = crossing.s
    case, _ = await crossing.ready()
    for _ in range(3):
        await s.do(await crossing.drafted(case), "submit")
    first, second, _ = [*await s.kit.rows(select(Letter).order_by(Letter.written_at))]
    await swap(s, first, second)  # each sealed for the other's place
    at_work = courier_of(s.kit.runtime, s.hub)
    while await at_work.sign_waiting():
        pass

    with capture_logs() as lines:
        sent = [await at_work.send_due() for _ in range(5)]

    assert sent == [0, 0, 1, 0, 0]
    named = [(line["event"], line["country"]) for line in lines if line["log_level"] == "error"]
    assert named == [("courier.cannot_seal", "XK")] * 2
    await swap(s, second, first)
    now_is(NOW + courier._ASIDE)
    assert [await at_work.send_due() for _ in range(3)] == [1, 1, 0]


async def swap(country: Country, one: Letter, other: Letter) -> None:
    """Give each the words that are read as the other's."""
    unit = unit_in(country)
    mine, theirs = [
        (await country.kit.rows(select(Letter.body).where(Letter.id == each.id)))[0].body
        for each in (one, other)
    ]
    unit.update(Letter, {"id": one.id}, expect=1, body=theirs)
    unit.update(Letter, {"id": other.id}, expect=1, body=mine)
    await country.kit.runtime.database.write(unit)
