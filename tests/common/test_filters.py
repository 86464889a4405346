"""Filters: what is documented narrows the list, anything else is refused; nothing reaches the SQL."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest

from common.db import Database
from tests.common.things import ORGANISATION, Thing, make, new_unit
from tests.common.tiny import FILTERS, Tiny
from tests.conftest import fixed_id

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Row:
    """A thing as it is stored, for the same question in Python."""

    def __init__(self, number: int) -> None:
        self.id = fixed_id(number)
        self.status = ["NEW", "MOVED", "sr-Latn.x_1"][number % 3]
        self.version = number
        self.is_heavy = number % 2 == 0
        self.due_on = date(2026, 3, number)
        self.recorded_at = NOON + timedelta(hours=number)


ROWS = [Row(number) for number in range(1, 7)]
Keep = Callable[[Row], bool]
THIRD = ROWS[2].recorded_at
NARROWED: list[tuple[dict[str, str], Keep]] = [
    ({}, lambda r: True),
    ({"status": "MOVED"}, lambda r: r.status == "MOVED"),
    ({"status": "sr-Latn.x_1"}, lambda r: r.status == "sr-Latn.x_1"),
    ({"status": "moved"}, lambda r: False),
    ({"status.in": "NEW,MOVED"}, lambda r: r.status in {"NEW", "MOVED"}),
    ({"state": "NEW"}, lambda r: r.status == "NEW"),
    ({"id": str(fixed_id(2))}, lambda r: r.id == fixed_id(2)),
    ({"id": str(fixed_id(0xA)).upper()}, lambda r: False),
    (
        {"id.in": f"{fixed_id(2)},{fixed_id(3)},{fixed_id(99)}"},
        lambda r: r.id in {fixed_id(2), fixed_id(3)},
    ),
    ({"is_heavy": "true"}, lambda r: r.is_heavy),
    ({"is_heavy": "false"}, lambda r: not r.is_heavy),
    ({"version": "3"}, lambda r: r.version == 3),
    ({"version": "-3"}, lambda r: False),
    ({"version.gt": "3"}, lambda r: r.version > 3),
    ({"version.gte": "3", "version.lt": "5"}, lambda r: 3 <= r.version < 5),
    ({"version.lte": "2147483647"}, lambda r: True),
    ({"due_on": "2026-03-03"}, lambda r: r.due_on == date(2026, 3, 3)),
    ({"due_on.gte": "2026-03-03"}, lambda r: r.due_on >= date(2026, 3, 3)),
    ({"due_on.lt": "2026-03-03"}, lambda r: r.due_on < date(2026, 3, 3)),
    ({"recorded_at": "2026-03-01T15:00:00Z"}, lambda r: r.recorded_at == THIRD),
    ({"recorded_at.gt": "2026-03-01T15:00:00z"}, lambda r: r.recorded_at > THIRD),
    ({"recorded_at.lte": "2026-03-01T16:00:00+01:00"}, lambda r: r.recorded_at <= THIRD),
    ({"recorded_at.lt": "2026-03-01T15:00:00.000001Z"}, lambda r: r.recorded_at <= THIRD),
    ({"status": "NEW", "version.gt": "4"}, lambda r: r.status == "NEW" and r.version > 4),
]


async def stored(database: Database, *, organisation_id: UUID = ORGANISATION) -> None:
    unit = new_unit(database)
    for row in ROWS:
        make(unit, row.id, organisation_id=organisation_id)
        unit.update(Thing, {"id": row.id}, expect=1, **vars(row))
    await database.write(unit)


async def test_each_filter_narrows_as_the_same_question_in_python(
    tiny: Tiny, database: Database
) -> None:
    # Fails when two operators are mixed up, or an engine compares times, ids or flags otherwise.
    await stored(database)

    for query, keep in NARROWED:
        response = await tiny.get(f"/v1/things?{urlencode(query)}")
        assert response.status_code == 200, (query, response.text)
        found = [item["id"] for item in response.json()["items"]]
        assert found == [str(row.id) for row in reversed(ROWS) if keep(row)], query


UNKNOWN = [
    "foo=1",
    "Status=NEW",
    "status.gt=NEW",
    "status.like=N%25",
    "status.=NEW",
    "version.in=1,2",
    "is_heavy.in=true",
    "recorded_at.between=1",
    "id.gt=1",
    "organisation_id=1",
    "thing.status=NEW",
    "status%5B%5D=NEW",
    "validate_only=true",
    "=1",
    "sort=status",
    "1%3D1--=1",
]


async def test_a_filter_nobody_documented_is_refused(tiny_sqlite: Tiny) -> None:
    # Fails when an unknown name is passed over: a misspelt filter would show everything.
    for query in UNKNOWN:
        response = await tiny_sqlite.get(f"/v1/things?{query}")
        assert (response.status_code, response.json()["code"]) == (400, "filter.unknown"), query
        assert {"cursor", "limit", "status.in"} <= set(response.json()["known"]), query


BAD: dict[str, list[str]] = {
    "status": ["", "a" * 41, "a b", "a\0b", "a'b", "Ђ", "%", "a,b", "\u202e"],
    "status.in": ["", ",", "NEW,", ",".join(["NEW"] * 51), "NEW,'"],
    "state": ["OTHER", "new", "NEW "],
    "state.in": ["NEW,OTHER"],
    "id": [
        "",
        "1",
        "x" * 36,
        "{00000000-0000-0000-0000-000000000001}",
        "0" * 32,
        f"{fixed_id(1)} ",
    ],
    "id.in": [f"{fixed_id(1)},", f"{fixed_id(1)};{fixed_id(2)}"],
    "version": ["", "1.0", "1_0", " 1", "+1", "٣", "0x1", "1e3", "NaN", "2147483648", "9" * 40],
    "version.gt": ["-2147483649", "--1", "9" * 5000],
    "is_heavy": ["", "True", "1", "yes", "null"],
    "due_on": ["", "2026-02-30", "20260301", "2026-W01-1", "2026-3-1", "0000-01-01", "2026-03-01T"],
    "recorded_at": [
        "",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-03-01T12:00Z",
        "2026-03-01 12:00:00Z",
        "2026-03-01T25:00:00Z",
        "2026-03-01T12:00:00+25:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "now",
    ],
    "recorded_at.gte": ["infinity", "2026-03-01 12:00:00 01:00"],
}


async def test_a_value_of_another_form_is_refused_and_not_repeated(tiny: Tiny) -> None:
    # Fails when a parser takes more than is documented, or the database meets what it cannot hold.
    for name, values in BAD.items():
        for value in values:
            response = await tiny.get(f"/v1/things?{name}={quote(value)}")
            shown = (name, value[:40], response.text[:200])
            assert response.status_code == 400, shown
            problem = response.json()
            assert (problem["code"], problem["parameter"]) == ("filter.invalid", name), shown
            members = {"type", "title", "status", "code", "detail", "trace_id", "parameter", "form"}
            assert set(problem) - {"choices"} == members, shown


async def test_a_plus_sign_that_became_a_space_is_told_how_to_be_written(tiny: Tiny) -> None:
    # Fails when the caller only hears that the value is wrong, and sees nothing wrong with it.
    for name in ("recorded_at", "recorded_at.lt"):
        plain = await tiny.get(f"/v1/things?{name}=2026-03-01T12:00:00+01:00")
        escaped = await tiny.get(f"/v1/things?{name}=2026-03-01T12:00:00%2B01:00")

        assert escaped.status_code == 200
        problem = plain.json()
        shown = (plain.status_code, problem["code"], problem["parameter"])
        assert shown == (400, "filter.plus_as_space", name)
        assert "%2B" in problem["detail"]


ATTACKS = [
    "' OR '1'='1",
    "NEW' UNION SELECT * FROM subject_key --",
    "1; DROP TABLE thing",
    "NEW%00",
    "$1",
    ":status",
    "?",
    "\\",
    "(SELECT pg_sleep(9))",
]


@pytest.mark.parametrize("name", FILTERS.names)
async def test_no_filter_lets_sql_or_another_organisations_rows_through(
    tiny_sqlite: Tiny, name: str
) -> None:
    # Fails when a value is pasted into the statement, or a filter replaces the organisation's.
    await stored(tiny_sqlite.runtime.database, organisation_id=fixed_id(77))

    for attack in ATTACKS:
        response = await tiny_sqlite.get(f"/v1/things?{name}={quote(attack)}")
        assert response.status_code == 400, attack
    for query in ("status=NEW", "version.gte=0", "recorded_at.gte=2000-01-01T00:00:00Z"):
        response = await tiny_sqlite.get(f"/v1/things?{query}")
        assert response.json() == {"items": [], "next": None}


async def test_the_filters_stand_in_the_description_of_the_api(tiny_sqlite: Tiny) -> None:
    # Fails when a filter works and nobody can know, or is described and refused.
    schema = (await tiny_sqlite.client.get("/openapi.json")).json()
    parameters = schema["paths"]["/v1/things"]["get"]["parameters"]

    described = {p["name"] for p in parameters if p["in"] == "query"}
    assert described == {*FILTERS.names, "limit", "cursor", "fields"}
