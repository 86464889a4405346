"""Keyset pages: newest first by (time, id), so that rows arriving during a walk shift nothing."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy import literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from common.errors import BadRequestError
from common.unit import AnySelect, Unit

R = TypeVar("R")
MAX_LIMIT = 200
_MAX_DIGITS = 18


class Page(BaseModel, Generic[R]):
    """One page of a list. `next` is the cursor of the following page, null on the last."""

    items: list[R]
    next: str | None = Field(description="Pass it as `cursor` to go on; opaque.")


@dataclass(frozen=True, slots=True)
class PageRequest:
    limit: int
    cursor: str | None


async def _page_request(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Items a page")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=200, description="`next` of the page before")
    ] = None,
) -> PageRequest:
    return PageRequest(limit, cursor)


PageDep = Annotated[PageRequest, Depends(_page_request)]


async def page(
    unit: Unit,
    statement: AnySelect,
    request: PageRequest,
    read: Callable[[Any], R],
    *,
    time: InstrumentedAttribute[datetime],
    id: InstrumentedAttribute[UUID] | InstrumentedAttribute[int],  # noqa: A002
) -> Page[R]:
    """Return the page of `statement` after the cursor, newest first by `time` and `id`."""
    if request.cursor is not None:
        after_time, after_id = _decode(request.cursor, id.type.python_type)
        after = tuple_(literal(after_time, time.type), literal(after_id, id.type))
        statement = statement.where(tuple_(time, id) < after)
    rows = await unit.rows(statement.order_by(time.desc(), id.desc()).limit(request.limit + 1))
    shown = rows[: request.limit]
    following = None
    if len(rows) > request.limit:
        last = shown[-1]
        following = _encode(getattr(last, time.key), getattr(last, id.key))
    return Page(items=[read(row) for row in shown], next=following)


def _encode(time: datetime, id_: UUID | int) -> str:
    return base64.urlsafe_b64encode(f"{time.isoformat()}|{id_}".encode()).decode().rstrip("=")


def _decode(cursor: str, kind: type[UUID] | type[int]) -> tuple[datetime, UUID | int]:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        time, _, id_ = raw.partition("|")
        return datetime.fromisoformat(time).astimezone(UTC), _key(id_, kind)
    except (ValueError, OverflowError):
        raise BadRequestError("cursor.invalid") from None


def _key(text: str, kind: type[UUID] | type[int]) -> UUID | int:
    if kind is int and len(text) > _MAX_DIGITS:
        raise ValueError("more than a column holds")
    return kind(text)
