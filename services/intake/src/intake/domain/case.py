"""Kinds of beneficiaries and the life of a case."""

from collections.abc import Mapping
from enum import StrEnum

from common.errors import ConflictError, InvalidError
from intake.domain.identification import IdentificationStatus, services_open


class BeneficiaryKind(StrEnum):
    """How a person is counted; each kind apart in every figure."""

    VICTIM = "VICTIM"
    PRESUMED = "PRESUMED"
    AT_RISK = "AT_RISK"
    SECONDARY = "SECONDARY"


class CaseStatus(StrEnum):
    """The life of a case, HTCDS 2.0 `cas_Status`."""

    ACTIVE = "ACTIVE"
    FOLLOW_UP = "FOLLOW_UP"
    CLOSED = "CLOSED"
    CLOSED_REFERRED = "CLOSED_REFERRED"


HTCDS_STATUS: Mapping[CaseStatus, str] = {
    CaseStatus.ACTIVE: "Active",
    CaseStatus.FOLLOW_UP: "FollowUp",
    CaseStatus.CLOSED: "Closed",
    CaseStatus.CLOSED_REFERRED: "ClosedReferred",
}

TRANSITIONS: Mapping[CaseStatus, tuple[CaseStatus, ...]] = {
    CaseStatus.ACTIVE: (CaseStatus.FOLLOW_UP, CaseStatus.CLOSED, CaseStatus.CLOSED_REFERRED),
    CaseStatus.FOLLOW_UP: (CaseStatus.ACTIVE, CaseStatus.CLOSED, CaseStatus.CLOSED_REFERRED),
    # A reopened case keeps its id (domain.md section 6).
    CaseStatus.CLOSED: (CaseStatus.ACTIVE,),
    CaseStatus.CLOSED_REFERRED: (CaseStatus.ACTIVE,),
}

OPENED_AS: Mapping[BeneficiaryKind, IdentificationStatus] = {
    # Found by a mobile team or a partner that has screened: help must not wait for us.
    BeneficiaryKind.PRESUMED: IdentificationStatus.PRESUMED,
    BeneficiaryKind.AT_RISK: IdentificationStatus.REPORTED,
    BeneficiaryKind.SECONDARY: IdentificationStatus.REPORTED,
}
"""Where identification stands when a case is opened. VICTIM is missing on purpose: a victim is a
person formally identified, and that is a decision of its own."""

KIND_AFTER: Mapping[IdentificationStatus, BeneficiaryKind | None] = {
    IdentificationStatus.REPORTED: None,
    IdentificationStatus.SCREENING: None,
    IdentificationStatus.PRESUMED: BeneficiaryKind.PRESUMED,
    IdentificationStatus.FORMAL_ASSESSMENT: BeneficiaryKind.PRESUMED,
    IdentificationStatus.IDENTIFIED: BeneficiaryKind.VICTIM,
    IdentificationStatus.NOT_VICTIM: BeneficiaryKind.AT_RISK,
    IdentificationStatus.REJECTED: BeneficiaryKind.AT_RISK,
    IdentificationStatus.DISCONTINUED: None,
}
"""The kind that follows a step of identification; None leaves the kind as it was. Discontinued is
not disproved: who was presumed stays counted so."""

DECLARED = frozenset({BeneficiaryKind.AT_RISK, BeneficiaryKind.SECONDARY})
"""Kinds a worker states. The other two follow from identification."""


def identification_at_opening(kind: BeneficiaryKind) -> IdentificationStatus:
    """Return the first identification status of a case opened as `kind`.

    Raises InvalidError `case.victim_needs_identification` for VICTIM.
    """
    try:
        return OPENED_AS[kind]
    except KeyError:
        raise InvalidError(
            "case.victim_needs_identification", pointer="/beneficiary_kind"
        ) from None


def kind_after(kind: BeneficiaryKind, status: IdentificationStatus) -> BeneficiaryKind:
    """Return how the person counts once identification has reached `status`.

    A family member stays SECONDARY until presumed a victim too; turned down, SECONDARY again is
    the worker's to state.
    """
    following = KIND_AFTER[status]
    if following is None or (
        kind is BeneficiaryKind.SECONDARY and following is BeneficiaryKind.AT_RISK
    ):
        return kind
    return following


def change_kind(
    kind: BeneficiaryKind, wanted: BeneficiaryKind, status: IdentificationStatus
) -> BeneficiaryKind:
    """Return `wanted` if a worker may state it.

    Raises ConflictError `case.kind_follows_identification` when either kind is one that only
    identification gives or takes away.
    """
    if wanted is kind:
        return kind
    if wanted not in DECLARED or services_open(status):
        raise ConflictError("case.kind_follows_identification", identification_status=status.value)
    return wanted


def check_primary(kind: BeneficiaryKind, *, has_primary: bool) -> None:
    """Refuse a secondary beneficiary without a primary case, and a primary case on any other kind.

    Raises InvalidError `case.primary_required` or `case.primary_not_allowed` (domain.md section 10
    rule 9).
    """
    if kind is BeneficiaryKind.SECONDARY and not has_primary:
        raise InvalidError("case.primary_required", pointer="/primary_case_id")
    if kind is not BeneficiaryKind.SECONDARY and has_primary:
        raise InvalidError("case.primary_not_allowed", pointer="/primary_case_id")


def next_status(status: CaseStatus, wanted: CaseStatus) -> CaseStatus:
    """Return `wanted`; raise ConflictError `case.illegal_step` with the `legal` statuses."""
    if wanted not in TRANSITIONS[status]:
        raise ConflictError(
            "case.illegal_step", legal=[legal.value for legal in TRANSITIONS[status]]
        )
    return wanted


def require_open(status: CaseStatus) -> None:
    """Raise ConflictError `case.closed` unless the case can be worked on."""
    if status in {CaseStatus.CLOSED, CaseStatus.CLOSED_REFERRED}:
        raise ConflictError("case.closed")
