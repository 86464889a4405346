"""A service as small as can be: things are made, listed, read, moved and noted over HTTP."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI, Request
from pydantic import Field
from sqlalchemy import select
from starlette.types import ASGIApp

from common import contracts
from common.auth import KeySet, TokenVerifier
from common.authz import Authorisation
from common.bus import LocalBus
from common.clock import new_id
from common.db import Database
from common.errors import NotFoundError
from common.http import (
    CurrentPrincipal,
    Filter,
    Filters,
    IfMatch,
    Page,
    PageDep,
    UnitDep,
    create_service,
    page,
    router,
)
from common.runtime import Runtime
from common.schema import Instant, LongText, ReadModel, ShortText, StrictModel
from common.sealing import ServiceBox
from common.settings import ServiceSettings
from common.tags import TagKeys
from common.unit import Unit
from prag.issuer import AUDIENCE, ISSUER, LocalIssuer
from tests.common.things import ORGANISATION, Thing, ThingMade, ThingMoved, make, move
from tests.conftest import MASTER

ROLE = "SOCIAL_WORKER"
OTHER_ROLE = "NGO_CASE_MANAGER"
OWN = {ROLE: ["own"], OTHER_ROLE: ["own"]}
TABLE: dict[str, dict[str, list[str]] | str] = {
    "create_thing": OWN,
    "list_things": OWN,
    "get_thing": OWN,
    "move_thing": OWN,
    "note_thing": OWN,
    "read_note": OWN,
    "list_changes": OWN,
    "list_codelists": "PUBLIC",
    "get_codelist": "PUBLIC",
}

FEED = {
    kind: {"read": "get_thing"}
    for kind in {ThingMade.type, ThingMoved.type} | contracts.kinds()
    if kind.startswith("intake.")
}
"""It goes by the name of intake, so it needs a row for what intake tells."""

things = router(prefix="/v1/things", tags=["things"])


class ThingCreate(StrictModel):
    label: ShortText
    text: LongText | None = None
    weight: int = Field(default=1, ge=0, le=1000)
    share: float = Field(default=0.5, ge=0, le=1)
    parts: list[ShortText] = Field(default=[])


class ThingNote(StrictModel):
    note: LongText


class ThingRead(ReadModel):
    id: UUID
    version: int
    status: str
    recorded_at: Instant


class ThingEcho(ThingRead):
    """What was understood of the body, so that tests can compare it."""

    label: str
    text: str | None


class NoteRead(ReadModel):
    note: str


FILTERS = Filters(
    id=Filter(Thing.id, "id"),
    status=Filter(Thing.status, "code"),
    state=Filter(Thing.status, "code", frozenset({"NEW", "MOVED"})),
    version=Filter(Thing.version, "number"),
    is_heavy=Filter(Thing.is_heavy, "flag"),
    due_on=Filter(Thing.due_on, "date"),
    recorded_at=Filter(Thing.recorded_at, "time"),
)


async def visible(unit: Unit, thing_id: UUID, principal: CurrentPrincipal) -> Thing:
    thing = await unit.find(
        select(Thing).where(
            Thing.id == thing_id, Thing.organisation_id == principal.organisation_id
        )
    )
    if thing is None:
        raise NotFoundError
    return thing


@things.post("", status_code=201)
async def create_thing(body: ThingCreate, unit: UnitDep) -> ThingEcho:
    """Make a thing."""
    thing = make(unit, new_id(), is_heavy=body.weight > 100)
    read = ThingRead.model_validate(thing)
    return ThingEcho(**dict(read), label=body.label, text=body.text)


@things.get("", openapi_extra=FILTERS.openapi)
async def list_things(
    unit: UnitDep, principal: CurrentPrincipal, page_request: PageDep, request: Request
) -> Page[ThingRead]:
    """List the organisation's things, newest first."""
    statement = select(Thing).where(Thing.organisation_id == principal.organisation_id)
    statement = FILTERS.apply(statement, request)
    return await page(
        unit,
        statement,
        page_request,
        ThingRead.model_validate,
        time=Thing.recorded_at,
        id=Thing.id,
    )


