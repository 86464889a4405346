"""Entries before data: what is not written down is not shown."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import create_engine, select, text
from sqlalchemy.pool import NullPool
from starlette.types import Message, Receive, Scope, Send

from common.db import Database
from common.relay import Relay
from common.tables import AuditEntry
from common.unit import Unit
from tests.common.things import Around, Thing, fail_on
from tests.common.tiny import Tiny, client_of
from tests.conftest import fixed_id


class Watched:
    """The application, with a look taken just before each body leaves."""

    def __init__(self, tiny: Tiny, look: Callable[[], object]) -> None:
        self._app = tiny.app
        self._look = look
        self.seen: list[object] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watching(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.seen.append(await asyncio.to_thread(self._look))
            await send(message)

        await self._app(scope, receive, watching)


async def test_the_entry_is_committed_before_the_first_byte_of_the_answer_leaves(
    tiny: Tiny, database_url: str
) -> None:
    # Fails when the entry is written after the answer, or in a transaction that is still open.
    thing_id = await tiny.created()
    await tiny.post(f"/v1/things/{thing_id}/note", {"note": "Ana Marković"})

    def committed() -> int:
        engine = create_engine(database_url.replace("+asyncpg", "+psycopg"), poolclass=NullPool)
        with engine.connect() as connection:
            query = "SELECT count(*) FROM audit_entry WHERE operation = 'read_note'"
            count: int = connection.execute(text(query)).scalar_one()
        engine.dispose()
        return count

    watched = Watched(tiny, committed)
    async with client_of(watched) as client:
        for _ in range(2):
            response = await client.get(f"/v1/things/{thing_id}/note", headers=tiny.bearer())
            assert response.json() == {"note": "Ana Marković"}

    assert watched.seen == [1, 2]


async def test_without_an_entry_no_data_leave(
    tiny: Tiny, database: Database, database_url: str
) -> None:
    # T8. Fails when a failing audit is logged and the answer sent all the same.
    thing_id = await tiny.created()
    await tiny.post(f"/v1/things/{thing_id}/note", {"note": "Ana Marković"})
    fail_on(database_url, "audit_entry", "NEW.operation = 'read_note'")

    response = await tiny.get(f"/v1/things/{thing_id}/note")

    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert response.headers["retry-after"] == "5"
    assert "Ana" not in response.text
    assert "broken" not in response.text
    query = select(AuditEntry.id).where(AuditEntry.operation == "read_note")
    assert await database.fetch(query) == []


async def test_without_an_entry_nothing_is_changed(
    tiny: Tiny, database: Database, database_url: str
) -> None:
    # T8. Fails when a change is kept without its entry, or its refusal is told as a fault for good.
    fail_on(database_url, "audit_entry", "NEW.operation = 'create_thing'")

    response = await tiny.post("/v1/things", {"label": "x"})

    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert await database.fetch(select(Thing.id)) == []


async def test_a_list_names_every_record_it_shows_before_it_leaves(
    tiny: Tiny, database: Database, database_url: str
) -> None:
    # Fails when a page leaves no entry, names what it did not show, or is sent without its entry.
    ids = [await tiny.created() for _ in range(3)]
    pages = [await tiny.get("/v1/things?limit=2")]
    pages.append(await tiny.get(f"/v1/things?limit=2&cursor={pages[0].json()['next']}"))
    none = await tiny.get("/v1/things?status=GONE")
    query = select(AuditEntry).where(AuditEntry.action == "list").order_by(AuditEntry.id)
    entries = await database.fetch(query)
    fail_on(database_url, "audit_entry", "NEW.action = 'list'")
    refused = await tiny.get("/v1/things")

    assert none.json()["items"] == []
    assert [(e.operation, e.object_type, e.object_ids, e.actor) for e in entries] == [
        ("list_things", "thing", shown, "worker-7")
        for shown in (*([item["id"] for item in page.json()["items"]] for page in pages), [])
    ]
    assert [id_ for e in entries for id_ in e.object_ids] == ids[::-1]
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert all(id_ not in refused.text for id_ in ids)


async def test_a_page_of_the_feed_names_whose_events_it_shows_and_an_empty_one_nothing(
    tiny: Tiny, database: Database
) -> None:
    # Fails when the feed is read without an entry, or each look for news fills the trail.
    thing_id = await tiny.created()
    await tiny.post(f"/v1/things/{thing_id}/move", headers={"If-Match": '"1"'})
    relay = Relay(database, tiny.runtime.bus)
    await relay.lead()
    await relay.publish_waiting()
    page = (await tiny.get("/v1/changes")).json()
    again = (await tiny.get(f"/v1/changes?cursor={page['next']}")).json()

    [entry] = await database.fetch(select(AuditEntry).where(AuditEntry.action == "list"))
    assert ([e["subject"] for e in page["items"]], again["items"]) == ([thing_id] * 2, [])
    assert (entry.operation, entry.object_type) == ("list_changes", "outbox_message")
    assert entry.object_ids == [thing_id]


async def test_an_outage_of_the_audit_is_told_as_one(tiny_sqlite: Tiny, tmp_path: Path) -> None:
    # Fails when the data leave although the commit was not confirmed.
    class Down(Around):
        async def write(self, unit: Unit) -> None:
            if unit.operation == "read_note":
                raise ConnectionResetError
            await super().write(unit)

    tiny = Tiny(tmp_path, Down(tiny_sqlite.runtime.database))
    thing_id = await tiny.created()
    await tiny.post(f"/v1/things/{thing_id}/note", {"note": "Ana Marković"})

    response = await tiny.get(f"/v1/things/{thing_id}/note")

    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert "Ana" not in response.text
    await tiny.close()


async def test_a_refusal_is_written_down_and_tells_nothing(tiny: Tiny, database: Database) -> None:
    # Fails when denials leave no entry, or what is hidden answers otherwise than what is absent.
    thing_id = await tiny.created()
    others = tiny.bearer(organisation_id=fixed_id(77))
    wrong_role = tiny.bearer(role="ANALYST")

    hidden = await tiny.client.get(f"/v1/things/{thing_id}", headers=others)
    absent = await tiny.client.get(f"/v1/things/{fixed_id(5)}", headers=others)
    forbidden = await tiny.client.get(f"/v1/things/{thing_id}", headers=wrong_role)

    assert [r.status_code for r in (hidden, absent, forbidden)] == [404, 404, 403]
    bodies = [{**r.json(), "trace_id": ""} for r in (hidden, absent)]
    assert bodies[0] == bodies[1]
    assert {**hidden.headers, "trace-id": ""} == {**absent.headers, "trace-id": ""}
    found = await database.fetch(
        select(AuditEntry).where(AuditEntry.decision == "deny").order_by(AuditEntry.id)
    )
    assert [(e.action, e.operation, e.role) for e in found] == [
        ("deny", "get_thing", "SOCIAL_WORKER"),
        ("deny", "get_thing", "SOCIAL_WORKER"),
        ("deny", "get_thing", "ANALYST"),
    ]
    assert [e.object_ids for e in found] == [[thing_id], [str(fixed_id(5))], [thing_id]]
