"""How long a consent can count: from birth on, ten years at most, and whose word of age ends it."""

from dataclasses import replace
from datetime import date

import pytest

from common.errors import InvalidError
from intake.domain.consent import ConsentGiver, GuardianKind, check_grant, covers
from tests.intake.test_domain_consent import ASKED, GRANT, SHARE, TODAY


@pytest.mark.parametrize(
    ("guardian", "holds"),
    [
        (GuardianKind.PARENT, False),
        (GuardianKind.RELATIVE, False),
        (None, False),
        (GuardianKind.APPOINTED, True),
    ],
)
def test_a_parents_consent_ends_when_the_child_comes_of_age(
    *, guardian: GuardianKind | None, holds: bool
) -> None:
    """Seeded: let every guardian's consent count for an adult."""
    given = replace(SHARE, given_by=ConsentGiver.GUARDIAN, guardian=guardian)

    assert covers([given], replace(ASKED, is_minor=True))
    assert covers([given], ASKED) is holds


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"granted_on": date(1999, 12, 31)}, "/granted_on"),
        ({"granted_on": date(2016, 11, 22), "expires_on": date(2026, 11, 23)}, "/expires_on"),
    ],
)
def test_a_consent_has_a_believable_beginning_and_end(
    change: dict[str, date], pointer: str
) -> None:
    """Seeded: leave out either bound."""
    with pytest.raises(InvalidError) as refusal:
        check_grant(replace(GRANT, **change), is_minor=False, own_country="RS", today=TODAY)  # type: ignore[arg-type]

    assert (refusal.value.code, refusal.value.pointer) == ("field.range", pointer)


def test_a_consent_may_hold_ten_years_and_not_begin_before_birth() -> None:
    """Seeded: compare with >= where the day itself is allowed, or pass over `born_from`."""
    ten = replace(GRANT, granted_on=date(2016, 11, 22), expires_on=TODAY)

    check_grant(ten, is_minor=False, own_country="RS", today=TODAY, born_from=ten.granted_on)
    with pytest.raises(InvalidError, match=r"field\.range"):
        check_grant(ten, is_minor=False, own_country="RS", today=TODAY, born_from=TODAY)
