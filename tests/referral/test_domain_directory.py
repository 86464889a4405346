"""Whom a listed service can take."""

from dataclasses import replace

import pytest

from common.errors import ConflictError, InvalidError
from referral.domain.directory import (
    Ground,
    Need,
    Offer,
    check_places,
    choose_service_type,
    give_back_places,
    grounds_against,
    require_eligible,
    take_place,
)

SHELTER = Offer(
    sexes=frozenset({"FEMALE", "TRANS_FEMININE"}),
    age_groups=frozenset({"18-24", "25-34", "35+"}),
    languages=frozenset({"sr-Latn", "sq"}),
    accessibility=frozenset({"STEP_FREE"}),
    free_places=2,
)
WOMAN = Need(sex="FEMALE", age_group="25-34", is_minor=False, languages=frozenset({"sr-Cyrl"}))


# Each row fails when its ground is dropped or its comparison is turned round.
@pytest.mark.parametrize(
    ("offer", "need", "grounds"),
    [
        (SHELTER, WOMAN, []),
        (SHELTER, replace(WOMAN, sex="MALE"), [Ground.SEX]),
        # A person of unknown sex is taken only where UNKNOWN is listed.
        (SHELTER, replace(WOMAN, sex="UNKNOWN"), [Ground.SEX]),
        (SHELTER, replace(WOMAN, age_group="12-17", is_minor=True), [Ground.AGE_GROUP]),
        (SHELTER, replace(WOMAN, languages=frozenset({"ro"})), [Ground.LANGUAGE]),
        (SHELTER, replace(WOMAN, languages=frozenset({"ro", "sq"})), []),
        (SHELTER, replace(WOMAN, accessibility=frozenset({"STEP_FREE"})), []),
        (
            SHELTER,
            replace(WOMAN, accessibility=frozenset({"STEP_FREE", "SIGN_LANGUAGE"})),
            [Ground.ACCESSIBILITY],
        ),
        (replace(SHELTER, free_places=0), WOMAN, [Ground.PLACES]),
        (replace(SHELTER, free_places=1), WOMAN, []),
        (replace(SHELTER, free_places=0), replace(WOMAN, place=False), []),
        (replace(SHELTER, free_places=None), WOMAN, []),
        (replace(SHELTER, sexes=frozenset()), WOMAN, [Ground.SEX]),
        (
            replace(SHELTER, free_places=0),
            Need(sex="MALE", age_group="0-11", is_minor=True, languages=frozenset({"bg"})),
            [Ground.SEX, Ground.AGE_GROUP, Ground.LANGUAGE, Ground.PLACES],
        ),
    ],
    ids=lambda value: "",
)
def test_the_grounds_against_a_service(offer: Offer, need: Need, grounds: list[Ground]) -> None:
    assert grounds_against(offer, need) == grounds


def test_what_was_not_asked_is_no_ground() -> None:
    assert grounds_against(SHELTER, Need()) == []


# Fails when an unknown age counts as adult, or when any service takes it.
@pytest.mark.parametrize(
    ("age_groups", "is_minor", "is_taken"),
    [
        ({"18-24", "35+"}, None, False),
        ({"18-24", "35+"}, True, False),
        ({"18-24", "35+"}, False, True),
        ({"0-11"}, None, True),
        ({"12-17"}, True, True),
        ({"0-11", "12-17"}, False, False),
        ({"0-11", "35+"}, False, True),
        (set(), None, False),
    ],
)
def test_in_doubt_a_person_is_placed_as_a_child(
    *, age_groups: set[str], is_minor: bool | None, is_taken: bool
) -> None:
    offer = replace(SHELTER, age_groups=frozenset(age_groups))
    need = replace(WOMAN, age_group="UNKNOWN", is_minor=is_minor)

    assert grounds_against(offer, need) == ([] if is_taken else [Ground.AGE_GROUP])


def test_a_service_that_cannot_help_is_refused_with_every_ground() -> None:
    need = replace(WOMAN, sex="MALE", age_group="0-11")

    with pytest.raises(ConflictError) as refusal:
        require_eligible(SHELTER, need)

    assert refusal.value.code == "service.not_eligible"
    assert refusal.value.members == {"grounds": ["SEX", "AGE_GROUP"]}


def test_a_service_that_can_help_is_not_refused() -> None:
    require_eligible(SHELTER, WOMAN)


@pytest.mark.parametrize(("capacity", "free"), [(None, None), (0, 0), (5, 0), (5, 5)])
def test_places_that_agree(capacity: int | None, free: int | None) -> None:
    check_places(capacity, free)


@pytest.mark.parametrize(("capacity", "free"), [(None, 0), (0, None), (None, 3), (5, None), (5, 6)])
def test_places_that_contradict_each_other_are_refused(
    capacity: int | None, free: int | None
) -> None:
    with pytest.raises(InvalidError) as refusal:
        check_places(capacity, free)

    assert (refusal.value.code, refusal.value.pointer) == (
        "service.places_inconsistent",
        "/free_places",
    )


# Fails when a full house takes one more.
def test_a_place_is_taken_while_there_is_one() -> None:
    assert [take_place(2), take_place(1)] == [1, 0]

    with pytest.raises(ConflictError) as refusal:
        take_place(0)

    assert refusal.value.code == "service.not_eligible"
    assert refusal.value.members == {"grounds": ["PLACES"]}


# Fails when a place given back makes more free places than there are: the provider had counted anew.
@pytest.mark.parametrize(
    ("capacity", "free", "count", "after"),
    [(5, 2, 1, 3), (5, 4, 1, 5), (5, 5, 1, 5), (5, 3, 3, 5), (0, 0, 1, 0)],
)
def test_places_given_back_never_exceed_the_capacity(
    capacity: int, free: int, count: int, after: int
) -> None:
    assert give_back_places(capacity, free, count) == after


@pytest.mark.parametrize(
    ("asked", "listed"), [("SHELTER", None), (None, "SHELTER"), ("SHELTER", "SHELTER")]
)
def test_a_referral_asks_for_the_type_of_its_service(asked: str | None, listed: str | None) -> None:
    assert choose_service_type(asked, listed) == "SHELTER"


# Fails when the request silently overrules the listed service, or the other way round.
@pytest.mark.parametrize(
    ("asked", "listed", "code", "pointer"),
    [
        (None, None, "referral.service_required", "/service_id"),
        ("LEGAL_AID", "SHELTER", "referral.service_type_differs", "/service_type"),
    ],
)
def test_a_referral_without_a_clear_service_is_refused(
    asked: str | None, listed: str | None, code: str, pointer: str
) -> None:
    with pytest.raises(InvalidError) as refusal:
        choose_service_type(asked, listed)

    assert (refusal.value.code, refusal.value.pointer) == (code, pointer)
