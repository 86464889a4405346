"""National numbers, held against the vectors published with the rules (domain.md, id_formats)."""

import pytest

from intake.domain.document import is_likely

JMBG = (
    "2206978816007 2005006982505 0101000710009 1503992715125 2811988450036 0702001175011 "
    "1909995910049 3006976857207 2902004100051"
)
NUMBERS = {
    ("RS", "BA", "ME", "MK"): (JMBG, "2206978816008 123456789012 220697881600A"),
    ("AL",): ("J00101999W J05115001N I65622013W K05207104H J53103001A", "J00101999A invalid"),
    ("XK",): ("1234567892 1102030458 2041122334 9000000000", "1234567891 123456789 12345A7892"),
    ("RO",): ("1630615123457", "1630615123458 0800101221142"),
    ("BG",): ("7523169263 8032056031", "7523169264 752316926"),
}
CASES = [
    (country, number, place == 0)
    for countries, both in NUMBERS.items()
    for country in countries
    for place, numbers in enumerate(both)
    for number in numbers.split()
]


@pytest.mark.parametrize(("country", "number", "likely"), CASES)
def test_a_number_is_likely_with_its_form_and_check_digit(
    country: str, number: str, *, likely: bool
) -> None:
    """Seeded: a weight off by one, 10 left as it is, a letter counted as a digit."""
    assert is_likely(number, country) is likely


@pytest.mark.parametrize("number", ["١٢٣٤٥٦٧٨٩٢", "1234567892\n"])
def test_only_plain_digits_make_a_number(number: str) -> None:
    assert not is_likely(number, "XK")


def test_a_country_whose_numbers_are_not_known_here_is_not_judged() -> None:
    assert is_likely("anything", "DE")
