"""A peer one release newer says more than this one knows; nothing of it is lost (F40, T21)."""

from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from common.contracts.referral import OwnershipHeard
from common.contracts.types import Code
from common.federation.custody import SignedStatement, Statement, digest_of, verify
from common.federation.envelope import Letter, seal
from common.tables import InboxAggregate, InboxPending
from referral import letters, worker
from referral.domain.cross_border import Kind
from referral.models import Letter as Sent
from referral.schemas.letters import BODIES, Offer
from referral.worker import postbox_of
from tests.conftest import fixed_id
from tests.federation.countries import Land, directory_of
from tests.referral.crossing import BOSNIA, Country, Crossing
from tests.referral.forging import put_again, state, statement_to_r, write_as

OFFER: dict[str, Any] = {
    "age_group": "35+",
    "sex": "MALE",
    "needs": ["SHELTER"],
    "languages": ["sq"],
    "urgency": "LOW",
}
REFERRAL = fixed_id(4242)
NEWER_FORM = OFFER | {"age_group": "ABOUT_35"}
"""An offer in words that this release cannot read."""


async def test_what_a_peer_calls_its_words_stands_in_no_log(crossing: Crossing) -> None:
    # Fails when a country writes into ours what it likes, a name for example.
    kind = "arta_rruga_e_lisave"
    said = await statement_to_r(
        crossing, REFERRAL, crossing.s.land, kind=kind, digest=digest_of({})
    )
    await write_as(crossing, crossing.s.land, said)

    with capture_logs() as told:
        await crossing.r.collect()

    assert [line["type"] for line in told if line["event"] == "consumer.parked"] == ["unknown"]
    assert kind not in str(told)


# --- as the next release might write


class NewerStatement(Statement):
    mode: Code | None = None
    parts: list[dict[str, Any]] | None = None
    nested: dict[str, Any] | None = None


class NewerSigned(SignedStatement):
    statement: NewerStatement
    scheme: str = "ed25519"


class NewerLetter(Letter):
    said: NewerSigned
    hint: str | None = "of no importance"


def newer(said: Statement, **more: Any) -> NewerStatement:
    return NewerStatement(**(said.model_dump() | more))


def sealed_newer(crossing: Crossing, said: NewerStatement, body: dict[str, Any]) -> bytes:
    by = crossing.s.land.signing
    signed = SignedStatement.of(said, by)
    whole = NewerSigned(statement=said, kid=signed.kid, signature=signed.signature)
    letter = NewerLetter(sender=said.author, recipient=said.peer, said=whole, body=body)
    return seal(letter, by=by, to=crossing.r.land.sealing.public)


async def said_in_r(
    crossing: Crossing, body: Any, by: Land | None = None, **fields: Any
) -> Statement:
    """Put a letter on the hub, an offer unless told otherwise; return its statement."""
    content: dict[str, Any] = {"referral_id": REFERRAL, "kind": "offer", "number": 1} | fields
    referral_id = content.pop("referral_id")
    sender = by or crossing.s.land
    said = await statement_to_r(crossing, referral_id, sender, digest=digest_of(body), **content)
    await write_as(crossing, sender, said, body)
    return said


async def follows(crossing: Crossing, first: Statement) -> None:
    """Put a letter on the hub that calls off what the first one offered."""
    body = {"reason": "OTHER"}
    fields: dict[str, Any] = {
        "number": first.number + 1,
        "previous": first.hash,
        "kind": "cancelled",
    }
    await said_in_r(crossing, body, referral_id=first.referral_id, **fields)


async def updated(country: Country) -> None:
    """Do what a worker of a new release does first."""
    await postbox_of(country.kit.runtime).retry_all_parked()


async def waiting(country: Country) -> list[tuple[int, str | None]]:
    """Return what waits at a country, and why nothing of its line is taken."""
    statement = select(InboxPending.seq, InboxAggregate.parked_reason).join(
        InboxAggregate, InboxAggregate.subject == InboxPending.subject
    )
    return sorted(tuple(row) for row in await country.kit.rows(statement))


# --- fields that this release does not know


@pytest.mark.row("F40")
async def test_a_field_more_in_the_words_of_an_offer_is_passed_over(crossing: Crossing) -> None:
    # Fails when a letter's words may have no field besides those of this release.
    await crossing.ready()

    await said_in_r(crossing, OFFER | {"needs_interpreter": True})
    await crossing.r.collect()

    assert await crossing.r.status(REFERRAL) == "SUBMITTED"
    assert await crossing.r.send() == 1  # the receipt
    assert await crossing.r.dead() == []


