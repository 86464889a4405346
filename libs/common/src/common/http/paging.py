"""Keyset pages: newest first by (time, id), so that rows arriving during a walk shift nothing.

A cursor is good for the list it was given for: same path, same filters, same organisation.
What a page shows is entered in the audit trail, record by record, before the page leaves.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from common.auth import Principal
from common.errors import BadRequestError
from common.http.request import runtime_of
from common.sealing import SealError, ServiceBox
from common.unit import AnySelect, Unit

R = TypeVar("R")
MAX_LIMIT = 200
_MAX_DIGITS = 18
_MOVING = frozenset({"cursor", "limit", "fields"})
"""Parameters that may differ from page to page of one list."""


class Page(BaseModel, Generic[R]):
    """One page of a list. `next` is the cursor of the following page, null on the last."""

    model_config = ConfigDict(defer_build=True)

    items: list[R]
    next: str | None = Field(description="Pass it as `cursor` to go on; opaque.")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What page is asked for; `place` is the list, to which its cursors are bound."""

    limit: int
    cursor: str | None
    box: ServiceBox
    place: bytes


async def _page_request(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Items a page")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=200, description="`next` of the page before; same filters")
    ] = None,
) -> PageRequest:
    box = runtime_of(request).box
    return PageRequest(limit, cursor, box, _place(request, box))


def _place(request: Request, box: ServiceBox) -> bytes:
    """Return what names the list: its path, the filters as they were sent, the organisation."""
    principal: Principal = request.state.principal
    given = sorted(each for each in request.query_params.multi_items() if each[0] not in _MOVING)
    parts = ("page-v1", request.scope["path"], str(principal.organisation_id))
    return box.digest(*(part.encode() for part in (*parts, *chain.from_iterable(given))))


PageDep = Annotated[PageRequest, Depends(_page_request)]


async def page(
    unit: Unit,
    statement: AnySelect,
    request: PageRequest,
    read: Callable[[Any], R],
    *,
    time: InstrumentedAttribute[datetime],
    id: InstrumentedAttribute[UUID] | InstrumentedAttribute[int],  # noqa: A002
    is_audited: bool = True,
) -> Page[R]:
    """Return the page of `statement` after the cursor, newest first by `time` and `id`.

    An audit entry `list` names every id shown. Not `is_audited` are lists of what everybody may know,
    and those whose route hands over an entry of its own.
    """
    if request.cursor is not None:
        after_time, after_id = _decode(request, id.type.python_type)
        after = tuple_(literal(after_time, time.type), literal(after_id, id.type))
        statement = statement.where(tuple_(time, id) < after)
    rows = await unit.rows(statement.order_by(time.desc(), id.desc()).limit(request.limit + 1))
    shown = rows[: request.limit]
    if is_audited:
        ids = [str(getattr(row, id.key)) for row in shown]
        unit.audit("list", id.class_.__tablename__, ids)
    following = None
    if len(rows) > request.limit:
        last = shown[-1]
        following = _encode(request, getattr(last, time.key), getattr(last, id.key))
    return Page(items=[read(row) for row in shown], next=following)


def _encode(request: PageRequest, time: datetime, id_: UUID | int) -> str:
    token = request.box.veil(f"{time.isoformat()}|{id_}".encode(), place=request.place)
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def _decode(request: PageRequest, kind: type[UUID] | type[int]) -> tuple[datetime, UUID | int]:
    cursor = request.cursor or ""
    try:
        token = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        time, _, id_ = request.box.unveil(token, place=request.place).decode().partition("|")
        return datetime.fromisoformat(time).astimezone(UTC), _key(id_, kind)
    except (ValueError, OverflowError, SealError):
        raise BadRequestError("cursor.invalid", parameter="cursor") from None


def _key(text: str, kind: type[UUID] | type[int]) -> UUID | int:
    if kind is int and len(text) > _MAX_DIGITS:
        raise ValueError("more than a column holds")
    return kind(text)
