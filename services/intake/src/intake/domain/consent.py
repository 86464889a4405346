"""Consent: one scope, one recipient, one purpose at a time, and it ends (F10, F11).

Sources: the code list consent_scopes; domain.md section 4 (children, refusal rights), section 7
(IOM data protection principles: explicit consent and a specified purpose for each transfer) and
section 10 rule 6.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from common.errors import ConflictError, ForbiddenError, InvalidError
from intake.domain.age import completed_years, earliest_day

Item = TypeVar("Item")


class ConsentScope(StrEnum):
    """Codes of the list consent_scopes."""

    INTERVIEW = "INTERVIEW"
    DATA_RECORD = "DATA_RECORD"
    ASSISTANCE = "ASSISTANCE"
    SHARE_NATIONAL = "SHARE_NATIONAL"
    SHARE_CROSS_BORDER = "SHARE_CROSS_BORDER"
    SHARE_LAW_ENFORCEMENT = "SHARE_LAW_ENFORCEMENT"
    RESEARCH_NON_IDENTIFYING = "RESEARCH_NON_IDENTIFYING"
    CONTACT_FOLLOW_UP = "CONTACT_FOLLOW_UP"
    PHOTO_MEDIA = "PHOTO_MEDIA"


class ConsentGiver(StrEnum):
    SELF = "SELF"
    GUARDIAN = "GUARDIAN"


class GuardianKind(StrEnum):
    """Who acts for the person."""

    PARENT = "PARENT"
    RELATIVE = "RELATIVE"
    APPOINTED = "APPOINTED"


class Assent(StrEnum):
    """What the person says to a guardian's consent. NOT_ABLE: too young, or cannot understand."""

    GIVEN = "GIVEN"
    REFUSED = "REFUSED"
    NOT_ABLE = "NOT_ABLE"


class Requirement(StrEnum):
    """What a consent must name before it is one; words of consent_scopes `requires`."""

    RECIPIENT = "recipient"
    COUNTRY = "country"
    PURPOSE = "purpose"
    DATA_CATEGORIES = "data_categories"
    RISK_INFORMATION = "risk_information_given"


POINTERS: Mapping[Requirement, str] = {
    Requirement.RECIPIENT: "/recipient_organisation_id",
    Requirement.COUNTRY: "/recipient_countries",
    Requirement.PURPOSE: "/purposes",
    Requirement.DATA_CATEGORIES: "/data_groups",
    Requirement.RISK_INFORMATION: "/risk_information_given",
}

REQUIRES: Mapping[ConsentScope, tuple[Requirement, ...]] = {
    ConsentScope.INTERVIEW: (),
    ConsentScope.DATA_RECORD: (),
    ConsentScope.ASSISTANCE: (),
    ConsentScope.SHARE_NATIONAL: (
        Requirement.RECIPIENT,
        Requirement.PURPOSE,
        Requirement.DATA_CATEGORIES,
    ),
    ConsentScope.SHARE_CROSS_BORDER: (
        Requirement.RECIPIENT,
        Requirement.COUNTRY,
        Requirement.PURPOSE,
        Requirement.DATA_CATEGORIES,
        Requirement.RISK_INFORMATION,
    ),
    # The code list asks for nothing here; IOM principle 5 asks for a purpose at every transfer.
    # Police and prosecution may be meant as a whole, so no recipient.
    ConsentScope.SHARE_LAW_ENFORCEMENT: (Requirement.PURPOSE, Requirement.DATA_CATEGORIES),
    ConsentScope.RESEARCH_NON_IDENTIFYING: (),
    ConsentScope.CONTACT_FOLLOW_UP: (),
    ConsentScope.PHOTO_MEDIA: (),
}

LONGEST = 10
"""Years for which a consent may be given at most; the day itself is included."""

SHARING = frozenset(
    {
        ConsentScope.SHARE_NATIONAL,
        ConsentScope.SHARE_CROSS_BORDER,
        ConsentScope.SHARE_LAW_ENFORCEMENT,
    }
)
"""Scopes under which data leave the organisation."""

NOT_FOR_CHILDREN = frozenset({ConsentScope.PHOTO_MEDIA})
"""A child's identity is never made public (CETS 197 art. 11.2; consent_scopes `child_allowed`)."""

