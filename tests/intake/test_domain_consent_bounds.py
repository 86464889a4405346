"""How long a consent can count: not from before the register, ten years at most."""

from dataclasses import replace
from datetime import date

import pytest

from common.errors import InvalidError
from intake.domain.consent import check_grant
from tests.common.test_consent import TODAY
from tests.intake.test_domain_consent import GRANT


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


def test_a_consent_may_hold_ten_years_and_begin_with_the_protocol_of_palermo() -> None:
    """Seeded: compare with >= where the day itself is allowed."""
    ten = replace(GRANT, granted_on=date(2016, 11, 22), expires_on=TODAY)
    first = replace(GRANT, granted_on=date(2000, 1, 1), expires_on=None)

    for grant in (ten, first):
        check_grant(grant, is_minor=False, own_country="RS", today=TODAY)
