"""The feed of a service's own events: what the bus carries, for partners without a bus."""

import base64
import json
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, WithJsonSchema
from sqlalchemy import ColumnElement, and_, false, or_, select

from common.auth import Principal
from common.authz import Authorisation
from common.errors import BadRequestError
from common.events import CHECKSUM_SCHEMA, Event
from common.http.request import CurrentPrincipal, RuntimeDep, UnitDep
from common.http.route import router as new_router
from common.sealing import SealError, ServiceBox
from common.tables import OutboxMessage

_POSITION_BYTES = 8
_CONCERNED = {
    OutboxMessage.organisation_id: {"own"},
    OutboxMessage.other_organisation_id: {"referred", "shared"},
}
"""By which relations of the authorisation table a role reads the events of an organisation.

Not by `assigned`: whether a case was a worker's own when an event was told is not known of it.
"""
_SCHEMA = Event.model_json_schema()
_SCHEMA["properties"] |= {"checksum": CHECKSUM_SCHEMA}
CloudEvent = Annotated[dict[str, Any], WithJsonSchema(_SCHEMA)]
"""An event as it was published, member for member; the schema names what each has."""


class ChangePage(BaseModel):
    """Events in the order in which they were published."""

    items: list[CloudEvent] = Field(description="CloudEvents 1.0 in structured JSON form")
    next: str = Field(
        description="Opaque, never null. Pass it as `cursor` to go on; empty `items` mean that there "
        "is nothing new yet. It stays valid for good, for your organisation and this service."
    )


def changes_router() -> APIRouter:
    router = new_router(tags=["changes"])

    @router.get("/v1/changes")
    async def list_changes(
        unit: UnitDep,
        runtime: RuntimeDep,
        principal: CurrentPrincipal,
        cursor: Annotated[
            str | None, Query(max_length=64, description="`next` of the page before")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="Events a page")] = 100,
    ) -> ChangePage:
        """Read this service's events from a position on.

        Same events, same bytes and same order within an aggregate as on the bus. A caller sees the
        events that concern its own organisation and tell what its role may read by `GET` of all the
        organisation's records; one that holds anything else (a data group closed to the role) is
        left out whole. Whoever may read only the cases assigned to them asks for those by `GET`. Who
        sent a referral sees all of it, its receiver the steps from the acknowledgement on (before
        that it finds the preview in its list); whoever may read a plan, its organisation and the
        owner of the case, sees its steps; the organisation a consent names learns of its grant
        and withdrawal while it has the case in service (what was granted before the acceptance:
        `GET` the consents). Whoever keeps only the fact and the dates finds here the event that said
        so, and no earlier one: as the receiver of a referral `closed_to_receiver`, as the organisation
        of a plan `closed_to_organisation`, which hold the id and no more than `GET` shows. News from
        other services arrives with a short delay. An event may come again after a restore; drop what
        you have seen by its `id`.
        """
        mine = principal.organisation_id
        after = 0 if cursor is None else _position(runtime.box, cursor, mine)
        statement = select(
            OutboxMessage.feed_position, OutboxMessage.subject, OutboxMessage.payload
        ).where(OutboxMessage.feed_position > after, _open_to(principal, runtime.authorisation))
        rows = await unit.rows(statement.order_by(OutboxMessage.feed_position).limit(limit))
        last = rows[-1].feed_position if rows else after
        if rows:  # who finds nothing new, every few seconds, has been shown nothing
            shown = dict.fromkeys(str(row.subject) for row in rows)
            unit.audit("list", OutboxMessage.__tablename__, shown)
        return ChangePage(
            items=[json.loads(row.payload) for row in rows], next=_cursor(runtime.box, last, mine)
        )

    return router


def _open_to(principal: Principal, authorisation: Authorisation) -> ColumnElement[bool]:
    """Return the condition of an event that tells the caller nothing it could not read by GET."""
    conditions: list[ColumnElement[bool]] = []
    for relations, kinds in authorisation.readings(principal.role).items():
        is_kind = OutboxMessage.type.in_(sorted(kinds))
        if "all" in principal.relations & relations:
            conditions.append(is_kind)
            continue
        for column, opening in _CONCERNED.items():
            if principal.relations & opening and relations & (opening | {"all"}):
                conditions.append(and_(is_kind, column == principal.organisation_id))
    return or_(false(), *conditions)


# A position counts the events of the whole country, which is nobody's business but its own: a
# partner's cursor hides it, and is worth nothing to another organisation or another service.


def _cursor(box: ServiceBox, position: int, organisation_id: UUID) -> str:
    token = box.veil(position.to_bytes(_POSITION_BYTES, "big"), place=_place(organisation_id))
    return base64.urlsafe_b64encode(token).decode()


def _position(box: ServiceBox, cursor: str, organisation_id: UUID) -> int:
    try:
        token = base64.b64decode(cursor, altchars=b"-_", validate=True)
        return int.from_bytes(box.unveil(token, place=_place(organisation_id)), "big")
    except (ValueError, SealError):
        raise BadRequestError("cursor.invalid", parameter="cursor") from None


def _place(organisation_id: UUID) -> bytes:
    return b"feed-v1|" + organisation_id.bytes
