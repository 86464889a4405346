"""When a consent covers a disclosure: the one rule, wherever data are about to be shown (F10, F11).

Sources: the code list consent_scopes; domain.md section 4 (children, refusal rights), section 7
(IOM data protection principles: explicit consent and a specified purpose for each transfer) and
section 10 rule 6.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

from common.errors import ForbiddenError

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


class Requirement(StrEnum):
    """What a consent must name before it is one; words of consent_scopes `requires`."""

    RECIPIENT = "recipient"
    COUNTRY = "country"
    PURPOSE = "purpose"
    DATA_CATEGORIES = "data_categories"
    RISK_INFORMATION = "risk_information_given"


REQUIRES: Final[Mapping[ConsentScope, tuple[Requirement, ...]]] = {
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

SHARING: Final = frozenset(
    {
        ConsentScope.SHARE_NATIONAL,
        ConsentScope.SHARE_CROSS_BORDER,
        ConsentScope.SHARE_LAW_ENFORCEMENT,
    }
)
"""Scopes under which data leave the organisation."""

NOT_FOR_CHILDREN: Final = frozenset({ConsentScope.PHOTO_MEDIA})
"""A child's identity is never made public (CETS 197 art. 11.2; consent_scopes `child_allowed`)."""

LAW_ENFORCEMENT_KINDS: Final = frozenset({"POLICE", "BORDER_POLICE", "PROSECUTION"})
"""Codes of organisation_kinds that only SHARE_LAW_ENFORCEMENT opens (actor_roles, PROSECUTOR)."""

GUARDIANS: Final[Mapping[bool, frozenset[GuardianKind]]] = {
    True: frozenset(GuardianKind),
    # An adult decides alone unless a court has appointed somebody.
    False: frozenset({GuardianKind.APPOINTED}),
}
"""Who may consent for a person, by whether she is a child."""


class Terms(Protocol):
    """What a consent names. Nothing named sets no limit, unless the scope requires it.

    `recipient_kinds` (codes of organisation_kinds) mean every organisation of these kinds.
    """

    @property
    def recipient_organisation_id(self) -> UUID | None: ...
    @property
    def recipient_kinds(self) -> AbstractSet[str]: ...
    @property
    def recipient_countries(self) -> AbstractSet[str]: ...
    @property
    def purposes(self) -> AbstractSet[str]: ...
    @property
    def data_groups(self) -> AbstractSet[str]: ...


