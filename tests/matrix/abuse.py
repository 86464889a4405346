"""What a hostile or broken client may send in place of a good body (T26, T29)."""

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.surface.fields import Field, Part, Schema, example_with, fields, parts, pointer, put
from tests.surface.operations import JSON, Operation

MARK = "zqmark7319473219-abcdefghijklmn"  # pragma: allowlist secret
"""Stands in every value and name sent, and so must never come back."""

NUMBER = 7319473219
"""The same as a number."""

UNSAFE = {
    "NUL": "\x00",
    "control": "\x07",
    "bidi": "\u202e",
    "zero width": "\u200b",
    "byte order mark": "\ufeff",
    "lone surrogate": "\ud800",
    "noncharacter": "\uffff",
    "private use": "\ue000",
    "line separator": "\u2028",
    "marks without end": "\u0301\u0323" * 16,
}

SERVER_OWNED = (
    "id",
    "version",
    "organisation_id",
    "recorded_at",
    "updated_at",
    "status",
    "country",
    "role",
    "created_by",
    "worker",
    "consent",
    "is_minor",
    "__class__",
    "__dict__",
    "__proto__",
    "constructor",
)
"""What the service itself decides, and names by which libraries can be talked into more."""

NEARLY: dict[str, tuple[Any, ...]] = {
    # What a lenient reader takes for a time, a day or an id: seconds, other ISO forms, no offset.
    "date-time": (
        1_700_000_000,
        "1700000000",
        "2025-11-20",
        "2025-11-20T09:15:00",
        "2025-11-20 09:15:00Z",
        "20251120T091500Z",
        "2025-11-20T09:15:00+0100",
        "2025-11-20T25:00:00Z",
        "0001-01-01T00:00:00+14:00",
    ),
    "date": (
        20_251_120,
        1_700_000_000,
        "20251120",
        "2025-11-20T00:00:00Z",
        "2025-02-30",
        "2025-W47-4",
    ),
    "uuid": (1, "00000000", "0b8c2f54-7d0e-4c3b-8a3e-2f6f1f1f9a0g"),
}

GUESSED: dict[str, tuple[Any, ...]] = {
    # What a lenient reader takes for a number or a flag.
    "integer": ("5", "05", " 5", 5.0, True),
    "number": ("5", "0.5", True),
    "boolean": ("true", "1", "yes", 1, 0, 1.0),
}

ANYTHING: dict[str, Any] = {
    "string": MARK,
    "integer": NUMBER,
    "number": NUMBER + 0.5,
    "boolean": True,
    "array": [MARK],
    "object": {MARK: MARK},
    "null": None,
}

FAR_TOO_LONG = 20_000
"""Longer than any text the API takes; for a field whose description names no length."""


@dataclass(frozen=True, slots=True)
class Attack:
    """A body to be refused. `pointer` leads to the fault; None where none can be named."""

    name: str
    content: bytes
    pointer: str | None = None
    code: str | None = None
    content_type: str = JSON


def attacks_on_fields(operation: Operation) -> Iterator[Attack]:
    """Yield, for every field, values that no field of its kind takes."""
    for field in fields(operation):
        base = example_with(operation, field.path)
        for name, value in _bad_values(field):
            content = json.dumps(put(base, field.path, value)).encode()
            yield Attack(f"{field}: {name}", content, pointer(field.path))


def _bad_values(field: Field) -> Iterator[tuple[str, Any]]:
    allowed = field.types | ({"null"} if field.is_nullable else set())
    allowed |= {"integer"} if "number" in allowed else set()
    for kind, value in ANYTHING.items():
        if kind not in allowed:
            yield kind, value
    for option in field.options:
        yield from _out_of_bounds(option)
    yield from _guessed(field)
    if field.text is None:
        return
    for value in NEARLY.get(field.text.get("format", ""), ()):
        yield f"nearly: {value}", value
    if field.is_coded:
        # To them every character is as foreign as any other.
        yield "unknown code", MARK
        yield "number as text", str(NUMBER)
        yield "empty", ""
        yield "lone surrogate", f"{MARK}{UNSAFE['lone surrogate']}"
    else:
        for name, character in UNSAFE.items():
            yield name, f"{MARK}{character}{MARK}"


