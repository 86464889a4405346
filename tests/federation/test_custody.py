"""The chain of custody shows whatever was changed, left out, put in or said to another (F41)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from common.federation.custody import (
    GENESIS,
    RECEIPT,
    CustodyError,
    SignedStatement,
    Statement,
    digest_of,
    require_next,
    verify,
)
from tests.conftest import fixed_id
from tests.federation.countries import REFERRAL, Land, directory_of, land, statement

SERBIA, KOSOVO, BOSNIA = land("RS"), land("XK"), land("BA")
SIGNER = directory_of(SERBIA, KOSOVO, BOSNIA).signer


def signed(said: Statement, by: Land) -> SignedStatement:
    return SignedStatement.of(said, by.signing)


def chains() -> list[SignedStatement]:
    """Return a short exchange: RS writes twice, XK once in between, and RS acknowledges at the end."""
    offer = statement(SERBIA, KOSOVO)
    heard = {"heard": 1, "heard_hash": offer.hash}
    answer = statement(KOSOVO, SERBIA, kind="accepted", **heard)
    heard_back = {"heard": 1, "heard_hash": answer.hash}
    follows = {"number": 2, "previous": offer.hash}
    package = statement(SERBIA, KOSOVO, kind="package", **follows, **heard_back)
    receipt = statement(
        KOSOVO,
        SERBIA,
        kind=RECEIPT,
        digest=digest_of({}),
        previous=answer.hash,
        heard=2,
        heard_hash=package.hash,
    )
    return [
        signed(offer, SERBIA),
        signed(answer, KOSOVO),
        signed(package, SERBIA),
        signed(receipt, KOSOVO),
    ]


def reason_of(statements: list[SignedStatement]) -> str:
    with pytest.raises(CustodyError) as error:
        verify(statements, SIGNER)
    return error.value.reason


def test_a_whole_exchange_holds_in_any_order() -> None:
    whole = chains()

    assert verify(whole, SIGNER) == {"RS": 2, "XK": 1}
    assert verify(whole[::-1], SIGNER) == {"RS": 2, "XK": 1}
    assert verify([], SIGNER) == {}


@pytest.mark.parametrize("left_out", [0, 1])
def test_a_link_that_was_left_out_is_missed(left_out: int) -> None:
    """Seeded: do not compare numbers; do not look at what each says it has heard."""
    statements = chains()
    del statements[left_out]

    assert reason_of(statements) in {"gap", "heard"}


def test_an_end_that_was_kept_back_shows_in_what_the_other_heard() -> None:
    statements = [each for each in chains() if each.statement.kind != "package"]

    assert reason_of(statements) == "heard"


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "declined"},
        {"digest": digest_of({"other": 1})},
        {"heard": 0, "heard_hash": GENESIS},
        {"number": 2},
        {"previous": "a" * 64},
        {"referral_id": fixed_id(9)},
        {"peer": "BA"},
        {"author": "BA"},
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_statement_that_was_changed_has_no_signature(place: int, changed: dict[str, Any]) -> None:
    statements = chains()
    said = statements[place].statement
    if all(getattr(said, name) == value for name, value in changed.items()):
        changed = changed | {"said_at": said.said_at + timedelta(seconds=1)}
    forged = said.model_copy(update=changed)
    statements[place] = statements[place].model_copy(update={"statement": forged})

    assert reason_of(statements) == "signature"


def test_two_statements_in_one_place_are_a_fork() -> None:
    statements = chains()
    other = statements[2].statement.model_copy(update={"previous": "b" * 64})
    statements[2] = signed(other, SERBIA)

    assert reason_of(statements) == "fork"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.model_copy(update={"referral_id": fixed_id(9)}), "other_referral"),
        (lambda s: s.model_copy(update={"peer": "BA"}), "other_country"),
    ],
)
def test_a_statement_of_another_exchange_does_not_belong(
    change: Callable[[Statement], Statement], reason: str
) -> None:
    statements = chains()
    statements[3] = signed(change(statements[3].statement), KOSOVO)

    assert reason_of(statements) == reason


def test_another_country_s_key_signs_for_nobody() -> None:
    offer = statement(SERBIA, KOSOVO)

    assert not signed(offer, BOSNIA).holds(SIGNER)
    assert signed(offer, SERBIA).holds(SIGNER)
    assert not signed(offer, SERBIA).model_copy(update={"signature": "?"}).holds(SIGNER)


def test_a_key_signs_for_the_time_in_which_it_was_the_country_s() -> None:
    # The chain is looked at years later, when the key has long been replaced.
    offer = statement(SERBIA, KOSOVO)
    late = offer.model_copy(update={"said_at": offer.said_at + timedelta(days=200)})

    assert not signed(late, SERBIA).holds(SIGNER)


def test_what_follows_is_the_next_number_on_the_newest_hash() -> None:
    second = statement(SERBIA, KOSOVO, number=2, previous="c" * 64)

    require_next(second, number=1, previous="c" * 64)
    for number, previous, reason in (
        (2, "c" * 64, "gap"),
        (0, "c" * 64, "gap"),
        (1, "d" * 64, "fork"),
    ):
        with pytest.raises(CustodyError) as error:
            require_next(second, number=number, previous=previous)
        assert (error.value.reason, error.value.author, error.value.number) == (reason, "RS", 2)


def test_no_word_of_a_letter_is_in_a_statement() -> None:
    said = chains()[0].statement

    assert b"12-17" not in said.message()
    assert str(REFERRAL).encode() in said.message()
