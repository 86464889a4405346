"""The one rule of coverage: what a consent opens, to whom, for what, and whose word counts."""

from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codelists import all_codes, codelist
from common.consent import (
    LAW_ENFORCEMENT_KINDS,
    NOT_FOR_CHILDREN,
    REQUIRES,
    SHARING,
    Consent,
    ConsentGiver,
    ConsentScope,
    Coverage,
    Disclosure,
    GuardianKind,
    coverage,
    covers,
    is_valid,
    national_scope,
)

TODAY = date(2026, 11, 22)
SHELTER, CLINIC = UUID(int=1), UUID(int=2)

SHARE = Consent(
    consent_id=UUID(int=9),
    scope=ConsentScope.SHARE_CROSS_BORDER,
    given_by=ConsentGiver.SELF,
    granted_on=date(2026, 1, 10),
    expires_on=date(2026, 12, 31),
    recipient_organisation_id=SHELTER,
    recipient_countries=frozenset({"AL"}),
    purposes=frozenset({"ASSISTANCE"}),
    data_groups=frozenset({"IDENTITY", "HEALTH"}),
)

ASKED = Disclosure(
    scope=ConsentScope.SHARE_CROSS_BORDER,
    is_minor=False,
    on=TODAY,
    recipient_organisation_id=SHELTER,
    country="AL",
    purpose="ASSISTANCE",
    data_groups=frozenset({"IDENTITY"}),
)

DAYS = st.dates(date(2026, 1, 1), date(2026, 12, 31))
IDS = st.sampled_from([None, SHELTER, CLINIC])


def some(*codes: str) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(codes))


CONSENTS = st.builds(
    Consent,
    consent_id=st.uuids(),
    scope=st.sampled_from(ConsentScope),
    given_by=st.sampled_from(ConsentGiver),
    granted_on=DAYS,
    expires_on=st.none() | DAYS,
    guardian=st.none() | st.sampled_from(GuardianKind),
    is_withdrawn=st.booleans(),
    recipient_organisation_id=IDS,
    recipient_kinds=some("SHELTER", "POLICE"),
    recipient_countries=some("AL", "MK", "RS"),
    purposes=some("ASSISTANCE", "RETURN"),
    data_groups=some("IDENTITY", "HEALTH", "FAMILY"),
)
DISCLOSURES = st.builds(
    Disclosure,
    scope=st.sampled_from(ConsentScope),
    is_minor=st.sampled_from([True, False, None]),
    on=DAYS,
    recipient_organisation_id=IDS,
    recipient_kind=st.sampled_from([None, "SHELTER", "POLICE"]),
    country=st.sampled_from([None, "AL", "MK", "RS"]),
    purpose=st.sampled_from([None, "ASSISTANCE", "RETURN"]),
    data_groups=some("IDENTITY", "HEALTH", "FAMILY"),
)


@given(st.lists(CONSENTS, max_size=6), DISCLOSURES)
def test_nothing_covers_that_is_withdrawn_expired_or_not_yet_given(
    consents: list[Consent], disclosure: Disclosure
) -> None:
    """Seeded: forget `is_withdrawn`, or compare `expires_on` the wrong way round."""
    dead = [
        consent
        for consent in consents
        if consent.is_withdrawn
        or consent.granted_on > disclosure.on
        or (consent.expires_on is not None and consent.expires_on < disclosure.on)
    ]
    living = [consent for consent in consents if consent not in dead]

    assert not covers(dead, disclosure)
    assert covers(consents, disclosure) == covers(living, disclosure)


@given(st.lists(CONSENTS, max_size=6), DISCLOSURES)
def test_what_is_covered_leaves_no_group_recipient_country_or_purpose_open(
    consents: list[Consent], disclosure: Disclosure
) -> None:
    """Seeded: let an empty list of purposes mean every purpose when data leave the house."""
    if disclosure.scope in SHARING and covers(consents, disclosure):
        used = [consent for consent in consents if consent.scope is disclosure.scope]
        assert disclosure.data_groups
        assert disclosure.data_groups <= frozenset().union(*(one.data_groups for one in used))
        assert any(disclosure.purpose in one.purposes for one in used)
        if disclosure.scope is not ConsentScope.SHARE_LAW_ENFORCEMENT:
            assert any(
                one.recipient_organisation_id == disclosure.recipient_organisation_id
                if one.recipient_organisation_id
                else disclosure.recipient_kind in one.recipient_kinds
                for one in used
            )
        if disclosure.scope is ConsentScope.SHARE_CROSS_BORDER:
            assert any(disclosure.country in one.recipient_countries for one in used)


