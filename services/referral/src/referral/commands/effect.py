"""What a letter of another country changes in the referral it is about."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from common.clock import utcnow
from common.contracts.referral import CONSENT_WITHDRAWN, OwnershipHeard, PackageReceived
from common.errors import ConflictError
from common.events import EventData
from referral.domain.calendar import Calendar
from referral.domain.cross_border import (
    TAKEN,
    CrossBorderStatus,
    Direction,
    Kind,
    status_after_taken,
)
from referral.models import CrossBorderReferral
from referral.schemas.letters import (
    Accepted,
    Arrived,
    Body,
    OwnershipWord,
    Package,
    Planned,
    Reasoned,
)


@dataclass(slots=True)
class Effect:
    """What a letter changes: columns, events besides that of the step, and a letter in answer."""

    status: CrossBorderStatus
    columns: dict[str, Any]
    told: list[EventData] = field(default_factory=list)
    answer: Kind | None = None
    reason: str | None = None


def effect_of(
    row: CrossBorderReferral,
    kind: Kind,
    body: Body,
    status: CrossBorderStatus,
    calendar: Calendar,
) -> Effect:
    """Return what a letter does to its referral; ConflictError for what needs an acceptance first."""
    effect = Effect(status, _columns(kind, body, calendar), reason=_reason(row, kind, body, status))
    if isinstance(body, Package):
        effect.told.append(_package(row, body))
    elif isinstance(body, OwnershipWord):
        effect.told.append(_heard(row, body))
        if row.direction is Direction.SENT and body.word == TAKEN:
            effect.status = status_after_taken(row.status)
    if kind in {Kind.WITHDRAWN, Kind.CANCELLED}:
        _forget(row, kind, effect, calendar)
    return effect


def _columns(kind: Kind, body: Body, calendar: Calendar) -> dict[str, Any]:
    match body:
        case Package():
            return {
                "purpose": body.purpose,
                "data_groups": list(body.data_groups),
                "packaged_at": utcnow(),
            }
        case Accepted():
            return {
                "recipient_organisation_id": body.organisation_id,
                "recipient_kind": body.recipient_kind,
            }
        case Planned():
            return {"planned_on": body.planned_on}
        case Arrived():
            return {"arrived_on": body.on}
    days: dict[Kind, dict[str, Any]] = {
        Kind.ACKNOWLEDGED: {"acknowledged_at": utcnow()},
        Kind.ERASED: {"erased_on": calendar.today},
    }
    return days.get(kind, {})


def _reason(
    row: CrossBorderReferral, kind: Kind, body: Body, status: CrossBorderStatus
) -> str | None:
    """Return the reason of the step; why a sender calls off stays with the sender."""
    if isinstance(body, Reasoned):
        return None if kind is Kind.CANCELLED else body.reason
    return row.reason if status is row.status or kind is Kind.ERASED else None


def _forget(row: CrossBorderReferral, kind: Kind, effect: Effect, calendar: Calendar) -> None:
    """Say at once that nothing is left where no data of the person came; else intake says so."""
    if kind is Kind.WITHDRAWN and effect.status is not row.status:
        effect.columns["consent_withdrawn_on"] = calendar.today
        effect.reason = CONSENT_WITHDRAWN
    if row.packaged_at is None or row.erased_on is not None:
        effect.columns["erased_on"] = calendar.today
        effect.answer = Kind.ERASED


def _package(row: CrossBorderReferral, body: Package) -> PackageReceived:
    return PackageReceived(
        referral_id=row.id,
        sender_country=row.peer_country,
        organisation_id=_party(row),
        purpose=body.purpose,
        data_groups=body.data_groups,
        urgency=row.urgency,
        package=body.package,
    )


def _heard(row: CrossBorderReferral, body: OwnershipWord) -> OwnershipHeard:
    return OwnershipHeard(
        referral_id=row.id, organisation_id=_party(row), word=body.word, epoch=body.epoch
    )


def _party(row: CrossBorderReferral) -> UUID:
    if row.organisation_id is None:  # it was never accepted
        raise ConflictError("letter.out_of_place")
    return row.organisation_id
