"""What a person declares of herself is kept as she said it, for what she agreed to."""

from datetime import date
from typing import Any

import pytest

from common.codelists import all_codes, codelist
from common.consent import Consent
from common.errors import ConflictError, ProblemError
from intake.domain.declaration import (
    DATA_GROUPS,
    GROUP,
    SpecialCategory,
    check_declaration,
    is_agreed,
    require_standing,
)
from intake.domain.marker import Marker
from tests.conftest import fixed_id

TODAY = date(2026, 11, 22)


def agreed(**terms: Any) -> Consent:
    facts: dict[str, Any] = {
        "consent_id": fixed_id(1),
        "scope": "DATA_RECORD",
        "given_by": "SELF",
        "granted_on": date(2026, 11, 1),
        "purposes": frozenset({"ASSISTANCE"}),
        "data_groups": frozenset({"IDENTITY", "HEALTH"}),
    }
    return Consent(**facts | terms)


def refusal(
    *consents: Consent, self_declared: bool = True, is_minor: bool = False, **asked: Any
) -> str | None:
    try:
        check_declaration(
            asked.get("category", SpecialCategory.ETHNICITY_ROMA),
            self_declared=self_declared,
            purposes=frozenset(asked.get("purposes", {"ASSISTANCE"})),
            consents=consents,
            is_minor=is_minor,
            on=TODAY,
        )
    except ProblemError as error:
        return error.code
    return None


def test_the_rules_and_the_list_say_the_same_of_every_category() -> None:
    items = codelist("special_categories").items

    assert {i.code: i.attributes["data_group"] for i in items} == GROUP
    assert all_codes("data_groups") >= DATA_GROUPS


def test_no_special_category_is_a_marker_that_is_told() -> None:
    """Seeded: make PREGNANCY a population marker; it would travel in an event."""
    telling = ("ETHNIC", "ROMA", "HEALTH", "DISAB", "PREGN", "RELIG")

    assert not set(Marker) & set(SpecialCategory)
    assert [m for m in Marker if any(word in m for word in telling)] == []
    assert "HEALTH" not in {
        i.attributes["data_group"] for i in codelist("population_markers").items
    }


def test_only_her_own_word_is_taken() -> None:
    assert refusal(agreed(), self_declared=False) == "declaration.not_self_declared"
    assert refusal(agreed()) is None


@pytest.mark.parametrize(
    "terms",
    [
        {"purposes": frozenset()},
        {"data_groups": frozenset()},
        {"purposes": frozenset(), "data_groups": frozenset()},
        {"purposes": frozenset({"RESEARCH"})},
        {"data_groups": frozenset({"HEALTH"})},
        {"scope": "ASSISTANCE"},
        {"expires_on": date(2026, 11, 21)},
        {"is_withdrawn": True},
    ],
)
def test_consent_must_say_this_and_for_what(terms: dict[str, Any]) -> None:
    """Seeded: drop `_explicit`; whoever agrees to a record would have agreed to everything."""
    assert refusal(agreed(**terms)) == "consent.missing"
    assert not is_agreed("IDENTITY", "ASSISTANCE", [agreed(**terms)], is_minor=False, on=TODAY)


def test_each_purpose_needs_its_consent() -> None:
    asked = {"ASSISTANCE", "PROTECTION"}
    more = agreed(purposes=frozenset({"PROTECTION"}))

    assert refusal(agreed(), purposes=asked) == "consent.missing"
    assert refusal(agreed(), more, purposes=asked) is None


def test_for_a_child_a_guardian_agrees() -> None:
    guardian = agreed(given_by="GUARDIAN", guardian="APPOINTED")

    assert refusal(agreed(), is_minor=True) == "consent.missing"
    assert refusal(guardian, is_minor=True) is None


def test_a_declaration_is_withdrawn_once() -> None:
    require_standing(is_withdrawn=False)
    with pytest.raises(ConflictError, match=r"declaration\.already_withdrawn"):
        require_standing(is_withdrawn=True)