@dataclass(frozen=True, slots=True)
class Consent:
    """A recorded consent. `expires_on` is the last day on which it holds.

    Scope, giver and guardian may be codes that this release does not know: those cover nothing.
    """

    consent_id: UUID
    scope: str
    given_by: str
    granted_on: date
    guardian: str | None = None
    expires_on: date | None = None
    is_withdrawn: bool = False
    recipient_organisation_id: UUID | None = None
    recipient_kinds: AbstractSet[str] = frozenset()
    recipient_countries: AbstractSet[str] = frozenset()
    purposes: AbstractSet[str] = frozenset()
    data_groups: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What is about to be done under a scope. None and an empty set: nothing of the kind.

    `is_minor` is None while the age is in doubt, `recipient_kind` while the directory has not told
    of the recipient: then no class of recipients means it.
    """

    scope: ConsentScope
    is_minor: bool | None
    on: date
    recipient_organisation_id: UUID | None = None
    recipient_kind: str | None = None
    country: str | None = None
    purpose: str | None = None
    data_groups: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Coverage:
    """The consents that fit a disclosure, and the data groups that none of them opens."""

    consents: tuple[Consent, ...]
    open_groups: AbstractSet[str]

    @property
    def is_whole(self) -> bool:
        return bool(self.consents) and not self.open_groups


def national_scope(recipient_kind: str | None) -> ConsentScope:
    """Return the scope that opens data to an organisation of this kind inside the country."""
    if recipient_kind in LAW_ENFORCEMENT_KINDS:
        return ConsentScope.SHARE_LAW_ENFORCEMENT
    return ConsentScope.SHARE_NATIONAL


def named_in(terms: Terms) -> dict[Requirement, bool]:
    """Tell for each limit whether the terms name it; an organisation or a class is a recipient."""
    return {
        Requirement.RECIPIENT: (
            terms.recipient_organisation_id is not None or bool(terms.recipient_kinds)
        ),
        Requirement.COUNTRY: bool(terms.recipient_countries),
        Requirement.PURPOSE: bool(terms.purposes),
        Requirement.DATA_CATEGORIES: bool(terms.data_groups),
    }


def is_valid(consent: Consent, *, on: date) -> bool:
    """Tell whether the consent holds on a day.

    A recorded withdrawal counts whatever its date: two clocks may disagree on what day it is, and
    the doubt goes to the person.
    """
    if consent.is_withdrawn or on < consent.granted_on:
        return False
    return consent.expires_on is None or on <= consent.expires_on


def counts(consent: Consent, *, is_minor: bool | None, on: date) -> bool:
    """Tell whether a consent that holds on the day is one for a person of this age.

    `is_minor` as of `Disclosure`. A child's own word needs a guardian's beside it, so only a
    guardian's consent counts for a minor; for an adult today, also one who was a child when a
    parent agreed, only her own word or that of a guardian a court has appointed.
    """
    is_child = is_minor is not False  # in doubt presumed one (domain.md section 4)
    return (
        is_valid(consent, on=on)
        and _speaks_for(consent, is_child=is_child)
        and not (is_child and consent.scope in NOT_FOR_CHILDREN)
    )


def givers(*, is_minor: bool | None) -> list[str]:
    """Return whom to ask for a consent, codes of consent_givers; `is_minor` as of `Disclosure`.

    Of an adult that is the person: a guardian a court has appointed is an exception to be known of.
    """
    return [ConsentGiver.SELF if is_minor is False else ConsentGiver.GUARDIAN]


def coverage(consents: Iterable[Consent], disclosure: Disclosure) -> Coverage:
    """Tell how far consents that hold that day cover the disclosure.

    Each must fit scope, recipient, country and purpose, and `counts`; their data groups add up.
    """
    fitting = tuple(consent for consent in consents if _fits(consent, disclosure))
    if any(not consent.data_groups for consent in fitting):
        # _fits lets a consent without groups through only where none are required
        return Coverage(fitting, frozenset())
    granted: frozenset[str] = frozenset().union(*(consent.data_groups for consent in fitting))
    return Coverage(fitting, disclosure.data_groups - granted)


def covers(consents: Iterable[Consent], disclosure: Disclosure) -> bool:
    """Tell whether consents cover the disclosure whole."""
    return coverage(consents, disclosure).is_whole


def require_consent(
    consents: Iterable[Consent], disclosure: Disclosure, *, case_version: int | None = None
) -> list[UUID]:
    """Return the ids of the consents the disclosure rests on.

    Raises ForbiddenError `consent.missing` with the scope and purpose needed, the data groups that
    stay uncovered, and `given_by`, whom to ask. A service that learns of consents by events names
    in `case_version` the newest version of the case it has heard of.
    """
    found = coverage(consents, disclosure)
    if found.is_whole:
        return [consent.consent_id for consent in found.consents]
    heard: dict[str, Any] = {} if case_version is None else {"case_version": case_version}
    raise ForbiddenError(
        "consent.missing",
        scope=disclosure.scope.value,
        purpose=disclosure.purpose,
        data_groups=sorted(found.open_groups),
        given_by=givers(is_minor=disclosure.is_minor),
        **heard,
    )


def _fits(consent: Consent, disclosure: Disclosure) -> bool:
    return (
        consent.scope == disclosure.scope
        and counts(consent, is_minor=disclosure.is_minor, on=disclosure.on)
        and _names_enough(consent, disclosure)
        and _keeps_limits(consent, disclosure)
    )


def _speaks_for(consent: Consent, *, is_child: bool) -> bool:
    if consent.given_by == ConsentGiver.SELF:
        return not is_child
    if consent.given_by != ConsentGiver.GUARDIAN:
        return False
    return is_child or consent.guardian in GUARDIANS[is_child]


def _names_enough(consent: Consent, disclosure: Disclosure) -> bool:
    required = REQUIRES[disclosure.scope]
    if Requirement.DATA_CATEGORIES in required and not disclosure.data_groups:
        return False
    return all(named for limit, named in named_in(consent).items() if limit in required)


def _keeps_limits(consent: Consent, disclosure: Disclosure) -> bool:
    named = consent.recipient_organisation_id
    organisations: AbstractSet[UUID] = frozenset() if named is None else {named}
    scope = disclosure.scope
    return (
        _within(organisations, disclosure.recipient_organisation_id, scope)
        and _within(consent.recipient_kinds, disclosure.recipient_kind, scope)
        and _within(consent.recipient_countries, disclosure.country, scope)
        and _within(consent.purposes, disclosure.purpose, scope)
    )


def _within(allowed: AbstractSet[Item], asked: Item | None, scope: ConsentScope) -> bool:
    """Tell whether `asked` keeps the limit `allowed`; nothing named is no limit.

    A limit nobody asks about is kept inside the organisation, and broken when data leave it.
    """
    if not allowed:
        return True
    if asked is None:
        return scope not in SHARING
    return asked in allowed
