"""Two countries' referral services, a hub between them, and what their intake services would tell."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import select

from common.bus import LocalBus
from common.clock import new_id
from common.contracts.intake import (
    CaseErased,
    CaseOwnershipSaid,
    CasePackageReleased,
    ConsentGranted,
)
from common.db.base import unit_of
from common.federation.custody import SignedStatement
from common.federation.keys import SealingKey
from common.federation.mail import topic_to
from common.federation.package import seal_package
from common.tables import DeadLetter
from referral.models import CrossBorderReferral, Letter
from referral.queries.letters import list_custody
from referral.worker import courier_of, mail_of, postbox_of
from tests.federation.countries import Land, land
from tests.kit import HOME, Kit, if_match, open_service
from tests.referral.story import TODAY, Case, granted, opened, register

URL = "/v1/cross-border-referrals"
REFUGE = UUID("00000000-0000-4000-8000-0000000000d2")
"""The shelter of the receiving country that takes the person in."""
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def known_land(code: str) -> Land:
    """Return a country whose keys hold all year; drawing keys takes a while."""
    return land(code, since=BEGAN, days=600)


BOSNIA = known_land("BA")
"""A third country, whom the receiver of a crossing knows too."""


async def _no_pause(_seconds: float) -> None:
    return


@dataclass
class Country:
    """One country: its referral service, its keys, and its way to the hub."""

    kit: Kit
    land: Land
    hub: LocalBus

    @property
    def code(self) -> str:
        return self.land.code

    def caller(self, role: str, organisation_id: UUID = HOME) -> httpx.AsyncClient:
        return self.kit.caller(role, organisation_id, f"{self.code.lower()}-1")

    # --- what its worker does

    async def send(self) -> int:
        """Sign and send what is due; return how many letters went."""
        courier = courier_of(self.kit.runtime, self.hub)
        while await courier.sign_waiting():
            pass
        sent = 0
        while more := await courier.send_due():
            sent += more
        return sent

    async def collect(self) -> int:
        """Take what the hub holds for this country; return how many records that were."""
        runtime = self.kit.runtime
        postbox = postbox_of(runtime, pause=_no_pause)
        mail = mail_of(runtime, self.hub, courier_of(runtime, self.hub))
        reading = await mail.subscribe(
            postbox.topics, group=runtime.name, position_of=postbox.claim
        )
        taken = 0
        while deliveries := await reading.poll(seconds=0):
            await postbox.accept_all(deliveries)
            taken += len(deliveries)
        return taken

    # --- what it has

    async def row(self, referral_id: UUID) -> Any:
        statement = select(CrossBorderReferral).where(CrossBorderReferral.id == referral_id)
        rows = await self.kit.rows(statement)
        return rows[0] if rows else None

    async def status(self, referral_id: UUID) -> str | None:
        row = await self.row(referral_id)
        return None if row is None else str(row.status)

    async def letters(self, referral_id: UUID) -> list[Any]:
        """Return its letters without the receipts, in their order."""
        statement = select(Letter).where(Letter.referral_id == referral_id, Letter.receipt_of == 0)
        return [*await self.kit.rows(statement.order_by(Letter.number))]

    async def dead(self) -> list[str]:
        """Return why records were buried, in their order."""
        rows = await self.kit.rows(select(DeadLetter).order_by(DeadLetter.offset, DeadLetter.id))
        return [row.reason for row in rows]

    async def told(self, referral_id: UUID, kind: type[Any]) -> list[Any]:
        events = await self.kit.events(referral_id)
        return [kind.model_validate(e.data) for e in events if e.type == kind.type]

    async def custody(self, referral_id: UUID) -> list[SignedStatement]:
        """Return all that both countries have said and signed, whoever may read it."""
        unit = unit_of(self.kit.runtime.database, source="/tests", operation="test")
        return await list_custody(unit, referral_id)

    async def read_custody(
        self, referral_id: UUID, by: httpx.AsyncClient | None = None
    ) -> httpx.Response:
        caller = by or self.caller("NATIONAL_COORDINATOR", new_id())
        return await caller.get(f"{URL}/{referral_id}/custody")

    # --- what its people do

    async def step(
        self, referral_id: UUID, verb: str, body: Any = None, *, by: httpx.AsyncClient | None = None
    ) -> httpx.Response:
        """Take a step on the version that the caller sees now."""
        caller = by or self.by(verb)
        seen = await caller.get(f"{URL}/{referral_id}")
        headers = if_match(seen) if seen.status_code == 200 else {"If-Match": '"1"'}
        return await caller.post(f"{URL}/{referral_id}/{verb}", json=body, headers=headers)

    def by(self, verb: str) -> httpx.AsyncClient:
        """Return who takes a step of this kind."""
        if verb in {"acknowledge", "return", "accept", "decline"}:
            return self.caller("NATIONAL_CONTACT_POINT", new_id())
        is_receivers = verb == "confirm-arrival"
        return self.caller("SOCIAL_WORKER", REFUGE if is_receivers else HOME)

    async def do(self, referral_id: UUID, verb: str, body: Any = None) -> dict[str, Any]:
        answer = await self.step(referral_id, verb, body)
        assert answer.status_code == 200, answer.text
        read: dict[str, Any] = answer.json()
        return read

    async def see(self, referral_id: UUID, by: httpx.AsyncClient | None = None) -> dict[str, Any]:
        caller = by or self.caller("NATIONAL_CONTACT_POINT", new_id())
        answer = await caller.get(f"{URL}/{referral_id}")
        assert answer.status_code == 200, answer.text
        read: dict[str, Any] = answer.json()
        return read


@dataclass
class Crossing:
    """S sends a person to R."""

    s: Country
    r: Country
    folder: Path
    cases: dict[UUID, Case] = field(default_factory=dict)
    """The cases of R by referral, as R's intake opened them."""

    @property
    def log(self) -> Path:
        return self.folder / "hub.db"

    async def post(self) -> None:
        """Let letters go to and fro until nobody has any."""
        moved = True
        while moved:
            sent = await self.s.send() + await self.r.send()
            moved = bool(sent + await self.s.collect() + await self.r.collect())

    async def lose(self, *countries: Country) -> None:
        """Let the hub lose what it holds for these countries."""
        for country in (self.s, self.r):
            await country.hub.close()
        with closing(sqlite3.connect(self.log)) as log:
            for country in countries:
                log.execute("DELETE FROM record WHERE topic = ?", (topic_to(country.code),))
            log.commit()
        for country in (self.s, self.r):
            country.hub = LocalBus(self.log)

    # --- the story

    async def ready(self, **facts: Any) -> tuple[Case, ConsentGranted]:
        """Open a case in S whose person agreed to go to a shelter of R, and register R's shelter."""
        await register(self.r.kit, REFUGE, country=self.r.code)
        case = Case()
        consent = agreed(case.id)
        await case.tell(self.s.kit, opened(case.id, country=self.s.code, **facts), consent)
        return case, consent

    async def drafted(self, case: Case, **fields: Any) -> UUID:
        body = draft(case.id, **fields)
        answer = await self.s.by("submit").post(URL, json=body)
        assert answer.status_code == 201, answer.text
        return UUID(body["id"])

    async def sent(self, case: Case, **fields: Any) -> UUID:
        referral_id = await self.drafted(case, **fields)
        await self.s.do(referral_id, "submit")
        await self.post()
        return referral_id

    async def acknowledged(self, case: Case, **fields: Any) -> UUID:
        referral_id = await self.sent(case, **fields)
        await self.r.do(referral_id, "acknowledge")
        await self.post()
        return referral_id

    async def accepted(self, case: Case, **fields: Any) -> UUID:
        referral_id = await self.acknowledged(case, **fields)
        await self.r.do(referral_id, "accept", {"organisation_id": str(REFUGE)})
        await self.post()
        return referral_id

    async def packaged(self, case: Case, **fields: Any) -> UUID:
        """Take a referral so far that R's register has opened a case for it."""
        referral_id = await self.accepted(case, **fields)
        await case.tell(self.s.kit, released(case, referral_id))
        await self.post()
        theirs = self.cases[referral_id] = Case()
        facts = {"organisation_id": REFUGE, "country": self.r.code, "referral_id": referral_id}
        await theirs.tell(self.r.kit, opened(theirs.id, **facts))
        return referral_id

    async def departed(self, case: Case, **fields: Any) -> UUID:
        referral_id = await self.packaged(case, **fields)
        await self.s.do(referral_id, "plan-transfer", plan())
        await self.s.do(referral_id, "depart")
        await self.post()
        return referral_id

    async def arrived(self, case: Case, **fields: Any) -> UUID:
        referral_id = await self.departed(case, **fields)
        await self.r.do(referral_id, "confirm-arrival")
        await self.post()
        return referral_id

    async def give(self, case: Case, referral_id: UUID) -> None:
        """Let S's register let go of the case."""
        await case.tell(self.s.kit, ownership(case.id, HOME, referral_id, "GIVEN"))
        await self.post()

    async def answer(self, referral_id: UUID, word: str) -> None:
        """Let R's register answer what it was given."""
        theirs = self.cases[referral_id]
        await theirs.tell(self.r.kit, ownership(theirs.id, REFUGE, referral_id, word))
        await self.post()

    async def handed_over(self, case: Case, **fields: Any) -> UUID:
        referral_id = await self.arrived(case, **fields)
        await self.give(case, referral_id)
        await self.answer(referral_id, "TAKEN")
        return referral_id

    async def erase(self, referral_id: UUID) -> None:
        """Let R's register erase what it opened for a referral."""
        theirs = self.cases[referral_id]
        gone = CaseErased(
            case_id=theirs.id,
            organisation_id=REFUGE,
            referral_id=referral_id,
            reason="CONSENT_WITHDRAWN",
            erased_on=TODAY,
        )
        await theirs.tell(self.r.kit, gone)
        await self.post()


