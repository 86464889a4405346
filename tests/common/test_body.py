"""Bodies (T26): what is not strict JSON of modest size is refused, never echoed, never a 500."""

import json
import unicodedata
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select

from common import messages
from common.errors import BadRequestError, ProblemError
from common.http.body import MAX_DEPTH, parse
from common.schema import LongText, ShortText, clean_text
from common.tables import AuditEntry
from tests.common.tiny import Tiny

CANARY = "Zorica-Canary"
SHORT, LONG = TypeAdapter(ShortText), TypeAdapter(LongText)


def refused(raw: bytes) -> str:
    with pytest.raises(ProblemError) as caught:
        parse(raw)
    assert CANARY not in f"{caught.value} {caught.value.members}"
    return caught.value.code


# --- form


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 1} {}',
        b"NaN",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'{"a": -1e400}',
        b'{"a": 01}',
        b'{"a": +1}',
        b'{"a": .5}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' + b"9" * 21 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"\xef\xbb\xbf{}",
        '{"a": "č"}'.encode("utf-16"),
        '{"a": "č"}'.encode("utf-32"),
        '{"a": "č"}'.encode("cp1250"),
        b'{"a": "\xc0\xaf"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\x00"}',
        b'{"a": "\n"}',
        b"\x00",
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_what_is_no_strict_json_is_refused(raw: bytes) -> None:
    # Fails when json's own leniency is left on: NaN, control characters, any encoding, any number.
    assert refused(raw) == "body.not_json"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": 1, "a": 1}',
        b'{"a": 1, "\\u0061": 2}',
        b'[{"b": {"a": 1, "a": 2}}]',
        b'{"' + CANARY.encode() + b'": 1, "' + CANARY.encode() + b'": 2}',
    ],
)
def test_a_member_that_stands_twice_is_refused(raw: bytes) -> None:
    # Fails when the last one wins: two readers of one body would see different things.
    assert refused(raw) == "body.duplicate_key"


def test_depth_is_bounded_in_lists_and_objects() -> None:
    # Fails when only one of the two counts, or the bound is off by one.
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        just, over = (opening * n + b"1" + closing * n for n in (MAX_DEPTH, MAX_DEPTH + 1))
        assert parse(just) is not None
        assert refused(over) == "body.too_deep"


def test_a_hundred_thousand_members_and_numbers_at_the_bounds_are_read() -> None:
    # Fails when the check for repeated members is quadratic, or numbers are cut.
    members = b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(100_000)) + b"}"

    assert len(parse(members)) == 100_000
    assert parse(b"[9223372036854775807, -1e308, 1e-400, 0.1]") == [2**63 - 1, -1e308, 0, 0.1]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False).filter(lambda value: abs(value) != float("inf"))
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(value=JSON)
def test_strict_json_is_read_as_it_is(value: object) -> None:
    # Fails when strictness changes what is right.
    assert parse(json.dumps(value).encode()) == value


@given(raw=st.binary(max_size=60))
@example(raw=b'"\\ud800"')
@example(raw=b"-")
def test_no_bytes_at_all_raise_anything_but_a_refusal(raw: bytes) -> None:
    # Fails when a decoder's own error gets through: it would be a 500.
    with suppress(BadRequestError):
        parse(raw)


# --- text


@pytest.mark.parametrize(
    "text",
    [
        "a\0b",
        "a\x1bb",
        "a\x7fb",
        "a\x85b",
        "\ud800",
        "a\udfffb",
        "a\u200bb",
        "a\u200eb",
        "a\u202eb",
        "a\u2066b",
        "a\ufeffb",
        "a\u00adb",
        "a\u2028b",
        "a\ue000b",
        "a\uffffb",
        "a\U000e0041b",
    ],
    ids=ascii,
)
def test_text_that_hides_something_is_refused(text: str) -> None:
    # Fails for controls, NUL, surrogates, zero widths, direction marks, private or unassigned letters.
    for adapter in (SHORT, LONG):
        with pytest.raises(ValidationError) as caught:
            adapter.validate_python(text)
        assert caught.value.errors()[0]["type"] in {"text_unsafe", "string_unicode"}


