"""One whole service for a test: its own folder, a migrated database, callers, and eyes on its rows.

    async with open_service("intake", tmp_path) as kit:
        worker = kit.caller("SOCIAL_WORKER", HOME)
        created = await worker.post("/v1/cases", json={…})
        [event] = await kit.events(case_id)

Everything is real: tokens, sealing, the edge, the database, the inbox. The worker does not run;
what it would do is done when asked for (`hear`).
"""

import tempfile
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from alembic.runtime.migration import MigrationContext
from fastapi import FastAPI
from sqlalchemy import create_engine, select
from sqlalchemy.pool import NullPool

from common.bus import Delivery
from common.clock import new_id
from common.consumer import with_audit_heads
from common.db.head import head_of
from common.events import Event, EventData, topic_of
from common.inbox import Handlers, Inbox, Outcome
from common.migrations import upgrade
from common.relay import Relay
from common.runtime import Runtime, open_runtime
from common.settings import ServiceName, ServiceSettings
from common.tables import AuditEntry, OutboxMessage
from common.unit import AnySelect
from prag.files import write_private
from prag.issuer import AUDIENCE, ISSUER, LocalIssuer
from tests.conftest import PostgresUrls

HOME = UUID("00000000-0000-4000-8000-00000000000a")
"""The organisation most callers act for."""

ELSEWHERE = UUID("00000000-0000-4000-8000-00000000000b")
"""An organisation that has nothing to do with HOME."""


class Signed(httpx.Auth):
    """Signs each request with a fresh token and gives each POST its own Idempotency-Key."""

    def __init__(self, issuer: LocalIssuer, role: str, organisation_id: UUID, subject: str) -> None:
        self._issuer = issuer
        self._claims = (role, organisation_id, subject)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        token = self._issuer.token(*self._claims)
        request.headers["Authorization"] = f"Bearer {token}"
        if request.method == "POST":
            request.headers.setdefault("Idempotency-Key", str(new_id()))
        yield request


@dataclass(frozen=True, slots=True)
class Kit:
    """A running service and what a test may look at."""

    runtime: Runtime
    app: FastAPI
    issuer: LocalIssuer
    home: Path
    _offsets: "count[int]" = field(default_factory=count)

    def caller(
        self, role: str, organisation_id: UUID = HOME, subject: str = "worker-1"
    ) -> httpx.AsyncClient:
        """Return a client that calls in this role; its tokens follow the clock of the test."""
        auth = Signed(self.issuer, role, organisation_id, subject)
        return self._client(auth)

    def stranger(self) -> httpx.AsyncClient:
        """Return a client without a token."""
        return self._client(None)

    def _client(self, auth: httpx.Auth | None) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app)
        return httpx.AsyncClient(transport=transport, base_url="http://prag", auth=auth)

    # --- what the service wrote

    async def rows(self, statement: AnySelect) -> Sequence[Any]:
        return await self.runtime.database.fetch(statement)

    async def events(self, subject: UUID | None = None) -> list[Event]:
        """Return the events in the outbox, of one aggregate if given, in the order written."""
        statement = select(OutboxMessage).order_by(OutboxMessage.id)
        if subject is not None:
            statement = statement.where(OutboxMessage.subject == subject)
        return [Event.model_validate_json(row.payload) for row in await self.rows(statement)]

    async def audit(self, *, decision: str = "allow", **where: Any) -> Sequence[Any]:
        """Return audit entries in the order written; `deny` are the refusals, kept apart.

        That somebody only tried what would be taken (`check`) is told when it is asked for.
        """
        statement = select(AuditEntry).where(AuditEntry.decision == decision)
        if "action" not in where:
            statement = statement.where(AuditEntry.action != "check")
        for column, value in where.items():
            statement = statement.where(getattr(AuditEntry, column) == value)
        return await self.rows(statement.order_by(AuditEntry.id))

    def stored_bytes(self) -> bytes:
        """Return every byte under the service's folder except keys: what a thief of the disk has."""
        files = [p for p in sorted(self.home.rglob("*")) if p.is_file() and p.parent.name != "keys"]
        return b"".join(path.read_bytes() for path in files)

    async def feed(self, caller: httpx.AsyncClient) -> list[Event]:
        """Return what `caller` reads in the change feed, once the relay has published all."""
        relay = Relay(self.runtime.database, self.runtime.bus)
        await relay.lead()
        await relay.publish_waiting()
        answer = await caller.get("/v1/changes")
        assert answer.status_code == 200, answer.text
        return [Event.model_validate(item) for item in answer.json()["items"]]

    # --- what others tell it

    async def hear(self, *events: Event) -> list[Outcome]:
        """Take events through the service's inbox, as its worker does with what the bus brings."""
        inbox = Inbox(
            self.runtime.database,
            with_audit_heads(self.runtime.name, handlers_of(self.runtime)),
            service=self.runtime.name,
            box=self.runtime.box,
            source=self.runtime.source,
        )
        return [
            await inbox.accept(
                Delivery(topic_of(event.type), 0, next(self._offsets), event.to_bytes())
            )
            for event in events
        ]