@asynccontextmanager
async def open_crossing(
    folder: Path,
    s: str = "RS",
    r: str = "XK",
    *,
    urls: tuple[str | None, str | None] = (None, None),
) -> AsyncIterator[Crossing]:
    """Open both services, on SQLite unless the URLs of databases are given."""
    hub = folder / "hub.db"
    homes = {code: folder / code for code in (s, r)}
    for home in homes.values():
        home.mkdir()
    async with (
        open_service("referral", homes[s], country=s, database_url=urls[0]) as here,
        open_service("referral", homes[r], country=r, database_url=urls[1]) as there,
    ):
        one = Country(here, known_land(s), LocalBus(hub))
        other = Country(there, known_land(r), LocalBus(hub))
        one.land.settle_in(here.runtime, other.land)
        other.land.settle_in(there.runtime, one.land)
        try:
            yield Crossing(one, other, folder)
        finally:
            await one.hub.close()
            await other.hub.close()


# --- bodies


def agreed(case_id: UUID, **changes: Any) -> ConsentGranted:
    """Return an adult's consent that shelters of Kosovo learn who she is, for assistance."""
    terms: dict[str, Any] = {
        "scope": "SHARE_CROSS_BORDER",
        "recipient_kinds": ("SHELTER",),
        "recipient_countries": ("XK",),
    }
    return granted(case_id, None, **(terms | changes))


