from datetime import date, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import InvalidError
from intake.domain.age import (
    ADULT_AT,
    AgeBasis,
    AgeGroup,
    Birth,
    age_group,
    check_birth,
    combine,
    from_estimate,
    is_minor,
    maximum_age,
    minimum_age,
    parse_birth,
)

ON = date(2026, 11, 22)

DAYS = st.dates(date(1930, 1, 1), date(2026, 11, 22))
LEAP_DAYS = st.sampled_from([date(year, 2, 29) for year in range(1932, 2025, 4)])
BORN = DAYS | LEAP_DAYS
LOOKED_AT = st.dates(date(2026, 1, 1), date(2045, 12, 31)) | st.sampled_from(
    [date(year, 2, day) for year in (2028, 2032, 2036, 2040) for day in (28, 29)]
    + [date(year, 3, 1) for year in range(2026, 2045)]
)


def eighteenth_birthday(born: date) -> date:
    """Give the day by the calendar, written another way than the code: 29 February becomes 1 March."""
    if (born.month, born.day) == (2, 29):
        return date(born.year + 18, 3, 1) if (born.year + 18) % 4 else born.replace(born.year + 18)
    return born.replace(year=born.year + 18)


def forms_of(born: date) -> dict[str, str]:
    year, month, day = f"{born:%Y}", f"{born:%Y-%m}", f"{born:%Y-%m-%d}"
    later = f"{born.year + 3:04d}"
    plain = {
        "day": day,
        "month": month,
        "year": year,
        "interval": f"{year}/{later}",
        "interval of days": f"{day}/{later}-12-31",
        "interval in doubt": f"{year}~/{later}?",
    }
    doubted = {f"{form}{mark}": plain[form] + mark for form in list(plain)[:3] for mark in "~?%"}
    return plain | doubted


FORMS = list(forms_of(ON))


@pytest.mark.parametrize("form", FORMS)
@given(born=BORN, on=LOOKED_AT)
@example(born=date(2008, 2, 29), on=date(2026, 2, 28))
@example(born=date(2008, 2, 29), on=date(2026, 3, 1))
@example(born=date(2010, 2, 28), on=date(2028, 2, 28))
def test_whoever_may_be_under_18_is_a_minor_in_every_form(form: str, born: date, on: date) -> None:
    """Seeded: decide by the earliest or the middle day: a child becomes an adult.

    Seeded: count 29 February's birthday on 28 February.
    """
    birth = parse_birth(forms_of(born)[form])

    assert birth.earliest <= born <= birth.latest
    assert is_minor(birth, on=on) == (on < eighteenth_birthday(birth.latest))
    if on < eighteenth_birthday(born):
        assert is_minor(birth, on=on)


@given(born=BORN, on=LOOKED_AT)
def test_an_exact_day_gives_one_age(born: date, on: date) -> None:
    birth = parse_birth(born.isoformat())

    assert minimum_age(birth, on=on) == maximum_age(birth, on=on)


@given(
    years=st.integers(0, 130),
    margin=st.integers(0, 20),
    on=LOOKED_AT,
    later=st.integers(0, 40),
)
def test_an_estimate_holds_on_its_day_and_grows_with_the_person(
    years: int, margin: int, on: date, later: int
) -> None:
    """Seeded: store the estimate as a number of years; after `later` years it is still that number.

    Seeded: subtract the margin from the wrong end.
    """
    birth = from_estimate(years, margin=margin, on=on)
    then = on + timedelta(days=366 * later)

    assert minimum_age(birth, on=on) == max(years - margin, 0)
    assert maximum_age(birth, on=on) == years + margin
    assert minimum_age(birth, on=then) >= max(years - margin, 0) + later
    if years - margin < ADULT_AT:
        assert is_minor(birth, on=on)


@pytest.mark.parametrize(
    ("edtf", "earliest", "latest", "precision"),
    [
        ("2008", date(2008, 1, 1), date(2008, 12, 31), AgeBasis.YEAR),
        ("2008-02", date(2008, 2, 1), date(2008, 2, 29), AgeBasis.MONTH),
        ("2009-02", date(2009, 2, 1), date(2009, 2, 28), AgeBasis.MONTH),
        ("2008-05-14", date(2008, 5, 14), date(2008, 5, 14), AgeBasis.DAY),
        ("2008-05-14~", date(2006, 5, 14), date(2010, 5, 14), AgeBasis.DAY),
        ("2008-02-29?", date(2006, 2, 28), date(2010, 3, 1), AgeBasis.DAY),
        ("2008~", date(2006, 1, 1), date(2010, 12, 31), AgeBasis.YEAR),
        ("2008%", date(2004, 1, 1), date(2012, 12, 31), AgeBasis.YEAR),
        ("2008/2010", date(2008, 1, 1), date(2010, 12, 31), AgeBasis.INTERVAL),
        ("2008-05/2008-07-03", date(2008, 5, 1), date(2008, 7, 3), AgeBasis.INTERVAL),
        ("2008/2008", date(2008, 1, 1), date(2008, 12, 31), AgeBasis.INTERVAL),
    ],
)
def test_a_partial_date_is_a_range_of_days(
    edtf: str, earliest: date, latest: date, precision: AgeBasis
) -> None:
    """Seeded: read `~` and leave the range as it is."""
    assert parse_birth(edtf) == Birth(earliest, latest, precision)


