"""From a report to a formal decision on whether a person is a victim (domain.md section 5)."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from common.errors import ConflictError, ForbiddenError, InvalidError
from intake.domain.age import EARLIEST
from intake.domain.roles import (
    AUTHORITY_OF,
    ActorRole,
    DecidingAuthority,
    entitlement,
    screeners,
)

RULE_VERSION = "identification.2026-1"
"""Edition of the tables here and in `roles`; stored with each decision."""


class IdentificationStatus(StrEnum):
    """Codes of the list identification_status."""

    REPORTED = "REPORTED"
    SCREENING = "SCREENING"
    PRESUMED = "PRESUMED"
    FORMAL_ASSESSMENT = "FORMAL_ASSESSMENT"
    IDENTIFIED = "IDENTIFIED"
    NOT_VICTIM = "NOT_VICTIM"
    REJECTED = "REJECTED"
    DISCONTINUED = "DISCONTINUED"


S = IdentificationStatus

TRANSITIONS: Mapping[IdentificationStatus, tuple[IdentificationStatus, ...]] = {
    S.REPORTED: (S.SCREENING, S.DISCONTINUED),
    S.SCREENING: (S.PRESUMED, S.REJECTED, S.DISCONTINUED),
    S.PRESUMED: (S.FORMAL_ASSESSMENT, S.DISCONTINUED),
    S.FORMAL_ASSESSMENT: (S.IDENTIFIED, S.NOT_VICTIM, S.DISCONTINUED),
    S.IDENTIFIED: (),
    # New facts start a new assessment.
    S.NOT_VICTIM: (S.SCREENING,),
    S.REJECTED: (S.SCREENING,),
    S.DISCONTINUED: (),
}

WITH_SERVICES = frozenset({S.PRESUMED, S.FORMAL_ASSESSMENT, S.IDENTIFIED})
"""Help does not wait for the formal decision: services open at PRESUMED (F4)."""

SCREENING_STEPS = frozenset({S.SCREENING, S.PRESUMED, S.DISCONTINUED})
"""Steps any screening role may take, unless services are open: then only a role entitled to
identify in that country ends or decides somebody's protection. REJECTED always needs that role."""

EXPLAINED = frozenset({S.REJECTED, S.NOT_VICTIM, S.DISCONTINUED})
"""Decisions that need a note by the person who decides; there is no automatic NOT_VICTIM."""

NO_PURPOSE = frozenset({"UNKNOWN"})
"""Codes of exploitation_types that say nothing; they do not count as a purpose."""

