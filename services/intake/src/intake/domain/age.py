"""How old a person may be, when nobody knows for sure.

A birth date is a range of days: what is written (EDTF) or estimated, widened where it is doubted.
Whoever may be under 18 by that range is treated as a child: a child is presumed where age is
doubtful (domain.md section 4; Council of Europe Convention CETS 197 art. 10(3)), and under 18 is a
child (Palermo Protocol art. 3(d)).
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from common.errors import InvalidError

ADULT_AT = 18
"""Completed years; Palermo Protocol art. 3(d)."""

OLDEST = 130
"""Completed years above which a birth date is taken for a slip of the pen."""

ESTIMATE_MARGIN = 2
"""Years an estimated age may be wrong in each direction when the estimator names no margin."""

WIDEST_MARGIN = 20
"""Years; a wider margin says nothing and is refused."""

DOUBT_YEARS = {"": 0, "~": 2, "?": 2, "%": 4}
"""Years by which EDTF's qualifiers widen a date on both sides: `~` approximate, `?` uncertain,
`%` both. EDTF gives them no size; this one is Prag's and errs towards the child."""

EARLIEST = date(2000, 1, 1)
"""The year of the Palermo Protocol: no decision and no consent in the register is older.

The same for everybody. A bound that followed the birth would tell it, to the day, to whoever tries
one day after the other.
"""

_FIRST_YEAR, _LAST_YEAR = 1800, 2199


class AgeBasis(StrEnum):
    """What an age rests on, the surest first."""

    DAY = "DAY"
    MONTH = "MONTH"
    YEAR = "YEAR"
    INTERVAL = "INTERVAL"
    ESTIMATE = "ESTIMATE"
    UNKNOWN = "UNKNOWN"


class AgeSource(StrEnum):
    """What was told of an age. Of both together the younger protects, see `combine`."""

    BIRTH_DATE = "BIRTH_DATE"
    ESTIMATE = "ESTIMATE"


class AgeGroup(StrEnum):
    """The bands PRAG_PUBLIC of the code list age_bands, and UNKNOWN."""

    UNDER_12 = "0-11"
    FROM_12 = "12-17"
    FROM_18 = "18-24"
    FROM_25 = "25-34"
    FROM_35 = "35+"
    UNKNOWN = "UNKNOWN"


_GROUPS = (
    (35, AgeGroup.FROM_35),
    (25, AgeGroup.FROM_25),
    (18, AgeGroup.FROM_18),
    (12, AgeGroup.FROM_12),
    (0, AgeGroup.UNDER_12),
)

_ESTIMATES = {
    AgeGroup.UNDER_12: (6, 6),
    AgeGroup.FROM_12: (15, 3),
    AgeGroup.FROM_18: (21, 3),
    AgeGroup.FROM_25: (30, 5),
    AgeGroup.FROM_35: (50, 15),
}


@dataclass(frozen=True, slots=True)
class Birth:
    """The person was born on one of these days, both included."""

    earliest: date
    latest: date
    precision: AgeBasis


_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?([~?%]?)")


def parse_birth(edtf: str) -> Birth:
    """Read a partial date: `2008`, `2008-05`, `2008-05-14`, each with `~`, `?` or `%`, or `a/b`.

    Of EDTF (ISO 8601-2) everything else is refused: unspecified digits (`200X`, write `2000/2009`),
    seasons, open intervals, sets, times. Raises InvalidError `field.edtf_invalid`; also for a day
    that no calendar has, an interval that runs backwards and a year outside 1800-2199.
    """
    first, slash, second = edtf.partition("/")
    if not slash:
        return _parse_date(first)
    start, end = _parse_date(first), _parse_date(second)
    if start.earliest > end.earliest or start.latest > end.latest:
        raise InvalidError("field.edtf_invalid")
    return Birth(start.earliest, end.latest, AgeBasis.INTERVAL)


def _parse_date(text: str) -> Birth:
    match = _DATE.fullmatch(text)
    if match is None:
        raise InvalidError("field.edtf_invalid")
    year, month, day = int(match[1]), int(match[2] or 0), int(match[3] or 0)
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise InvalidError("field.edtf_invalid")
    try:
        first = date(year, month if match[2] else 1, day if match[3] else 1)
    except ValueError:
        raise InvalidError("field.edtf_invalid") from None
    if match[3]:
        last, precision = first, AgeBasis.DAY
    elif match[2]:
        last, precision = first.replace(day=monthrange(year, month)[1]), AgeBasis.MONTH
    else:
        last, precision = date(year, 12, 31), AgeBasis.YEAR
    doubt = DOUBT_YEARS[match[4]]
    if not doubt:
        return Birth(first, last, precision)
    return Birth(_years_before(first, doubt), _years_after(last, doubt), precision)


def from_estimate(years: int, *, margin: int = ESTIMATE_MARGIN, on: date) -> Birth:
    """Turn "about `years` old, give or take `margin`, as seen on `on`" into birth days.

    Kept as days and not as a number, so that the person grows older in the register too. Raises
    InvalidError `age.estimate_implausible` outside 0-130 years or a margin outside 0-20.
    """
    if not 0 <= years <= OLDEST or not 0 <= margin <= WIDEST_MARGIN:
        raise InvalidError("age.estimate_implausible", pointer="/estimated_age")
    youngest = max(years - margin, 0)
    day_after = _years_before(on, years + margin + 1) + timedelta(days=1)
    return Birth(day_after, _years_before(on, youngest), AgeBasis.ESTIMATE)


