"""What a roll is answered with: to the country of each referral, and all that it has forgotten (T23)."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from common.federation.custody import GENESIS, GIVEN_BACK, ROLL, Statement, digest_of
from common.tables import InboxPending
from referral.models import Letter, Slip
from tests.conftest import fixed_id
from tests.federation.countries import Land
from tests.referral.crossing import BOSNIA, Crossing
from tests.referral.forging import slip_as, state, statement_to_r, write_as


async def roll_of(crossing: Crossing, by: Land, referral_id: UUID, **progress: Any) -> list[Any]:
    """Let a country tell the receiver how far it is with a referral; return what it is given back."""
    progress = {"said": 0, "said_hash": GENESIS, "heard": 0} | progress
    named = {"referral_id": str(referral_id), **progress}
    body = {"asked": str(fixed_id(5)), "after": None, "upto": None, "referrals": [named]}
    await slip_as(crossing, by, ROLL, body)
    assert await crossing.r.collect() == 1
    assert await crossing.r.dead() == []
    answers = select(Slip.body).where(Slip.kind == GIVEN_BACK, Slip.peer == by.code)
    rows = await crossing.r.kit.rows(answers)
    assert rows
    return [each for row in rows for each in row.body["referrals"]]


async def test_a_roll_of_a_referral_of_two_others_is_answered_with_nothing_of_it(
    crossing: Crossing,
) -> None:
    # Fails when whoever names a referral is given back what another country said of it.
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    before = await state(crossing, referral_id)
    unsent = select(Letter.id).where(Letter.sent_at.is_(None))

    given = await roll_of(crossing, BOSNIA, referral_id)

    assert given == []
    assert await state(crossing, referral_id) == before
    assert await crossing.r.kit.rows(unsent) == []


@pytest.mark.parametrize(
    ("said", "is_alike", "given"),
    [(1, True, [2]), (1, False, [1, 2]), (2, False, [1, 2]), (0, True, [1, 2])],
)
async def test_a_country_is_given_back_what_it_said_from_where_its_chain_is_another(
    crossing: Crossing, said: int, *, is_alike: bool, given: list[int]
) -> None:
    # Fails when a country that went on from an old backup is given back only what lies behind its
    # newest statement: what that follows was never said here, and its chain holds nowhere.
    case, _ = await crossing.ready()
    referral_id = await crossing.sent(case)
    await crossing.s.do(referral_id, "cancel", {"reason": "OTHER"})
    await crossing.post()
    known = {
        each.statement.number: each.statement.hash
        for each in await crossing.r.custody(referral_id)
        if each.statement.author == "RS" and each.statement.kind != "receipt"
    }
    hash_ = ({0: GENESIS} | known)[said] if is_alike else "a" * 64

    [answer] = await roll_of(crossing, crossing.s.land, referral_id, said=said, said_hash=hash_)

    assert [each["statement"]["number"] for each in answer["statements"]] == given


async def test_a_later_roll_is_answered_in_place_of_an_earlier_one(crossing: Crossing) -> None:
    """Seeded: leave the answer to the earlier one where it waits.

    A peer that asks while the hub is away would fill the courier with answers nobody waits for.
    """
    case, _ = await crossing.ready()
    referral_id = await crossing.sent(case)

    await roll_of(crossing, crossing.s.land, referral_id)
    given = await roll_of(crossing, crossing.s.land, referral_id)

    assert [each["referral_id"] for each in given] == [str(referral_id)]


@pytest.mark.parametrize(("more", "asks"), [(0, False), (1, True)])
async def test_a_peer_that_heard_more_than_is_known_here_is_told_how_far_this_country_is(
    crossing: Crossing, more: int, *, asks: bool
) -> None:
    """Seeded: write it no roll: what was said and forgotten is given back a day later, or never.

    A database that was put back without a sign of it is found so.
    """
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    said = (await crossing.r.row(referral_id)).said

    await roll_of(crossing, crossing.s.land, referral_id, heard=said + more)

    rolls = select(Slip.body).where(Slip.kind == ROLL, Slip.peer == "RS")
    told = [row.body["referrals"] for row in await crossing.r.kit.rows(rolls)]
    named = [(each["referral_id"], each["said"]) for [each] in told]
    assert named == ([(str(referral_id), said)] if asks else [])


async def test_what_followed_the_second_of_two_words_goes_once_its_author_is_put_right(
    crossing: Crossing,
) -> None:
    # Fails when it stays where it waits: it is tried in the place of what follows the first, which
    # is then never taken.
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    await crossing.r.do(referral_id, "decline", {"reason": "NO_CAPACITY"})
    first = await called_off(crossing, referral_id, "OTHER")
    second = await called_off(crossing, referral_id, "NEED_ENDED")
    assert await crossing.r.collect() == 2
    await goes_on(crossing, await goes_on(crossing, second))
    assert await crossing.r.collect() == 2
    assert len(await crossing.r.kit.rows(select(InboxPending.seq))) == 2

    await roll_of(crossing, crossing.s.land, referral_id, said=first.number, said_hash=first.hash)
    right = await goes_on(crossing, first)
    assert await crossing.r.collect() == 1
    right = await goes_on(crossing, right)
    assert await crossing.r.collect() == 1

    row = await crossing.r.row(referral_id)
    assert (row.heard, row.heard_hash) == (right.number, right.hash)
    assert await crossing.r.dead() == []


async def called_off(crossing: Crossing, referral_id: UUID, reason: str) -> Statement:
    """Let the sender call a referral off in the place behind its last letter that was taken."""
    body = {"reason": reason}
    said = await statement_to_r(crossing, referral_id, crossing.s.land, digest=digest_of(body))
    await write_as(crossing, crossing.s.land, said, body)
    return said


async def goes_on(crossing: Crossing, before: Statement) -> Statement:
    """Let the sender say behind a word of its own that the person withdrew."""
    said = before.model_copy(
        update={
            "number": before.number + 1,
            "previous": before.hash,
            "kind": "withdrawn",
            "digest": digest_of({}),
        }
    )
    await write_as(crossing, crossing.s.land, said)
    return said
