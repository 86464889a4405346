"""Which consent may be recorded, and when a name may be written down or shown (F10, F11).

Whether a consent covers is `common.consent`'s. Sources: domain.md section 4 (children, refusal
rights) and section 10 rule 6.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from uuid import UUID

from common.consent import (
    GUARDIANS,
    LAW_ENFORCEMENT_KINDS,
    NOT_FOR_CHILDREN,
    REQUIRES,
    Consent,
    ConsentGiver,
    ConsentScope,
    Disclosure,
    GuardianKind,
    Requirement,
    covers,
    givers,
    is_valid,
    named_in,
)
from common.errors import ConflictError, ForbiddenError, InvalidError
from intake.domain.age import EARLIEST, completed_years


class Assent(StrEnum):
    """What the person says to a guardian's consent. NOT_ABLE: too young, or cannot understand."""

    GIVEN = "GIVEN"
    REFUSED = "REFUSED"
    NOT_ABLE = "NOT_ABLE"


POINTERS: Mapping[Requirement, str] = {
    Requirement.RECIPIENT: "/recipient_organisation_id",
    Requirement.COUNTRY: "/recipient_countries",
    Requirement.PURPOSE: "/purposes",
    Requirement.DATA_CATEGORIES: "/data_groups",
    Requirement.RISK_INFORMATION: "/risk_information_given",
}

LONGEST = 10
"""Years for which a consent may be given at most; the day itself is included."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A consent about to be recorded, as the worker filled it in."""

    scope: ConsentScope
    given_by: ConsentGiver
    granted_on: date
    expires_on: date | None = None
    recipient_organisation_id: UUID | None = None
    recipient_kinds: AbstractSet[str] = frozenset()
    recipient_countries: AbstractSet[str] = frozenset()
    purposes: AbstractSet[str] = frozenset()
    data_groups: AbstractSet[str] = frozenset()
    risk_information_given: bool = False
    guardian: GuardianKind | None = None
    guardian_suspected: bool | None = None
    assent: Assent | None = None


def check_grant(grant: Grant, *, is_minor: bool, own_country: str, today: date) -> None:
    """Refuse a consent that is not one. Raises InvalidError with a pointer, or ForbiddenError.

    `consent.requirement_missing`: the scope must name more. `consent.recipient_ambiguous`: an
    organisation and a class. `consent.kind_not_in_scope`, `consent.country_not_foreign` and
    `consent.country_not_own`: a scope and its recipients contradict each other.
    `consent.not_for_children`, `consent.guardian_required`, `consent.guardian_not_applicable`,
    `consent.guardian_incomplete`, `consent.guardian_not_entitled`, `consent.guardian_suspected`,
    `consent.assent_refused`: who may agree for whom, by whether she is a child today, which every
    reader of the case knows. `field.date_in_future`, `field.range`,
    `consent.expires_before_granted`: dates, none of them held against the birth.
    """
    _check_requirements(grant)
    _check_recipients(grant)
    _check_countries(grant, own_country)
    _check_giver(grant, is_minor=is_minor)
    if grant.granted_on > today:
        raise InvalidError("field.date_in_future", pointer="/granted_on")
    if grant.granted_on < EARLIEST:
        raise InvalidError("field.range", pointer="/granted_on")
    if grant.expires_on is None:
        return
    if grant.expires_on < grant.granted_on:
        raise InvalidError("consent.expires_before_granted", pointer="/expires_on")
    if completed_years(grant.granted_on, grant.expires_on - timedelta(days=1)) >= LONGEST:
        raise InvalidError("field.range", pointer="/expires_on")


def check_withdrawal(consent: Consent, *, withdrawn_on: date, today: date) -> None:
    """Refuse a withdrawal that cannot be.

    Raises ConflictError `consent.already_withdrawn`, InvalidError `field.date_in_future` or
    `consent.withdrawn_before_granted`. An expired consent may be withdrawn: recipients then erase.
    """
    if consent.is_withdrawn:
        raise ConflictError("consent.already_withdrawn")
    if withdrawn_on > today:
        raise InvalidError("field.date_in_future", pointer="/withdrawn_on")
    if withdrawn_on < consent.granted_on:
        raise InvalidError("consent.withdrawn_before_granted", pointer="/withdrawn_on")


