"""What the letters between countries say. A code may be one that this release does not know."""

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from common.contracts.referral import Language
from common.contracts.types import AgeGroup, Code, Epoch, SealedPackage
from common.federation.custody import Hash, SignedStatement
from referral.domain.cross_border import Kind


class Body(BaseModel):
    """Base of every letter's words. What a newer release says besides is passed over.

    The digest that is signed is over the words as they came, never over what is read of them here.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


class Offer(Body):
    """What a country learns before it has accepted, and nothing else (F37)."""

    age_group: AgeGroup
    sex: Code
    needs: Annotated[tuple[Code, ...], Field(min_length=1, max_length=20)]
    languages: Annotated[tuple[Language, ...], Field(max_length=10)]
    urgency: Code


class Fact(Body):
    """A letter whose kind says all."""


class Reasoned(Body):
    reason: Code


class Accepted(Body):
    """Who takes the person in: an organisation of the receiving country's directory."""

    organisation_id: UUID
    recipient_kind: Code


class Package(Body):
    purpose: Code
    data_groups: Annotated[tuple[Code, ...], Field(min_length=1, max_length=20)]
    package: SealedPackage


class Planned(Body):
    planned_on: date


class Arrived(Body):
    on: date


class OwnershipWord(Body):
    word: Code
    epoch: Epoch


# --- outside the chain


PAGE = 250
"""Referrals that a roll names at most, and an answer to it."""
CHUNK = 60
"""Statements that an answer gives back at most; the largest letter holds thrice as many."""


class Progress(Body):
    """How far its author is with one referral: its newest statement, and the newest it heard."""

    referral_id: UUID
    said: Annotated[int, Field(ge=0, le=2**31 - 1)]
    said_hash: Hash
    heard: Annotated[int, Field(ge=0, le=2**31 - 1)]


class OfRoll(Body):
    """Of the referrals whose ids lie behind `after`: a letter of a roll, or what answers it."""

    after: UUID | None

    @property
    def place(self) -> str:
        """By what the letter of a roll is known."""
        return "" if self.after is None else str(self.after)


class Roll(OfRoll):
    """How far its author is with the referrals whose ids lie behind `after`, and not behind `upto`.

    They come in the order of their ids, as text. `asked` names the question, for the answer.
    """

    asked: UUID
    upto: UUID | None
    referrals: Annotated[tuple[Progress, ...], Field(max_length=PAGE)]


class GivenBack(Body):
    """Of a referral, up to where its author has heard the other; and what that has forgotten it said."""

    referral_id: UUID
    heard: Annotated[int, Field(ge=0, le=2**31 - 1)]
    statements: Annotated[tuple[SignedStatement, ...], Field(max_length=CHUNK)]


class Answer(OfRoll):
    """What follows from a roll, or from a fork (`asked` is None then).

    Each letter of a roll is answered by itself, in `parts` letters of which this one is the
    `part`-th, from 0; `after` says which it was. So whoever asked sees that one was lost.
    """

    asked: UUID | None
    part: Annotated[int, Field(ge=0, le=2**31 - 1)]
    parts: Annotated[int, Field(ge=1, le=2**31 - 1)]
    referrals: Annotated[tuple[GivenBack, ...], Field(max_length=PAGE)]


BODIES: dict[Kind, type[Body]] = {
    Kind.OFFER: Offer,
    Kind.PACKAGE: Package,
    Kind.TRANSFER_PLANNED: Planned,
    Kind.DEPARTED: Fact,
    Kind.CANCELLED: Reasoned,
    Kind.EXPIRED: Fact,
    Kind.WITHDRAWN: Fact,
    Kind.ACKNOWLEDGED: Fact,
    Kind.RETURNED: Reasoned,
    Kind.DECLINED: Reasoned,
    Kind.ACCEPTED: Accepted,
    Kind.ARRIVED: Arrived,
    Kind.ERASED: Fact,
    Kind.FAILED: Reasoned,
    Kind.OWNERSHIP: OwnershipWord,
}
