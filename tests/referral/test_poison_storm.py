"""A country whose letters are refused by the thousand holds nobody up and fills no disk (T16)."""

import json
from collections.abc import Iterator
from itertools import cycle
from uuid import UUID

import pytest
from sqlalchemy import func, select

from common import dead_letters
from common.events import canonical
from common.federation.custody import SignedStatement, digest_of
from common.federation.envelope import Letter, seal
from common.tables import DeadLetter, InboxMessage, InboxPending
from referral import worker
from referral.worker import courier_of, mail_of, postbox_of
from tests.conftest import fixed_id
from tests.federation.countries import WORDS, Land, letter, signed_anew, statement
from tests.referral.crossing import BOSNIA, Country, Crossing
from tests.referral.forging import on_hub, put_again

MANY, TURN = 1000, 100
REFUSED = ("malformed", "letter.unknown_referral", "letter.out_of_place")


def storm(r: Land, count: int) -> Iterator[bytes]:
    """Yield letters from Bosnia that nobody can take, of those kinds that cost their reader most."""
    whole = seal(letter(BOSNIA, r), by=BOSNIA.signing, to=r.sealing.public)
    outer = json.loads(whole)
    kinds = cycle(["damaged", "sealed to nobody", "of no referral", "of no referral"])
    for number, kind in zip(range(count), kinds, strict=False):
        if kind == "damaged":
            yield canonical(outer | {"id": str(fixed_id(number))})
        elif kind == "sealed to nobody":  # it is Bosnia's, truly, and is tried to the last step
            yield signed_anew(outer | {"id": str(fixed_id(number))}, BOSNIA)
        else:
            body = {"reason": "OTHER"}
            said = statement(
                BOSNIA, r, referral_id=fixed_id(number), kind="cancelled", digest=digest_of(body)
            )
            written = Letter.of(SignedStatement.of(said, BOSNIA.signing), body)
            yield seal(written, by=BOSNIA.signing, to=r.sealing.public)


async def two_offers(crossing: Crossing) -> tuple[list[UUID], list[bytes]]:
    """Let Serbia offer two persons and call the first off; return the letters as they were sealed."""
    case, _ = await crossing.ready()
    referrals = [await crossing.drafted(case), await crossing.drafted(case)]
    for referral_id in referrals:
        await crossing.s.do(referral_id, "submit")
        await crossing.s.send()
    await crossing.s.do(referrals[0], "cancel", {"reason": "OTHER"})
    await crossing.s.send()
    return referrals, [each.value for each in await on_hub(crossing, crossing.r)]


async def turns_until(country: Country, referrals: list[UUID]) -> dict[UUID, int]:
    """Let the postbox take what there is; return in which of its turns each referral was known."""
    runtime = country.kit.runtime
    postbox = postbox_of(runtime)
    mail = mail_of(runtime, country.hub, courier_of(runtime, country.hub))
    reading = await mail.subscribe(postbox.topics, group=runtime.name, position_of=postbox.claim)
    known: dict[UUID, int] = {}
    turn = 0
    while deliveries := await reading.poll(limit=TURN, seconds=0):
        turn += 1
        await postbox.accept_all(deliveries)
        for referral_id in referrals:
            if referral_id not in known and await country.row(referral_id) is not None:
                known[referral_id] = turn
    return known


async def test_letters_between_a_thousand_that_are_refused_come_in_their_turn(
    crossing: Crossing,
) -> None:
    """Seeded: try a refused letter again; park its sender; let one that does not open raise."""
    (first, second), [offer, other, cancelled] = await two_offers(crossing)
    bad = list(storm(crossing.r.land, MANY))
    await crossing.lose(crossing.r)
    await put_again(
        crossing,
        crossing.r,
        *bad[:250], offer, *bad[250:500], other, *bad[500:], cancelled,
    )  # fmt: skip

    known = await turns_until(crossing.r, [first, second])

    # No letter waits longer than for what lies before it: a turn for each hundred.
    assert known == {first: 251 // TURN + 1, second: 502 // TURN + 1}
    assert await crossing.r.status(first) == "CANCELLED"
    assert await crossing.r.status(second) == "SUBMITTED"
    reasons = await crossing.r.dead()
    assert len(reasons) == MANY
    assert set(reasons) <= set(REFUSED)
    # Nobody is told: two receipts for the offers, and that nothing was kept of the one called off.
    sent = await crossing.r.send()
    assert sent == len(await on_hub(crossing, crossing.s))
    assert sent <= 3


async def test_a_storm_of_letters_leaves_a_bounded_number_of_rows(
    crossing: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded: keep what is refused by the rules without a bound, for it was truly signed."""
    monkeypatch.setattr(dead_letters, "MOST", 20)
    (_, second), [_, other, _] = await two_offers(crossing)
    await crossing.lose(crossing.r)
    await put_again(crossing, crossing.r, *storm(crossing.r.land, 200), other)

    known = await turns_until(crossing.r, [second])

    assert known == {second: 3}
    kept = await crossing.r.kit.rows(
        select(DeadLetter.reason, func.count().label("number")).group_by(DeadLetter.reason)
    )
    assert {row.reason: row.number for row in kept} == {
        "malformed": 20,
        "letter.unknown_referral": 20,
    }
    # What was truly signed is remembered by its number, however often it is refused.
    seen = await crossing.r.kit.rows(select(InboxMessage.outcome))
    assert [row.outcome for row in seen].count("dead") == 100


async def test_letters_that_come_before_their_time_are_bounded_too(
    crossing: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when the postbox is not told the bound: a peer that signs truly would have all of them kept.
    monkeypatch.setattr(worker, "MOST_EARLY", 10)
    early = [
        statement(BOSNIA, crossing.r.land, referral_id=fixed_id(number), number=2)
        for number in range(50)
    ]
    letters = [Letter.of(SignedStatement.of(said, BOSNIA.signing), WORDS) for said in early]
    to = crossing.r.land.sealing.public
    (_, second), [_, other, _] = await two_offers(crossing)
    await crossing.lose(crossing.r)
    sealed = [seal(each, by=BOSNIA.signing, to=to) for each in letters]
    await put_again(crossing, crossing.r, *sealed, other)

    assert await turns_until(crossing.r, [second]) == {second: 1}

    assert len(await crossing.r.kit.rows(select(InboxPending.seq))) == 10
    assert await crossing.r.dead() == ["too_early"] * 40
