"""What a person declares of herself in special categories of data: ethnicity and health (F5).

Nobody is assigned to a community or a diagnosis by somebody else's look: such a datum is kept only
as the person says it (Framework Convention for the Protection of National Minorities art. 3), for
purposes she explicitly agreed to (GDPR art. 9(2)(a); IOM principles 2 and 5), and never derived
(domain.md section 8, of personal numbers). Disability and pregnancy are data on health and
so of the same kind: here is kept what the person says of them to be helped, findings are a
doctor's. All of it stays in the organisation that carries the case: it is in no event, no figure
and no referral.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from enum import StrEnum

from common.consent import Consent, ConsentScope, Disclosure, covers, require_consent
from common.errors import ConflictError, InvalidError


class SpecialCategory(StrEnum):
    """Codes of the list special_categories."""

    ETHNICITY_ROMA = "ETHNICITY_ROMA"
    ETHNICITY_ASHKALI = "ETHNICITY_ASHKALI"
    ETHNICITY_EGYPTIAN = "ETHNICITY_EGYPTIAN"
    ETHNICITY_OTHER = "ETHNICITY_OTHER"
    DISABILITY = "DISABILITY"
    PREGNANCY = "PREGNANCY"


GROUP: Mapping[SpecialCategory, str] = {
    # Not a data group of its own: to name it in a consent would already tell who agreed to it.
    SpecialCategory.ETHNICITY_ROMA: "IDENTITY",
    SpecialCategory.ETHNICITY_ASHKALI: "IDENTITY",
    SpecialCategory.ETHNICITY_EGYPTIAN: "IDENTITY",
    SpecialCategory.ETHNICITY_OTHER: "IDENTITY",
    SpecialCategory.DISABILITY: "HEALTH",
    SpecialCategory.PREGNANCY: "HEALTH",
}
"""The data group of each code (F60)."""

DATA_GROUPS = frozenset(GROUP.values())


def check_declaration(
    category: SpecialCategory,
    *,
    self_declared: bool,
    purposes: AbstractSet[str],
    consents: Iterable[Consent],
    is_minor: bool,
    on: date,
) -> None:
    """Refuse to keep what the person has not said, or not agreed that it be kept.

    Raises InvalidError `declaration.not_self_declared`; ForbiddenError `consent.missing` unless for
    each of the purposes (codes) an explicit consent holds on the day: see `is_agreed`.
    """
    if not self_declared:
        raise InvalidError("declaration.not_self_declared", pointer="/self_declared")
    consents = _explicit(consents)
    for purpose in sorted(purposes):
        require_consent(consents, _keeping(GROUP[category], purpose, is_minor=is_minor, on=on))


def is_agreed(
    group: str, purpose: str, consents: Iterable[Consent], *, is_minor: bool, on: date
) -> bool:
    """Tell whether a declaration of the data group may be used for the purpose on the day.

    It may with a consent DATA_RECORD in force that itself names the purpose and the group: one that
    names no limits agrees to a record, but not explicitly to this. A withdrawal closes it.
    """
    return covers(_explicit(consents), _keeping(group, purpose, is_minor=is_minor, on=on))


def require_standing(*, is_withdrawn: bool) -> None:
    """Raise ConflictError `declaration.already_withdrawn`."""
    if is_withdrawn:
        raise ConflictError("declaration.already_withdrawn")


def _explicit(consents: Iterable[Consent]) -> list[Consent]:
    return [consent for consent in consents if consent.purposes and consent.data_groups]


def _keeping(group: str, purpose: str, *, is_minor: bool, on: date) -> Disclosure:
    return Disclosure(
        scope=ConsentScope.DATA_RECORD,
        is_minor=is_minor,
        on=on,
        purpose=purpose,
        data_groups=frozenset({group}),
    )
