"""Headers that say two things, bodies that are not what they seem, and addresses of problems."""

import gzip
import json

import httpx
import pytest
from sqlalchemy import select
from starlette.types import Message
from structlog.testing import capture_logs

from common import messages
from common.db import Database
from common.http.problems import codes
from tests.common.things import Thing
from tests.common.tiny import Tiny

THINGS = "/v1/things"
RAW = json.dumps({"label": "Ana Marković"}, ensure_ascii=False).encode()
TYPE = {"Content-Type": "application/json"}


async def sent(tiny: Tiny, *more: tuple[str, str], content: bytes = RAW) -> httpx.Response:
    first = tiny.bearer() | {"Idempotency-Key": "k"}
    headers = [*first.items(), *more]
    return await tiny.client.post(THINGS, content=content, headers=headers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer another"),
        ("Idempotency-Key", "another"),
        ("Content-Type", "application/json"),
        ("If-Match", '"1"'),
    ],
)
async def test_a_header_that_is_sent_twice_is_refused(
    tiny: Tiny, database: Database, name: str, value: str
) -> None:
    # Fails when the first (or last) holds in silence: a proxy may have checked the other.
    twice = [(name, value)] * (2 if name == "If-Match" else 1)
    given = twice if name == "Content-Type" else [*TYPE.items(), *twice]

    refused = await sent(tiny, *given, *TYPE.items() if name == "Content-Type" else ())

    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (400, "header.repeated")
    assert problem["parameter"] == name
    assert value not in problem["detail"]
    assert await database.fetch(select(Thing.id)) == []


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        (TYPE | {"Content-Encoding": "gzip"}, gzip.compress(RAW)),
        (TYPE | {"Content-Encoding": "gzip"}, RAW),
        ({"Content-Type": "application/json; charset=windows-1250"}, RAW),
        ({"Content-Type": 'application/json;a=b; Charset = "UTF-16"'}, RAW),
        ({"Content-Type": "application/json; charset="}, RAW),
    ],
)
async def test_a_body_in_another_encoding_is_refused_and_not_guessed(
    tiny_sqlite: Tiny, headers: dict[str, str], content: bytes
) -> None:
    # Fails when what the headers say is passed over: a name would be stored with wrong letters.
    refused = await sent(tiny_sqlite, *headers.items(), content=content)

    assert (refused.status_code, refused.json()["code"]) == (415, "body.encoding")


@pytest.mark.parametrize("charset", ["; charset=utf-8", ';charset="UTF-8"', "; a=charset", ""])
async def test_utf_8_may_be_named_or_not(tiny_sqlite: Tiny, charset: str) -> None:
    headers = {"Content-Type": f"application/json{charset}", "Content-Encoding": "identity"}

    taken = await sent(tiny_sqlite, *headers.items())

    assert (taken.status_code, taken.json()["label"]) == (201, "Ana Marković")


async def test_a_caller_that_hangs_up_in_its_body_is_no_failure_of_ours(
    tiny_sqlite: Tiny,
) -> None:
    # Fails when it is logged as an error: each lost connection in the mountains would wake somebody.
    parts: list[Message] = [
        {"type": "http.request", "body": b'{"la', "more_body": True},
        {"type": "http.disconnect"},
    ]
    headers = tiny_sqlite.bearer() | {"Idempotency-Key": "k", "Host": "tiny.test"} | TYPE
    scope = {
        "type": "http",
        "method": "POST",
        "path": THINGS,
        "raw_path": THINGS.encode(),
        "query_string": b"",
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
    }

    async def receive() -> Message:
        return parts.pop(0)

    async def send(_: Message) -> None:
        return None

    with capture_logs() as told:
        await tiny_sqlite.app(scope, receive, send)

    assert [(line["event"], line["log_level"]) for line in told] == [("request.abandoned", "info")]


async def test_the_type_of_every_problem_leads_to_its_sentence(tiny_sqlite: Tiny) -> None:
    # Fails when the address answers 404, in one language only, or asks for a token.
    client = tiny_sqlite.client
    problem = (await client.get(THINGS)).json()
    told = await client.get(problem["type"], headers={"Accept-Language": "sq"})
    others = [await client.get(f"/problems/{code}") for code in codes()]
    words = [await client.get(f"/problems/{word}") for word in ("ui.token", "title.404", "x")]

    assert (told.status_code, told.headers["content-language"]) == (200, "sq")
    assert told.json() == {
        "type": "/problems/unauthorized",
        "code": "unauthorized",
        "detail": messages.text("unauthorized", "sq"),
    }
    assert {answer.status_code for answer in others} == {200}
    assert {(answer.status_code, answer.json()["code"]) for answer in words} == {(404, "not_found")}