@pytest.mark.parametrize(
    "edtf",
    [
        "",
        " 2008",
        "2008 ",
        "2008\n",
        "08",
        "20080514",
        "2008-5-14",
        "2008-13",
        "2008-00",
        "2008-05-00",
        "2008-05-32",
        "2009-02-29",
        "2008-05-14T10:00:00Z",
        "200X",
        "2008-XX",
        "2008-21",
        "Y12008",
        "-2008",
        "~2008",
        "2008~~",
        "2008-05~-14",
        "[2008,2010]",
        "2010/2008",
        "2008-12/2008-01",
        "2008/",
        "/2008",
        "../2008",
        "2008/..",
        "2008/2009/2010",
        "0000",
        "1799",
        "2200",
        "٢٠٠٨",
        "２００８",
        "unknown",
    ],
)
def test_anything_else_is_refused(edtf: str) -> None:
    """Seeded: match instead of fullmatch, or take the digits of every script."""
    with pytest.raises(InvalidError) as refusal:
        parse_birth(edtf)

    assert refusal.value.code == "field.edtf_invalid"


@given(st.text(max_size=30) | st.text(alphabet="0123456789-/~?%X.", max_size=25))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Seeded: let `date()` raise; `2009-02-30` becomes a 500."""
    try:
        birth = parse_birth(text)
    except InvalidError:
        return

    assert birth.earliest <= birth.latest


@given(born=BORN, years=st.integers(0, 90), margin=st.integers(0, 10))
def test_papers_never_overrule_an_estimate_of_a_child(born: date, years: int, margin: int) -> None:
    """Seeded: let the written date win; a child with a forged passport is an adult."""
    written, estimated = parse_birth(born.isoformat()), from_estimate(years, margin=margin, on=ON)

    both = combine(written, estimated)

    assert is_minor(both, on=ON) == (is_minor(written, on=ON) or is_minor(estimated, on=ON))


def test_one_source_alone_is_taken_as_it_is() -> None:
    written = parse_birth("1990")

    assert combine(written, None) == combine(None, written) == written
    assert combine(None, None) is None


def test_nothing_known_protects_as_a_child_and_counts_as_unknown() -> None:
    """Seeded: `return False` for an unknown age, or a band for it."""
    assert is_minor(None, on=ON)
    assert age_group(None, on=ON) is AgeGroup.UNKNOWN
    assert maximum_age(None, on=ON) is None


@pytest.mark.parametrize(
    ("edtf", "group"),
    [
        ("2026-11-22", AgeGroup.UNDER_12),
        ("2014-11-23", AgeGroup.UNDER_12),
        ("2014-11-22", AgeGroup.FROM_12),
        ("2008-11-23", AgeGroup.FROM_12),
        ("2008-11-22", AgeGroup.FROM_18),
        ("2001-11-23", AgeGroup.FROM_18),
        ("2001-11-22", AgeGroup.FROM_25),
        ("1991-11-23", AgeGroup.FROM_25),
        ("1991-11-22", AgeGroup.FROM_35),
        # A presumed child: the band of the lowest age, not of the middle (which is 28).
        ("1986/2009", AgeGroup.FROM_12),
        # Surely an adult, 19 to 41: the middle is 30.
        ("1985/2006", AgeGroup.FROM_25),
    ],
)
def test_the_band_of_an_age(edtf: str, group: AgeGroup) -> None:
    assert age_group(parse_birth(edtf), on=ON) is group


@given(born=BORN, on=LOOKED_AT, form=st.sampled_from(FORMS))
def test_band_and_protection_never_contradict_each_other(born: date, on: date, form: str) -> None:
    """Seeded: take the band of the middle for everybody."""
    birth = parse_birth(forms_of(born)[form])

    is_child = age_group(birth, on=on) in {AgeGroup.UNDER_12, AgeGroup.FROM_12}

    assert is_child == is_minor(birth, on=on)


@pytest.mark.parametrize(
    ("edtf", "code"),
    [
        ("2026-11-23", "field.birth_after_contact"),
        ("2027", "field.birth_after_contact"),
        ("1850", "field.birth_too_early"),
    ],
)
def test_an_impossible_birth_is_refused(edtf: str, code: str) -> None:
    with pytest.raises(InvalidError) as refusal:
        check_birth(parse_birth(edtf), on=ON)

    assert (refusal.value.code, refusal.value.pointer) == (code, "/birth_date")


@pytest.mark.parametrize("edtf", ["2026", "2026-11-22", "2027~", "1896-11"])
def test_a_possible_birth_is_taken(edtf: str) -> None:
    check_birth(parse_birth(edtf), on=ON)


@pytest.mark.parametrize(("years", "margin"), [(-1, 2), (131, 0), (20, -1), (20, 21)])
def test_an_impossible_estimate_is_refused(years: int, margin: int) -> None:
    with pytest.raises(InvalidError, match=r"age\.estimate_implausible"):
        from_estimate(years, margin=margin, on=ON)
