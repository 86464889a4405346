"""Letters from the wrong hands, and from a peer that says what is not true: nothing changes (F41)."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from common.federation.custody import GENESIS, SignedStatement, digest_of
from common.federation.envelope import Letter, seal
from common.federation.mail import event_of
from common.tables import InboxAggregate
from tests.conftest import fixed_id
from tests.referral.crossing import (
    BOSNIA,
    Crossing,
    known_land,
)
from tests.referral.forging import put_again, state, statement_to_r, write_as
from tests.referral.story import NOW

# --- from the wrong hands


async def test_a_third_country_cannot_speak_of_a_referral_between_two(crossing: Crossing) -> None:
    """Seeded: look the referral up without comparing its country with the letter's author."""
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    before = await state(crossing, referral_id)
    body = {"reason": "OTHER"}
    offer = {"age_group": "35+", "sex": "MALE", "needs": ["SHELTER"], "languages": []}
    offer["urgency"] = "LOW"

    await write_as(crossing, BOSNIA, await statement_to_r(crossing, referral_id, BOSNIA), body)
    second = await statement_to_r(
        crossing, referral_id, BOSNIA, number=2, kind="offer", digest=digest_of(offer)
    )
    await write_as(crossing, BOSNIA, second, offer)
    await crossing.r.collect()

    assert await state(crossing, referral_id) == before
    assert await crossing.r.dead() == ["letter.unknown_referral"] * 2


async def test_a_stranger_s_letter_is_not_opened(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    before = await state(crossing, referral_id)
    stranger = known_land("MK")
    forged = await statement_to_r(crossing, referral_id, stranger)

    await write_as(crossing, stranger, forged, {"reason": "OTHER"})
    in_anothers_name = SignedStatement.of(
        await statement_to_r(crossing, referral_id, crossing.s.land), BOSNIA.signing
    )
    letter = Letter.of(in_anothers_name, {"reason": "OTHER"})
    to = crossing.r.land.sealing.public
    await put_again(crossing, crossing.r, seal(letter, by=BOSNIA.signing, to=to))
    await crossing.r.collect()

    assert await state(crossing, referral_id) == before
    assert await crossing.r.dead() == ["malformed"] * 2


async def test_an_event_that_nobody_sealed_is_no_letter(crossing: Crossing) -> None:
    """Seeded: hand on what does not open as it came; whoever writes to the hub cancels at will."""
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    before = await state(crossing, referral_id)
    true_next = await statement_to_r(crossing, referral_id, crossing.s.land)
    unsigned = SignedStatement(statement=true_next, kid="0" * 32, signature="")
    letter = Letter.of(unsigned, {"reason": "OTHER"})

    await put_again(crossing, crossing.r, event_of(letter).to_bytes())
    await crossing.r.collect()

    assert await state(crossing, referral_id) == before
    assert await crossing.r.dead() == ["malformed"]


async def test_a_letter_replayed_under_another_number_is_not_opened(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    before = await state(crossing, referral_id)
    [said] = [s for s in await crossing.r.custody(referral_id) if s.statement.kind == "offer"]
    renumbered = said.statement.model_copy(
        update={"number": 2, "previous": said.statement.hash, "kind": "cancelled"}
    )
    replayed = said.model_copy(update={"statement": renumbered})
    words = {"age_group": "25-34"}  # even whoever sealed it could say nothing by it
    letter = Letter.of(replayed, words)
    to = crossing.r.land.sealing.public
    await put_again(crossing, crossing.r, seal(letter, by=crossing.s.land.signing, to=to))

    await crossing.r.collect()

    assert await state(crossing, referral_id) == before
    assert await crossing.r.dead() == ["malformed"]


# --- signed by the peer itself, and yet not true


async def told_in_vain(crossing: Crossing, body: Any, **fields: Any) -> list[str]:
    """Let the sender say this of an acknowledged referral; see that nothing changes.

    Return why it was buried, if it was.
    """
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    before = await state(crossing, referral_id)
    said = await statement_to_r(crossing, referral_id, crossing.s.land, **fields)

    await write_as(crossing, crossing.s.land, said, body)
    await crossing.r.collect()

    assert await state(crossing, referral_id) == before
    return await crossing.r.dead()


@pytest.mark.row("F41")
@pytest.mark.parametrize(
    "forged",
    [
        {"previous": "a" * 64},
        {"previous": GENESIS},
    ],
)
async def test_a_forged_link_of_the_chain_is_not_taken(
    crossing: Crossing, forged: dict[str, Any]
) -> None:
    """Seeded: keep a peer's statement without `require_next`."""
    assert await told_in_vain(crossing, {"reason": "OTHER"}, **forged) == ["custody.broken"]


@pytest.mark.row("F41")
@pytest.mark.parametrize(
    "forged",
    [
        {"heard": 1, "heard_hash": "b" * 64},
        {"heard": 9, "heard_hash": "c" * 64},
    ],
)
async def test_a_letter_that_heard_what_was_never_said_waits_and_changes_nothing(
    crossing: Crossing, forged: dict[str, Any]
) -> None:
    """Seeded: do not compare what it says it heard. It may be true: of a country that was put back."""
    assert await told_in_vain(crossing, {"reason": "OTHER"}, **forged) == []

    held = await crossing.r.kit.rows(
        select(InboxAggregate).where(InboxAggregate.parked_at.is_not(None))
    )
    assert [each.parked_reason for each in held] == ["custody.ahead"]


@pytest.mark.row("F41")
@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_receipt_of_nothing_takes_no_link_s_place(crossing: Crossing, number: int) -> None:
    """Seeded: keep a receipt by its number over what stands there; a country erases what it said."""
    fields = {"number": number, "kind": "receipt", "digest": digest_of({}), "previous": GENESIS}

    assert await told_in_vain(crossing, {}, **fields) == ["custody.broken"]


@pytest.mark.row("F41")
async def test_a_receipt_said_twice_is_kept_as_it_was_first(crossing: Crossing) -> None:
    """Seeded: replace a receipt by the next of its number."""
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    [mine] = [
        s for s in await crossing.r.custody(referral_id) if s.statement.kind == "acknowledged"
    ]
    said = await statement_to_r(
        crossing,
        referral_id,
        crossing.s.land,
        number=1,
        kind="receipt",
        digest=digest_of({}),
        heard=mine.statement.number,
        heard_hash=mine.statement.hash,
        said_at=NOW - timedelta(days=1),
    )
    before = await crossing.r.custody(referral_id)

    await write_as(crossing, crossing.s.land, said, {})
    await crossing.r.collect()

    assert await crossing.r.custody(referral_id) == before
    assert await crossing.r.dead() == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("departed", {}),
        ("package", {}),
        ("erased", {}),
        ("acknowledged", {}),
        ("ownership", {"word": "GIVEN", "epoch": 2}),
    ],
)
async def test_what_no_honest_country_says_now_changes_nothing(
    crossing: Crossing, kind: str, body: dict[str, Any]
) -> None:
    found = await told_in_vain(crossing, body, kind=kind, digest=digest_of(body))

    assert found == ["letter.out_of_place"]


