"""Which consents cover a disclosure. Every refusal is `consent.missing`."""

from dataclasses import replace
from datetime import date
from itertools import product
from uuid import UUID

import pytest

from common.codelists import all_codes
from common.consent import Consent, Disclosure, national_scope, require_consent
from common.errors import ForbiddenError

SHELTER, COUNSELLING, POLICE = (UUID(int=number) for number in (1, 2, 3))
GRANTED = UUID(int=100)


def consent(**changes: object) -> Consent:
    """Return an adult's own consent to show the shelter two data groups for one purpose."""
    granted = Consent(
        consent_id=GRANTED,
        scope="SHARE_NATIONAL",
        recipient_organisation_id=SHELTER,
        recipient_countries=frozenset(),
        purposes=frozenset({"ASSISTANCE"}),
        data_groups=frozenset({"IDENTITY", "HEALTH"}),
        given_by="SELF",
        granted_on=date(2026, 3, 1),
        expires_on=date(2026, 9, 30),
    )
    return replace(granted, **changes)  # type: ignore[arg-type]


def disclosure(*, kind: str = "NGO", **changes: object) -> Disclosure:
    shown = Disclosure(
        scope=national_scope(kind),
        recipient_organisation_id=SHELTER,
        recipient_kind=kind,
        country="RS",
        purpose="ASSISTANCE",
        data_groups=frozenset({"IDENTITY"}),
        is_minor=False,
        on=date(2026, 5, 1),
    )
    return replace(shown, **changes)  # type: ignore[arg-type]


def of_class(*kinds: str) -> Consent:
    return consent(recipient_organisation_id=None, recipient_kinds=frozenset(kinds))


def to_police(**changes: object) -> Disclosure:
    return disclosure(recipient_organisation_id=POLICE, kind="POLICE", **changes)


def for_police(**changes: object) -> Consent:
    scope = {"scope": "SHARE_LAW_ENFORCEMENT", "recipient_organisation_id": POLICE}
    return consent(**(scope | changes))


def refused(consents: list[Consent], shown: Disclosure) -> dict[str, object]:
    with pytest.raises(ForbiddenError) as refusal:
        require_consent(consents, shown)
    assert refusal.value.code == "consent.missing"
    return dict(refusal.value.members)


def test_a_matching_consent_covers_and_is_named_for_the_audit() -> None:
    assert require_consent([consent()], disclosure()) == [GRANTED]


def test_without_any_consent_nothing_is_shown() -> None:
    members = refused([], disclosure())

    assert members == {
        "scope": "SHARE_NATIONAL",
        "purpose": "ASSISTANCE",
        "data_groups": ["IDENTITY"],
        "given_by": ["SELF"],
    }


# Fails when no data group is asked for and "all of nothing" counts as covered.
def test_without_any_consent_not_even_the_bare_fact_is_shown() -> None:
    refused([], disclosure(data_groups=frozenset()))


# F11: every purpose/recipient pair. Fails when either half of the match is dropped.
PAIRS = list(product(sorted(all_codes("purposes")), [SHELTER, COUNSELLING]))


@pytest.mark.parametrize(("granted", "asked"), [*product(PAIRS, PAIRS)])
def test_a_consent_covers_its_own_purpose_and_recipient_and_no_other_pair(
    granted: tuple[str, UUID], asked: tuple[str, UUID]
) -> None:
    known = [
        consent(purposes=frozenset({granted[0]}), recipient_organisation_id=granted[1]),
    ]
    shown = disclosure(purpose=asked[0], recipient_organisation_id=asked[1])

    if granted == asked:
        assert require_consent(known, shown) == [GRANTED]
    else:
        refused(known, shown)


