"""Methods: HEAD is GET without a body, and a refused method is told which ones there are."""

import httpx
from sqlalchemy import select

from common.clock import new_id
from common.db import Database
from common.tables import AuditEntry
from tests.common.tiny import Tiny

HOP = {"date", "trace-id"}
"""What differs between any two answers."""


def _shown(answer: httpx.Response) -> tuple[int, dict[str, str]]:
    return answer.status_code, {k: v for k, v in answer.headers.items() if k not in HOP}


async def head(tiny: Tiny, path: str, **headers: str) -> httpx.Response:
    return await tiny.client.head(path, headers=tiny.bearer() | headers)


async def test_head_is_answered_like_get_without_the_body(tiny: Tiny) -> None:
    # Fails when HEAD is refused, sends a body, or says other things of the record than GET.
    thing = f"/v1/things/{await tiny.created()}"

    for path in (thing, "/v1/things?limit=1", "/v1/codelists/urgency", "/livez", "/openapi.json"):
        got, asked = await tiny.get(path), await head(tiny, path)

        assert _shown(asked) == _shown(got), path
        assert got.content, path
        assert asked.content == b"", path


async def test_head_is_authorised_and_leaves_the_entries_get_leaves(
    tiny: Tiny, database: Database
) -> None:
    # Fails when HEAD goes round the edge: anybody could ask which records there are.
    thing = f"/v1/things/{await tiny.created()}"
    await tiny.post(f"{thing}/note", {"note": "a word"}, headers={"If-Match": '"1"'})

    unknown = await tiny.client.head(thing)
    hidden = await head(tiny, f"/v1/things/{new_id()}")
    opened = await head(tiny, f"{thing}/note")

    entries = await database.fetch(select(AuditEntry).order_by(AuditEntry.id))
    assert [unknown.status_code, hidden.status_code, opened.status_code] == [401, 404, 200]
    assert [(e.action, e.operation) for e in entries[-2:]] == [
        ("deny", "get_thing"),
        ("read", "read_note"),
    ]


async def test_a_method_a_path_has_not_is_told_those_it_has(tiny: Tiny) -> None:
    """Seeded: take the router's own Allow header; it names the first route of the path only."""
    thing = f"/v1/things/{await tiny.created()}"
    expected = {
        "/v1/things": "GET, HEAD, POST",
        thing: "GET, HEAD",
        f"{thing}/move": "POST",
        "/v1/codelists": "GET, HEAD",
        "/v1/changes": "GET, HEAD",
        "/livez": "GET, HEAD",
    }

    for path, methods in expected.items():
        for method in ("DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"):
            answer = await tiny.client.request(method, path, headers=tiny.bearer())

            assert (answer.status_code, answer.headers["allow"]) == (405, methods), (method, path)
            assert answer.json()["code"] == "method_not_allowed"
    refused = await head(tiny, f"{thing}/move")
    assert (refused.status_code, refused.headers["allow"], refused.content) == (405, "POST", b"")
