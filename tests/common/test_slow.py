"""Requests that do not come to an end: neither a half-sent head nor a half-sent body stays open."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from fastapi import FastAPI

from common import messages
from common.http import body
from common.http import server as below
from common.http.server import Server
from tests.common.tiny import Tiny

SOON = 0.3
PATIENCE = 20


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[int]:
    """Serve on a free port, as the product does."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        server = Server(app, port=0, grace_seconds=1)
        task = asyncio.create_task(server.serve(sockets=[held]))
        yield held.getsockname()[1]
        server.stop()
        await task


@asynccontextmanager
async def connected(port: int, sent: bytes) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    yield reader
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the other side closes."""
    async with asyncio.timeout(PATIENCE):
        return await reader.read()


# Fails when nobody watches the body, or when the connection stays open for what might yet come.
async def test_a_body_that_does_not_come_is_refused_and_the_connection_closed(
    tiny_sqlite: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "MAX_SECONDS", SOON)
    head = (
        "POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: k\r\nAuthorization: {tiny_sqlite.bearer()['Authorization']}\r\n"
        "Content-Length: 50\r\n\r\n"
    )
    async with serving(tiny_sqlite.app) as port, connected(port, head.encode() + b'{"la') as answer:
        told = await rest(answer)

    assert told.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body.too_slow"' in told
    assert messages.text("body.too_slow", "en").encode() in told


async def test_the_sentence_says_how_long_there_is() -> None:
    # Fails when the limit is changed and the eight sentences are not.
    for language in messages.LANGUAGES:
        assert str(body.MAX_SECONDS) in messages.text("body.too_slow", language)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-A:",
        b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost",
    ],
    ids=["nothing", "a letter", "half a head", "half a second head"],
)
async def test_a_head_that_does_not_come_closes_the_connection(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when only the first head of a connection is watched, or only one that was begun.
    monkeypatch.setattr(below, "HEAD_SECONDS", SOON)
    app = FastAPI()
    app.get("/quick")(lambda: None)

    async with serving(app) as port, connected(port, sent) as answer:
        told = await rest(answer)

    assert told.count(b"HTTP/1.1") == sent.count(b"\r\n\r\n")


async def test_an_answer_may_take_longer_than_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    # Fails when the clock of the head goes on after the head is there.
    monkeypatch.setattr(below, "HEAD_SECONDS", SOON)
    app, go_on = FastAPI(), asyncio.Event()

    @app.get("/long")
    async def long() -> None:
        await go_on.wait()

    request = b"GET /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with serving(app) as port, connected(port, request) as answer:
        for _ in range(2):
            async with connected(port, b"GET") as later:
                assert await rest(later) == b""
        go_on.set()
        told = await rest(answer)

    assert told.startswith(b"HTTP/1.1 200 ")
