"""What a country says under a clock that is far ahead, beyond the end of every key."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import cast
from uuid import UUID

import pytest
from sqlalchemy import select

from common.db.base import Database, unit_of
from common.federation.custody import Statement, verify
from common.unit import StaleError, Unit
from referral.commands.crossing import say
from referral.commands.dating import date_anew
from referral.domain.cross_border import GIVEN, RECALLED, Kind
from referral.models import Custody, Letter
from referral.queries.cross_border import find_cross_border
from referral.schemas.letters import OwnershipWord
from referral.worker import courier_of, expire_overdue
from tests.federation.countries import directory_of
from tests.kit import HOME
from tests.referral.crossing import Crossing, ownership
from tests.referral.story import NOW, now_is, withdrawn
from tests.referral.test_owed_letters import peer_is_heard, wait_for_peer

AHEAD = NOW + timedelta(days=4 * 366)
"""When neither country has a key, nor ever will in these tests."""
SOON = NOW + timedelta(days=1)


async def heard_of(crossing: Crossing, referral_id: UUID) -> list[Statement]:
    """Return what the receiver has of the sender; in both countries the chain holds and is whole."""
    directory = directory_of(crossing.s.land, crossing.r.land)
    row = await crossing.s.row(referral_id)
    for country in (crossing.s, crossing.r):
        assert verify(await country.custody(referral_id), directory.signer)["RS"] == row.said
        assert await country.dead() == []
    said = [each.statement for each in await crossing.r.custody(referral_id)]
    assert (await crossing.r.row(referral_id)).heard_hash == row.said_hash
    return [each for each in said if each.author == "RS"]


async def test_a_withdrawal_told_under_a_clock_far_ahead_is_heard_once_it_is_right(
    crossing: Crossing,
) -> None:
    """Seeded: never date anew; leave the letter's time ahead.

    The other country would keep the person's data for good.
    """
    case, consent = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    now_is(AHEAD)
    await case.tell(crossing.s.kit, withdrawn(consent))
    assert await crossing.s.send() == 0

    now_is(SOON)
    await crossing.post()

    statuses = [await each.status(referral_id) for each in (crossing.s, crossing.r)]
    assert statuses == ["CLOSED", "CONSENT_WITHDRAWN"]
    said = await heard_of(crossing, referral_id)
    assert [each.said_at for each in said if each.kind == "withdrawn"] == [SOON]
    assert max(letter.written_at for letter in await crossing.s.letters(referral_id)) == SOON


async def test_a_sweep_under_a_clock_far_ahead_does_not_part_the_countries(
    crossing: Crossing,
) -> None:
    # Fails when it ends referrals here of which the other country never hears, nor of what follows.
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    now_is(AHEAD)
    await expire_overdue(crossing.s.kit.runtime)

    now_is(SOON)
    await crossing.post()

    assert await crossing.s.status(referral_id) == await crossing.r.status(referral_id) == "EXPIRED"


async def test_a_draft_of_a_clock_far_ahead_is_sent_once_it_is_right(crossing: Crossing) -> None:
    # Fails when nothing is said before the time at which its referral was recorded: the submission,
    # answered with 200, never leaves.
    case, _ = await crossing.ready()
    now_is(AHEAD)
    referral_id = await crossing.drafted(case)

    now_is(SOON)
    await crossing.s.do(referral_id, "submit")
    await crossing.post()

    assert await crossing.r.status(referral_id) == "SUBMITTED"
    assert (await crossing.r.row(referral_id)).submitted_at == SOON


async def test_all_that_waits_behind_it_follows(crossing: Crossing) -> None:
    """Seeded: date the first statement alone; leave `previous`, or the referral's newest hash, as it was.

    Also words on who may edit the case are among it, and what is said before it is signed.
    """
    case, _ = await crossing.ready()
    referral_id = await crossing.arrived(case)
    words = (GIVEN, RECALLED, GIVEN)
    told = [ownership(case.id, HOME, referral_id, word) for word in words]
    now_is(AHEAD)
    await case.tell(crossing.s.kit, *told[:2])

    now_is(SOON)
    await case.tell(crossing.s.kit, told[2])
    await crossing.post()

    said = await heard_of(crossing, referral_id)
    owning = [(each.owning.word, each.said_at) for each in said if each.owning]
    assert owning == [(word, SOON) for word in words]
    assert (await crossing.s.row(referral_id)).owning_word == GIVEN


async def test_a_receipt_behind_it_follows(crossing: Crossing) -> None:
    # Fails when a receipt stays dated ahead: it is never signed, and the peer sends its letter daily.
    case, consent = await crossing.ready()
    referral_id = await crossing.sent(case)
    await crossing.r.do(referral_id, "acknowledge")
    await crossing.r.send()
    now_is(AHEAD)
    await case.tell(crossing.s.kit, withdrawn(consent))

    now_is(SOON)
    await crossing.s.collect()
    await crossing.post()

    said = await heard_of(crossing, referral_id)
    [link] = [each for each in said if each.kind == "withdrawn"]
    receipts = [each for each in said if each.kind == "receipt" and each.number == link.number]
    assert {(each.previous, each.said_at) for each in receipts} == {(link.hash, SOON)}
    letters = await crossing.r.kit.rows(select(Letter).where(Letter.receipt_of == 0))
    assert all(letter.heard_at for letter in letters)


async def test_what_a_key_of_its_time_signed_stays_and_nothing_is_dated_before_it(
    crossing: Crossing,
) -> None:
    """Seeded: date anew what was signed too; date by the clock alone.

    The other country may have it already; and a chain whose times run backwards shows nothing.
    """
    case, consent = await crossing.ready()
    referral_id = await crossing.drafted(case)
    little = NOW + timedelta(days=5)
    now_is(little)
    await crossing.s.do(referral_id, "submit")
    await crossing.post()
    now_is(AHEAD)
    await case.tell(crossing.s.kit, withdrawn(consent))

    now_is(SOON)
    await crossing.post()

    said = await heard_of(crossing, referral_id)
    assert {each.kind: each.said_at for each in said} == {
        "offer": little,
        "withdrawn": little,
        "receipt": little,
    }


async def test_it_waits_while_the_peer_may_have_it_under_another_date(crossing: Crossing) -> None:
    # Fails when a country that was put back signs in a place in which it signed before: a fork.
    case, consent = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    now_is(AHEAD)
    await case.tell(crossing.s.kit, withdrawn(consent))
    await wait_for_peer(crossing.s, "XK")

    now_is(SOON)
    await crossing.post()
    before = await crossing.r.status(referral_id)
    await peer_is_heard(crossing, crossing.s)

    assert (before, await crossing.r.status(referral_id)) == ("ACKNOWLEDGED", "CONSENT_WITHDRAWN")


async def test_what_a_signed_statement_follows_stays_as_it_is(crossing: Crossing) -> None:
    # Fails when the hash changes that something signed names: a peer that was given it, or gave it
    # back, takes nothing more.
    case, _ = await crossing.ready()
    referral_id = await crossing.arrived(case)
    now_is(AHEAD)
    told = [ownership(case.id, HOME, referral_id, word) for word in (GIVEN, RECALLED)]
    await case.tell(crossing.s.kit, *told)
    now_is(SOON)
    database = crossing.s.kit.runtime.database
    signed = unit_of(database, source="/tests", operation="test")
    newest = (await crossing.s.row(referral_id)).said_hash
    signed.update(Custody, {"hash": newest}, expect=1, kid="0" * 32, signature="")
    await database.write(signed)

    unit = unit_of(database, source="/tests", operation="test")
    count = await date_anew(unit, referral_id, "RS", is_signable=lambda at: at < AHEAD)

    assert (count, unit.steps) == (0, [])


Write = Callable[[Unit, UUID], Awaitable[object]]


async def date(unit: Unit, referral_id: UUID) -> None:
    assert await date_anew(unit, referral_id, "RS", is_signable=lambda at: at < AHEAD) == 1


async def say_more(unit: Unit, referral_id: UUID) -> None:
    row = await find_cross_border(unit, referral_id)
    assert row is not None
    await say(unit, row, Kind.OWNERSHIP, OwnershipWord(word=RECALLED, epoch=2), own="RS")


@pytest.mark.parametrize(("first", "second"), [(date, date), (date, say_more), (say_more, date)])
async def test_it_is_dated_anew_once_and_nothing_follows_what_it_was(
    crossing: Crossing, first: Write, second: Write
) -> None:
    """Seeded: ask at the writing neither for what it follows, nor for what is dated, nor for its end.

    Two couriers, or a courier and who says more: of both the chain would break, for good.
    """
    case, _ = await crossing.ready()
    referral_id = await crossing.arrived(case)
    now_is(AHEAD)
    await case.tell(crossing.s.kit, ownership(case.id, HOME, referral_id, GIVEN))
    now_is(SOON)
    database = crossing.s.kit.runtime.database
    units = [unit_of(database, source="/tests", operation="test") for _ in range(2)]
    await first(units[0], referral_id)
    await second(units[1], referral_id)

    await database.write(units[0])
    with pytest.raises(StaleError):
        await database.write(units[1])

    await crossing.post()
    assert {each.said_at for each in await heard_of(crossing, referral_id)} == {NOW, SOON}


async def test_who_read_before_it_was_dated_anew_and_signed_says_nothing_behind_it(
    crossing: Crossing,
) -> None:
    # Fails when only what is not signed must still be as it was: the chain would break, for good.
    case, _ = await crossing.ready()
    referral_id = await crossing.arrived(case)
    now_is(AHEAD)
    await case.tell(crossing.s.kit, ownership(case.id, HOME, referral_id, GIVEN))
    now_is(SOON)
    database = crossing.s.kit.runtime.database
    late = unit_of(database, source="/tests", operation="test")
    row = await find_cross_border(late, referral_id)
    assert row is not None
    await crossing.s.send()

    word = OwnershipWord(word=RECALLED, epoch=2)
    await say(late, row, Kind.OWNERSHIP, word, own="RS")
    with pytest.raises(StaleError):
        await database.write(late)

    await crossing.post()
    await heard_of(crossing, referral_id)


class Between:
    """A database of which something is asked between a courier's look and its writing."""

    def __init__(self, database: Database, act: Callable[[], Awaitable[object]]) -> None:
        self._database, self._act = database, act
        self.keys, self.fetch = database.keys, database.fetch

    async def write(self, unit: Unit) -> None:
        await self._act()
        await self._database.write(unit)