@given(st.lists(CONSENTS, max_size=6), DISCLOSURES)
def test_a_childs_own_word_alone_covers_nothing(
    consents: list[Consent], disclosure: Disclosure
) -> None:
    """Seeded: ignore `given_by`."""
    own = [replace(consent, given_by=ConsentGiver.SELF) for consent in consents]

    assert not covers(own, replace(disclosure, is_minor=True))
    assert not covers(own, replace(disclosure, is_minor=None))


@given(st.lists(CONSENTS, max_size=6), DISCLOSURES)
def test_for_an_adult_nobody_speaks_but_herself_and_whom_a_court_appointed(
    consents: list[Consent], disclosure: Disclosure
) -> None:
    """Seeded: let every guardian's consent count for an adult."""
    others = [
        consent
        for consent in consents
        if consent.given_by == ConsentGiver.GUARDIAN
        and consent.guardian is not GuardianKind.APPOINTED
    ]

    assert not covers(others, replace(disclosure, is_minor=False))


@given(st.lists(CONSENTS, max_size=6), DISCLOSURES)
def test_a_class_covers_no_organisation_of_another_or_unknown_kind(
    consents: list[Consent], disclosure: Disclosure
) -> None:
    """Seeded: take an unknown kind for any kind."""
    of_class = [
        replace(consent, recipient_organisation_id=None, recipient_kinds=frozenset({"SHELTER"}))
        for consent in consents
        if consent.scope in SHARING
    ]

    if disclosure.scope in SHARING:
        assert not covers(of_class, replace(disclosure, recipient_kind=None))
        assert not covers(of_class, replace(disclosure, recipient_kind="NGO"))


@given(st.lists(CONSENTS, max_size=6), DISCLOSURES, CONSENTS)
def test_one_consent_more_never_uncovers(
    consents: list[Consent], disclosure: Disclosure, more: Consent
) -> None:
    assert covers([*consents, more], disclosure) >= covers(consents, disclosure)


def test_a_consent_covers_what_it_names() -> None:
    assert covers([SHARE], ASKED)
    assert covers([SHARE], replace(ASKED, on=date(2026, 12, 31)))


@pytest.mark.parametrize(
    "asked",
    [
        replace(ASKED, scope=ConsentScope.SHARE_NATIONAL),
        replace(ASKED, recipient_organisation_id=CLINIC),
        replace(ASKED, recipient_organisation_id=None),
        replace(ASKED, country="MK"),
        replace(ASKED, country=None),
        replace(ASKED, purpose="RETURN"),
        replace(ASKED, purpose=None),
        replace(ASKED, data_groups=frozenset({"IDENTITY", "FAMILY"})),
        replace(ASKED, data_groups=frozenset()),
        replace(ASKED, is_minor=True),
        replace(ASKED, on=date(2026, 1, 9)),
        replace(ASKED, on=date(2027, 1, 1)),
    ],
)
def test_every_other_disclosure_is_refused(asked: Disclosure) -> None:
    """Seeded: leave any one comparison out; its line here passes (F11)."""
    assert not covers([SHARE], asked)


def test_data_groups_of_two_consents_add_up() -> None:
    family = replace(SHARE, data_groups=frozenset({"FAMILY"}))
    asked = replace(ASKED, data_groups=frozenset({"IDENTITY", "FAMILY"}))

    assert covers([SHARE, family], asked)
    assert not covers([SHARE, replace(family, recipient_organisation_id=CLINIC)], asked)


def test_a_withdrawal_counts_whatever_day_its_clock_says() -> None:
    """Seeded: compare dates; east of Greenwich a consent would live on until midnight UTC."""
    assert not is_valid(replace(SHARE, is_withdrawn=True), on=SHARE.granted_on)


def test_law_enforcement_may_be_meant_as_a_whole_but_for_a_purpose() -> None:
    police = replace(
        SHARE,
        scope=ConsentScope.SHARE_LAW_ENFORCEMENT,
        recipient_organisation_id=None,
        recipient_countries=frozenset(),
    )
    asked = replace(ASKED, scope=ConsentScope.SHARE_LAW_ENFORCEMENT)

    assert covers([police], asked)
    assert not covers([replace(police, purposes=frozenset())], asked)
    assert not covers([replace(police, recipient_organisation_id=CLINIC)], asked)


def test_a_photograph_of_a_child_is_never_covered() -> None:
    """Seeded: check PHOTO_MEDIA at the grant only; an adult found to be a child stays exposed."""
    photo = replace(
        SHARE,
        scope=ConsentScope.PHOTO_MEDIA,
        given_by=ConsentGiver.GUARDIAN,
        guardian=GuardianKind.APPOINTED,
    )
    asked = Disclosure(scope=ConsentScope.PHOTO_MEDIA, is_minor=False, on=TODAY)

    assert covers([photo], asked)
    assert not covers([photo], replace(asked, is_minor=True))
    assert {ConsentScope.PHOTO_MEDIA} == NOT_FOR_CHILDREN