async def test_a_field_more_in_what_is_signed_is_kept_and_verified(crossing: Crossing) -> None:
    # Fails when the signature is looked for over the fields alone that this release knows, or when
    # what is kept of the statement is not all that was signed.
    await crossing.ready()
    first = await statement_to_r(
        crossing, REFERRAL, crossing.s.land, kind="offer", digest=digest_of(OFFER)
    )
    more = {"mode": "FAST", "parts": [{"a": 1}], "nested": {"b": None, "c": 2.5}}
    said = newer(first, **more, owning=None)

    await put_again(crossing, crossing.r, sealed_newer(crossing, said, OFFER))
    await follows(crossing, said)
    await crossing.r.collect()

    assert await crossing.r.status(REFERRAL) == "CANCELLED"
    await crossing.r.send()
    chain = await crossing.r.custody(REFERRAL)
    held = verify(chain, directory_of(crossing.s.land, crossing.r.land).signer)
    assert held[crossing.s.code] == 2
    [kept] = [each.statement for each in chain if each.statement.kind == "offer"]
    assert kept.hash == said.hash
    assert (kept.model_extra or {}).keys() == more.keys()


@pytest.mark.parametrize(
    "more",
    [
        {"mode": "SLOW"},  # another than was signed
        {"nested": {"b": "x" * 5000}},  # signed, and longer than a link of a chain may be
    ],
)
async def test_what_this_release_does_not_know_is_signed_too_and_short(
    crossing: Crossing, more: dict[str, Any]
) -> None:
    # Fails when fields that nobody here knows are kept unsigned, or at any length.
    await crossing.ready()
    first = await statement_to_r(
        crossing, REFERRAL, crossing.s.land, kind="offer", digest=digest_of(OFFER)
    )
    by, to = crossing.s.land.signing, crossing.r.land.sealing.public
    signed = SignedStatement.of(newer(first, **(more if "nested" in more else {})), by)
    whole = NewerSigned(statement=newer(first, **more), kid=signed.kid, signature=signed.signature)
    letter = NewerLetter(sender="RS", recipient="XK", said=whole, body=OFFER)

    await put_again(crossing, crossing.r, seal(letter, by=by, to=to))
    await crossing.r.collect()

    assert await crossing.r.dead() == ["malformed"]
    assert await crossing.r.row(REFERRAL) is None


async def test_a_letter_that_comes_again_from_an_updated_sender_is_the_same(
    crossing: Crossing,
) -> None:
    # Fails when a field that is null and was not there before makes another event of a letter.
    await crossing.ready()
    said = await said_in_r(crossing, OFFER)
    await crossing.r.collect()

    await put_again(crossing, crossing.r, sealed_newer(crossing, newer(said), OFFER))
    await crossing.r.collect()

    assert await crossing.r.dead() == []


# --- words of a form that this release cannot read


