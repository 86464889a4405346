from dataclasses import replace
from datetime import date, timedelta

import pytest

from common.codelists import all_codes
from common.consent import (
    LAW_ENFORCEMENT_KINDS,
    REQUIRES,
    ConsentGiver,
    ConsentScope,
    Disclosure,
    GuardianKind,
    Requirement,
    require_consent,
)
from common.errors import ConflictError, ForbiddenError, InvalidError, ProblemError
from intake.domain.consent import (
    POINTERS,
    Assent,
    Grant,
    check_grant,
    check_withdrawal,
    require_record,
)
from tests.common.test_consent import SHARE, SHELTER, TODAY

YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)


def test_a_refusal_names_the_scope_that_would_open() -> None:
    asked = Disclosure(scope=ConsentScope.SHARE_NATIONAL, is_minor=False, on=TODAY)

    with pytest.raises(ForbiddenError) as refusal:
        require_consent([SHARE], asked)
    assert refusal.value.code == "consent.missing"
    assert refusal.value.members == {
        "scope": "SHARE_NATIONAL",
        "purpose": None,
        "data_groups": [],
        "given_by": ["SELF"],
    }


@pytest.mark.parametrize("is_minor", [True, False])
def test_a_name_is_written_down_with_consent_to_record_only(*, is_minor: bool) -> None:
    record = replace(
        SHARE,
        scope=ConsentScope.DATA_RECORD,
        given_by=ConsentGiver.GUARDIAN if is_minor else ConsentGiver.SELF,
        data_groups=frozenset(),
    )

    require_record([record], is_minor=is_minor, on=TODAY)
    with pytest.raises(ForbiddenError, match=r"identity\.consent_missing"):
        require_record([SHARE], is_minor=is_minor, on=TODAY)


@pytest.mark.parametrize(("is_minor", "wanted"), [(True, "GUARDIAN"), (False, "SELF")])
def test_a_consent_of_somebody_else_is_not_called_missing(*, is_minor: bool, wanted: str) -> None:
    """Seeded: look for any consent DATA_RECORD, also one that has been withdrawn."""
    record = replace(
        SHARE,
        scope=ConsentScope.DATA_RECORD,
        given_by=ConsentGiver.SELF if is_minor else ConsentGiver.GUARDIAN,
        data_groups=frozenset(),
    )

    with pytest.raises(ForbiddenError, match=r"identity\.consent_by_other") as other:
        require_record([record], is_minor=is_minor, on=TODAY)
    with pytest.raises(ForbiddenError, match=r"identity\.consent_missing") as missing:
        require_record([replace(record, is_withdrawn=True)], is_minor=is_minor, on=TODAY)

    asked = {"scope": "DATA_RECORD", "given_by": [wanted]}
    assert other.value.members == missing.value.members == asked


GRANT = Grant(
    scope=ConsentScope.SHARE_CROSS_BORDER,
    given_by=ConsentGiver.SELF,
    granted_on=TODAY,
    expires_on=TODAY,
    recipient_organisation_id=SHELTER,
    recipient_countries=frozenset({"AL"}),
    purposes=frozenset({"ASSISTANCE"}),
    data_groups=frozenset({"IDENTITY"}),
    risk_information_given=True,
)

FOR_CHILD = replace(
    GRANT,
    given_by=ConsentGiver.GUARDIAN,
    guardian=GuardianKind.APPOINTED,
    guardian_suspected=False,
    assent=Assent.GIVEN,
)


def refusal_of(grant: Grant, *, is_minor: bool = False) -> tuple[str, str | None] | None:
    try:
        check_grant(grant, is_minor=is_minor, own_country="RS", today=TODAY)
    except ProblemError as problem:
        return problem.code, problem.pointer
    return None


@pytest.mark.parametrize(
    ("grant", "missing"),
    [
        (replace(GRANT, recipient_organisation_id=None), "recipient"),
        (replace(GRANT, recipient_countries=frozenset()), "country"),
        (replace(GRANT, purposes=frozenset()), "purpose"),
        (replace(GRANT, data_groups=frozenset()), "data_categories"),
        (replace(GRANT, risk_information_given=False), "risk_information_given"),
    ],
)
@pytest.mark.parametrize("scope", ConsentScope)
def test_a_scope_must_name_what_the_code_list_asks_for(
    grant: Grant, missing: str, scope: ConsentScope
) -> None:
    countries = {"RS"} if scope is ConsentScope.SHARE_NATIONAL else {"AL"}
    grant = replace(
        grant, scope=scope, recipient_countries=countries if grant.recipient_countries else set()
    )
    requirement = Requirement(missing)

    expected = (
        ("consent.requirement_missing", POINTERS[requirement])
        if requirement in REQUIRES[scope]
        else None
    )

    assert refusal_of(grant) == expected


@pytest.mark.parametrize("scope", ConsentScope)
def test_a_class_of_recipients_is_a_recipient(scope: ConsentScope) -> None:
    """Seeded: ask for the organisation's id wherever a recipient is required."""
    is_law = scope is ConsentScope.SHARE_LAW_ENFORCEMENT
    countries = {"RS"} if scope is ConsentScope.SHARE_NATIONAL else {"AL"}
    grant = replace(
        GRANT,
        scope=scope,
        recipient_organisation_id=None,
        recipient_kinds={"PROSECUTION"} if is_law else {"SHELTER", "HEALTH"},
        recipient_countries=countries,
    )

    assert refusal_of(grant) is None