@pytest.mark.parametrize(
    "text",
    [
        "Ђорђе Ђурђевић",
        "Žana Kovačević-Ćirić",
        "Ștefan Țurcanu",
        "Щъркелов",
        "Xhelal Çela",
        "سارة",
        "רות",
        "陳",
        "👩‍👧",
        "O’Neill",
        "e\u0301",
        "a\u0323\u0302",
    ],
)
def test_names_of_every_script_come_back_equal_after_nfc(text: str) -> None:
    # Fails when a script is taken for a trick, or twins in NFC and NFD stay different.
    forms = {SHORT.validate_python(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}

    assert forms == {unicodedata.normalize("NFC", text)}


@given(text=st.text(max_size=200))
def test_accepted_text_is_stable_and_encodes(text: str) -> None:
    # Fails when a second pass changes it again, or the database driver could not encode it.
    try:
        clean = LONG.validate_python(text)
    except ValidationError:
        return
    assert LONG.validate_python(clean) == clean
    assert clean.encode().decode() == clean
    assert "\0" not in clean


def test_a_line_break_belongs_to_long_text_only() -> None:
    # Fails when a name may hold a line of its own: it would forge a line of a log or a list.
    assert LONG.validate_python("a\n\tb") == "a\n\tb"
    for text in ("a\nb", "a\tb", "a\rb"):
        with pytest.raises(ValidationError):
            SHORT.validate_python(text)


def test_marks_stacked_on_one_letter_are_bounded() -> None:
    # Fails when a run is not bounded before normalising, whose cost grows with its square.
    stacked = "a" + "\u0301\u0323" * 15

    assert len(clean_text(stacked)) == len(stacked) - 1
    for longer in (stacked + "\u0301", "a" + "\u0301\u0323" * 4999):
        with pytest.raises(ValidationError):
            LONG.validate_python(longer)


# --- through the service


BAD_BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "body.missing"),
    (b"{", 400, "body.not_json"),
    (b'{"label": NaN}', 400, "body.not_json"),
    (b'{"label": "x", "share": 1e400}', 400, "body.not_json"),
    (b'{"label": "x", "weight": ' + b"9" * 5000 + b"}", 400, "body.not_json"),
    (b'{"label": "x", "weight": 99999999999999999999}', 422, "invalid"),
    (b'{"label": "x", "weight": 1e300}', 422, "invalid"),
    (b'{"label": "x", "label": "y"}', 400, "body.duplicate_key"),
    (b'{"label": ' + b"[" * 200 + b"]" * 200 + b"}", 400, "body.too_deep"),
    (b'{"label": "x", "parts": ' + b"[" * 20 + b"]" * 20 + b"}", 422, "invalid"),
    (b"[]", 422, "invalid"),
    (b'"x"', 422, "invalid"),
    (b"null", 422, "invalid"),
    (b'{"label": "\\ud800"}', 422, "invalid"),
    (b'{"label": "a\\u0000b"}', 422, "invalid"),
    (b'{"label": "a\\u202eb"}', 422, "invalid"),
    (b'{"label": "' + "a\u0301".encode() * 200 + b'"}', 422, "invalid"),
    (b'{"\\ud800": 1, "label": "x"}', 422, "invalid"),
    (b'{"label": "x", "' + CANARY.encode() + b'": 1}', 422, "invalid"),
    (b'{"label": "' + CANARY.encode() * 40 + b'"}', 422, "invalid"),
    (b'{"label": {"' + CANARY.encode() + b'": "' + CANARY.encode() + b'"}}', 422, "invalid"),
    (b"\xef\xbb\xbf{}", 400, "body.not_json"),
    (CANARY.encode("utf-16"), 400, "body.not_json"),
]


