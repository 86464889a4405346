"""Which data group each part of an identity belongs to: who sees one need not see the other (F60)."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from common.consent import Consent, Disclosure, covers, national_scope, require_consent

FIELDS: Mapping[str, frozenset[str]] = {
    "IDENTITY": frozenset(
        {"given_name", "family_name", "other_names", "birth_date", "birth_place", "documents"}
    ),
    "CONTACT": frozenset({"address", "phones", "email"}),
}
"""Codes of data_groups."""

DATA_GROUPS = frozenset(FIELDS)


def fields_in(groups: AbstractSet[str]) -> frozenset[str]:
    return frozenset().union(*(FIELDS[group] for group in groups))


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who asks, and of whom: an organisation the case was referred to, on a day.

    `kind` is None while the directory has not told of it: a class of recipients does not mean it
    then. Police and prosecution need consents of their own scope, all others SHARE_NATIONAL.
    """

    organisation_id: UUID
    kind: str | None
    country: str
    is_minor: bool
    on: date

    def asks(self, group: str, purpose: str) -> Disclosure:
        """Return what showing it one data group for the purpose would be."""
        return Disclosure(
            scope=national_scope(self.kind),
            is_minor=self.is_minor,
            on=self.on,
            recipient_organisation_id=self.organisation_id,
            recipient_kind=self.kind,
            country=self.country,
            purpose=purpose,
            data_groups=frozenset({group}),
        )


def purpose_opening(consents: Iterable[Consent], group: str, recipient: Recipient) -> str | None:
    """Return a purpose for which consents open one data group to the recipient."""
    consents = list(consents)
    for purpose in sorted(frozenset().union(*(consent.purposes for consent in consents))):
        if covers(consents, recipient.asks(group, purpose)):
            return purpose
    return None


def groups_shared(
    consents: Iterable[Consent], purpose: str, recipient: Recipient
) -> frozenset[str]:
    """Return the groups that consents open to the recipient for the purpose.

    Raises ForbiddenError `consent.missing` unless IDENTITY is one of them: contact details without
    a name are of no use and still a danger.
    """
    consents = list(consents)
    require_consent(consents, recipient.asks("IDENTITY", purpose))
    return frozenset(
        group for group in DATA_GROUPS if covers(consents, recipient.asks(group, purpose))
    )
