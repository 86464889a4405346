"""The feed of a service's own events: what the bus carries, for partners without a bus."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import or_, select

from common.errors import BadRequestError
from common.events import Event
from common.http.request import CurrentPrincipal, UnitDep
from common.http.route import router as new_router
from common.tables import OutboxMessage

_MAX_DIGITS = 18
"""What a 64-bit column holds for sure."""


class ChangePage(BaseModel):
    """Events in the order in which they were published."""

    items: list[dict[str, Any]] = Field(description="CloudEvents 1.0 in structured JSON form")
    next: str = Field(description="Pass it as `cursor` to go on; it stays valid for good.")


def changes_router() -> APIRouter:
    router = new_router(tags=["changes"])

    @router.get("/v1/changes")
    async def list_changes(
        unit: UnitDep,
        principal: CurrentPrincipal,
        cursor: Annotated[
            str | None, Query(max_length=20, description="`next` of the page before")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="Events a page")] = 100,
    ) -> ChangePage:
        """Read this service's events from a position on.

        Same events, same bytes and same order within an aggregate as on the bus. A caller sees the
        events that concern its own organisation and that it may know of: a receiver sees a
        referral from its acknowledgement on, before that it finds the preview in its list. An
        event may come again after a restore; drop what you have seen by its `id`.
        """
        after = _position(cursor)
        statement = select(OutboxMessage.feed_position, OutboxMessage.payload).where(
            OutboxMessage.feed_position > after
        )
        if "all" not in principal.relations:
            mine = principal.organisation_id
            statement = statement.where(
                or_(
                    OutboxMessage.organisation_id == mine,
                    OutboxMessage.other_organisation_id == mine,
                )
            )
        rows = await unit.rows(statement.order_by(OutboxMessage.feed_position).limit(limit))
        items = [Event.model_validate_json(row.payload).model_dump(mode="json") for row in rows]
        return ChangePage(items=items, next=str(rows[-1].feed_position if rows else after))

    return router


def _position(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > _MAX_DIGITS:
        raise BadRequestError("cursor.invalid")
    return int(cursor)
