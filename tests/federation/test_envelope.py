"""A sealed letter opens for its recipient, whole and once understood; nothing else opens at all (S1)."""

import base64
import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from common import clock
from common.clock import utcnow
from common.events import canonical
from common.federation.custody import SignedStatement
from common.federation.directory import Directory
from common.federation.envelope import SIZES, EnvelopeError, Letter, open_envelope, seal
from common.federation.keys import SealingKey, SigningKey
from tests.federation.countries import Land, directory_of, land, letter, signed_anew

SERBIA, KOSOVO, BOSNIA = land("RS"), land("XK"), land("BA")
DIRECTORY = directory_of(SERBIA, KOSOVO, BOSNIA)


def sealed(written: Letter, sender: Land = SERBIA, recipient: Land = KOSOVO) -> bytes:
    return seal(written, by=sender.signing, to=recipient.sealing.public)


def opened(envelope: bytes, by: Land = KOSOVO, directory: Directory = DIRECTORY) -> Letter:
    return open_envelope(envelope, country=by.code, keys=by.keys, signer=directory.signer)


def refused(envelope: bytes, by: Land = KOSOVO, directory: Directory = DIRECTORY) -> bool:
    with pytest.raises(EnvelopeError) as error:
        opened(envelope, by, directory)
    assert str(error.value) == "envelope"
    return True


def changed(envelope: bytes, **members: Any) -> bytes:
    return canonical({**json.loads(envelope), **members})


def test_a_letter_arrives_as_it_was_written() -> None:
    written = letter(SERBIA, KOSOVO)

    read = opened(sealed(written))

    assert read == written


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400", str(2**53), "-1e999", r'"\ud800"'])
def test_words_that_no_json_may_hold_are_a_letter_that_is_not_taken(value: str) -> None:
    """Seeded: let the error of the canonical form out: one letter would stop those of all countries."""
    inner = letter(SERBIA, KOSOVO, body={"age": 123456}).model_dump_json().replace("123456", value)
    assert refused(forged_inside(inner.encode()))


def test_a_number_no_column_holds_is_not_taken() -> None:
    written = letter(SERBIA, KOSOVO).model_dump_json()
    inner = written.replace('"number":1,', f'"number":{2**31},')
    assert inner != written
    assert refused(forged_inside(inner.encode()))


def forged_inside(inner: bytes, signature: bytes | None = None) -> bytes:
    """Seal and sign these bytes as SERBIA, whose keys are genuine, would; inside as told."""
    signature = signature or SERBIA.signing.sign(b"prag-inner-v1|" + inner)
    framed = len(inner).to_bytes(4, "big") + signature + inner
    outer = json.loads(sealed(letter(SERBIA, KOSOVO)))
    [outer["id"]] = re.findall(r'"v":1,"id":"([0-9a-f-]{36})"', inner.decode())
    parts = ("RS", "XK", outer["sender_kid"], outer["recipient_kid"], outer["id"])
    info = b"prag-referral-v1" + b"".join(len(p).to_bytes(2, "big") + p.encode() for p in parts)
    ciphertext = KOSOVO.sealing.public.encrypt(framed.ljust(4096, b"\0"), info=info)
    return signed_anew(outer | {"sealed": base64.b64encode(ciphertext).decode()}, SERBIA)


def test_the_envelope_shows_neither_words_nor_length() -> None:
    # Fails without sealing, or without padding: two letters of other lengths would differ.
    short, long = letter(SERBIA, KOSOVO, body={}), letter(SERBIA, KOSOVO, body={"a": "x" * 2000})
    envelopes = [sealed(short), sealed(long)]

    assert len(envelopes[0]) == len(envelopes[1])
    for envelope in (sealed(letter(SERBIA, KOSOVO)), *envelopes):
        raw = base64.b64decode(json.loads(envelope)["sealed"])
        assert b"Markovi" not in envelope + raw  # longer than chance writes in base64
        assert b"12-17" not in envelope + raw


CASE = 5
"""The bit by which a letter differs from its capital."""


def test_a_bit_turned_at_any_byte_opens_for_nobody() -> None:
    """T35. Seeded: leave out the outer signature; take an id in capitals, or base64 of another form."""
    envelope = sealed(letter(SERBIA, KOSOVO))
    tail = len(envelope) - 200  # the signature, and what is beside it
    taken = []
    for place, byte in enumerate(envelope):
        for bit in range(8) if place > tail else sorted({place % 8, CASE}):
            mutant = envelope[:place] + bytes([byte ^ (1 << bit)]) + envelope[place + 1 :]
            with suppress(EnvelopeError):
                opened(mutant)
                taken.append((place, bit))

    assert len(envelope) > SIZES[0]
    assert taken == []
    assert opened(envelope).sender == "RS"


