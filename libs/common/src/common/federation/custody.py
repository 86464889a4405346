"""The chain of custody: what each country has said of a referral, signed and chained on both sides.

Every letter carries one statement of its sender: its number, what kind of letter it is, the hash of its
words, the hash of the statement before it, and the newest statement of the other country it has taken.
Each side keeps its own chain and the other's; with both, and the directory of keys, anybody can tell
that nothing was left out, put in or changed, and who knew what when. No word of a letter is in it.

F41; NRM handbook (ODIHR 2022): a referral leaves a trace that both sides can show.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

from common.clock import utcnow
from common.contracts.types import Code, Country, Epoch
from common.events import canonical
from common.federation.keys import SigningKey, VerifyBy

GENESIS = "0" * 64
RECEIPT = "receipt"
"""The kind of a statement that says nothing but what was heard; it has no place in the chain."""
ROLL = "roll"
"""The kind by which a country tells a peer how far it has said and heard what, of every referral."""
GIVEN_BACK = "given_back"
"""The answer to a roll: what its author has said and does not know any more, as it signed it."""
OUTSIDE = frozenset({RECEIPT, ROLL, GIVEN_BACK})
"""The kinds that are no links of a chain."""
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Kind = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")]
Salt = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{32})?$")]
"""16 random bytes, in hex, that are kept and sent with the words of a letter, and go with them."""
Kid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]

FindSigner = Callable[[str, str, datetime], VerifyBy | None]
"""(country, kid, at) → the key that country signed with then, if it did."""


_MOST = 2**31 - 1
"""What the columns hold; nobody says as much of one referral."""
_LONGEST = 2048
"""Bytes of a statement, thrice what this release writes: an answer to a roll carries sixty."""


class CustodyError(Exception):
    """A chain does not hold. `reason` is a code; `author` and `number` name the first broken link."""

    def __init__(self, reason: str, author: str = "", number: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.author, self.number = reason, author, number


class Owning(BaseModel):
    """What a statement says of who may edit the case: GIVEN, RECALLED, TAKEN or REFUSED."""

    model_config = ConfigDict(frozen=True, extra="allow")

    word: Code
    epoch: Epoch


class Statement(BaseModel):
    """What `author` says to `peer` of one referral.

    `number` counts the author's statements; a receipt repeats the newest number and adds no link.
    `heard` and `heard_hash` name the peer's newest statement that the author had taken: 0 and GENESIS
    for none. `owning`, `about` and `organisation_id` are what an author that forgot it must be able
    to read in its own words again: who may edit the case, by `mark_of` which of its cases it was, and
    which of its organisations takes the person in.
    """

    # What a newer release says besides is signed with the rest: it is kept with it, or the chain
    # could be verified by nobody.
    model_config = ConfigDict(frozen=True, extra="allow")

    v: Literal[1] = 1
    referral_id: UUID
    author: Country
    peer: Country
    number: int = Field(ge=0, le=_MOST)
    kind: Kind
    digest: Hash
    previous: Hash
    heard: int = Field(default=0, ge=0, le=_MOST)
    heard_hash: Hash = GENESIS
    said_at: AwareDatetime = Field(default_factory=utcnow)
    owning: Owning | None = None
    about: Hash | None = None
    organisation_id: UUID | None = None

    @property
    def is_takeable(self) -> bool:
        """Whether it may come from another country: short, and a link of a chain only with a number.

        Asked of what comes and not of what is kept, which is to be read whatever was taken before.
        """
        has_place = self.number > 0 or self.kind in OUTSIDE
        return has_place and len(self.message()) <= _LONGEST

    def message(self) -> bytes:
        """Return what is signed: all that is said, without what is null.

        So a release that has a field more signs the same where it does not use that.
        """
        return b"prag-statement-v1|" + canonical(_without_nulls(self.model_dump(mode="json")))

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.message()).hexdigest()


class SignedStatement(BaseModel):
    """A statement with its author's signature and the id of the key that made it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    statement: Statement
    kid: Kid
    signature: str

    @classmethod
    def of(cls, statement: Statement, by: SigningKey) -> "SignedStatement":
        signature = base64.b64encode(by.sign(statement.message())).decode()
        return cls(statement=statement, kid=by.public.kid, signature=signature)

    def holds(self, signer: FindSigner) -> bool:
        """Tell whether its author signed it with a key it had then."""
        said = self.statement
        key = signer(said.author, self.kid, said.said_at)
        try:
            signature = base64.b64decode(self.signature, validate=True)
        except (ValueError, binascii.Error):
            return False
        return key is not None and key.holds(signature, said.message())


def _without_nulls(value: Any) -> Any:  # noqa: ANN401  JSON
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def new_salt() -> str:
    return secrets.token_hex(16)


def digest_of(body: dict[str, Any], salt: str = "") -> str:
    """Return the hash of a letter's words, which tells nobody without the salt what they are.

    Words are made of few codes: without a salt whoever reads the chain finds them by trying. A
    receipt has no words and needs none.
    """
    return hashlib.sha256(bytes.fromhex(salt) + b"|" + canonical(body)).hexdigest()


def mark_of(referral_id: UUID, case_id: UUID) -> str:
    """Return the mark by which a country finds its own case again; nobody else can tell a case by it.

    Ids are random: who has not both finds neither in it, and two referrals of a case have two marks.
    """
    return hashlib.sha256(b"prag-case-v1|" + referral_id.bytes + case_id.bytes).hexdigest()


def require_next(statement: Statement, *, number: int, previous: str) -> None:
    """Refuse what does not follow the author's statement `number` with the hash `previous`.

    CustodyError: `gap`, or `fork` where another statement stands in that place.
    """
    if statement.number != number + 1:
        raise CustodyError("gap", statement.author, statement.number)
    if statement.previous != previous:
        raise CustodyError("fork", statement.author, statement.number)


def verify(statements: Sequence[SignedStatement], signer: FindSigner) -> dict[str, int]:
    """Return how many links each country's chain of one referral has; CustodyError for the first flaw.

    The statements may come in any order, receipts among them. A chain may end anywhere: what its
    author keeps back cannot be missed, but the other side's `heard` shows how far it went.
    """
    chains: dict[str, list[SignedStatement]] = {}
    receipts = []
    for signed in statements:
        said = signed.statement
        if not signed.holds(signer):
            raise CustodyError("signature", said.author, said.number)
        if said.kind == RECEIPT:
            receipts.append(said)
        else:
            chains.setdefault(said.author, []).append(signed)
    _require_one_referral(statements)
    hashes: dict[tuple[str, int], str] = {}
    for author, chain in chains.items():
        chain.sort(key=lambda each: each.statement.number)
        for position, signed in enumerate(chain):
            previous = chain[position - 1].statement.hash if position else GENESIS
            require_next(signed.statement, number=position, previous=previous)
            hashes[author, position + 1] = signed.statement.hash
    for said in [*(s.statement for chain in chains.values() for s in chain), *receipts]:
        names_one = said.heard > 0 or said.kind == RECEIPT
        if names_one and hashes.get((said.peer, said.heard)) != said.heard_hash:
            raise CustodyError("heard", said.author, said.number)
    return {author: len(chain) for author, chain in sorted(chains.items())}


def _require_one_referral(statements: Sequence[SignedStatement]) -> None:
    first = statements[0].statement if statements else None
    for signed in statements:
        said = signed.statement
        pair = {said.author, said.peer}
        if first is None or said.referral_id != first.referral_id:
            raise CustodyError("other_referral", said.author, said.number)
        if pair != {first.author, first.peer}:
            raise CustodyError("other_country", said.author, said.number)
