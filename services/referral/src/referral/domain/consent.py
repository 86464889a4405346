"""On which consents a referral's disclosure rests, and what a refusal says of those missing."""

from collections.abc import Iterable
from uuid import UUID

from common.consent import Consent, ConsentGiver, Disclosure, coverage
from common.errors import ForbiddenError


def require_consent(consents: Iterable[Consent], disclosure: Disclosure) -> list[UUID]:
    """Return the ids of the consents the disclosure rests on, for the audit entry.

    Raises ForbiddenError `consent.missing` with the scope needed, the data groups that stay
    uncovered, and `given_by`: GUARDIAN alone when the person's own consent does not do.
    """
    found = coverage(consents, disclosure)
    if found.is_whole:
        return [consent.consent_id for consent in found.consents]
    givers = [ConsentGiver.GUARDIAN] if disclosure.is_of_child else [*ConsentGiver]
    raise ForbiddenError(
        "consent.missing",
        scope=disclosure.scope.value,
        data_groups=sorted(found.open_groups),
        given_by=sorted(giver.value for giver in givers),
    )
