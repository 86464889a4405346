"""Population markers: what may hold of whom, from when until when."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codelists import codelist
from common.errors import ConflictError, InvalidError, ProblemError
from intake.domain.age import Birth, is_minor, parse_birth
from intake.domain.marker import (
    CHILD_ONLY,
    GROUP,
    Marker,
    Period,
    check_end,
    check_record,
    grown_out_of,
    require_running,
)
from tests.conftest import fixed_id

TODAY = date(2026, 11, 22)
CHILD = parse_birth("2012-05-17")
ADULT = parse_birth("1990-05-17")


def period(
    marker: Marker = Marker.STREET_CHILD,
    since: str = "2026-01-01",
    until: str | None = None,
    number: int = 1,
) -> Period:
    last = None if until is None else date.fromisoformat(until)
    return Period(fixed_id(number), marker, date.fromisoformat(since), last)


def refusal(
    new: Period, *recorded: Period, birth: Birth | None = CHILD
) -> tuple[str, str | None] | None:
    try:
        check_record(new, recorded, birth=birth, today=TODAY)
    except ProblemError as error:
        return error.code, error.pointer
    return None


def test_the_rules_and_the_list_say_the_same_of_every_marker() -> None:
    """Seeded: take STREET_CHILD out of CHILD_ONLY; the list that people read would lie."""
    items = codelist("population_markers").items

    assert {i.code: i.attributes["data_group"] for i in items} == GROUP
    assert {i.code for i in items if i.attributes["child_only"]} == CHILD_ONLY


@pytest.mark.parametrize("marker", sorted(Marker))
def test_a_childs_marker_needs_somebody_who_may_be_a_child(marker: Marker) -> None:
    of_adult = refusal(period(marker), birth=ADULT)

    assert of_adult == (("marker.not_a_child", "/since") if marker in CHILD_ONLY else None)
    assert refusal(period(marker)) is None
    assert refusal(period(marker), birth=None) is None, "of unknown age, presumed a child"


def test_an_adult_may_have_been_a_street_child() -> None:
    """Seeded: ask for the age today instead of the age in the years of the marker."""
    past = period(since="2006-03-01", until="2008-12-31")

    assert refusal(past, birth=ADULT) is None
    for still_so in (period(since="2006-03-01", until="2009-01-01"), period(since="2006-03-01")):
        assert refusal(still_so, birth=ADULT) == ("marker.not_a_child", "/until")


@pytest.mark.parametrize("marker", sorted(Marker))
def test_no_two_days_of_a_year_tell_the_birthday(marker: Marker) -> None:
    """Seeded: hold a day of a marker against the day of birth, or the eighteenth birthday."""
    for year in (1989, 1990, 1991, 2007, 2008, 2009):
        days = [date(year, 1, 1) + timedelta(days=n) for n in range(365)]
        last = date(year, 12, 31).isoformat()
        begun = {refusal(period(marker, str(day), last), birth=ADULT) for day in days}
        ended = {refusal(period(marker, f"{year}-01-01", str(day)), birth=ADULT) for day in days}

        assert (len(begun), len(ended)) == (1, 1), year


@pytest.mark.parametrize(
    ("since", "until", "problem"),
    [
        ("2026-11-23", None, ("field.date_in_future", "/since")),
        ("2026-11-01", "2026-11-23", ("field.date_in_future", "/until")),
        ("2011-12-31", None, ("field.range", "/since")),
        ("2026-11-02", "2026-11-01", ("marker.ended_before_began", "/until")),
        ("2026-11-22", "2026-11-22", None),
        ("2012-01-01", None, None),
    ],
)
def test_days_that_cannot_be(
    since: str, until: str | None, problem: tuple[str, str] | None
) -> None:
    assert refusal(period(since=since, until=until)) == problem


@pytest.mark.parametrize(
    ("recorded", "new", "is_twice"),
    [
        (("2026-01-01", None), ("2026-06-01", None), True),
        (("2026-06-01", None), ("2026-01-01", None), True),
        (("2026-06-01", None), ("2026-01-01", "2026-05-31"), False),
        (("2026-06-01", None), ("2026-01-01", "2026-06-01"), True),
        (("2026-01-01", "2026-03-01"), ("2026-03-01", None), True),
        (("2026-01-01", "2026-03-01"), ("2026-03-02", None), False),
    ],
)
def test_a_marker_holds_once_at_a_time(
    recorded: tuple[str, str | None], new: tuple[str, str | None], *, is_twice: bool
) -> None:
    before, after = period(Marker.STREET_CHILD, *recorded), period(Marker.STREET_CHILD, *new)

    problem = ("marker.already_recorded", "/marker") if is_twice else None

    assert refusal(after, before) == problem


def test_several_markers_hold_at_once_but_not_two_that_exclude_each_other() -> None:
    """Seeded: name one of the two in EXCLUDES only; the order of entry would decide."""
    alone, apart = Marker.UNACCOMPANIED_CHILD, Marker.SEPARATED_CHILD

    assert refusal(period(Marker.CHILD_BEGGING), period(Marker.STREET_CHILD), period(alone)) is None
    for one, other in ((alone, apart), (apart, alone)):
        assert refusal(period(one), period(other)) == ("marker.contradicts", "/marker")
    assert refusal(period(apart), period(alone, until="2025-12-31", since="2025-06-01")) is None


def test_an_end_is_added_once() -> None:
    with pytest.raises(ConflictError, match=r"marker\.already_ended"):
        require_running(period(until="2026-02-01"))
    require_running(period())
    with pytest.raises(InvalidError, match=r"marker\.ended_before_began"):
        check_end(period(), until=date(2025, 12, 31), birth=CHILD, today=TODAY)


@given(
    born=st.dates(min_value=date(1990, 1, 1), max_value=date(2020, 12, 31)),
    age_in_days=st.integers(min_value=0, max_value=30 * 365),
    after=st.integers(min_value=0, max_value=30 * 365),
)
def test_a_childs_marker_ends_on_the_last_day_of_childhood(
    born: date, age_in_days: int, after: int
) -> None:
    """Seeded: `_of_age_on` a day early for who is born on 29 February."""
    birth = parse_birth(born.isoformat())
    since = born + timedelta(days=age_in_days)
    today = since + timedelta(days=after)
    running = Period(fixed_id(1), Marker.STREET_CHILD, since)
    other = Period(fixed_id(2), Marker.STATELESS, since)

    ended = grown_out_of([running, other], birth=birth, today=today, to_the_day=True)
    coarse = grown_out_of([running, other], birth=birth, today=today, to_the_day=False)

    if is_minor(birth, on=today):
        assert ended == coarse == []
        return
    [(of, until)] = ended
    assert of is running
    assert since <= until <= today
    assert not is_minor(birth, on=until + timedelta(days=1))
    assert is_minor(birth, on=until) or until == since
    # Who reads the end of a marker learns the year of the birthday at most.
    last_year = date(born.year + 17, 12, 31)
    assert [end for _, end in coarse] == [max(since, last_year)]
