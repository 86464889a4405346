"""Which data group each part of an identity belongs to: who sees one need not see the other (F60)."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from uuid import UUID

from common.consent import Consent, Disclosure, covers, national_scope
from intake.domain.consent import require

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


def purpose_opening(
    consents: Iterable[Consent],
    group: str,
    *,
    recipient: UUID,
    recipient_kind: str | None,
    country: str,
    is_minor: bool,
    today: date,
) -> str | None:
    """Return a purpose for which consents open one data group to the recipient.

    `recipient_kind` is None while the directory has not told of it.
    """
    consents = list(consents)
    for purpose in sorted(frozenset().union(*(consent.purposes for consent in consents))):
        asked = Disclosure(
            scope=national_scope(recipient_kind),
            is_minor=is_minor,
            on=today,
            recipient_organisation_id=recipient,
            recipient_kind=recipient_kind,
            country=country,
            purpose=purpose,
            data_groups=frozenset({group}),
        )
        if covers(consents, asked):
            return purpose
    return None


def groups_shared(
    consents: Iterable[Consent],
    *,
    recipient: UUID,
    recipient_kind: str | None,
    purpose: str,
    country: str,
    is_minor: bool,
    today: date,
) -> frozenset[str]:
    """Return the groups that consents open to the recipient for the purpose.

    Police and prosecution need consents of their own scope, all others SHARE_NATIONAL.
    `recipient_kind` is None while the directory has not told of it: a class does not mean it then.
    Raises ForbiddenError `consent.missing` unless IDENTITY is one of them: contact details without
    a name are of no use and still a danger.
    """
    consents = list(consents)

    def asked(group: str) -> Disclosure:
        return Disclosure(
            scope=national_scope(recipient_kind),
            is_minor=is_minor,
            on=today,
            recipient_organisation_id=recipient,
            recipient_kind=recipient_kind,
            country=country,
            purpose=purpose,
            data_groups=frozenset({group}),
        )

    require(consents, asked("IDENTITY"))
    return frozenset(group for group in DATA_GROUPS if covers(consents, asked(group)))
