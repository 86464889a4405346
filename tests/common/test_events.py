"""The bytes of an event: one form for one value, whichever encoder wrote it."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from common.clock import new_id
from common.events import Event, canonical

RELEASES = Path(__file__).parent.parent / "contracts" / "releases"
SIMPLE = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
VALUES = st.recursive(
    SIMPLE | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def by_the_book(value: object) -> bytes | type[Exception]:
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]
    except rfc8785.CanonicalizationError as error:
        return type(error)


@given(VALUES)
def test_every_value_is_written_as_rfc_8785_says(value: object) -> None:
    # Fails when the fast way is taken for a float, a great number or a key whose order is in doubt.
    expected = by_the_book(value)
    if isinstance(expected, bytes):
        assert canonical(value) == expected
    else:
        with pytest.raises(expected):
            canonical(value)


def test_what_the_encoders_write_differently_goes_the_long_way() -> None:
    assert canonical([1.0, 1e21, 0.000001]) == b"[1,1e+21,0.000001]"
    # U+1F600 sorts before U+FB33 by UTF-16 code units and after it by code points.
    assert canonical({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()
    with pytest.raises(rfc8785.IntegerDomainError):
        canonical(2**53)
    assert canonical('\u0001\t"\\/é\u2028\x7f') == '"\\u0001\\t\\"\\\\/é\u2028\x7f"'.encode()


def test_what_the_fast_encoder_refuses_is_written_or_refused_as_before() -> None:
    deep: list[object] = []
    for _ in range(300):  # Seeded: orjson gives up at 254
        deep = [deep]
    assert canonical(deep) == b"[" * 301 + b"]" * 301
    for half in ("\ud800", ["\udfff"], {"a": "x\ud800"}):
        with pytest.raises(rfc8785.CanonicalizationError):  # a TypeError would stop all letters
            canonical(half)


def test_golden_events_are_the_bytes_of_the_standard_encoder() -> None:
    # Fails when orjson escapes, sorts or spaces anything otherwise than what wrote them did.
    encoder = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    golden = [
        line for file in RELEASES.glob("*/events.jsonl") for line in file.read_bytes().splitlines()
    ]
    assert golden
    for line in golden:
        event = json.loads(line)
        assert canonical(event) == encoder.encode(event).encode()


@given(
    at=st.datetimes(timezones=st.timezones() | st.just(UTC)),
    seq=st.integers(1, 2**60),
    trace=st.none() | st.just(f"00-{'1' * 32}-{'2' * 16}-00"),
    said=st.dictionaries(st.text(), SIMPLE),
)
def test_an_event_is_written_as_its_members_are(
    at: datetime, seq: int, trace: str | None, said: dict[str, object]
) -> None:
    """Seeded: let orjson write a great number, or a time as it is in Python."""
    event = Event(
        source="/RS/t",
        type="t.a.b.v1",
        subject=new_id(),
        time=at,
        seq=seq,
        traceparent=trace,
        data=said,
    )
    members = event.model_dump(mode="json")
    if trace is None:
        del members["traceparent"]
    expected = by_the_book(members)
    if isinstance(expected, bytes):
        assert event.to_bytes().endswith(expected[1:])
    else:
        with pytest.raises(expected):
            event.to_bytes()


def test_an_event_is_one_line_of_sorted_members() -> None:
    event = Event(
        id=UUID(int=1),
        source="/RS/intake",
        type="intake.case.opened.v1",
        subject=UUID(int=2),
        time=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        seq=1,
        data={"case_id": str(UUID(int=2)), "country": "RS", "is_minor": None},
    )

    raw = event.to_bytes()

    assert list(json.loads(raw)) == sorted(json.loads(raw))
    assert b'"time":"2026-01-02T03:04:05.678901Z"' in raw
    assert Event.model_validate_json(raw) == event


def test_an_event_begins_with_the_checksum_of_the_rest() -> None:
    # Fails when it is not what the published schema says: a partner who checks it would refuse all.
    event = Event(
        source="/RS/intake", type="intake.case.opened.v1", subject=new_id(), seq=1, data={"x": "ć"}
    )
    raw = event.to_bytes()
    members = json.loads(raw)

    checksum = members.pop("checksum")

    assert hashlib.sha256(rfc8785.dumps(members)).hexdigest() == checksum
    assert Event.from_bytes(raw) == event
    for bad in (raw[:-1], raw.replace("ć".encode(), b"c"), rfc8785.dumps(members | {"a": 1})):
        with pytest.raises(ValueError):  # noqa: PT011  of pydantic or of ours
            Event.from_bytes(bad)


def test_a_trace_travels_with_the_event_and_is_no_reason_to_refuse_it() -> None:
    # Fails when an absent trace is written as null, or a sibling's malformed one buries its event.
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"  # pragma: allowlist secret
    plain = Event(
        source="/RS/intake", type="intake.case.opened.v1", subject=new_id(), seq=1, data={}
    )
    traced = plain.model_copy(update={"traceparent": parent})

    assert "traceparent" not in json.loads(plain.to_bytes())
    assert json.loads(traced.to_bytes())["traceparent"] == parent
    for bad in (
        "",
        "00-0-0-0",
        parent.upper(),
        f"{parent}-x",
        7,
        None,
        "00-" + "0" * 32 + parent[35:],
    ):
        read = Event.model_validate_json(
            json.dumps(json.loads(plain.to_bytes()) | {"traceparent": bad})
        )
        assert (read.id, read.traceparent) == (plain.id, None), bad