@pytest.mark.parametrize(
    ("guardian", "holds"),
    [
        (GuardianKind.PARENT, False),
        (GuardianKind.RELATIVE, False),
        (None, False),
        ("UNCLE", False),
        (GuardianKind.APPOINTED, True),
    ],
)
def test_a_parents_consent_ends_when_the_child_comes_of_age(
    *, guardian: str | None, holds: bool
) -> None:
    """Seeded: let every guardian's consent count for an adult."""
    given = replace(SHARE, given_by=ConsentGiver.GUARDIAN, guardian=guardian)

    assert covers([given], replace(ASKED, is_minor=True))
    assert covers([given], replace(ASKED, is_minor=None))
    assert covers([given], ASKED) is holds


def test_a_giver_this_release_does_not_know_speaks_for_nobody() -> None:
    """Seeded: take whoever is not the person for a guardian."""
    witness = replace(SHARE, given_by="WITNESS", guardian=GuardianKind.APPOINTED)

    assert not covers([witness], ASKED)
    assert not covers([witness], replace(ASKED, is_minor=True))


CLASS = replace(SHARE, recipient_organisation_id=None, recipient_kinds=frozenset({"SHELTER"}))


@pytest.mark.parametrize("scope", sorted(SHARING))
@pytest.mark.parametrize("recipient", [SHELTER, CLINIC])
def test_a_class_of_recipients_means_every_organisation_of_its_kinds(
    scope: ConsentScope, recipient: UUID
) -> None:
    """Seeded: ask for an organisation where a scope requires a recipient."""
    known = replace(CLASS, scope=scope)
    asked = replace(
        ASKED, scope=scope, recipient_organisation_id=recipient, recipient_kind="SHELTER"
    )

    assert covers([known], asked)
    assert not covers([known], replace(asked, recipient_kind="NGO"))
    assert not covers([known], replace(asked, recipient_kind=None))
    assert not covers([known], replace(asked, country="MK"))


def test_across_the_border_a_class_needs_its_country() -> None:
    """Seeded: take a class for a limit of place."""
    asked = replace(ASKED, recipient_kind="SHELTER")

    assert covers([CLASS], asked)
    assert not covers([replace(CLASS, recipient_countries=frozenset())], asked)


def test_a_consent_that_names_both_is_kept_to_both() -> None:
    """No service records such a one; heard of, it opens no more than each part does."""
    both = replace(SHARE, recipient_kinds=frozenset({"SHELTER"}))

    assert covers([both], replace(ASKED, recipient_kind="SHELTER"))
    assert not covers([both], replace(ASKED, recipient_kind="POLICE"))
    assert not covers(
        [both], replace(ASKED, recipient_kind="SHELTER", recipient_organisation_id=CLINIC)
    )


def test_what_stays_open_and_what_was_used_is_told() -> None:
    """Seeded: count a consent for another recipient among those used."""
    family = replace(SHARE, consent_id=UUID(int=10), data_groups=frozenset({"FAMILY"}))
    elsewhere = replace(family, recipient_organisation_id=CLINIC)
    asked = replace(ASKED, data_groups=frozenset({"IDENTITY", "FAMILY"}))

    assert coverage([SHARE, elsewhere], asked) == Coverage((SHARE,), frozenset({"FAMILY"}))
    assert coverage([SHARE, family], asked) == Coverage((SHARE, family), frozenset())


@pytest.mark.parametrize("kind", sorted(all_codes("organisation_kinds")))
def test_police_and_prosecution_see_under_their_own_scope(kind: str) -> None:
    is_law = kind in LAW_ENFORCEMENT_KINDS

    assert (national_scope(kind) is ConsentScope.SHARE_LAW_ENFORCEMENT) is is_law
    assert national_scope(None) is ConsentScope.SHARE_NATIONAL
    assert all_codes("organisation_kinds") >= LAW_ENFORCEMENT_KINDS


@pytest.mark.parametrize(
    ("enum", "name"),
    [
        (ConsentScope, "consent_scopes"),
        (ConsentGiver, "consent_givers"),
        (GuardianKind, "guardian_kinds"),
    ],
)
def test_the_words_are_those_of_the_code_lists(enum: type[ConsentScope], name: str) -> None:
    assert {member.value for member in enum} == all_codes(name)


def test_no_scope_asks_for_less_than_the_code_list() -> None:
    """Seeded: drop `risk_information_given` from SHARE_CROSS_BORDER."""
    for item in codelist("consent_scopes").items:
        asked = item.attributes.get("requires", [])
        assert isinstance(asked, list)
        assert {*asked} <= {*REQUIRES[ConsentScope(item.code)]}
        allowed = item.attributes.get("child_allowed", True)
        assert (item.code in NOT_FOR_CHILDREN) == (not allowed)
