"""The head of a service's audit chain, told to its siblings: an edited chain betrays itself."""

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from common.events import EventData

Sha256Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$", max_length=64)]
Ed25519Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$", max_length=128)]


class AuditHeadSealed(EventData):
    """The chain's hash after entry `last_seq`, signed by the service that keeps the chain."""

    last_seq: int = Field(ge=1)
    head: Sha256Hex
    signature: Ed25519Hex


class IntakeAuditHeadSealed(AuditHeadSealed):
    type: ClassVar[str] = "intake.audit.head_sealed.v1"


class ReferralAuditHeadSealed(AuditHeadSealed):
    type: ClassVar[str] = "referral.audit.head_sealed.v1"


class ReintegrationAuditHeadSealed(AuditHeadSealed):
    type: ClassVar[str] = "reintegration.audit.head_sealed.v1"


class AnalyticsAuditHeadSealed(AuditHeadSealed):
    type: ClassVar[str] = "analytics.audit.head_sealed.v1"


HEAD_SEALED: dict[str, type[AuditHeadSealed]] = {
    "intake": IntakeAuditHeadSealed,
    "referral": ReferralAuditHeadSealed,
    "reintegration": ReintegrationAuditHeadSealed,
    "analytics": AnalyticsAuditHeadSealed,
}
"""The event class of each service: who published a head is part of its type."""


def head_sealed(service: str, *, last_seq: int, head: bytes, signature: bytes) -> AuditHeadSealed:
    """Return the event by which `service` tells its newest head."""
    return HEAD_SEALED[service](last_seq=last_seq, head=head.hex(), signature=signature.hex())