FOR_CHILDREN_ONLY = frozenset({"CHILD_BEST_INTEREST"})
"""Codes of legal_bases. Every decision and every case names a basis (F4, F15)."""


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What a decision depends on. `last_decided_on` is None before the first decision.

    `is_minor` is meant at the first contact, the nearest known day to the exploitation: who was a
    child then does not need a means proven years later. It is also True when no age is known:
    a child is presumed to protect (domain.md section 4), not to widen who decides or what is
    proven, so that leaving the age out gains nothing. The birth is not among the facts: who may
    take a step need not know it, and would find it by the days that are refused.
    """

    country: str
    status: IdentificationStatus
    is_minor: bool
    last_decided_on: date | None = None
    is_age_known: bool = True

    @property
    def is_known_minor(self) -> bool:
        return self.is_minor and self.is_age_known


@dataclass(frozen=True, slots=True)
class Decision:
    """A step somebody wants to take.

    `role` is the caller's; `participants` are the further roles that took part. `legal_basis` is a
    code of legal_bases, `purposes` are codes of exploitation_types, `acts` and `means` of ics_tip
    (Palermo Protocol art. 3(a)).
    """

    status: IdentificationStatus
    role: ActorRole
    decided_by: DecidingAuthority
    decided_on: date
    legal_basis: str
    participants: AbstractSet[ActorRole] = frozenset()
    purposes: AbstractSet[str] = frozenset()
    acts: AbstractSet[str] = frozenset()
    means: AbstractSet[str] = frozenset()
    is_explained: bool = False


def services_open(status: IdentificationStatus) -> bool:
    return status in WITH_SERVICES


def is_reopening(status: IdentificationStatus, wanted: IdentificationStatus) -> bool:
    """Tell whether the step starts a new assessment of somebody already turned down."""
    return status in {S.NOT_VICTIM, S.REJECTED} and wanted is S.SCREENING


def roles_for(
    status: IdentificationStatus,
    wanted: IdentificationStatus,
    *,
    country: str,
    is_minor: bool,
) -> frozenset[ActorRole]:
    """Return the roles that may take the step from `status` to `wanted`."""
    if wanted in SCREENING_STEPS and not services_open(status):
        return screeners(country, is_minor=is_minor)
    return entitlement(country, is_minor=is_minor).roles


def decide(case: CaseFacts, decision: Decision, *, today: date) -> IdentificationStatus:
    """Return the new status, or refuse the step.

    Raises ConflictError `identification.illegal_step` with the `legal` statuses; ForbiddenError
    `identification.role_not_entitled` with the `entitled` roles; InvalidError for what the decision
    lacks, with a pointer: see the checks below.
    """
    if decision.status not in TRANSITIONS[case.status]:
        legal = [status.value for status in TRANSITIONS[case.status]]
        raise ConflictError("identification.illegal_step", legal=legal)
    _require_role(
        decision.role,
        roles_for(case.status, decision.status, country=case.country, is_minor=case.is_known_minor),
    )
    check_legal_basis(decision.legal_basis, is_minor=case.is_minor)
    _check_dates(case, decision, today)
    if not decision.is_explained and (
        decision.status in EXPLAINED or is_reopening(case.status, decision.status)
    ):
        raise InvalidError("identification.note_required", pointer="/note")
    if decision.status in {S.IDENTIFIED, S.NOT_VICTIM}:
        _check_authority(case, decision)
    _check_speaker(decision)
    if decision.status is S.IDENTIFIED:
        _check_elements(case, decision)
    return decision.status


def check_opening(
    status: IdentificationStatus, role: ActorRole, *, country: str, is_minor: bool
) -> None:
    """Refuse a case opened as presumed by a role that may not presume.

    Raises ForbiddenError `identification.role_not_entitled`.
    """
    if status is S.PRESUMED:
        _require_role(role, screeners(country, is_minor=is_minor))


def check_legal_basis(legal_basis: str, *, is_minor: bool) -> None:
    """Refuse a child's legal basis for an adult: InvalidError `legal_basis.for_children_only`."""
    if legal_basis in FOR_CHILDREN_ONLY and not is_minor:
        raise InvalidError("legal_basis.for_children_only", pointer="/legal_basis")


def _require_role(role: ActorRole, entitled: frozenset[ActorRole]) -> None:
    if role not in entitled:
        raise ForbiddenError("identification.role_not_entitled", entitled=sorted(entitled))


def _check_dates(case: CaseFacts, decision: Decision, today: date) -> None:
    if decision.decided_on > today:
        raise InvalidError("field.date_in_future", pointer="/decided_on")
    if case.last_decided_on is not None and decision.decided_on < case.last_decided_on:
        raise InvalidError("identification.decided_before_previous", pointer="/decided_on")
    if decision.decided_on < EARLIEST:
        raise InvalidError("field.range", pointer="/decided_on")


def _check_speaker(decision: Decision) -> None:
    """Refuse a step in the name of an authority that nobody present speaks for."""
    present = {
        AUTHORITY_OF[role]
        for role in {decision.role, *decision.participants}
        if role in AUTHORITY_OF
    }
    if decision.decided_by not in present:
        raise InvalidError(
            "identification.authority_absent", pointer="/decided_by", present=sorted(present)
        )


def _check_authority(case: CaseFacts, decision: Decision) -> None:
    row = entitlement(case.country, is_minor=case.is_known_minor)
    if decision.decided_by not in row.authorities:
        raise InvalidError(
            "identification.authority_not_entitled",
            pointer="/decided_by",
            entitled=sorted(row.authorities),
        )
    # Who joins to protect a child joins a presumed child too.
    together = row.together | entitlement(case.country, is_minor=case.is_minor).together
    missing = together - decision.participants - {decision.role}
    if missing:
        raise InvalidError(
            "identification.participant_missing", pointer="/participants", missing=sorted(missing)
        )


def _check_elements(case: CaseFacts, decision: Decision) -> None:
    """Hold the decision against the definition: an act, by a means, for a purpose.

    Palermo Protocol art. 3(a); for a child the means is not needed, art. 3(c); domain.md section 10
    rule 3. An unknown age is held to the adult's elements. Consent of the victim is not asked for: it is irrelevant, art. 3(b).
    """
    if not decision.purposes - NO_PURPOSE:
        raise InvalidError("identification.purpose_missing", pointer="/exploitation_types")
    if not decision.acts:
        raise InvalidError("identification.act_missing", pointer="/acts")
    if not decision.means and not case.is_known_minor:
        raise InvalidError("identification.means_missing", pointer="/means")
