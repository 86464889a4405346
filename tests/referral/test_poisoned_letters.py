"""Letters that a peer has truly signed, with whatever a letter can hold: the next one is taken."""

from typing import Any

import pytest

from common.federation.custody import GIVEN_BACK, RECEIPT, ROLL
from tests.conftest import fixed_id
from tests.referral.crossing import BOSNIA, Crossing
from tests.referral.test_newer_peer import OFFER, said_in_r

REFERRAL = fixed_id(9191)


def deep(levels: int) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for _ in range(levels):
        nested = {"a": nested}
    return nested


def owning(**more: Any) -> dict[str, Any]:
    return {"owning": {"word": "GIVEN", "epoch": 2, **more}}


POISON: dict[str, dict[str, Any]] = {
    "number 0": {"number": 0},
    "number 0 of an unknown kind": {"number": 0, "kind": "of_later"},
    "number 0 of a kind of ours": {"number": 0, "kind": "again"},
    "a kind of ours": {"kind": "again"},
    "another kind of ours": {"kind": "fork"},
    "a kind without a letter": {"kind": "_"},
    "the last number": {"number": 2**31 - 1},
    "heard more than was said": {"heard": 2**31 - 1, "heard_hash": "a" * 64},
    "a NUL": {"later": "\0"} | owning(later="\0"),
    "a great float": {"later": 1e308},
    "names of ours": {"seq": "x", "hash": [], "model_extra": {}, "is_takeable": False},
    "a long word on who may edit": owning(later="A" * 180_000),
    "a receipt of nothing": {"kind": RECEIPT, "number": 0},
    "a receipt of what was not said": {"kind": RECEIPT, "heard": 7, "heard_hash": "b" * 64},
    "a roll of no form": {"kind": ROLL, "number": 0},
    "an answer with a number": {"kind": GIVEN_BACK, "number": 3},
    **{f"{n} deep in a statement": {"later": deep(n)} for n in (150, 196, 197, 200)},
    **{f"{n} deep in who may edit": owning(later=deep(n)) for n in (150, 195, 196, 200)},
}


@pytest.mark.parametrize("poison", POISON)
async def test_whatever_a_peer_has_signed_the_next_letter_is_taken(
    crossing: Crossing, poison: str
) -> None:
    # Fails when something that a letter says raises where letters are read: that record is read
    # again and again, and no country is heard any more.
    case, _ = await crossing.ready()
    referral_id = await crossing.sent(case)
    await said_in_r(crossing, OFFER, BOSNIA, **({"referral_id": REFERRAL} | POISON[poison]))
    await crossing.s.do(referral_id, "cancel", {"reason": "OTHER"})
    await crossing.s.send()

    assert await crossing.r.collect() == 2

    assert await crossing.r.status(referral_id) == "CANCELLED"


@pytest.mark.parametrize("levels", [190, 197, 198, 220])
async def test_however_deep_the_words_of_a_letter_are_the_next_one_is_taken(
    crossing: Crossing, levels: int
) -> None:
    # Fails when what can just be opened cannot be handed on, and that is an error of the reader.
    await crossing.ready()
    await said_in_r(crossing, OFFER | {"later": deep(levels)}, BOSNIA, referral_id=REFERRAL)
    await said_in_r(crossing, OFFER)

    assert await crossing.r.collect() == 2

    assert await crossing.r.status(fixed_id(4242)) == "SUBMITTED"


@pytest.mark.parametrize("kind", ["offer", "of_later"])
async def test_a_letter_of_the_chain_without_a_number_is_buried_as_malformed(
    crossing: Crossing, kind: str
) -> None:
    """Seeded: let `is_takeable` pass a number 0 of any kind."""
    await crossing.ready()

    await said_in_r(crossing, OFFER, BOSNIA, referral_id=REFERRAL, kind=kind, number=0)
    await crossing.r.collect()

    assert await crossing.r.dead() == ["malformed"]


async def test_a_statement_is_short_in_all_its_parts(crossing: Crossing) -> None:
    # Fails when only what stands in it besides is measured, and not what stands inside its parts:
    # all of it is kept for good, and given back by the sixty.
    await crossing.ready()

    await said_in_r(crossing, OFFER, BOSNIA, referral_id=REFERRAL, **owning(later="A" * 1_000))
    await said_in_r(crossing, OFFER, BOSNIA, referral_id=fixed_id(9), **owning(later="A" * 2_000))
    await crossing.r.collect()

    assert await crossing.r.dead() == ["malformed"]
    assert await crossing.r.status(REFERRAL) == "SUBMITTED"
