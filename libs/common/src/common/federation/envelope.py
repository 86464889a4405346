"""A sealed letter from one country to another: the hub carries it and can read no word of it.

Signed inside, so that the receiver knows who wrote it and that it was written to them; sealed (HPKE) and
padded, so that neither words nor length show; signed outside, so that a carrier need not take what no
country sent. HPKE opens the same envelope again and again: the receiver remembers what it has opened.
"""

import base64
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from cryptography.exceptions import InvalidTag
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from common.clock import new_id, utcnow
from common.contracts.types import Country
from common.events import canonical
from common.federation.custody import FindSigner, Kid, Salt, SignedStatement, digest_of
from common.federation.keys import SUITE, SealingKey, SealTo, SigningKey, Suite, from_base64

SIZES = tuple(kib * 1024 for kib in (4, 16, 64, 256))
"""A letter is filled up to the next of these, so that its length tells a class and nothing else."""
MAX_AGE = timedelta(days=14)
MAX_AHEAD = timedelta(minutes=5)
_SIGNATURE = 64
_LENGTH = 4
_NOTHING = bytes(_LENGTH + _SIGNATURE)


class EnvelopeError(Exception):
    """An envelope is not taken. Why is said to nobody: the answer would help whoever tries keys."""

    def __init__(self) -> None:
        super().__init__("envelope")


class Letter(BaseModel):
    """What one country tells another about one referral: a signed statement, and its words.

    Sent again, a letter has another `id` and `sent_at` around the same statement and the same words.
    `body` is None where its author has taken the words back: the statement keeps its place in the
    chain. `salt` is what the digest of the words was made with. What a newer release writes besides
    is passed over: the signature inside is over the bytes that were sealed, and was verified.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = 1
    id: UUID = Field(default_factory=new_id)
    sender: Country
    recipient: Country
    sent_at: AwareDatetime = Field(default_factory=utcnow)
    said: SignedStatement
    body: dict[str, Any] | None
    salt: Salt = ""

    @classmethod
    def of(cls, said: SignedStatement, body: dict[str, Any] | None, salt: str = "") -> "Letter":
        author, peer = said.statement.author, said.statement.peer
        return cls(sender=author, recipient=peer, said=said, body=body, salt=salt)


class _Outer(BaseModel):
    """What a carrier sees: whose letter it is, for whom, under which keys."""

    # Nothing besides, of no release: all that stands here the hub can read, and a receiver that
    # passed some of it over would let one letter come in many forms. A change of it is another `v`.
    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    suite: Suite = SUITE
    id: UUID
    sender: Country
    recipient: Country
    sender_kid: Kid
    recipient_kid: Kid
    sealed: str
    signature: str = ""

    def signed(self) -> bytes:
        return b"prag-outer-v1|" + canonical(self.model_dump(mode="json", exclude={"signature"}))

    def info(self) -> bytes:
        """Return what the sealing is bound to, each part with its length before it."""
        parts = (self.sender, self.recipient, self.sender_kid, self.recipient_kid, str(self.id))
        return b"prag-referral-v1" + b"".join(
            len(part).to_bytes(2, "big") + part.encode() for part in parts
        )


def seal(letter: Letter, *, by: SigningKey, to: SealTo) -> bytes:
    """Return the envelope of a letter; ValueError for one that is longer than the largest size."""
    inner = canonical(letter.model_dump(mode="json"))
    plaintext = len(inner).to_bytes(_LENGTH, "big") + by.sign(_inner_message(inner)) + inner
    size = next((size for size in SIZES if size >= len(plaintext)), None)
    if size is None:
        raise ValueError("the letter is too long")
    outer = _Outer(
        id=letter.id,
        sender=letter.sender,
        recipient=letter.recipient,
        sender_kid=by.public.kid,
        recipient_kid=to.kid,
        sealed="",
    )
    ciphertext = to.encrypt(plaintext.ljust(size, b"\0"), info=outer.info())
    sealed = outer.model_copy(update={"sealed": base64.b64encode(ciphertext).decode()})
    signature = base64.b64encode(by.sign(sealed.signed())).decode()
    return canonical({**sealed.model_dump(mode="json"), "signature": signature})


def open_envelope(
    envelope: bytes, *, country: str, keys: dict[str, SealingKey], signer: FindSigner
) -> Letter:
    """Return the letter; EnvelopeError, and nothing more, for whatever is not whole and ours.

    `keys` are this country's sealing keys by kid. Whether the letter was opened before is for the
    caller to know, by its statement.
    """
    try:
        return _opened(envelope, country, keys, signer)
    except EnvelopeError:
        raise
    except Exception:  # noqa: BLE001  whatever a peer may have written, it stops nobody's letters
        raise EnvelopeError from None


def _opened(
    envelope: bytes, country: str, keys: dict[str, SealingKey], signer: FindSigner
) -> Letter:
    try:
        outer = _parse(envelope)
        key = keys[outer.recipient_kid]
        sent_by = signer(outer.sender, outer.sender_kid, utcnow())
        signature = from_base64(outer.signature)
        ciphertext = from_base64(outer.sealed)
    except (ValueError, KeyError, ValidationError, RecursionError):
        raise EnvelopeError from None
    is_known = sent_by is not None and sent_by.holds(signature, outer.signed())
    if not is_known or outer.recipient != country:
        raise EnvelopeError
    # From here on a wrong key and a wrong letter take the same steps: no oracle for whoever tries.
    try:
        plaintext = key.decrypt(ciphertext, info=outer.info())
    except (InvalidTag, ValueError):
        plaintext = _NOTHING
    inner, signature_inside = _split(plaintext)
    is_genuine = sent_by is not None and sent_by.holds(signature_inside, _inner_message(inner))
    letter = _letter(inner)
    if not is_genuine or letter is None or not _agree(letter, outer, country):
        raise EnvelopeError
    if not letter.said.holds(signer):
        raise EnvelopeError
    return letter


def _parse(envelope: bytes) -> _Outer:
    outer = _Outer.model_validate_json(envelope)
    if canonical(outer.model_dump(mode="json")) != envelope:
        raise ValueError("not canonical")  # else the same letter could be sent in many forms
    return outer


def _split(plaintext: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(plaintext[:_LENGTH], "big")
    start = _LENGTH + _SIGNATURE
    return plaintext[start : start + length], plaintext[_LENGTH:start]


def _letter(inner: bytes) -> Letter | None:
    try:
        return Letter.model_validate_json(inner)
    except ValidationError:
        return None


def _agree(letter: Letter, outer: _Outer, country: str) -> bool:
    """Tell whether the words inside are those of this envelope, to us, and of these days.

    A receiver that seals a letter it was sent to a third country fails here: it names the first.
    """
    now, statement = utcnow(), letter.said.statement
    return (
        (letter.id, letter.sender, letter.recipient) == (outer.id, outer.sender, outer.recipient)
        and (statement.author, statement.peer) == (letter.sender, letter.recipient)
        and statement.is_takeable
        and (letter.body is None or statement.digest == digest_of(letter.body, letter.salt))
        and letter.recipient == country
        and letter.sent_at - now <= MAX_AHEAD
        and now - letter.sent_at <= MAX_AGE
    )


def _inner_message(inner: bytes) -> bytes:
    return b"prag-inner-v1|" + inner
