"""Reading a JSON body strictly: UTF-8, one object, no repeated member, no NaN, not deep, not big."""

import asyncio
import json
import re
from typing import Any

from starlette.requests import ClientDisconnect, Request

from common.errors import (
    BadRequestError,
    TooLargeError,
    TooSlowError,
    UnsupportedMediaTypeError,
)

MAX_DEPTH = 32
MAX_DIGITS = 20
MAX_SECONDS = 30
"""How long a body may take to arrive; the sentence of `body.too_slow` says the same."""
ARRIVED = "prag.arrived"
"""In a request's scope once the whole of it is there, so that nothing is waited for."""
_JSON = "application/json"
_DIGITS = re.compile(r"[0-9]+")
_CHARSET = re.compile(r"\bcharset\*?\s*=\s*[\"']?([^\s;\"']*)")


async def read_json(request: Request, *, limit: int) -> bytes:
    """Read the body once, check it, and leave the parsed value where FastAPI looks for it."""
    declared = request.headers.get("content-length", "")
    # At most 18 digits are turned into a number: Python refuses thousands of them.
    if _DIGITS.fullmatch(declared) and (len(declared) > 18 or int(declared) > limit):  # noqa: PLR2004
        raise TooLargeError("body.too_large", limit=limit)
    raw = await read_raw(request, limit=limit)
    request._body = raw  # noqa: SLF001  the stream is consumed; later readers get what was read
    if not raw:
        return raw
    _check_media_type(request)
    value = parse(raw)
    request._json = value  # noqa: SLF001  what Request.json() caches
    return raw


async def read_raw(request: Request, *, limit: int) -> bytes:
    """Read the body as it comes; TooLargeError above `limit` bytes, TooSlowError above MAX_SECONDS."""
    if ARRIVED in request.scope:
        return await _received(request, limit)
    try:
        async with asyncio.timeout(MAX_SECONDS):
            return await _received(request, limit)
    except TimeoutError:
        raise TooSlowError("body.too_slow") from None


async def _received(request: Request, limit: int) -> bytes:
    raw, more = bytearray(), True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        raw += message.get("body", b"")
        more = message.get("more_body", False)
        if len(raw) > limit:
            raise TooLargeError("body.too_large", limit=limit)
    return bytes(raw)


def _check_media_type(request: Request) -> None:
    given = request.headers.get("content-type", "")
    if given == _JSON and "content-encoding" not in request.headers:
        return  # as nearly all send it
    media_type, _, parameters = given.lower().partition(";")
    if media_type.strip() != _JSON:
        raise UnsupportedMediaTypeError("body.media_type")
    charsets = {match[1] for match in _CHARSET.finditer(parameters)}
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if not charsets <= {"utf-8", "utf8"} or coding != "identity":
        raise UnsupportedMediaTypeError("body.encoding")


def parse(raw: bytes) -> Any:  # noqa: ANN401
    try:
        value = _DECODER.decode(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise BadRequestError("body.not_json") from None
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _depth(value, MAX_DEPTH) < 0:
        raise BadRequestError("body.too_deep", limit=MAX_DEPTH)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadRequestError("body.duplicate_key")
    return members


def _refuse(_: str) -> None:
    raise ValueError("not a JSON number")


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("too many digits")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    if value in {float("inf"), float("-inf")}:
        raise ValueError("out of range")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_refuse, parse_int=_whole, parse_float=_real
)


def _depth(value: object, left: int) -> int:
    """Return the levels left below the deepest one, or -1 when there are too many."""
    if not isinstance(value, dict | list):
        return left
    if left == 0:
        return -1
    children = value.values() if isinstance(value, dict) else value
    return min((_depth(child, left - 1) for child in children), default=left)
