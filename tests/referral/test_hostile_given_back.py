"""What a peer gives back as our own words is ours only where we said it, there and to that peer (T23, F36)."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from common.federation.custody import (
    GENESIS,
    GIVEN_BACK,
    Owning,
    SignedStatement,
    Statement,
    digest_of,
)
from common.tables import InboxAggregate
from referral.models import Fork, Letter
from referral.worker import courier_of
from tests.federation.countries import Land
from tests.referral.crossing import BOSNIA, Crossing
from tests.referral.forging import slip_as, state, write_as
from tests.referral.story import NOW, now_is

TAKEN = Owning(word="TAKEN", epoch=2)


async def own_words(crossing: Crossing, referral_id: UUID, **fields: Any) -> Statement:
    """Return what the receiver could say next, by which the case would be its own; but for `fields`."""
    row = await crossing.r.row(referral_id)
    content: dict[str, Any] = {
        "referral_id": referral_id,
        "author": crossing.r.code,
        "peer": crossing.s.code,
        "number": row.said + 1,
        "kind": "ownership",
        "digest": digest_of({"word": "TAKEN", "epoch": 2}),
        "previous": row.said_hash,
        "owning": TAKEN,
    }
    return Statement(**(content | {name: fields[name] for name in content.keys() & fields}))


async def give_back(
    crossing: Crossing, by: Land, referral_id: UUID, *said: SignedStatement
) -> list[str]:
    """Let a peer hand these to the receiver as what that has forgotten; return what was buried."""
    statements = [each.model_dump(mode="json") for each in said]
    given = {"referral_id": str(referral_id), "heard": 0, "statements": statements}
    body = {"asked": None, "after": None, "part": 0, "parts": 1, "referrals": [given]}
    await slip_as(crossing, by, GIVEN_BACK, body)
    assert await crossing.r.collect() == 1
    parked = select(InboxAggregate.parked_reason).where(InboxAggregate.parked_at.is_not(None))
    return [*await crossing.r.dead(), *await crossing.r.kit.rows(parked)]


async def test_what_was_said_there_and_to_that_peer_is_taken_back(crossing: Crossing) -> None:
    """The control: the words that the others are made of take effect. Seeded: take nothing back."""
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    said = await own_words(crossing, referral_id)

    own = SignedStatement.of(said, crossing.r.land.signing)
    assert await give_back(crossing, crossing.s.land, referral_id, own) == []

    row = await crossing.r.row(referral_id)
    assert (row.said, row.owning_word, row.owning_epoch) == (said.number, "TAKEN", 2)


@pytest.mark.row("F36", "F41")
@pytest.mark.parametrize(
    ("fields", "signed_by", "is_named"),
    [
        ({}, "RS", True),  # the peer itself, under the name of our key
        ({"author": "RS", "peer": "XK"}, "RS", True),  # its own words
        ({"peer": "BA"}, "XK", True),  # what we said to another
        ({"of": "another"}, "XK", True),  # what we said of another person
        ({"kind": "roll"}, "XK", True),  # what is no link of a chain
        ({"kind": "receipt"}, "XK", True),
        ({"number": 0, "previous": GENESIS}, "XK", True),  # no place in a chain
        ({"number": 3}, "XK", False),
        ({"previous": "a" * 64}, "XK", False),
    ],
)
async def test_what_was_not_said_there_and_to_that_peer_changes_nothing(
    crossing: Crossing, fields: dict[str, Any], signed_by: str, *, is_named: bool
) -> None:
    """Seeded: leave one condition out of `_ours`, or of `_put_in`: a peer makes the case anybody's."""
    first, _ = await crossing.ready()
    referral_id, other = await crossing.acknowledged(first), await crossing.acknowledged(first)
    of = fields.get("of", "the person")
    said = await own_words(crossing, {"the person": referral_id, "another": other}[of], **fields)
    lands = {each.code: each for each in (crossing.s.land, crossing.r.land)}
    signed = SignedStatement.of(said, lands[signed_by].signing)
    if not fields:
        signed = signed.model_copy(update={"kid": crossing.r.land.signing.public.kid})
    before = [await state(crossing, each) for each in (referral_id, other)]

    with capture_logs() as logs:
        assert await give_back(crossing, crossing.s.land, referral_id, signed) == []

    assert [await state(crossing, each) for each in (referral_id, other)] == before
    assert [each["country"] for each in logs if each["event"] == "rejoin.not_ours"] == (
        ["RS"] if is_named else []
    )


