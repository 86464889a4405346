"""Whether the consents known from events cover one disclosure to one organisation."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final
from uuid import UUID

from common.errors import ForbiddenError


class Giver(StrEnum):
    SELF = "SELF"
    GUARDIAN = "GUARDIAN"


class Scope(StrEnum):
    """The consent scopes a national disclosure can rest on."""

    SHARE_NATIONAL = "SHARE_NATIONAL"
    SHARE_LAW_ENFORCEMENT = "SHARE_LAW_ENFORCEMENT"


LAW_ENFORCEMENT_KINDS: Final = frozenset({"POLICE", "BORDER_POLICE", "PROSECUTION"})
"""Codes of organisation_kinds that only SHARE_LAW_ENFORCEMENT opens (actor_roles, PROSECUTOR)."""


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent as its events told it.

    `expires_on` is the last day on which it holds. Without countries it sets no limit of that kind;
    purposes and data groups are what it grants.
    """

    consent_id: UUID
    scope: str
    recipient_organisation_id: UUID | None
    recipient_countries: frozenset[str]
    purposes: frozenset[str]
    data_groups: frozenset[str]
    given_by: str
    granted_on: date
    expires_on: date | None = None
    is_withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What is about to be shown to whom. `is_minor` is None while the age is in doubt."""

    recipient_organisation_id: UUID
    recipient_kind: str
    recipient_country: str
    purpose: str
    data_groups: frozenset[str]
    is_minor: bool | None
    on: date

    @property
    def scope(self) -> Scope:
        if self.recipient_kind in LAW_ENFORCEMENT_KINDS:
            return Scope.SHARE_LAW_ENFORCEMENT
        return Scope.SHARE_NATIONAL

    @property
    def givers(self) -> frozenset[str]:
        # In doubt the person is presumed a child (domain.md section 4, Children).
        if self.is_minor is False:
            return frozenset(Giver)
        return frozenset({Giver.GUARDIAN})


def require_consent(consents: Iterable[Consent], disclosure: Disclosure) -> list[UUID]:
    """Return the ids of the consents the disclosure rests on, for the audit entry.

    Several consents for the same recipient and purpose add their data groups up. Raises
    ForbiddenError `consent.missing` with the scope needed, the data groups that stay uncovered, and
    `given_by`: GUARDIAN alone when the person's own consent does not do.
    """
    open_groups = set(disclosure.data_groups)
    used: list[UUID] = []
    for consent in consents:
        if _reaches(consent, disclosure):
            open_groups -= consent.data_groups
            used.append(consent.consent_id)
    if used and not open_groups:
        return used
    raise ForbiddenError(
        "consent.missing",
        scope=disclosure.scope.value,
        data_groups=sorted(open_groups),
        given_by=sorted(disclosure.givers),
    )


def _reaches(consent: Consent, disclosure: Disclosure) -> bool:
    countries = consent.recipient_countries
    return (
        consent.scope == disclosure.scope
        and disclosure.purpose in consent.purposes
        and consent.given_by in disclosure.givers
        and (not countries or disclosure.recipient_country in countries)
        and _names_recipient(consent, disclosure)
        and _holds_on(consent, disclosure.on)
    )


def _names_recipient(consent: Consent, disclosure: Disclosure) -> bool:
    if consent.recipient_organisation_id is None:
        # Sharing inside the country names the organisation; police and prosecution may be meant as
        # a whole (consent_scopes: `requires`).
        return disclosure.scope is Scope.SHARE_LAW_ENFORCEMENT
    return consent.recipient_organisation_id == disclosure.recipient_organisation_id


def _holds_on(consent: Consent, day: date) -> bool:
    # A withdrawal counts from the moment it is known, whatever its date: clocks may differ.
    if consent.is_withdrawn or day < consent.granted_on:
        return False
    return consent.expires_on is None or day <= consent.expires_on