def handlers_of(runtime: Runtime) -> Handlers:
    """Return what the service's worker does with what it hears."""
    consumers = import_module(f"{runtime.name}.consumers")
    has_more = getattr(consumers, "handlers_of", None)
    handlers: Handlers = has_more(runtime) if has_more else consumers.HANDLERS
    return handlers


def told(source: str, subject: UUID, *payloads: EventData, first_seq: int = 1) -> list[Event]:
    """Return the events by which the service `source` tells `payloads` about one aggregate."""
    return [
        Event.of(data, subject=subject, seq=seq, source=f"/RS/{source}")
        for seq, data in enumerate(payloads, first_seq)
    ]


def if_match(response: httpx.Response) -> dict[str, str]:
    """Return the header that names the version `response` showed."""
    return {"If-Match": response.headers["ETag"]}


@asynccontextmanager
async def open_service(
    name: ServiceName, home: Path, *, country: str = "RS", database_url: str | None = None
) -> AsyncIterator[Kit]:
    """Open a service in the folder `home`, on SQLite unless the URL of a database is given.

    One that is empty is migrated; `migrated` gives a copy of one, which takes a tenth of the time.
    """
    issuer = LocalIssuer(home)
    master_key_file = home / "keys" / "master.key"
    if not master_key_file.exists():
        write_private(master_key_file, bytes(range(32)))
    settings_class: type[ServiceSettings] = import_module(f"{name}.settings").Settings
    settings = settings_class(
        country=country,
        database_url=database_url or f"sqlite:///{home}/{name}.db",
        bus_url=f"local://{home}/bus.db",
        oidc_issuer=ISSUER,
        oidc_audience=AUDIENCE,
        oidc_jwks_file=issuer.jwks_file,
        master_key_file=master_key_file,
        # Nobody's until a test puts descriptors and keys there: see tests.peers.
        peers_folder=home / "peers",
        own_keys_file=home / "keys" / f"{name}.own",
    )
    _bring_up_to_date(name, settings.database_url)
    runtime = open_runtime(name, settings)
    app: FastAPI = import_module(f"{name}.app").create_app(runtime)
    try:
        yield Kit(runtime, app, issuer, home)
    finally:
        await runtime.database.close()
        await runtime.bus.close()


def _bring_up_to_date(name: ServiceName, database_url: str) -> None:
    """Migrate the database; an SQLite file that is not there yet starts as a copy of a migrated one."""
    path = Path(database_url.removeprefix("sqlite:///"))
    if database_url.startswith("sqlite") and not path.exists():
        path.write_bytes(_migrated_file(name))
    elif _revision(database_url) != head_of(name):
        upgrade(import_module(f"{name}.migrate").MIGRATIONS, database_url)


def _revision(database_url: str) -> str | None:
    engine = create_engine(database_url.replace("+asyncpg", "+psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def migrated(name: ServiceName, urls: PostgresUrls) -> str:
    """Make a database of the service, migrated and without rows; return its URL."""
    return urls.copy(_migrated_database(name, urls))


@cache
def _migrated_database(name: ServiceName, urls: PostgresUrls) -> str:
    url = urls.new()
    upgrade(import_module(f"{name}.migrate").MIGRATIONS, url)
    return url


@cache
def _migrated_file(name: ServiceName) -> bytes:
    """Return an empty SQLite database of the service; migrating takes longer than most tests."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "migrated.db"
        upgrade(import_module(f"{name}.migrate").MIGRATIONS, f"sqlite:///{path}")
        return path.read_bytes()