async def test_no_signature_of_what_was_said_stands_under_what_it_became(
    crossing: Crossing,
) -> None:
    # Fails when a courier that looked before another dated it anew signs the text it saw: the
    # signature holds for nobody, and no letter behind it is taken.
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    now_is(NOW + timedelta(days=5))
    await crossing.s.do(referral_id, "submit")
    now_is(SOON)
    runtime = crossing.s.kit.runtime
    other = unit_of(runtime.database, source="/tests", operation="test")
    await date(other, referral_id)

    between = Between(runtime.database, partial(runtime.database.write, other))
    late = courier_of(replace(runtime, database=cast(Database, between)), crossing.s.hub)
    with pytest.raises(StaleError):
        await late.sign_waiting()

    await crossing.post()
    assert {each.said_at for each in await heard_of(crossing, referral_id)} == {SOON}


async def test_what_was_signed_meanwhile_is_not_dated_anew(crossing: Crossing) -> None:
    # Fails when who looked before it was signed puts another text under the signature: it holds for
    # nobody, and no letter behind it is taken.
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    little = NOW + timedelta(days=5)
    now_is(little)
    await crossing.s.do(referral_id, "submit")
    now_is(SOON)
    runtime = crossing.s.kit.runtime
    late = unit_of(runtime.database, source="/tests", operation="test")
    await date(late, referral_id)
    assert await courier_of(runtime, crossing.s.hub).sign_waiting() == 1

    with pytest.raises(StaleError):
        await runtime.database.write(late)

    await crossing.post()
    assert {each.said_at for each in await heard_of(crossing, referral_id)} == {little}