@pytest.mark.parametrize("size", SIZES)
def test_a_letter_cut_short_or_grown_opens_for_nobody(size: int) -> None:
    """T35, for each class of length: cut at its ends, and at what is whole in a smaller class."""
    envelope = sealed(letter(SERBIA, KOSOVO, body={"text": "x" * (size - 2000)}))
    smaller = len(sealed(letter(SERBIA, KOSOVO)))

    for cut in (0, 1, smaller, size, len(envelope) // 2, -2, -1):
        assert cut == len(envelope) or refused(envelope[:cut])
    for bad in (envelope + b" ", envelope + b"\0", b" " + envelope, envelope * 2):
        assert refused(bad)
    assert len(envelope) > size


@pytest.mark.parametrize("bad", [b"[]", b"{}", b"\xff", b"null", b"[" * 100_000, b'{"v":' * 9_999])
def test_what_is_no_envelope_is_not_opened(bad: bytes) -> None:
    assert refused(bad)


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_is_cut_short_and_signed_anew(size: int) -> None:
    # Fails when what does not open is taken for what is padded, or an error of the cipher gets out.
    envelope = json.loads(sealed(letter(SERBIA, KOSOVO, body={"text": "x" * (size - 2000)})))
    ciphertext = base64.b64decode(envelope["sealed"])

    for cut in (0, 1, 1119, 1120, 1135, 1136, len(ciphertext) // 2, len(ciphertext) - 1):
        short = envelope | {"sealed": base64.b64encode(ciphertext[:cut]).decode()}
        assert refused(signed_anew(short, SERBIA))


def test_only_the_recipient_opens_it() -> None:
    envelope = sealed(letter(SERBIA, KOSOVO))

    assert refused(envelope, by=BOSNIA)
    assert refused(envelope, by=Land("XK", BOSNIA.root, BOSNIA.sealing, BOSNIA.signing, []))


@pytest.mark.parametrize(
    "swap",
    [
        lambda e: changed(e, sender="BA"),
        lambda e: changed(e, recipient="BA"),
        lambda e: changed(e, sender_kid=BOSNIA.signing.public.kid),
        lambda e: changed(e, recipient_kid=BOSNIA.sealing.public.kid),
        lambda e: changed(e, recipient_kid="0" * 32),
        lambda e: changed(e, id="00000000-0000-4000-8000-000000000001"),
        lambda e: changed(e, v=2),
        lambda e: changed(e, suite="HPKE-X25519-HKDF-SHA256-AES256GCM"),
        lambda e: changed(e, extra=1),
    ],
)
def test_swapped_members_open_for_nobody(swap: Callable[[bytes], bytes]) -> None:
    # Fails when a member of the envelope is neither signed nor bound to the sealing.
    assert refused(swap(sealed(letter(SERBIA, KOSOVO))))


def test_a_carrier_that_signs_anew_is_nobody() -> None:
    """Seeded: take the outer signature of any country for that of the sender."""
    envelope = json.loads(sealed(letter(SERBIA, KOSOVO)))
    mine = envelope | {"sender": "BA", "sender_kid": BOSNIA.signing.public.kid}

    assert refused(signed_anew(mine, BOSNIA))


def test_a_receiver_cannot_pass_a_letter_on_as_if_it_were_to_a_third() -> None:
    """Seeded: leave the recipient out of what is signed inside (surreptitious forwarding)."""
    read = opened(sealed(letter(SERBIA, KOSOVO)))

    for forged in (
        seal(
            read.model_copy(update={"recipient": "BA"}), by=KOSOVO.signing, to=BOSNIA.sealing.public
        ),
        seal(read, by=KOSOVO.signing, to=BOSNIA.sealing.public),
    ):
        assert refused(forged, by=BOSNIA)


def test_a_letter_in_anothers_name_is_refused() -> None:
    # HPKE authenticates nobody. Fails without the signature inside.
    forged = seal(letter(SERBIA, KOSOVO), by=BOSNIA.signing, to=KOSOVO.sealing.public)

    assert refused(forged)


def test_a_letter_whose_inner_signature_is_another_s_is_refused() -> None:
    """Seeded: take the outer signature, which a carrier can put on what it did not write, for both.

    All else is as the sender made it: keys, names, statement, and the signature outside.
    """
    written = letter(SERBIA, KOSOVO)
    inner = written.model_dump_json().encode()

    assert opened(forged_inside(inner)) == written
    for signature in (
        BOSNIA.signing.sign(b"prag-inner-v1|" + inner),
        SERBIA.signing.sign(inner),
        SERBIA.signing.sign(b"prag-outer-v1|" + inner),
        bytes(64),
    ):
        assert refused(forged_inside(inner, signature))


def test_a_third_country_s_letter_cannot_be_sent_as_if_it_had_come_by_another() -> None:
    """Seeded: do not compare who wrote what is inside with whose envelope it is, or their numbers."""
    written = letter(BOSNIA, KOSOVO)
    assert refused(forged_inside(written.model_dump_json().encode()))

    true = forged_inside(letter(SERBIA, KOSOVO).model_dump_json().encode())
    assert opened(true).sender == "RS"


def test_a_letter_of_another_time_is_refused() -> None:
    now = utcnow()

    for days in (-15, 1):
        stale = letter(SERBIA, KOSOVO, sent_at=now + timedelta(days=days))
        assert refused(sealed(stale))
    late = letter(SERBIA, KOSOVO, sent_at=now - timedelta(days=13))
    assert opened(sealed(late)) == late


def test_a_revoked_or_ended_signing_key_signs_nothing_any_more() -> None:
    # S1. Fails when a key is looked up by its id alone.
    country = land("MK")
    directory = directory_of(country, KOSOVO)
    envelope = seal(letter(country, KOSOVO), by=country.signing, to=KOSOVO.sealing.public)
    assert opened(envelope, directory=directory).sender == "MK"

    now = utcnow()
    revoked = country.extend("revoke", country.signing.public.kid, None, not_after=now)
    directory.add(revoked.to_bytes())
    clock.set_source(lambda: now + timedelta(seconds=1))

    assert refused(envelope, directory=directory)
    clock.set_source(lambda: now + timedelta(days=200))
    assert refused(sealed(letter(SERBIA, KOSOVO)))


def test_sent_again_a_letter_says_the_same_in_another_envelope() -> None:
    # HPKE does not know what it has opened: the receiver must, and by the statement it can.
    written = letter(SERBIA, KOSOVO)
    again = Letter.of(written.said, written.body)

    first, second = opened(sealed(written)), opened(sealed(again))

    assert (first.said, first.body) == (second.said, second.body)
    assert first.id != second.id
    assert sealed(written) != sealed(written)


def test_a_statement_of_other_words_or_of_another_makes_no_letter() -> None:
    """Seeded: do not compare the digest; do not verify the statement; leave author and peer out."""
    written = letter(SERBIA, KOSOVO)
    other = letter(BOSNIA, KOSOVO)
    said = written.said
    renumbered = said.statement.model_copy(update={"number": 2})

    for forged in (
        written.model_copy(update={"body": {"age_group": "35+"}}),
        written.model_copy(update={"said": other.said}),
        written.model_copy(update={"said": said.model_copy(update={"statement": renumbered})}),
        written.model_copy(
            update={"said": SignedStatement.of(renumbered, BOSNIA.signing)},
        ),
        letter(SERBIA, BOSNIA).model_copy(update={"recipient": "XK"}),
    ):
        assert refused(sealed(forged))


@pytest.mark.parametrize("size", SIZES)
def test_a_letter_fills_its_size_and_one_too_long_is_said(size: int) -> None:
    written = letter(SERBIA, KOSOVO, body={"text": ""})
    room = size - 4 - 64 - len(canonical(written.model_dump(mode="json")))

    fits = letter(SERBIA, KOSOVO, body={"text": "x" * room}, id=written.id, sent_at=written.sent_at)
    assert opened(sealed(fits)).body == {"text": "x" * room}
    if size == SIZES[-1]:
        longer = fits.model_copy(update={"body": {"text": "x" * (room + 1)}})
        with pytest.raises(ValueError, match="too long"):
            sealed(longer)


def test_keys_of_the_wrong_length_are_no_keys() -> None:
    for make in (SealingKey, SigningKey):
        with pytest.raises(ValueError):  # noqa: PT011  the library's own words for one of them
            make(b"short")
