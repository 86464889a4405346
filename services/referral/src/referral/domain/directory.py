"""Whom a listed service can take."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from common.errors import ConflictError, InvalidError

_UNKNOWN: Final = "UNKNOWN"
_ADULT_AGE: Final = 18


class Ground(StrEnum):
    """Why a service cannot take a person."""

    SEX = "SEX"
    AGE_GROUP = "AGE_GROUP"
    LANGUAGE = "LANGUAGE"
    ACCESSIBILITY = "ACCESSIBILITY"
    PLACES = "PLACES"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a service says of itself. Whom it takes is listed in full; nothing listed, nobody taken.

    `free_places` is None for a service that counts no places (a help line, legal aid).
    """

    sexes: frozenset[str]
    age_groups: frozenset[str]
    languages: frozenset[str]
    accessibility: frozenset[str]
    free_places: int | None


@dataclass(frozen=True, slots=True)
class Need:
    """What is known of the person. None or an empty set: not asked for, so no ground.

    `age_group` is a band of years (`12-17`, `35+`) or UNKNOWN; then `is_minor` decides. `place` asks
    for a free place too.
    """

    sex: str | None = None
    age_group: str | None = None
    is_minor: bool | None = None
    languages: frozenset[str] = frozenset()
    accessibility: frozenset[str] = frozenset()
    place: bool = True


def grounds_against(offer: Offer, need: Need) -> list[Ground]:
    """Return why the service cannot take the person; empty when it can (F29)."""
    checks = {
        Ground.SEX: need.sex is None or need.sex in offer.sexes,
        Ground.AGE_GROUP: _takes_age(offer, need),
        Ground.LANGUAGE: not need.languages or _share_language(offer.languages, need.languages),
        Ground.ACCESSIBILITY: need.accessibility <= offer.accessibility,
        Ground.PLACES: not need.place or offer.free_places is None or offer.free_places > 0,
    }
    return [ground for ground, is_met in checks.items() if not is_met]


def require_eligible(offer: Offer, need: Need) -> None:
    """Raise ConflictError `service.not_eligible` with the grounds unless the service can help."""
    grounds = grounds_against(offer, need)
    if grounds:
        raise ConflictError("service.not_eligible", grounds=[ground.value for ground in grounds])


def check_places(capacity: int | None, free_places: int | None) -> None:
    """Refuse free places without a capacity, a capacity without them, and more of them than it.

    Raises InvalidError `service.places_inconsistent`.
    """
    if (capacity is None) != (free_places is None) or (free_places or 0) > (capacity or 0):
        raise InvalidError("service.places_inconsistent", pointer="/free_places")


def take_place(free_places: int) -> int:
    """Return the free places once a person has one; ConflictError `service.not_eligible` if none is."""
    if free_places == 0:
        raise ConflictError("service.not_eligible", grounds=[Ground.PLACES.value])
    return free_places - 1


def give_back_places(capacity: int, free_places: int, count: int = 1) -> int:
    """Return the free places once `count` persons left; the service may have counted anew meanwhile."""
    return min(capacity, free_places + count)


def choose_service_type(asked: str | None, listed: str | None) -> str:
    """Return the type a referral asks for, of the named service (`listed`) or of the request.

    Raises InvalidError `referral.service_required` when neither is given, and
    `referral.service_type_differs` when both are and contradict each other.
    """
    chosen = listed or asked
    if chosen is None:
        raise InvalidError("referral.service_required", pointer="/service_id")
    if asked not in {None, chosen}:
        raise InvalidError("referral.service_type_differs", pointer="/service_type")
    return chosen


def _takes_age(offer: Offer, need: Need) -> bool:
    if need.age_group is None:
        return True
    if need.age_group != _UNKNOWN:
        return need.age_group in offer.age_groups
    # In doubt the person is presumed a child (domain.md section 4, Children).
    seeks_child_care = need.is_minor is not False
    return any(_is_child_band(band) is seeks_child_care for band in offer.age_groups)


def _is_child_band(band: str) -> bool:
    return int(band.rstrip("+").partition("-")[0]) < _ADULT_AGE


def _share_language(offered: frozenset[str], spoken: frozenset[str]) -> bool:
    # sr-Latn and sr-Cyrl are one spoken language: compare the language, not the script.
    return not {tag.partition("-")[0] for tag in offered}.isdisjoint(
        tag.partition("-")[0] for tag in spoken
    )