def draft(case_id: UUID, **changes: Any) -> dict[str, Any]:
    body = {
        "id": str(new_id()),
        "case_id": str(case_id),
        "peer_country": "XK",
        "requested_kind": "SHELTER",
        "needs": ["SHELTER", "COUNSELLING_INFORMATION"],
        "languages": ["sq"],
        "urgency": "HIGH",
        "purpose": "ASSISTANCE",
        "data_groups": ["IDENTITY", "HEALTH"],
        "trm_stage": "SOP4",
        "transfer_basis": "EXPLICIT_CONSENT",
        "risk_assessed_on": "2026-04-20",
        "needs_assessed_on": "2026-04-21",
    } | changes
    return {name: value for name, value in body.items() if value is not None}


def plan(**changes: Any) -> dict[str, Any]:
    return {
        "precondition": "WISH_TO_RETURN",
        "has_informed_decision": True,
        "took_part_in_planning": True,
        "has_travel_documents": True,
        "planned_on": "2026-05-11",
    } | changes


def released(case: Case, referral_id: UUID, **changes: Any) -> CasePackageReleased:
    content: dict[str, Any] = {
        "case_id": case.id,
        "organisation_id": HOME,
        "referral_id": referral_id,
        "recipient_country": "XK",
        "package": a_package(),
    }
    return CasePackageReleased(**(content | changes))


@cache
def a_package() -> str:
    """Return a person's data, sealed to a register whose key nobody here has."""
    key = SealingKey(SealingKey.generate()).public
    words = {"given_names": "Ana", "family_name": "Marković"}
    return seal_package(words, to=key, sender="RS", recipient="XK", referral_id=new_id())


def ownership(
    case_id: UUID, organisation_id: UUID, referral_id: UUID, word: str
) -> CaseOwnershipSaid:
    return CaseOwnershipSaid(
        case_id=case_id,
        organisation_id=organisation_id,
        referral_id=referral_id,
        word=word,
        epoch=2,
    )