# Each case fails when its comparison is dropped or turned round by one day.
@pytest.mark.parametrize(
    ("known", "shown"),
    [
        (consent(granted_on=date(2026, 5, 2)), disclosure(on=date(2026, 5, 1))),
        (consent(expires_on=date(2026, 4, 30)), disclosure(on=date(2026, 5, 1))),
        (consent(is_withdrawn=True), disclosure()),
        (consent(scope="RESEARCH_NON_IDENTIFYING"), disclosure()),
        (consent(scope="SHARE_CROSS_BORDER"), disclosure()),
        (consent(scope="SHARE_LAW_ENFORCEMENT"), disclosure()),
        (consent(recipient_countries=frozenset({"MK"})), disclosure()),
        (consent(recipient_organisation_id=None), disclosure()),
        (consent(purposes=frozenset()), disclosure()),
        (consent(data_groups=frozenset()), disclosure()),
        (consent(given_by="WITNESS"), disclosure()),
        (consent(given_by="GUARDIAN", guardian="PARENT"), disclosure()),
        (consent(given_by="GUARDIAN", guardian="RELATIVE"), disclosure()),
        # An event from before guardians were told of.
        (consent(given_by="GUARDIAN", guardian=None), disclosure()),
        (of_class("SHELTER"), disclosure()),
    ],
    ids=lambda value: "",
)
def test_a_consent_that_misses_one_condition_does_not_cover(
    known: Consent, shown: Disclosure
) -> None:
    refused([known], shown)


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        (consent(granted_on=date(2026, 5, 1)), disclosure(on=date(2026, 5, 1))),
        (consent(expires_on=date(2026, 5, 1)), disclosure(on=date(2026, 5, 1))),
        (consent(expires_on=None), disclosure(on=date(2036, 5, 1))),
        (consent(recipient_countries=frozenset({"RS", "MK"})), disclosure()),
        (consent(given_by="GUARDIAN", guardian="APPOINTED"), disclosure()),
        (of_class("NGO", "SHELTER"), disclosure()),
    ],
    ids=lambda value: "",
)
def test_a_consent_covers_on_its_first_and_last_day_and_within_its_countries(
    known: Consent, shown: Disclosure
) -> None:
    assert require_consent([known], shown) == [GRANTED]


# Fails when one covered group is enough.
def test_all_data_groups_must_be_covered_and_the_refusal_names_the_rest() -> None:
    shown = disclosure(data_groups=frozenset({"IDENTITY", "CONTACT", "SUPPORT"}))

    assert refused([consent()], shown)["data_groups"] == ["CONTACT", "SUPPORT"]


# Fails when consents do not add up, and when one for another recipient lends its groups.
def test_consents_for_one_recipient_and_purpose_add_up_others_lend_nothing() -> None:
    shown = disclosure(data_groups=frozenset({"IDENTITY", "CONTACT"}))
    more = consent(consent_id=UUID(int=101), data_groups=frozenset({"CONTACT"}))
    elsewhere = replace(more, recipient_organisation_id=COUNSELLING)

    assert require_consent([consent(), more], shown) == [GRANTED, UUID(int=101)]
    assert refused([consent(), elsewhere], shown)["data_groups"] == ["CONTACT"]


# Fails when an unknown age counts as adult, or when a child's own consent is enough.
@pytest.mark.parametrize("is_minor", [True, None])
def test_a_child_and_a_person_of_doubtful_age_need_a_guardians_consent(
    *,
    is_minor: bool | None,
) -> None:
    shown = disclosure(is_minor=is_minor)

    assert refused([consent(given_by="SELF")], shown)["given_by"] == ["GUARDIAN"]
    assert require_consent([consent(given_by="GUARDIAN")], shown) == [GRANTED]


# Fails when SHARE_NATIONAL opens police, or when the police scope is asked of an NGO.
@pytest.mark.parametrize("kind", ["POLICE", "BORDER_POLICE", "PROSECUTION"])
def test_police_and_prosecution_need_their_own_scope(kind: str) -> None:
    shown = disclosure(kind=kind, recipient_organisation_id=POLICE)
    national = consent(recipient_organisation_id=POLICE)

    assert refused([national], shown)["scope"] == "SHARE_LAW_ENFORCEMENT"
    assert require_consent([for_police()], shown) == [GRANTED]


# consent_scopes: SHARE_LAW_ENFORCEMENT requires no recipient; what is named still binds.
def test_a_law_enforcement_consent_may_mean_any_but_what_it_names_binds() -> None:
    assert require_consent([for_police(recipient_organisation_id=None)], to_police()) == [GRANTED]
    refused([for_police(recipient_organisation_id=SHELTER)], to_police())
    refused([for_police(purposes=frozenset({"PROTECTION"}))], to_police())
    refused([for_police(purposes=frozenset())], to_police())
    refused([for_police(data_groups=frozenset({"HEALTH"}))], to_police())
    refused([for_police(data_groups=frozenset())], to_police())