def test_a_class_across_the_border_still_needs_its_country() -> None:
    grant = replace(
        GRANT,
        recipient_organisation_id=None,
        recipient_kinds={"SHELTER"},
        recipient_countries=frozenset(),
    )

    assert refusal_of(grant) == ("consent.requirement_missing", "/recipient_countries")


@pytest.mark.parametrize("kind", sorted(all_codes("organisation_kinds")))
def test_a_class_is_of_the_kinds_its_scope_can_reach(kind: str) -> None:
    """Seeded: let SHARE_NATIONAL name the police; the person believes what will never hold."""
    is_law = kind in LAW_ENFORCEMENT_KINDS
    unreached = ("consent.kind_not_in_scope", "/recipient_kinds")
    grant = replace(
        GRANT,
        recipient_organisation_id=None,
        recipient_kinds={kind},
        recipient_countries=frozenset(),
    )
    national = replace(grant, scope=ConsentScope.SHARE_NATIONAL)
    police = replace(grant, scope=ConsentScope.SHARE_LAW_ENFORCEMENT)

    assert refusal_of(national) == (unreached if is_law else None)
    assert refusal_of(police) == (None if is_law else unreached)


@pytest.mark.parametrize(
    ("grant", "code", "pointer"),
    [
        (
            replace(GRANT, recipient_kinds=frozenset({"SHELTER"})),
            "consent.recipient_ambiguous",
            "/recipient_kinds",
        ),
        (
            replace(GRANT, recipient_countries=frozenset({"AL", "RS"})),
            "consent.country_not_foreign",
            "/recipient_countries",
        ),
        (
            replace(GRANT, scope=ConsentScope.SHARE_NATIONAL),
            "consent.country_not_own",
            "/recipient_countries",
        ),
        (
            replace(GRANT, granted_on=TOMORROW, expires_on=None),
            "field.date_in_future",
            "/granted_on",
        ),
        (replace(GRANT, expires_on=YESTERDAY), "consent.expires_before_granted", "/expires_on"),
        (
            replace(GRANT, guardian=GuardianKind.PARENT),
            "consent.guardian_not_applicable",
            "/guardian",
        ),
        (
            replace(FOR_CHILD, guardian=GuardianKind.PARENT),
            "consent.guardian_not_entitled",
            "/guardian",
        ),
    ],
)
def test_an_adults_consent_that_is_none(grant: Grant, code: str, pointer: str) -> None:
    assert refusal_of(grant) == (code, pointer)


@pytest.mark.parametrize(
    ("grant", "expected"),
    [
        (FOR_CHILD, None),
        (replace(FOR_CHILD, guardian=GuardianKind.PARENT), None),
        (replace(FOR_CHILD, assent=Assent.NOT_ABLE), None),
        (GRANT, ("consent.guardian_required", "/given_by")),
        (replace(FOR_CHILD, guardian=None), ("consent.guardian_incomplete", "/guardian")),
        (
            replace(FOR_CHILD, guardian_suspected=None),
            ("consent.guardian_incomplete", "/guardian_suspected"),
        ),
        (replace(FOR_CHILD, assent=None), ("consent.guardian_incomplete", "/assent")),
        (replace(FOR_CHILD, guardian_suspected=True), ("consent.guardian_suspected", "/guardian")),
        (replace(FOR_CHILD, assent=Assent.REFUSED), ("consent.assent_refused", "/assent")),
        (
            replace(FOR_CHILD, scope=ConsentScope.PHOTO_MEDIA),
            ("consent.not_for_children", "/scope"),
        ),
    ],
)
def test_a_child_needs_a_guardian_beside(grant: Grant, expected: tuple[str, str] | None) -> None:
    """Seeded: take `guardian_suspected` None for False; the question goes unasked."""
    assert refusal_of(grant, is_minor=True) == expected


def test_an_adult_with_a_court_appointed_guardian_may_be_represented() -> None:
    assert refusal_of(FOR_CHILD) is None


@pytest.mark.parametrize("day", [SHARE.granted_on, TODAY])
def test_a_consent_is_withdrawn_once(day: date) -> None:
    check_withdrawal(SHARE, withdrawn_on=day, today=TODAY)
    with pytest.raises(ConflictError, match=r"consent\.already_withdrawn"):
        check_withdrawal(replace(SHARE, is_withdrawn=True), withdrawn_on=TODAY, today=TODAY)


@pytest.mark.parametrize(
    ("day", "code"),
    [
        (TOMORROW, "field.date_in_future"),
        (SHARE.granted_on - timedelta(days=1), "consent.withdrawn_before_granted"),
    ],
)
def test_an_impossible_withdrawal_is_refused(day: date, code: str) -> None:
    with pytest.raises(InvalidError) as refusal:
        check_withdrawal(SHARE, withdrawn_on=day, today=TODAY)

    assert (refusal.value.code, refusal.value.pointer) == (code, "/withdrawn_on")


def test_an_expired_consent_may_still_be_withdrawn() -> None:
    check_withdrawal(replace(SHARE, expires_on=YESTERDAY), withdrawn_on=TODAY, today=TODAY)