def estimate_of(group: AgeGroup) -> tuple[int, int] | None:
    """Return the years and the margin that stand for a band where no more is told of an age.

    On the day on which they are told they give this band, and a child's rules for a child's band
    only. None for UNKNOWN.
    """
    return _ESTIMATES.get(group)


def combine(written: Birth | None, estimated: Birth | None) -> Birth | None:
    """Join a written birth date and a worker's estimate: the person may be as either says.

    Traffickers give children papers of adults, so a date on paper does not overrule an estimate.
    """
    if written is None or estimated is None:
        return written or estimated
    return Birth(
        min(written.earliest, estimated.earliest),
        max(written.latest, estimated.latest),
        AgeBasis.ESTIMATE,
    )


@dataclass(frozen=True, slots=True)
class ToldAge:
    """All that was told of a person's age: an EDTF date, an estimate in years, both or nothing."""

    birth_date: str | None = None
    estimated_age: int | None = None
    estimated_age_margin: int | None = None
    estimated_on: date | None = None

    def birth(self) -> Birth | None:
        """Return the days on which the person may have been born; None when nothing is known.

        Raises InvalidError as `parse_birth` and `from_estimate` do.
        """
        return combine(self.written(), self.estimated())

    def written(self) -> Birth | None:
        return None if self.birth_date is None else parse_birth(self.birth_date)

    def estimated(self) -> Birth | None:
        if self.estimated_age is None or self.estimated_on is None:
            return None
        margin = self.estimated_age_margin
        return from_estimate(
            self.estimated_age,
            margin=ESTIMATE_MARGIN if margin is None else margin,
            on=self.estimated_on,
        )


@dataclass(frozen=True, slots=True)
class AgeFacts:
    """What a case says of a person's age, in codes."""

    is_minor: bool
    """Today."""
    was_known_minor: bool
    """At the first contact, by what is known; False when no age is known at all."""
    group: AgeGroup
    """At the first contact."""
    basis: AgeBasis


def age_facts(told: ToldAge, *, contact_on: date, today: date, is_new: bool = True) -> AgeFacts:
    """Derive the codes from what was told; `is_new` where the birth date is told now.

    Raises InvalidError as `ToldAge.birth` does, and as `check_birth` for a written date. One told
    before is held against the year of the contact only: to move the contact day by day shall not
    find it out.
    """
    written = told.written()
    if written is not None:
        on = contact_on if is_new else contact_on.replace(month=12, day=31)
        check_birth(written, on=on)
    birth = combine(written, told.estimated())
    return AgeFacts(
        is_minor=is_minor(birth, on=today),
        was_known_minor=birth is not None and is_minor(birth, on=contact_on),
        group=age_group(birth, on=contact_on),
        basis=AgeBasis.UNKNOWN if birth is None else birth.precision,
    )


def check_birth(birth: Birth, *, on: date) -> None:
    """Refuse a birth that lies wholly after `on`, or more than 130 years before it.

    `on` is the first contact: birth date <= first contact (domain.md section 10 rule 1). Raises
    InvalidError `field.birth_after_contact` or `field.birth_too_early`.
    """
    if birth.earliest > on:
        raise InvalidError("field.birth_after_contact", pointer="/birth_date")
    if minimum_age(birth, on=on) > OLDEST:
        raise InvalidError("field.birth_too_early", pointer="/birth_date")


def minimum_age(birth: Birth | None, *, on: date) -> int:
    """Completed years the person has at least; 0 when nothing is known."""
    return 0 if birth is None else max(completed_years(birth.latest, on), 0)


def maximum_age(birth: Birth | None, *, on: date) -> int | None:
    """Completed years the person has at most; None when nothing is known."""
    return None if birth is None else max(completed_years(birth.earliest, on), 0)


def is_minor(birth: Birth | None, *, on: date) -> bool:
    """Tell whether a child's rules apply: the person may be under 18, or no age is known at all."""
    return minimum_age(birth, on=on) < ADULT_AT


def age_group(birth: Birth | None, *, on: date) -> AgeGroup:
    """Give the public band of the age on `on`: the first contact, for figures that count children.

    Of a presumed child it is the band of the lowest possible age, so that band and protection never
    contradict each other; of an adult the band of the middle of the range. With no age known it is
    UNKNOWN, although the person is protected as a child: figures do not count guesses.
    """
    if birth is None:
        return AgeGroup.UNKNOWN
    age = minimum_age(birth, on=on)
    if age >= ADULT_AT:
        middle = birth.earliest + (birth.latest - birth.earliest) // 2
        age = completed_years(middle, on)
    return next(group for least, group in _GROUPS if age >= least)


def completed_years(born: date, on: date) -> int:
    """Return the whole years from one day to another; negative before it."""
    # Born on 29 February, the birthday of a common year is 1 March: a child one day longer.
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))


def _years_before(day: date, years: int) -> date:
    """Return the last day of birth by which someone has completed `years` on `day`."""
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # 29 February
        return day.replace(year=day.year - years, day=28)


def _years_after(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # 29 February: widen, never narrow
        return day.replace(year=day.year + years, month=3, day=1)
