"""What the letters between countries say. A code may be one that this release does not know."""

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from common.contracts.referral import Language
from common.contracts.types import AgeGroup, Code, Epoch, SealedPackage
from referral.domain.cross_border import Kind


class Body(BaseModel):
    """Base of every letter's words: nothing besides what is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