@pytest.mark.row("F40")
async def test_words_that_cannot_be_read_wait_for_an_update_and_are_taken_in_their_place(
    crossing: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when such a letter is buried: after the update it would be dropped as one seen before.
    await crossing.ready()
    said = await said_in_r(crossing, NEWER_FORM)
    await follows(crossing, said)
    await crossing.r.collect()
    assert await crossing.r.row(REFERRAL) is None
    assert await waiting(crossing.r) == [(1, "letter.unreadable"), (2, "letter.unreadable")]
    assert await crossing.r.send() == 0  # no receipt: it was not taken

    await write_as(crossing, crossing.s.land, said, NEWER_FORM)  # as its sender does each day
    await crossing.r.collect()
    await updated(crossing.r)
    assert await waiting(crossing.r) == [(1, "letter.unreadable"), (2, "letter.unreadable")]
    monkeypatch.setitem(BODIES, Kind.OFFER, Newer)
    await updated(crossing.r)

    assert await crossing.r.status(REFERRAL) == "CANCELLED"
    assert await waiting(crossing.r) == []
    assert await crossing.r.dead() == []
    kinds = select(Sent.kind, Sent.receipt_of).where(Sent.referral_id == REFERRAL)
    assert ("receipt", 1) in {tuple(row) for row in await crossing.r.kit.rows(kinds)}


class Newer(Offer):
    age_group: Code


async def test_unreadable_words_of_another_country_s_referral_are_buried_and_wait_for_nothing(
    crossing: Crossing,
) -> None:
    # Fails when the form is looked at before who has a say, or a place in the chain: no later
    # release may take these either.
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    before = await state(crossing, referral_id)
    body = {"reason": "in words"}
    fields: dict[str, Any] = {"referral_id": referral_id, "kind": "cancelled"}

    await said_in_r(crossing, body, BOSNIA, **fields)
    await said_in_r(crossing, body, **fields, number=2, previous="a" * 64)
    await said_in_r(crossing, NEWER_FORM, previous="a" * 64)
    await crossing.r.collect()

    assert await state(crossing, referral_id) == before
    assert sorted(await crossing.r.dead()) == [
        "custody.broken",
        "custody.broken",
        "letter.unknown_referral",
    ]
    assert await waiting(crossing.r) == []


async def test_unreadable_letters_by_the_hundred_are_bounded_and_none_is_remembered_as_dead(
    crossing: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when what waits for an update is kept without a bound, or what found no room is
    # remembered: sent again to the updated country it would be dropped.
    monkeypatch.setattr(worker, "MOST_EARLY", 10)
    await crossing.ready()
    for number in range(30):
        await said_in_r(crossing, NEWER_FORM, BOSNIA, referral_id=fixed_id(number))
    said = await said_in_r(crossing, NEWER_FORM)
    await crossing.r.collect()
    assert len(await waiting(crossing.r)) == 10
    assert await crossing.r.dead() == ["too_early"] * 21

    monkeypatch.setitem(BODIES, Kind.OFFER, Newer)
    await updated(crossing.r)
    await write_as(crossing, crossing.s.land, said, NEWER_FORM)
    await crossing.r.collect()

    assert await crossing.r.status(REFERRAL) == "SUBMITTED"
    assert await waiting(crossing.r) == []


@pytest.mark.parametrize("kind", ["roll", "given_back"])
async def test_an_unreadable_word_outside_the_chains_keeps_nobody_waiting(
    crossing: Crossing, kind: str
) -> None:
    # Fails when such a word waits: the next roll tells all of it anew, and an old one nothing true.
    await crossing.ready()

    await said_in_r(crossing, {"of": "a later form"}, kind=kind, number=0)
    await said_in_r(crossing, OFFER)
    await crossing.r.collect()

    assert await crossing.r.dead() == ["payload_invalid"]
    assert await waiting(crossing.r) == []
    assert await crossing.r.status(REFERRAL) == "SUBMITTED"


async def test_a_word_on_who_may_edit_that_nobody_here_knows_waits_with_what_follows(
    crossing: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when such a word is passed over: those that follow it are then taken as if it had not
    # been said, and two countries edit one case, or none does.
    case, _ = await crossing.ready()
    referral_id = await crossing.arrived(case)
    row = await crossing.r.row(referral_id)
    fields: dict[str, Any] = {"referral_id": referral_id, "kind": "ownership"}
    lent = await said_in_r(crossing, {"word": "LENT", "epoch": 2}, **fields, number=row.heard + 1)
    number: dict[str, Any] = {"number": lent.number + 1, "previous": lent.hash}
    await said_in_r(crossing, {"word": "GIVEN", "epoch": 4}, **fields, **number)

    await crossing.r.collect()

    assert await crossing.r.told(referral_id, OwnershipHeard) == []
    assert [seq for seq, _ in await waiting(crossing.r)] == [lent.number, lent.number + 1]
    known = letters.OWNING_WORDS | {"LENT"}  # type: ignore[attr-defined]
    monkeypatch.setattr(letters, "OWNING_WORDS", known)
    await updated(crossing.r)
    heard = await crossing.r.told(referral_id, OwnershipHeard)
    assert [(each.word, each.epoch) for each in heard] == [("LENT", 2), ("GIVEN", 4)]


# --- kinds that this release does not know


@pytest.mark.row("F40")
async def test_the_words_of_an_unknown_kind_are_kept_and_the_chain_goes_on(
    crossing: Crossing,
) -> None:
    # Fails when a letter of an unknown kind is confirmed and its words are thrown away: nobody
    # sends again what was confirmed.
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    row = await crossing.r.row(referral_id)
    fields: dict[str, Any] = {"referral_id": referral_id, "number": row.heard + 1}
    said = await said_in_r(crossing, {"milestone": "FIRST_VISIT"}, kind="milestone", **fields)

    with capture_logs() as lines:
        await crossing.r.collect()

    assert await crossing.r.dead() == ["letter.unknown_kind"]
    assert (await crossing.r.row(referral_id)).heard == said.number
    assert [line["event"] for line in lines if line["log_level"] == "error"] == [
        "letter.unknown_kind"
    ]


async def test_a_referral_that_begins_with_an_unknown_kind_waits_for_an_update(
    crossing: Crossing,
) -> None:
    # Fails when the first letter of a referral is buried because its kind is not known yet.
    await crossing.ready()
    said = await said_in_r(crossing, OFFER, kind="offer_of_many")
    await follows(crossing, said)
    await crossing.r.collect()

    assert await waiting(crossing.r) == [(1, "letter.unreadable"), (2, "letter.unreadable")]
    assert await crossing.r.dead() == []