def _guessed(field: Field) -> Iterator[tuple[str, Any]]:
    if field.text is None:
        for kind in sorted(field.types & GUESSED.keys()):
            for value in GUESSED[kind]:
                yield f"guessed: {value!r}", value


def _out_of_bounds(option: Schema) -> Iterator[tuple[str, Any]]:
    match option["type"]:
        case "string":
            length = option.get("maxLength", FAR_TOO_LONG)
            yield "too long", (MARK * (length // len(MARK) + 2))[: length + 1]
        case "integer" | "number":
            yield "huge", 10**19
            yield "negative", -NUMBER
            yield "fraction", NUMBER + 0.5
        case "array":
            # FAR_TOO_LONG items that are nothing would be refused for what they are.
            yield "too many", [MARK] * (option.get("maxItems", FAR_TOO_LONG) + 1)


def attacks_on_names(operation: Operation, columns: frozenset[str]) -> Iterator[Attack]:
    """Yield bodies with a field more, in each of their objects: what nobody but we may set."""
    for part in parts(operation):
        base = example_with(operation, (*part.path, MARK))
        for name in (*SERVER_OWNED, MARK):
            if name not in part.names:
                yield _more(f"{pointer(part.path)}/{name}", part, base, {name: MARK})
        more = dict.fromkeys(sorted(columns - part.names), MARK)
        yield _more(f"{pointer(part.path)}: every column", part, base, more)


def _more(name: str, part: Part, base: Any, extra: dict[str, str]) -> Attack:
    for field, value in extra.items():
        base = put(base, (*part.path, field), value)
    return Attack(name, json.dumps(base).encode(), pointer(part.path), "field.unknown")


def attacks_on_json(operation: Operation) -> Iterator[Attack]:
    """Yield what is no strict JSON object in UTF-8, or is one nobody should have to read."""
    example = operation.examples[0]
    good = json.dumps(example, ensure_ascii=False).encode()
    name = json.dumps(next(iter(example), MARK)).encode()
    for what, value in {
        "NaN": b"NaN",
        "Infinity": b"Infinity",
        "minus Infinity": b"-Infinity",
        "1e400": b"1e400",
        "5,000 digits": b"9" * 5_000,
        "lone surrogate in a name": b'{"\\ud800": 1}',
        "invalid UTF-8": b'"\xff\xfe"',
        "overlong UTF-8": b'"\xc0\x80"',
        "surrogate as UTF-8": b'"\xed\xa0\x80"',
        "raw control": b'"\x01"',
    }.items():
        yield Attack(what, b"{" + name + b": " + value + b"}")
    yield Attack(
        "repeated name", good[:-1].rstrip() + _and(example) + name + b": 1, " + name + b": 1}"
    )
    for depth in (33, 65, 100_000):
        yield Attack(f"depth {depth}", b'{"x": ' + b"[" * depth + b"]" * depth + b"}")
    yield Attack("byte order mark", codecs.BOM_UTF8 + good)
    yield Attack("UTF-16", good.decode().encode("utf-16"))
    yield Attack("cut off", good[:-1])
    yield Attack("two values", good + good)
    yield Attack("empty", b"")
    yield Attack("text", b"%s", content_type="text/plain")
    yield Attack("form", b"a=b", content_type="application/x-www-form-urlencoded")
    yield Attack("no media type", good, content_type="")
    for what, body in {"null": None, "list": [example], "string": MARK, "number": NUMBER}.items():
        yield Attack(f"{what} for an object", json.dumps(body).encode())


def _and(example: Any) -> bytes:
    return b", " if example else b""


def attacks_by_size(limit: int) -> Iterator[Attack]:
    """Yield bodies at the edge of what is read at all; `limit` in bytes."""
    many = {f"{MARK}{number}": 1 for number in range(20_000)}
    yield Attack("20,000 names", json.dumps(many).encode(), "", "field.unknown")
    yield Attack("too large", b'{"x": "' + b"a" * limit + b'"}')
    yield Attack("combining marks", json.dumps({MARK: "\u0301\u0323" * 80_000}).encode(), "")
