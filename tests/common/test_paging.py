"""Pages: a walk meets every row once, whatever arrives meanwhile; a cursor is only a place."""

import base64
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest
from sqlalchemy import select

from common.clock import new_id
from common.db import Database
from common.relay import Relay
from common.sealing import SealError, ServiceBox
from tests.common.things import ORGANISATION, Thing, made, make, new_unit
from tests.common.tiny import Tiny
from tests.conftest import MASTER, fixed_id

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def arrive(database: Database, chance: Random, count: int, *, later: bool = False) -> None:
    """Write things, many of them at one moment, so that the id decides their order."""
    unit = new_unit(database)
    for _ in range(count):
        minutes = chance.randrange(5) + (10 if later else 0)
        make(unit, new_id(), recorded_at=NOON + timedelta(minutes=minutes))
    await database.write(unit)


async def walk(tiny: Tiny, database: Database, limit: int, chance: Random) -> list[str]:
    """Read page by page while rows arrive before and behind the reader."""
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await tiny.get(f"/v1/things?limit={limit}{cursor}")).json()
        assert len(page["items"]) <= limit
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            return seen
        cursor = f"&cursor={page['next']}"
        await arrive(database, chance, 2, later=True)


@pytest.mark.parametrize("limit", [1, 7])
@pytest.mark.row("F77")
async def test_a_walk_meets_every_row_once_while_newer_ones_arrive(
    tiny: Tiny, database: Database, limit: int
) -> None:
    # Fails for pages by offset, for a cursor without the id, and where an engine orders ids otherwise.
    seed = new_id().int % 2**32
    chance = Random(seed)  # noqa: S311  an order of rows, not a secret
    await arrive(database, chance, 20)
    found = await database.fetch(select(Thing).order_by(Thing.recorded_at.desc(), Thing.id.desc()))

    seen = await walk(tiny, database, limit, chance)

    assert seen == [str(row.id) for row in found], f"seed {seed}"


async def test_a_row_that_goes_shifts_nothing(tiny: Tiny, database: Database) -> None:
    # Fails for pages by offset: a row would be passed over.
    await arrive(database, Random(1), 6)  # noqa: S311
    first = (await tiny.get("/v1/things?limit=3")).json()
    unit = new_unit(database)
    for gone in (first["items"][0], first["items"][2]):
        unit.remove(Thing, id=UUID(gone["id"]))
    await database.write(unit)

    second = (await tiny.get(f"/v1/things?limit=3&cursor={first['next']}")).json()

    ids = [item["id"] for item in first["items"] + second["items"]]
    assert len({*ids}) == 6
    assert second["next"] is None


async def test_the_last_page_is_known_for_the_last(tiny_sqlite: Tiny) -> None:
    # Fails when a full last page promises another.
    await arrive(tiny_sqlite.runtime.database, Random(1), 4)  # noqa: S311

    page = (await tiny_sqlite.get("/v1/things?limit=4")).json()

    assert (len(page["items"]), page["next"]) == (4, None)
    assert (await tiny_sqlite.get("/v1/things?limit=5")).json() == page


def b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


CURSORS = [
    "x",
    "%00",
    "č",
    "=",
    b64(""),
    b64("|"),
    b64("2026-03-01T12:00:00+00:00"),
    b64("2026-03-01T12:00:00+00:00|"),
    b64("2026-03-01T12:00:00+00:00|1"),
    b64(f"yesterday|{fixed_id(1)}"),
    b64(f"0001-01-01T00:00:00+14:00|{fixed_id(1)}"),
    b64(f"9999-12-31T23:59:59-14:00|{fixed_id(1)}"),
    b64(f"2026-03-01T12:00:00+00:00|{fixed_id(1)}'"),
    b64(f"2026-03-01T12:00:00+00:00|{fixed_id(1)}|x"),
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
]


async def test_a_cursor_nobody_gave_is_refused(tiny: Tiny) -> None:
    # Fails when a forged cursor reaches the database: it would be a 500.
    for cursor in CURSORS:
        response = await tiny.get(f"/v1/things?cursor={cursor}")
        assert (response.status_code, response.json()["code"]) == (400, "cursor.invalid"), cursor


async def test_a_cursor_is_good_for_its_own_list_only(tiny: Tiny, database: Database) -> None:
    """Seeded: bind cursors to nothing, or leave out the filters, the organisation or the path."""
    await arrive(database, Random(1), 4)  # noqa: S311
    listed = "/v1/things?status=NEW&limit=2"
    cursor = (await tiny.get(listed)).json()["next"]
    others = tiny.bearer(organisation_id=fixed_id(77))

    same = await tiny.get(f"/v1/things?status=NEW&limit=1&fields=id&cursor={cursor}")
    elsewhere = [
        await tiny.get(f"/v1/things?cursor={cursor}"),
        await tiny.get(f"/v1/things?status=MOVED&cursor={cursor}"),
        await tiny.get(f"/v1/things?status=NEW&is_heavy=false&cursor={cursor}"),
        await tiny.client.get(f"{listed}&cursor={cursor}", headers=others),
    ]

    assert (same.status_code, len(same.json()["items"])) == (200, 1)
    for answer in elsewhere:
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (400, "cursor.invalid"), answer.url
        assert problem["parameter"] == "cursor"


