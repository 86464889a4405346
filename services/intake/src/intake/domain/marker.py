"""Population markers: what a person's situation is, from which day until which (F5).

Sources of the codes: the code list population_markers; UN Committee on the Rights of the Child,
General Comment No. 6 (2005) paragraphs 7 and 8 and No. 21 (2017) paragraph 4. Who is presumed a
child is one here too (domain.md section 4). A marker is a fact others may count by; what belongs to
the special categories of data (ethnicity, health, so disability and pregnancy) is none: see
domain.declaration.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from uuid import UUID

from common.errors import ConflictError, InvalidError
from intake.domain.age import ADULT_AT, EARLIEST, Birth, is_minor


class Marker(StrEnum):
    """Codes of the list population_markers."""

    UNACCOMPANIED_CHILD = "UNACCOMPANIED_CHILD"
    SEPARATED_CHILD = "SEPARATED_CHILD"
    STREET_CHILD = "STREET_CHILD"
    CHILD_BEGGING = "CHILD_BEGGING"
    LONE_PARENT = "LONE_PARENT"
    ASYLUM_SEEKER = "ASYLUM_SEEKER"
    STATELESS = "STATELESS"
    UNDOCUMENTED = "UNDOCUMENTED"


CHILD_ONLY = frozenset(
    {
        Marker.UNACCOMPANIED_CHILD,
        Marker.SEPARATED_CHILD,
        Marker.STREET_CHILD,
        Marker.CHILD_BEGGING,
    }
)
"""Markers that hold only while the person may be under 18."""

GROUP: Mapping[Marker, str] = {
    Marker.UNACCOMPANIED_CHILD: "FAMILY",
    Marker.SEPARATED_CHILD: "FAMILY",
    Marker.STREET_CHILD: "FAMILY",
    Marker.CHILD_BEGGING: "EXPLOITATION",
    Marker.LONE_PARENT: "FAMILY",
    Marker.ASYLUM_SEEKER: "LEGAL",
    Marker.STATELESS: "LEGAL",
    Marker.UNDOCUMENTED: "LEGAL",
}
"""The data group of each marker (F60)."""

EXCLUDES: Mapping[Marker, Marker] = {
    # A separated child is with other relatives, an unaccompanied one with nobody (GC 6, 7 and 8).
    Marker.UNACCOMPANIED_CHILD: Marker.SEPARATED_CHILD,
    Marker.SEPARATED_CHILD: Marker.UNACCOMPANIED_CHILD,
}
"""What cannot be so at one time."""


@dataclass(frozen=True, slots=True)
class Period:
    """A marker as it was recorded; `since` and `until` are its first and last day."""

    marker_id: UUID
    marker: Marker
    since: date
    until: date | None = None

    def overlaps(self, other: "Period") -> bool:
        return (self.until is None or other.since <= self.until) and (
            other.until is None or self.since <= other.until
        )


def check_record(
    new: Period, recorded: Iterable[Period], *, birth: Birth | None, today: date
) -> None:
    """Refuse a marker that cannot be.

    Raises InvalidError `field.date_in_future`, `field.range` (in a year before the person can have
    been born), `marker.ended_before_began` or, of a child's marker in a year in which the person
    was surely no child, or that holds still and she is none, `marker.not_a_child`; ConflictError
    `marker.already_recorded` where the same marker, and `marker.contradicts` where one that
    excludes it, holds on a day of the period.

    Days are held against the years of birth and of coming of age, not against the days: whoever
    tries one day after the other shall not find the birthday.
    """
    _check_day(new.since, "/since", birth=birth, today=today)
    if new.until is not None:
        check_end(new, until=new.until, birth=birth, today=today)
    _check_child(new.marker, new.since, "/since", birth=birth)
    if new.until is None and new.marker in CHILD_ONLY and not is_minor(birth, on=today):
        raise InvalidError("marker.not_a_child", pointer="/until")
    for period in recorded:
        if not period.overlaps(new):
            continue
        if period.marker is new.marker:
            raise ConflictError("marker.already_recorded", pointer="/marker")
        if EXCLUDES.get(new.marker) is period.marker:
            raise ConflictError("marker.contradicts", pointer="/marker")


def check_end(period: Period, *, until: date, birth: Birth | None, today: date) -> None:
    """Refuse a last day that cannot be one.

    Raises InvalidError `field.date_in_future`, `marker.ended_before_began` or `marker.not_a_child`.
    """
    _check_day(until, "/until", birth=birth, today=today)
    if until < period.since:
        raise InvalidError("marker.ended_before_began", pointer="/until")
    _check_child(period.marker, until, "/until", birth=birth)


def require_running(period: Period) -> None:
    """Raise ConflictError `marker.already_ended` for a marker that has its end; it stays as it is."""
    if period.until is not None:
        raise ConflictError("marker.already_ended")


def grown_out_of(
    recorded: Iterable[Period], *, birth: Birth | None, today: date, to_the_day: bool
) -> list[tuple[Period, date]]:
    """Return a child's running markers that no longer hold, each with its last day.

    It is the day before the person had surely come of age, `to_the_day` where everybody sees her
    come of age; else, of whom it turned out later, the end of the year before: the marker is read
    by those who may not know the birthday. Never before the first day of the marker.
    """
    if birth is None or is_minor(birth, on=today):
        return []
    of_age_on = _of_age_on(birth.latest)
    last = (of_age_on if to_the_day else of_age_on.replace(month=1, day=1)) - timedelta(days=1)
    return [
        (period, max(last, period.since))
        for period in recorded
        if period.until is None and period.marker in CHILD_ONLY
    ]


def _check_day(day: date, pointer: str, *, birth: Birth | None, today: date) -> None:
    if day > today:
        raise InvalidError("field.date_in_future", pointer=pointer)
    if day.year < (EARLIEST if birth is None else birth.earliest).year:
        raise InvalidError("field.range", pointer=pointer)


def _check_child(marker: Marker, day: date, pointer: str, *, birth: Birth | None) -> None:
    is_grown = birth is not None and day.year > birth.latest.year + ADULT_AT
    if marker in CHILD_ONLY and is_grown:
        raise InvalidError("marker.not_a_child", pointer=pointer)


def _of_age_on(born: date) -> date:
    try:
        return born.replace(year=born.year + ADULT_AT)
    except ValueError:  # 29 February, as domain.age has it
        return date(born.year + ADULT_AT, 3, 1)