GUARDIANS: Mapping[bool, frozenset[GuardianKind]] = {
    True: frozenset(GuardianKind),
    # An adult decides alone unless a court has appointed somebody.
    False: frozenset({GuardianKind.APPOINTED}),
}
"""Who may consent for a person, by `is_minor`."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A consent about to be recorded, as the worker filled it in."""

    scope: ConsentScope
    given_by: ConsentGiver
    granted_on: date
    expires_on: date | None = None
    recipient_organisation_id: UUID | None = None
    recipient_countries: AbstractSet[str] = frozenset()
    purposes: AbstractSet[str] = frozenset()
    data_groups: AbstractSet[str] = frozenset()
    risk_information_given: bool = False
    guardian: GuardianKind | None = None
    guardian_suspected: bool | None = None
    assent: Assent | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """A recorded consent. `expires_on` is the last day on which it holds."""

    consent_id: UUID
    scope: ConsentScope
    given_by: ConsentGiver
    granted_on: date
    guardian: GuardianKind | None = None
    expires_on: date | None = None
    withdrawn_on: date | None = None
    recipient_organisation_id: UUID | None = None
    recipient_countries: AbstractSet[str] = frozenset()
    purposes: AbstractSet[str] = frozenset()
    data_groups: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What is about to be done under a scope. None and an empty set: nothing of the kind."""

    scope: ConsentScope
    is_minor: bool
    on: date
    recipient_organisation_id: UUID | None = None
    country: str | None = None
    purpose: str | None = None
    data_groups: AbstractSet[str] = frozenset()


def check_grant(
    grant: Grant, *, is_minor: bool, own_country: str, today: date, born_from: date | None = None
) -> None:
    """Refuse a consent that is not one. Raises InvalidError with a pointer, or ForbiddenError.

    `consent.requirement_missing`: the scope must name more. `consent.country_not_foreign` and
    `consent.country_not_own`: a scope and its countries contradict each other.
    `consent.not_for_children`, `consent.guardian_required`, `consent.guardian_not_applicable`,
    `consent.guardian_incomplete`, `consent.guardian_not_entitled`, `consent.guardian_suspected`,
    `consent.assent_refused`: who may agree for whom. `field.date_in_future`,
    `field.range`, `consent.expires_before_granted`: dates; `born_from` is the earliest possible day
    of birth.
    """
    _check_requirements(grant)
    _check_countries(grant, own_country)
    _check_giver(grant, is_minor=is_minor)
    if grant.granted_on > today:
        raise InvalidError("field.date_in_future", pointer="/granted_on")
    if grant.granted_on < earliest_day(born_from):
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
    if consent.withdrawn_on is not None:
        raise ConflictError("consent.already_withdrawn")
    if withdrawn_on > today:
        raise InvalidError("field.date_in_future", pointer="/withdrawn_on")
    if withdrawn_on < consent.granted_on:
        raise InvalidError("consent.withdrawn_before_granted", pointer="/withdrawn_on")


def is_valid(consent: Consent, *, on: date) -> bool:
    """Tell whether the consent holds on a day.

    A recorded withdrawal counts whatever its date: two clocks may disagree on what day it is, and
    the doubt goes to the person.
    """
    if consent.withdrawn_on is not None or on < consent.granted_on:
        return False
    return consent.expires_on is None or on <= consent.expires_on


def covers(consents: Iterable[Consent], disclosure: Disclosure) -> bool:
    """Tell whether consents that hold that day cover the disclosure whole.

    Each must fit scope, recipient, country and purpose; their data groups add up. A child's own
    word needs a guardian's beside it, so only a guardian's consent counts for a minor; for an adult
    today, also one who was a child when a parent agreed, only her own word or that of a guardian a
    court has appointed.
    """
    fitting = [consent for consent in consents if _fits(consent, disclosure)]
    if any(not consent.data_groups for consent in fitting):
        return True  # _fits lets a consent without groups through only where none are required
    granted = frozenset().union(*(consent.data_groups for consent in fitting))
    return bool(fitting) and disclosure.data_groups <= granted


def require(consents: Iterable[Consent], disclosure: Disclosure) -> None:
    """Raise ForbiddenError `consent.missing` with the scope unless the disclosure is covered."""
    if not covers(consents, disclosure):
        raise ForbiddenError("consent.missing", scope=disclosure.scope.value)


def require_record(consents: Iterable[Consent], *, is_minor: bool, on: date) -> None:
    """Refuse to write a name down without DATA_RECORD: until then a pseudonym only (section 5).

    Raises ForbiddenError `identity.consent_missing`.
    """
    record = Disclosure(scope=ConsentScope.DATA_RECORD, is_minor=is_minor, on=on)
    if not covers(consents, record):
        raise ForbiddenError("identity.consent_missing")


def _fits(consent: Consent, disclosure: Disclosure) -> bool:
    return (
        consent.scope is disclosure.scope
        and is_valid(consent, on=disclosure.on)
        and _speaks_for(consent, is_minor=disclosure.is_minor)
        and not (disclosure.is_minor and disclosure.scope in NOT_FOR_CHILDREN)
        and _reaches(consent, disclosure)
    )


def _speaks_for(consent: Consent, *, is_minor: bool) -> bool:
    if consent.given_by is ConsentGiver.SELF:
        return not is_minor
    return is_minor or consent.guardian in GUARDIANS[is_minor]


def _reaches(consent: Consent, disclosure: Disclosure) -> bool:
    named = consent.recipient_organisation_id
    recipients: AbstractSet[UUID] = frozenset() if named is None else {named}
    scope = disclosure.scope
    asked = disclosure.recipient_organisation_id
    if Requirement.DATA_CATEGORIES in REQUIRES[scope] and not (
        consent.data_groups and disclosure.data_groups
    ):
        return False
    return (
        _within(recipients, asked, scope, Requirement.RECIPIENT)
        and _within(consent.recipient_countries, disclosure.country, scope, Requirement.COUNTRY)
        and _within(consent.purposes, disclosure.purpose, scope, Requirement.PURPOSE)
    )


def _within(
    allowed: AbstractSet[Item], asked: Item | None, scope: ConsentScope, requirement: Requirement
) -> bool:
    """Tell whether `asked` keeps the limit `allowed`; nothing named is no limit unless required.

    A limit nobody asks about is kept inside the organisation, and broken when data leave it.
    """
    if not allowed:
        return requirement not in REQUIRES[scope]
    if asked is None:
        return scope not in SHARING
    return asked in allowed


def _check_requirements(grant: Grant) -> None:
    named = {
        Requirement.RECIPIENT: grant.recipient_organisation_id is not None,
        Requirement.COUNTRY: bool(grant.recipient_countries),
        Requirement.PURPOSE: bool(grant.purposes),
        Requirement.DATA_CATEGORIES: bool(grant.data_groups),
        Requirement.RISK_INFORMATION: grant.risk_information_given,
    }
    for requirement in REQUIRES[grant.scope]:
        if not named[requirement]:
            raise InvalidError(
                "consent.requirement_missing",
                pointer=POINTERS[requirement],
                scope=grant.scope.value,
            )


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
