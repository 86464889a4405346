"""The catalogues are whole in eight languages, and the language chosen is the reader's."""

import ast
import json
import re
import unicodedata
from http import HTTPStatus
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import errors, messages
from common.http.faults import FIELD_CODES
from common.http.problem import HTTP_CODES
from common.messages import LANGUAGES, catalogue, negotiate, placeholders, text
from tests import house
from tests.common.problem_codes import Unreadable, Use, uses

KEYS = sorted(catalogue("en"))
CYRILLIC = ("sr-Cyrl", "mk", "bg")
SOURCE = ("libs/", "services/", "deploy/")


def found_in(source: str) -> list[Use | Unreadable]:
    return uses([("example.py", ast.parse(f"class ConflictError(ProblemError): ...\n{source}"))])


# --- the catalogues


def test_no_language_lacks_a_sentence() -> None:
    """Seeded: take `consent.missing` out of bg.json."""
    assert messages.missing_keys() == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_takes_the_members_of_the_english_sentence(language: str) -> None:
    """Seeded: write `{legale}` in ro.json."""
    differing = {
        key
        for key in KEYS
        if placeholders(catalogue(language)[key]) != placeholders(catalogue("en")[key])
    }

    assert differing == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_braces_stand_only_around_members(language: str) -> None:
    left = [re.sub(r"\{[a-z][a-z_]*\}", "", sentence) for sentence in catalogue(language).values()]

    assert [sentence for sentence in left if "{" in sentence or "}" in sentence] == []


@pytest.mark.parametrize("language", CYRILLIC)
def test_a_cyrillic_catalogue_is_written_in_cyrillic(language: str) -> None:
    """Seeded: leave an English sentence in mk.json."""
    latin = {
        key
        for key, sentence in catalogue(language).items()
        if not key.startswith("ui.language.") and not re.search(r"[\u0400-\u04ff]", sentence)
    }

    assert latin == set()


def test_the_two_serbian_scripts_say_the_same() -> None:
    """Seeded: change a word in sr-Latn.json only."""
    letters = dict(zip("абвгдђежзијклмнопрстћуфхцчш", "abvgdđežzijklmnoprstćufhcčš", strict=True))
    table = str.maketrans(letters | {"љ": "lj", "њ": "nj", "џ": "dž"})
    pairs = [
        (catalogue("sr-Latn")[k].lower(), catalogue("sr-Cyrl")[k].lower().translate(table))
        for k in KEYS
        if not k.startswith("ui.language.")
    ]

    assert [pair for pair in pairs if pair[0] != pair[1]] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_file_is_sorted_clean_and_without_repeated_keys(language: str) -> None:
    raw = files(messages).joinpath(f"{language}.json").read_text(encoding="utf-8")
    pairs: list[tuple[str, str]] = json.loads(raw, object_pairs_hook=list)
    keys = [key for key, _ in pairs]

    assert keys == sorted(set(keys))
    assert unicodedata.is_normalized("NFC", raw)
    assert [key for key, sentence in pairs if sentence != sentence.strip() or not sentence] == []


def test_the_detail_of_an_error_is_a_whole_sentence_in_every_language() -> None:
    open_ended = {
        (language, key)
        for language in LANGUAGES
        for key, sentence in catalogue(language).items()
        if not key.startswith(("title.", "ui.")) and not sentence.endswith(".")
    }

    assert open_ended == set()


# --- what the source needs


def test_every_code_the_product_raises_has_a_sentence() -> None:
    """Seeded: `raise ConflictError("case.forgotten")` anywhere in the services."""
    everywhere = uses(house.sources(*SOURCE))
    readable = [use for use in everywhere if isinstance(use, Use)]

    assert len(readable) > 20
    assert [use for use in everywhere if isinstance(use, Unreadable)] == []
    assert [f"{use.place} {use.pattern}" for use in readable if not use.keys(KEYS)] == []


def test_every_place_passes_the_members_its_sentence_takes() -> None:
    """Seeded: drop `legal=` from a `referral.illegal_step`."""
    lacking = [
        (use.place, key, sorted(placeholders(catalogue("en")[key]) - use.members))
        for use in uses(house.sources(*SOURCE))
        if isinstance(use, Use) and use.members is not None and use.is_exact
        for key in use.keys(KEYS)
        if not placeholders(catalogue("en")[key]) <= use.members
    ]

    assert lacking == []


def test_every_status_an_error_can_have_has_a_title() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type)]
    statuses = {
        int(kind.status)
        for kind in kinds
        if issubclass(kind, errors.ProblemError) and kind is not errors.ProblemError
    }

    assert statuses
    needed = statuses | set(HTTP_CODES) | {HTTPStatus.INTERNAL_SERVER_ERROR}
    assert {status for status in needed if not messages.has(f"title.{int(status)}")} == set()


def test_every_code_the_edge_maps_to_has_a_sentence() -> None:
    codes = {*FIELD_CODES.values(), *HTTP_CODES.values(), "field.type", "field.invalid", "invalid"}

    assert {code for code in codes if not messages.has(code)} == set()


def test_every_code_with_a_sentence_is_raised_somewhere() -> None:
    """Seeded: a second code for what another says already, in all catalogues and in no source."""
    used = {
        key
        for use in uses(house.sources(*SOURCE))
        if isinstance(use, Use)
        for key in use.keys(KEYS)
    }
    mapped = {*FIELD_CODES.values(), *HTTP_CODES.values(), "field.type", "field.invalid"}

    idle = set(KEYS) - used - mapped

    assert {key for key in idle if not key.startswith(("title.", "ui."))} == set()