async def test_bad_bodies_get_a_problem_that_repeats_nothing_and_change_nothing(
    tiny: Tiny,
) -> None:
    # Fails when a value, or the name of an unknown field, comes back; or when anything is a 500.
    for content, status, code in BAD_BODIES:
        response = await tiny.post("/v1/things", content=content)

        shown = repr(content[:40])
        assert (response.status_code, response.json()["code"]) == (status, code), shown
        assert response.headers["content-type"] == "application/problem+json", shown
        assert CANARY not in response.text, shown
        assert "input" not in response.json(), shown
    assert await tiny.runtime.database.fetch(select(AuditEntry)) == []


async def test_a_refused_field_says_what_would_be_taken(tiny_sqlite: Tiny) -> None:
    """Seeded: leave `known` out; name the unknown field, which is the caller's text."""
    unknown = await tiny_sqlite.post("/v1/things", {"label": "x", CANARY: 1})

    assert unknown.json()["errors"] == [
        {
            "code": "field.unknown",
            "location": "body",
            "pointer": "",
            "known": ["label", "text", "weight", "share", "parts"],
            "detail": messages.text("field.unknown", "en"),
        }
    ]


@pytest.mark.parametrize("way", ["declared", "chunked", "declared wrongly"])
async def test_fifty_megabytes_are_refused_before_they_are_read(
    tiny_sqlite: Tiny, way: str
) -> None:
    # Fails when only the declared length is believed, or the whole body is taken in first.
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(800):
            read += 65_536
            yield CANARY.encode() * 5041

    lengths = {"declared": {"Content-Length": str(50 * 2**20)}, "chunked": {}}
    lengths["declared wrongly"] = {"Content-Length": "10"}
    headers = tiny_sqlite.bearer() | {"Content-Type": "application/json"} | lengths[way]

    response = await tiny_sqlite.client.post(
        "/v1/things", content=body(), headers=headers | {"Idempotency-Key": "k"}
    )

    assert (response.status_code, response.json()["code"]) == (413, "body.too_large")
    assert CANARY not in response.text
    assert read <= 2 * 2**20


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "json",
    ],
)
async def test_a_body_that_is_not_called_json_is_refused(
    tiny_sqlite: Tiny, media_type: str
) -> None:
    # Fails when a form of another site may post: browsers send these without asking.
    response = await tiny_sqlite.post(
        "/v1/things", content=b'{"label": "x"}', headers={"Content-Type": media_type}
    )

    assert (response.status_code, response.json()["code"]) == (415, "body.media_type")


@pytest.mark.parametrize("length", ["²", "1_0", "-1", "9" * 5000, "x"])
async def test_an_odd_content_length_is_no_error_of_ours(tiny_sqlite: Tiny, length: str) -> None:
    # Fails when the header is turned into a number without care: it would be a 500.
    response = await tiny_sqlite.client.post(
        "/v1/things",
        content=b'{"label": "x"}',
        headers={
            b"Authorization": tiny_sqlite.bearer()["Authorization"].encode(),
            b"Content-Type": b"application/json",
            b"Idempotency-Key": b"k",
            b"Content-Length": length.encode("latin-1"),
        },
    )

    assert response.status_code in {201, 400, 413}


async def test_accepted_text_comes_back_in_nfc(tiny: Tiny) -> None:
    # Fails when answer and storage differ in form: the same name would not be found again.
    names = ["Ђорђе", "e\u0301le\u0300ve", "Ștefan", "سارة", "👩‍👧"]
    for name in names:
        response = await tiny.post("/v1/things", {"label": f"  {name} ", "text": f"a\n{name}"})

        assert response.status_code == 201
        assert response.json()["label"] == unicodedata.normalize("NFC", name)
        assert response.json()["text"] == f"a\n{unicodedata.normalize('NFC', name)}"