async def test_a_place_in_another_form_is_no_cursor(tiny: Tiny, database: Database) -> None:
    # Fails when a place is taken that was not given: it tells when others' records were made.
    await arrive(database, Random(1), 4)  # noqa: S311
    raw = _raw((await tiny.get("/v1/things?limit=1")).json()["next"])
    forged = [bytes([*raw[:n], raw[n] ^ 1, *raw[n + 1 :]]) for n in range(len(raw))]

    for each in (*forged, raw[:-1], raw + b"\0", b"2026-03-01T12:30:00+00:00|1"):
        cursor = base64.urlsafe_b64encode(each).decode().rstrip("=")
        response = await tiny.get(f"/v1/things?cursor={cursor}")
        assert (response.status_code, response.json()["code"]) == (400, "cursor.invalid"), cursor


async def test_a_page_has_one_to_two_hundred_items(tiny_sqlite: Tiny) -> None:
    # Fails when a caller can ask for everything at once.
    for limit in ("0", "-1", "201", "x", "1.5", "", "9" * 400):
        response = await tiny_sqlite.get(f"/v1/things?limit={limit}")

        problem = response.json()
        assert (response.status_code, problem["code"]) == (400, "query.invalid"), limit
        [field] = problem["errors"]
        assert problem["parameter"] == field["parameter"] == "limit", limit
        assert (field["location"], "pointer" in field) == ("query", False), limit


# --- the feed


@pytest.mark.row("C7")
async def test_the_feed_is_read_by_its_positions_and_shows_ones_own_events(
    tiny: Tiny, database: Database
) -> None:
    # Fails when the feed pages by id, shows what is not published yet, or another's events.
    relay = Relay(database, tiny.runtime.bus)
    await relay.lead()
    await made(database, fixed_id(1), fixed_id(2), moves=3)
    await relay.publish_waiting()
    await made(database, fixed_id(3))

    first = (await tiny.get("/v1/changes?limit=5")).json()
    second = (await tiny.get(f"/v1/changes?cursor={first['next']}")).json()
    others = await tiny.client.get("/v1/changes", headers=tiny.bearer(organisation_id=fixed_id(77)))

    assert [item["seq"] for item in first["items"] + second["items"]] == [1, 2, 3, 4] * 2
    assert others.json()["items"] == []
    again = (await tiny.get(f"/v1/changes?cursor={second['next']}")).json()
    assert again == {"items": [], "next": second["next"]}


async def test_a_place_in_the_feed_tells_nobody_how_much_the_country_has_to_tell(
    tiny: Tiny, database: Database
) -> None:
    """Seeded: give the position itself; bind the token to nothing; make its key anew at each start."""
    relay = Relay(database, tiny.runtime.bus)
    await relay.lead()
    await made(database, *(fixed_id(n) for n in range(1, 13)))
    await relay.publish_waiting()
    pages = [(await tiny.get("/v1/changes?limit=1")).json()]
    for _ in range(11):
        pages.append((await tiny.get(f"/v1/changes?limit=1&cursor={pages[-1]['next']}")).json())
    tokens = [page["next"] for page in pages]

    stranger = tiny.bearer(organisation_id=fixed_id(77))
    stolen = await tiny.client.get(f"/v1/changes?cursor={tokens[4]}", headers=stranger)
    sibling = ServiceBox(MASTER, "sibling")
    restarted = ServiceBox(MASTER, tiny.runtime.name)

    assert {len(token) for token in tokens} == {len(tokens[0])}
    assert len({token[:8] for token in tokens}) == len(tokens)
    assert [page["items"][0]["subject"] for page in pages] == [
        str(fixed_id(n)) for n in range(1, 13)
    ]
    assert (stolen.status_code, stolen.json()["code"]) == (400, "cursor.invalid")
    place = b"feed-v1|" + ORGANISATION.bytes
    assert int.from_bytes(restarted.unveil(_raw(tokens[4]), place=place), "big") == 5
    with pytest.raises(SealError):
        sibling.unveil(_raw(tokens[4]), place=place)


async def test_no_token_of_the_feed_can_be_made_or_changed(tiny: Tiny, database: Database) -> None:
    # Fails when a token is only encoded, or encrypted without being authenticated.
    await made(database, fixed_id(1))
    token = (await tiny.get("/v1/changes")).json()["next"]
    raw = _raw(token)
    forged = [bytes([*raw[:n], raw[n] ^ 1, *raw[n + 1 :]]) for n in range(len(raw))]

    for each in (*forged, raw[:-1], raw + b"\0", b"", bytes(24), (5).to_bytes(8, "big")):
        cursor = base64.urlsafe_b64encode(each).decode()
        response = await tiny.get(f"/v1/changes?cursor={cursor}")
        assert (response.status_code, response.json()["code"]) == (400, "cursor.invalid"), cursor


def _raw(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


async def test_a_place_the_feed_cannot_have_is_refused(tiny: Tiny) -> None:
    # Fails when a number the column cannot hold reaches the database: it would be a 500.
    for cursor in ("x", "-1", "1.5", "٣", "9" * 19, "9" * 20, "²", "1_0"):
        response = await tiny.get(f"/v1/changes?cursor={cursor}")

        assert (response.status_code, response.json()["code"]) == (400, "cursor.invalid"), cursor