def require_record(consents: Iterable[Consent], *, is_minor: bool, on: date) -> None:
    """Refuse to write a name down without DATA_RECORD: until then a pseudonym only (section 5).

    Raises ForbiddenError `identity.consent_missing`, or `identity.consent_by_other` where the
    consents that hold are not of those who may consent at this age; both name them in `given_by`.
    """
    scope = ConsentScope.DATA_RECORD
    consents = list(consents)
    if covers(consents, Disclosure(scope=scope, is_minor=is_minor, on=on)):
        return
    is_there = any(each.scope == scope and is_valid(each, on=on) for each in consents)
    raise ForbiddenError(
        "identity.consent_by_other" if is_there else "identity.consent_missing",
        scope=scope.value,
        given_by=givers(is_minor=is_minor),
    )


def _check_requirements(grant: Grant) -> None:
    named = named_in(grant) | {Requirement.RISK_INFORMATION: grant.risk_information_given}
    for requirement in REQUIRES[grant.scope]:
        if not named[requirement]:
            raise InvalidError(
                "consent.requirement_missing",
                pointer=POINTERS[requirement],
                scope=grant.scope.value,
            )


def _check_recipients(grant: Grant) -> None:
    """Refuse a class beside an organisation, and kinds that the scope cannot reach.

    Who names both leaves open whether she means the one or all of them. Inside the country police
    and prosecution see under their own scope and nobody else does.
    """
    pointer = "/recipient_kinds"
    if grant.recipient_kinds and grant.recipient_organisation_id is not None:
        raise InvalidError("consent.recipient_ambiguous", pointer=pointer)
    unreached = {
        ConsentScope.SHARE_NATIONAL: grant.recipient_kinds & LAW_ENFORCEMENT_KINDS,
        ConsentScope.SHARE_LAW_ENFORCEMENT: grant.recipient_kinds - LAW_ENFORCEMENT_KINDS,
    }
    if unreached.get(grant.scope):
        raise InvalidError("consent.kind_not_in_scope", pointer=pointer, scope=grant.scope.value)


def _check_countries(grant: Grant, own_country: str) -> None:
    pointer = POINTERS[Requirement.COUNTRY]
    if grant.scope is ConsentScope.SHARE_CROSS_BORDER and own_country in grant.recipient_countries:
        raise InvalidError("consent.country_not_foreign", pointer=pointer)
    if grant.scope is ConsentScope.SHARE_NATIONAL and grant.recipient_countries - {own_country}:
        raise InvalidError("consent.country_not_own", pointer=pointer)


def _check_giver(grant: Grant, *, is_minor: bool) -> None:
    if is_minor and grant.scope in NOT_FOR_CHILDREN:
        raise ForbiddenError("consent.not_for_children", pointer="/scope")
    if grant.given_by is ConsentGiver.SELF:
        if is_minor:
            raise InvalidError("consent.guardian_required", pointer="/given_by")
        if grant.guardian is not None:
            raise InvalidError("consent.guardian_not_applicable", pointer="/guardian")
        return
    _check_guardian(grant, is_minor=is_minor)


def _check_guardian(grant: Grant, *, is_minor: bool) -> None:
    """Hold a guardian's consent against domain.md section 4, Children.

    Assent is recorded beside it; a guardian suspected of involvement is blocked. A refused assent
    is a refusal: the person may always refuse that facts are disclosed (nrm.bg 1.4).
    """
    if grant.guardian is None:
        raise InvalidError("consent.guardian_incomplete", pointer="/guardian")
    if grant.guardian_suspected is None:
        raise InvalidError("consent.guardian_incomplete", pointer="/guardian_suspected")
    if grant.assent is None:
        raise InvalidError("consent.guardian_incomplete", pointer="/assent")
    if grant.guardian_suspected:
        raise ForbiddenError("consent.guardian_suspected", pointer="/guardian")
    if grant.guardian not in GUARDIANS[is_minor]:
        raise InvalidError("consent.guardian_not_entitled", pointer="/guardian")
    if grant.assent is Assent.REFUSED:
        raise InvalidError("consent.assent_refused", pointer="/assent")
