"""Idempotency keys: the same key and body give the same answer; nothing happens twice."""

import asyncio
import base64
import re
from collections import OrderedDict
from datetime import timedelta

import orjson
from sqlalchemy import bindparam, select
from starlette.requests import Request
from starlette.responses import Response

from common.auth import Principal
from common.clock import utcnow
from common.errors import BadRequestError, ConflictError, InvalidError
from common.runtime import Runtime
from common.tables import IdempotencyAnswer
from common.unit import Unit

KEPT = timedelta(hours=24)
REPEATED = timedelta(minutes=5)
"""For so long the same bytes are given again, to whom an answer got lost; later only that it was done.
An answer tells what the caller could see then, and a withdrawn consent or another role holds at once."""
WAIT_SECONDS = 10.0
SECURE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = frozenset({b"content-type", b"etag", b"location"})
_KEPT = select(IdempotencyAnswer).where(IdempotencyAnswer.key == bindparam("key"))
_REMEMBERED = 4096


class Repetition:
    """One POST with its key: looked up, waited for, or answered for the first time."""

    def __init__(
        self, runtime: Runtime, request: Request, operation: str, raw: bytes, principal: Principal
    ) -> None:
        key = request.headers.get("idempotency-key")
        if key is None:
            raise BadRequestError("idempotency.key_missing")
        if not _KEY.fullmatch(key):
            raise BadRequestError("idempotency.key_invalid")
        box = runtime.box
        caller = (
            principal.subject,
            str(principal.organisation_id),
            principal.role,
            principal.client_id or "",
        )
        self._box = box
        self._database = runtime.database
        self._is_expired = False
        self.key = box.digest(
            *(part.encode() for part in (*caller, operation, request.scope["path"], key))
        )
        self.request_hash = box.digest(raw, request.scope["query_string"])

    async def answer(self) -> Response | None:
        """Return the answer first given, None if there is none.

        InvalidError for another body; ConflictError where it was given too long ago to be repeated.
        """
        rows = await self._database.fetch(_KEPT, {"key": self.key})
        self._is_expired = bool(rows) and rows[0].expires_at < utcnow()
        if not rows or self._is_expired:
            return None
        kept = rows[0]
        if kept.request_hash != self.request_hash:
            raise InvalidError("idempotency.key_reused")
        if utcnow() - (kept.expires_at - KEPT) > REPEATED:
            raise ConflictError("idempotency.already_done")
        stored = orjson.loads(self._box.open(kept.answer, place=self.key))
        return Response(
            base64.b64decode(stored["body"]),
            status_code=kept.status,
            headers={**SECURE_HEADERS, **stored["headers"]},
        )

    def keep(self, unit: Unit, response: Response) -> None:
        """Hand `response` over with the rows it answers for. It is sealed: it may hold free text."""
        stored = {
            "headers": {
                name.decode(): value.decode("latin-1")
                for name, value in response.raw_headers
                if name in _KEPT_HEADERS
            },
            "body": base64.b64encode(bytes(response.body)).decode(),
        }
        if self._is_expired:
            unit.remove(IdempotencyAnswer, key=self.key)
        # An insert, so that of two processes that answer one key only one can commit.
        unit.add(
            IdempotencyAnswer,
            key=self.key,
            request_hash=self.request_hash,
            status=response.status_code,
            answer=self._box.seal(orjson.dumps(stored), place=self.key),
            expires_at=utcnow() + KEPT,
        )


class InFlight:
    """Keys being answered by this process: a twin waits for the first, it does not run beside it.

    Those of the last few thousand calls are remembered, so that a repetition, which mostly comes
    soon, is looked up first and a new call is not.
    """

    def __init__(self) -> None:
        self._running: dict[bytes, tuple[bytes, asyncio.Event]] = {}
        self._recent: OrderedDict[bytes, None] = OrderedDict()

    async def enter(self, repetition: Repetition) -> bool:
        """Wait until no twin runs, and return whether there was one lately.

        ConflictError idempotency.in_flight if it takes too long.
        """
        while (running := self._running.get(repetition.key)) is not None:
            request_hash, finished = running
            if request_hash != repetition.request_hash:
                raise InvalidError("idempotency.key_reused")
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await finished.wait()
            except TimeoutError:
                raise ConflictError("idempotency.in_flight") from None
        self._running[repetition.key] = (repetition.request_hash, asyncio.Event())
        return repetition.key in self._recent

    def leave(self, repetition: Repetition) -> None:
        _, finished = self._running.pop(repetition.key)
        self._recent[repetition.key] = None
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        finished.set()
