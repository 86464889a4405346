"""The directory: only a country's own root writes its chain, and nobody can turn it back."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from common import clock
from common.clock import utcnow
from common.events import canonical
from common.federation.directory import Directory, DirectoryError, ForkError, SignedEntry
from common.federation.keys import SealingKey, SigningKey
from tests.federation.countries import Land, directory_of, land


def reason(directory: Directory, raw: bytes) -> str:
    with pytest.raises(DirectoryError) as error:
        directory.add(raw)
    return error.value.reason


def test_a_chain_that_was_carried_in_parts_is_the_same_chain() -> None:
    country = land("RS")
    directory = Directory({"RS": country.root.public})

    first = [directory.add(entry.to_bytes()) for entry in country.chain]
    again = [directory.add(entry.to_bytes()) for entry in country.chain]

    assert (len(first), again, directory.height("RS")) == (2, [None, None], 2)
    sealing = directory.sealing_key("RS", utcnow())
    assert sealing == country.sealing.public


def test_what_the_root_did_not_sign_is_not_taken() -> None:
    # Fails when the hub, or another country, may add a key it holds: it would read every letter.
    country, hub = land("RS"), land("XK")
    directory = directory_of(country)
    forged = Land("RS", hub.root, hub.sealing, hub.signing, [*country.chain])
    forged.extend("seal", hub.sealing.public.kid, hub.sealing.public.raw)
    taken = json.loads(country.chain[0].to_bytes())

    assert reason(directory, forged.chain[-1].to_bytes()) == "signature"
    assert reason(directory, hub.chain[0].to_bytes()) == "unknown_country"
    for entry, expected in (
        ({"not_after": "2099-01-01T00:00:00Z"}, "signature"),
        ({"country": "BA"}, "unknown_country"),
        ({"extra": 1}, "malformed"),
    ):
        bad = taken | {"entry": taken["entry"] | entry}
        assert reason(directory, canonical(bad)) == expected


def test_two_entries_in_one_place_are_a_fork_and_what_is_missing_is_a_gap() -> None:
    country = land("RS")
    directory = directory_of(country)
    twin = Land("RS", country.root, country.sealing, country.signing, [*country.chain[:1]])
    other = SigningKey(SigningKey.generate())
    twin.extend("sign", other.public.kid, other.public.raw)
    later = Land("RS", country.root, country.sealing, country.signing, [*country.chain])
    later.extend("sign", other.public.kid, other.public.raw)
    later.extend("revoke", other.public.kid, None)

    with pytest.raises(ForkError):
        directory.add(twin.chain[1].to_bytes())
    assert reason(directory, later.chain[3].to_bytes()) == "gap"
    # A chain that goes on from another one's entry is a fork too.
    twin.extend("revoke", other.public.kid, None)
    with pytest.raises(ForkError):
        directory.add(twin.chain[2].to_bytes())
    assert directory.height("RS") == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"kid": "0" * 32}, "kid"),
        ({"public": b"short"}, "kid"),
        ({"use": "seal"}, "key_length"),
        ({"not_after": timedelta(days=-100)}, "validity"),
        ({"use": "revoke"}, "revoke_with_key"),
    ],
)
def test_an_entry_that_makes_no_sense_is_not_taken(change: dict[str, Any], expected: str) -> None:
    country = land("RS")
    directory = directory_of(country)
    key = SigningKey(SigningKey.generate()).public
    fields: dict[str, Any] = {"use": "sign", "kid": key.kid, "public": key.raw} | change
    times = {k: utcnow() + fields.pop(k) for k in ("not_after",) if k in fields}

    country.extend(fields["use"], fields["kid"], fields["public"], **times)

    assert reason(directory, country.chain[-1].to_bytes()) == expected


def test_the_newest_valid_key_is_sealed_to_and_a_revoked_one_never() -> None:
    # Fails when the first key, one that is not yet valid or one that fell into other hands is used.
    country = land("RS")
    now = utcnow()
    newer, future = (SealingKey(SealingKey.generate()).public for _ in range(2))
    country.extend("seal", newer.kid, newer.raw)
    country.extend("seal", future.kid, future.raw, not_before=now + timedelta(days=14))
    directory = directory_of(country)
    assert directory.sealing_key("RS", now) == newer

    directory.add(country.extend("revoke", newer.kid, None, not_after=now).to_bytes())

    assert directory.sealing_key("RS", now) == country.sealing.public
    assert directory.sealing_key("RS", now + timedelta(days=20)) == future
    assert directory.sealing_key("RS", now + timedelta(days=400)) is None
    assert directory.sealing_key("BA", now) is None


def test_a_signature_is_known_for_a_month_after_its_key_ended() -> None:
    # Letters are on their way for days. Fails when an ended key is forgotten, or known for ever.
    country = land("RS")
    directory = directory_of(country)
    end = country.chain[1].entry.not_after
    kid = country.signing.public.kid

    known = [directory.signer("RS", kid, end + timedelta(days=d)) is not None for d in (-1, 29, 31)]

    assert known == [True, True, False]
    assert (
        directory.signer("RS", kid, country.chain[1].entry.not_before - timedelta(days=1)) is None
    )
    clock.set_source(None)
    assert SignedEntry.model_validate_json(country.chain[0].to_bytes()) == country.chain[0]


def test_what_was_said_between_two_keys_is_signed_by_the_second_and_by_no_other() -> None:
    """Seeded: take any later key; one that has not begun; one that was revoked before it began."""
    country, now = land("RS"), utcnow()
    old, end = country.signing.public.kid, country.chain[1].entry.not_after
    second, third, lost = (SigningKey(SigningKey.generate()).public for _ in range(3))
    begin = end + timedelta(days=60)
    country.extend(
        "sign",
        lost.kid,
        lost.raw,
        not_before=begin - timedelta(days=5),
        not_after=begin + timedelta(days=90),
    )
    country.extend("revoke", lost.kid, None, not_after=begin - timedelta(days=6))
    country.extend(
        "sign", second.kid, second.raw, not_before=begin, not_after=begin + timedelta(days=90)
    )
    country.extend(
        "sign",
        third.kid,
        third.raw,
        not_before=begin + timedelta(days=1),
        not_after=begin + timedelta(days=90),
    )
    directory = directory_of(country)
    said_at = end + timedelta(days=40)

    def counts(at: datetime) -> list[bool]:
        kids = (old, second.kid, third.kid, lost.kid)
        return [directory.signer("RS", kid, at) is not None for kid in kids]

    clock.set_source(lambda: begin - timedelta(seconds=1))
    early = (directory.signing_kid_of("RS", said_at), counts(said_at))
    clock.set_source(lambda: begin + timedelta(days=2))
    late = (directory.signing_kid_of("RS", said_at), counts(said_at))

    assert early == (None, [False] * 4)
    assert late == (second.kid, [False, True, False, False])
    assert directory.signing_kid_of("RS", now) == old
    assert counts(now) == [True, False, False, False]


def test_what_was_said_under_a_revoked_key_is_signed_by_its_successor_too_and_by_no_other() -> None:
    """Seeded: take any later key; a successor before the revocation; one of a key that only ended."""
    country, now = land("RS"), utcnow()
    old, end = country.signing.public.kid, now + timedelta(days=10)
    second, third = (SigningKey(SigningKey.generate()).public for _ in range(2))
    country.extend("revoke", old, None, not_before=end, not_after=end)
    for key, begin in ((second, end), (third, end + timedelta(days=30))):
        country.extend(
            "sign", key.kid, key.raw, not_before=begin, not_after=begin + timedelta(days=30)
        )
    directory = directory_of(country)

    def counts(at: datetime) -> list[bool]:
        kids = (old, second.kid, third.kid)
        return [directory.signer("RS", kid, at) is not None for kid in kids]

    clock.set_source(lambda: end - timedelta(seconds=1))
    before = (directory.signing_kids_of("RS", now), counts(now))
    clock.set_source(lambda: end + timedelta(days=40))

    assert before == ([old], [True, False, False])
    assert directory.signing_kids_of("RS", now) == [old, second.kid]
    assert counts(now) == [True, True, False]
    assert counts(end) == [False, True, False]
    assert directory.signing_kids_of("RS", end) == [second.kid]
    assert directory.signing_kids_of("RS", now - timedelta(days=30)) == []


def test_a_country_s_first_key_vouches_for_a_clock_a_little_behind_and_for_no_more() -> None:
    # Fails when what is dated years before the first key counts, or a clock's minute stops a chain.
    country = land("RS")
    directory, begin = directory_of(country), country.chain[1].entry.not_before
    kid = country.signing.public.kid

    minute, day = (begin - each for each in (timedelta(minutes=1), timedelta(days=1)))

    assert (directory.signing_kid_of("RS", minute), directory.signing_kid_of("RS", day)) == (
        kid,
        None,
    )
    assert directory.signer("RS", kid, minute) is not None
