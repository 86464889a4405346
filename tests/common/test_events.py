"""The bytes of an event: one form for one value, whichever encoder wrote it."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from common.events import Event, canonical

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