def test_a_code_is_found_wherever_it_is_raised() -> None:
    source = (
        "CODE = 'case.closed'\n"
        "class GoneError(ConflictError):\n"
        "    def __init__(self): super().__init__('gone')\n"
        "def f(flag, name):\n"
        "    raise ConflictError('plain.code', pointer='/x', legal=[], version=1)\n"
        "    raise errors.ConflictError(CODE)\n"
        "    raise ConflictError('one' if flag else 'two')\n"
        "    raise ConflictError(f'notice.{name}_required')\n"
        "    raise PydanticCustomError('edtf_invalid', 'text', {'form': 'edtf'})\n"
        "    return messages.text('ui.title', 'en')\n"
        "    return render(request, 400, 'body.gone', fields=[])\n"
        "    more: dict[str, Any] = {} if flag else {'since': 1}\n"
        "    raise ConflictError('spread.code', legal=[], **more)\n"
    )

    found = {(u.pattern, u.members) for u in found_in(source) if isinstance(u, Use)}

    nothing: frozenset[str] = frozenset()
    assert found == {
        ("gone", nothing),
        (r"plain\.code", frozenset({"legal", "version"})),
        (r"case\.closed", nothing),
        ("one", nothing),
        ("two", nothing),
        (r"notice\.[a-z0-9_]+_required", nothing),
        (r"field\.edtf_invalid", frozenset({"form"})),
        (r"ui\.title", nothing),
        (r"body\.gone", nothing),
        (r"spread\.code", frozenset({"legal", "since"})),
    }


def test_a_code_that_cannot_be_read_off_the_source_is_reported() -> None:
    assert found_in("raise ConflictError(codes[kind])") == [Unreadable("example.py:2")]


def test_errors_of_other_kinds_need_no_sentence() -> None:
    assert found_in("raise ValueError('too many')") == []


# --- the language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("sq", "sq"),
        ("SQ-xk", "sq"),
        ("de, fr;q=0.9", "en"),
        ("de, mk;q=0.3", "mk"),
        ("mk;q=0.3, bg;q=0.8", "bg"),
        ("ro;q=0.8, bg;q=0.8", "ro"),
        ("sr", "sr-Latn"),
        ("sr-RS", "sr-Latn"),
        ("sr-Cyrl", "sr-Cyrl"),
        ("sr-Cyrl-RS", "sr-Cyrl"),
        ("sr-Latn-ME", "sr-Latn"),
        ("hr-HR", "bs"),
        ("cnr", "bs"),
        ("cnr-Cyrl-ME", "sr-Cyrl"),
        ("me", "bs"),
        ("sh", "sr-Latn"),
        ("ro-MD", "ro"),
        ("mo", "ro"),
        ("bs-Cyrl", "sr-Cyrl"),
        ("*", "en"),
        ("en;q=0, *", "sq"),
        ("sq;q=0.5, *;q=0.1", "sq"),
        ("sq;q=0", "en"),
        ("sq ; q=0.9, ro;q=0.95", "ro"),
        ("sq;q=high, ro;q=0.1", "ro"),
        (";;;,,=,-,sq", "sq"),
        ("en-" * 5000, "en"),
    ],
)
def test_the_best_language_is_negotiated(header: str | None, language: str) -> None:
    assert negotiate(header) == language


@given(st.text() | st.from_regex(r"[a-z*;q=,. -]{0,60}", fullmatch=True))
def test_any_header_leads_to_a_language_we_speak(header: str) -> None:
    assert negotiate(header) in LANGUAGES


@pytest.mark.parametrize(
    ("language", "chain"),
    [
        ("sr-Cyrl", ("sr-Cyrl", "sr-Latn", "en")),
        ("sr-Latn", ("sr-Latn", "sr-Cyrl", "bs", "en")),
        ("hr", ("hr", "bs", "sr-Latn", "en")),
        ("mk", ("mk", "en")),
        ("fr", ("fr", "en")),
    ],
)
def test_a_missing_text_is_sought_in_the_nearest_language(
    language: str, chain: tuple[str, ...]
) -> None:
    assert messages.fallbacks(language) == chain


# --- the sentence


def test_members_are_filled_in_and_lists_joined() -> None:
    sentence = text("referral.illegal_step", "sq", legal=["accept", "decline"])

    assert sentence.endswith("Të mundshme: accept, decline.")


def test_a_sentence_stays_readable_without_its_members() -> None:
    """An error must reach its reader even when the place that raised it forgot a member."""
    assert text("ui.data_cut", "en") == "Data as of …"
    assert text("plan.illegal_step", "en", legal=[]).endswith("Possible: –.")


def test_members_may_be_called_like_the_parameters() -> None:
    assert text("not_found", "mk", code="x", language="y") == catalogue("mk")["not_found"]


def test_a_language_without_a_catalogue_gets_its_nearest() -> None:
    assert text("ui.year", "hr") == catalogue("bs")["ui.year"]
    assert text("ui.year", "pt") == "Year"


def test_a_code_without_a_sentence_is_a_mistake_of_ours() -> None:
    assert not messages.has("no.such.code")
    with pytest.raises(KeyError):
        text("no.such.code", "en")