async def test_of_a_referral_with_another_country_a_peer_moves_nothing(crossing: Crossing) -> None:
    """Seeded: send again whatever is asked for; whoever knows an id learns how long letters are."""
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    now_is(NOW + timedelta(hours=7))  # long enough for a letter to go again
    before = await crossing.r.kit.rows(select(Letter.id, Letter.sent_at))
    words = await own_words(crossing, referral_id, peer="BA")

    own = SignedStatement.of(words, crossing.r.land.signing)
    assert await give_back(crossing, BOSNIA, referral_id, own) == []

    assert await crossing.r.kit.rows(select(Letter.id, Letter.sent_at)) == before
    assert await crossing.r.row(referral_id) is not None


async def test_what_gave_way_once_does_not_come_back(crossing: Crossing) -> None:
    """Seeded: put in whatever we signed; two words of ours take each other's place for ever."""
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    [first] = [
        each
        for each in await crossing.r.custody(referral_id)
        if each.statement.kind == "acknowledged"
    ]
    second = SignedStatement.of(
        first.statement.model_copy(update={"kind": "declined"}), crossing.r.land.signing
    )
    assert await give_back(crossing, crossing.s.land, referral_id, second) == []
    [gone] = await crossing.r.kit.rows(select(Fork))
    assert gone.hash == first.statement.hash
    before = await state(crossing, referral_id)
    assert before[0].status == "DECLINED"

    assert await give_back(crossing, crossing.s.land, referral_id, first) == []

    assert await state(crossing, referral_id) == before


async def test_two_words_under_one_number_that_come_at_once_are_both_kept(
    crossing: Crossing,
) -> None:
    """Seeded: look for a fork among what was taken before only; the second is buried, and no proof."""
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    row = await crossing.r.row(referral_id)
    bodies = [{"reason": reason} for reason in ("OTHER", "NEED_ENDED")]
    first, second = [
        Statement(
            referral_id=referral_id,
            author="RS",
            peer="XK",
            number=row.heard + 1,
            kind="cancelled",
            digest=digest_of(body),
            previous=row.heard_hash,
        )
        for body in bodies
    ]
    await write_as(crossing, crossing.s.land, first, bodies[0])
    await write_as(crossing, crossing.s.land, second, bodies[1])

    assert await crossing.r.collect() == 2

    assert await crossing.r.dead() == []
    [kept] = await crossing.r.kit.rows(select(Fork))
    assert kept.hash == second.hash
    assert (await crossing.r.row(referral_id)).forked_at is not None


async def test_what_it_answered_then_is_not_answered_anew_while_it_is_taken_back(
    crossing: Crossing,
) -> None:
    # Fails when a letter that calls a referral off is answered anew although the answer it had is
    # to be taken back: it waits for that answer, which waits for it.
    case, _ = await crossing.ready()
    referral_id = await crossing.sent(case)
    await crossing.s.do(referral_id, "cancel", {"reason": "OTHER"})
    await courier_of(crossing.s.kit.runtime, crossing.s.hub).sign_waiting()
    [off] = [
        s.statement
        for s in await crossing.s.custody(referral_id)
        if s.statement.kind == "cancelled"
    ]
    fields = {"kind": "erased", "digest": digest_of({}), "owning": None}
    said = await own_words(crossing, referral_id, **fields)
    answer = said.model_copy(update={"heard": off.number, "heard_hash": off.hash})
    signed = SignedStatement.of(answer, crossing.r.land.signing)
    assert await give_back(crossing, crossing.s.land, referral_id, signed) == []
    assert (await crossing.r.row(referral_id)).said == 0

    await crossing.s.send()
    await crossing.r.collect()

    row = await crossing.r.row(referral_id)
    assert (row.status, row.said, row.said_hash) == ("CANCELLED", 1, answer.hash)
    parked = select(InboxAggregate.parked_reason).where(InboxAggregate.parked_at.is_not(None))
    assert await crossing.r.kit.rows(parked) == []