@things.get("/{thing_id}")
async def get_thing(thing_id: UUID, unit: UnitDep, principal: CurrentPrincipal) -> ThingRead:
    """Read a thing."""
    return ThingRead.model_validate(unit.shows(await visible(unit, thing_id, principal)))


@things.post("/{thing_id}/move")
async def move_thing(
    thing_id: UUID, unit: UnitDep, principal: CurrentPrincipal, expected: IfMatch
) -> ThingRead:
    """Move a thing on."""
    unit.shows(await visible(unit, thing_id, principal), expected)
    return ThingRead.model_validate(await move(unit, thing_id))


@things.post("/{thing_id}/note")
async def note_thing(
    thing_id: UUID, body: ThingNote, unit: UnitDep, principal: CurrentPrincipal
) -> ThingRead:
    """Write a note, sealed under the thing's key."""
    thing = await visible(unit, thing_id, principal)
    box = await unit.box(thing_id) or await unit.new_box(thing_id)
    note = box.seal(body.note, table="thing", row=thing_id, column="note")
    return ThingRead.model_validate(unit.change(Thing, thing, about=thing_id, note=note))


@things.get("/{thing_id}/note")
async def read_note(thing_id: UUID, unit: UnitDep, principal: CurrentPrincipal) -> NoteRead:
    """Open the note."""
    thing = await visible(unit, thing_id, principal)
    box = await unit.box(thing_id)
    if box is None or thing.note is None:
        raise NotFoundError
    unit.disclose(
        "thing",
        [str(thing_id)],
        about=thing_id,
        data_groups=["IDENTITY"],
        purpose="ASSISTANCE",
        legal_basis="CONSENT",
    )
    return NoteRead(note=box.open(thing.note, table="thing", row=thing_id, column="note"))


class Tiny:
    """One instance of the service over a database, with an issuer and a client that has a token."""

    def __init__(self, home: Path, database: Database, *, limit: int = 1024 * 1024) -> None:
        (home / "keys").mkdir(parents=True, exist_ok=True)
        self.issuer = LocalIssuer(home)
        self.runtime = Runtime(
            name="intake",
            settings=ServiceSettings(
                country="RS",
                database_url="sqlite:////unused",
                bus_url=f"local://{home}/bus.db",
                oidc_issuer=ISSUER,
                oidc_audience=AUDIENCE,
                oidc_jwks_file=self.issuer.jwks_file,
                master_key_file=home / "unused",
                max_body_bytes=limit,
            ),
            database=database,
            bus=LocalBus(home / "bus.db"),
            master=MASTER,
            box=ServiceBox(MASTER, "intake"),
            tags=TagKeys(MASTER),
            tokens=TokenVerifier(KeySet(self.issuer.jwks_file), issuer=ISSUER, audience=AUDIENCE),
            authorisation=Authorisation(TABLE, feed=FEED),
        )
        self.app: FastAPI = create_service(
            self.runtime, [things], title="Tiny", description="Things."
        )
        self.client = client_of(self.app)

    def bearer(self, *, role: str = ROLE, organisation_id: UUID = ORGANISATION) -> dict[str, str]:
        token = self.issuer.token(role, organisation_id, "worker-7")
        return {"Authorization": f"Bearer {token}"}

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=self.bearer() | headers)

    async def post(
        self,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """POST JSON, or `content` as it is, under an idempotency key of its own unless one is given."""
        sent = self.bearer() | {"Idempotency-Key": key or new_id().hex} | dict(headers or {})
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
            return await self.client.post(path, content=content, headers=sent)
        return await self.client.post(path, json=body, headers=sent)

    async def created(self, label: str = "a thing") -> str:
        response = await self.post("/v1/things", {"label": label})
        assert response.status_code == 201, response.text
        thing_id: str = response.json()["id"]
        return thing_id

    async def close(self) -> None:
        await self.client.aclose()
        await self.runtime.bus.close()


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://tiny.test")