@pytest.mark.row("F37")
async def test_what_an_offer_says_besides_is_kept_nowhere(crossing: Crossing) -> None:
    # Fails when more of an offer is kept than the fields that this release knows.
    offer = {"age_group": "35+", "sex": "MALE", "needs": ["SHELTER"], "languages": ["sq"]}
    body = {**offer, "urgency": "LOW", "name": "Ana Marković"}
    referral_id = fixed_id(4711)
    said = await statement_to_r(
        crossing, referral_id, crossing.s.land, kind="offer", digest=digest_of(body)
    )

    await write_as(crossing, crossing.s.land, said, body)
    await crossing.r.collect()

    assert await crossing.r.status(referral_id) == "SUBMITTED"
    kept = [path for path in (crossing.folder / "XK").rglob("*") if path.is_file()]
    assert any(str(referral_id).encode() in path.read_bytes() for path in kept)
    assert not any("Marković".encode() in path.read_bytes() for path in kept)


async def test_a_need_that_this_release_does_not_know_is_taken(crossing: Crossing) -> None:

    body = {"age_group": "35+", "sex": "MALE", "needs": ["NEW_KIND_OF_HELP"], "languages": []}
    body["urgency"] = "AT_DAWN"
    referral_id = fixed_id(4712)
    said = await statement_to_r(
        crossing, referral_id, crossing.s.land, kind="offer", digest=digest_of(body)
    )

    await write_as(crossing, crossing.s.land, said, body)
    await crossing.r.collect()
    await crossing.r.do(referral_id, "acknowledge")

    read = await crossing.r.see(referral_id)
    assert (read["needs"], read["urgency"]) == (["NEW_KIND_OF_HELP"], "AT_DAWN")


@pytest.mark.row("F40")
async def test_a_letter_of_a_newer_release_is_kept_and_breaks_no_chain(crossing: Crossing) -> None:
    """Seeded: pass a letter of an unknown kind over; nothing its country writes later is taken."""
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    words = {"milestone": "FIRST_VISIT"}
    said = await statement_to_r(
        crossing, referral_id, crossing.s.land, kind="milestone", digest=digest_of(words)
    )

    await write_as(crossing, crossing.s.land, said, words)
    cancelled = said.model_copy(
        update={
            "number": said.number + 1,
            "previous": said.hash,
            "kind": "cancelled",
            "digest": digest_of({"reason": "OTHER"}),
        }
    )
    await write_as(crossing, crossing.s.land, cancelled, {"reason": "OTHER"})
    await crossing.r.collect()

    assert await crossing.r.status(referral_id) == "CANCELLED"
    assert await crossing.r.dead() == ["letter.unknown_kind"]  # its words, for a later release
