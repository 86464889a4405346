"""Two countries' intake services, and between them what their referral services would carry."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import select

from common.contracts.intake import CaseOwnershipSaid, CasePackageReleased
from common.contracts.referral import CrossBorderChanged, OwnershipHeard, PackageReceived
from common.events import Event, EventData
from common.inbox import Outcome
from intake.models import Case
from tests.conftest import fixed_id
from tests.intake.bodies import CASE, PERSON, consent, opened
from tests.kit import HOME, Kit, if_match, open_service, told
from tests.peers import keeper

REFERRAL = fixed_id(900)
THERE = fixed_id(31)
"""The organisation abroad that takes the person in."""
GROUPS = ("CONTACT", "EXPLOITATION", "IDENTITY")
TODAY = date(2026, 11, 22)


def changed(status: str, direction: str, **fields: Any) -> CrossBorderChanged:
    is_sent = direction == "SENT"
    return CrossBorderChanged.model_validate(
        {
            "referral_id": REFERRAL,
            "direction": direction,
            "peer_country": "XK" if is_sent else "RS",
            "case_id": CASE if is_sent else None,
            "organisation_id": HOME if is_sent else THERE,
            "recipient_organisation_id": THERE,
            "recipient_kind": "SHELTER",
            "purpose": "ASSISTANCE",
            "data_groups": GROUPS,
            "urgency": "HIGH",
            "status": status,
            "on": TODAY,
        }
        | fields
    )


@dataclass
class Side:
    """One country's intake, what its referral service has told it, and what of its own was carried."""

    kit: Kit
    direction: str
    referral_id: UUID = REFERRAL
    heard: int = 0
    carried: set[UUID] = field(default_factory=set)

    @property
    def worker(self) -> httpx.AsyncClient:
        organisation = HOME if self.direction == "SENT" else THERE
        return self.kit.caller("SOCIAL_WORKER", organisation)

    async def hear(self, *payloads: EventData) -> list[Outcome]:
        events = told("referral", self.referral_id, *payloads, first_seq=self.heard + 1)
        self.heard += len(events)
        return await self.kit.hear(*events)

    async def reach(self, status: str, **fields: Any) -> None:
        """Let the referral be in this status."""
        assert await self.hear(changed(status, self.direction, **fields)) == ["applied"]

    async def said(self, kind: type[EventData]) -> list[Event]:
        """Return what the service has told of this kind and nobody has carried yet."""
        found = [e for e in await self.kit.events() if e.type == kind.type]
        new = [e for e in found if e.id not in self.carried]
        self.carried |= {e.id for e in new}
        return new

    async def case(self) -> Any:
        """Return the case's row; of the sender CASE, of the receiver the one that came."""
        rows: Sequence[Any] = await self.kit.rows(select(Case))
        [row] = [r for r in rows if r.id == CASE or self.direction == "RECEIVED"]
        return row


@dataclass
class Crossing:
    here: Side
    there: Side

    async def carry_packages(self, **fields: Any) -> list[Outcome]:
        """Take what was released over the border."""
        outcomes: list[Outcome] = []
        for event in await self.here.said(CasePackageReleased):
            released = CasePackageReleased.model_validate(event.data)
            outcomes += await self.there.hear(received(released.package, **fields))
        return outcomes

    async def carry_words(self) -> None:
        """Take what each side said of the ownership to the other, until nobody says anything."""
        moved = True
        while moved:
            moved = False
            for one, other in ((self.here, self.there), (self.there, self.here)):
                for event in await one.said(CaseOwnershipSaid):
                    assert await other.hear(heard(event)) == ["applied"]
                    moved = True

    async def holdings(self) -> tuple[tuple[str, int], tuple[str, int]]:
        rows = [await self.here.case(), await self.there.case()]
        one, other = [(str(row.holding), row.epoch) for row in rows]
        return one, other


def received(package: str, **fields: Any) -> PackageReceived:
    return PackageReceived.model_validate(
        {
            "referral_id": REFERRAL,
            "sender_country": "RS",
            "organisation_id": THERE,
            "purpose": "ASSISTANCE",
            "data_groups": GROUPS,
            "urgency": "HIGH",
            "package": package,
        }
        | fields
    )


def heard(event: Event) -> OwnershipHeard:
    said = CaseOwnershipSaid.model_validate(event.data)
    return OwnershipHeard(
        referral_id=said.referral_id,
        organisation_id=fixed_id(0),
        word=said.word,
        epoch=said.epoch,
    )


@asynccontextmanager
async def two_countries(
    home: Path, url_here: str | None = None, url_there: str | None = None
) -> AsyncIterator[Crossing]:
    """Open intake in RS and in XK, each with keys of its own and the other's descriptor."""
    for country in ("rs", "xk"):
        (home / country).mkdir(parents=True)
    serbia, kosovo = keeper("RS"), keeper("XK")
    async with (
        open_service("intake", home / "rs", country="RS", database_url=url_here) as here,
        open_service("intake", home / "xk", country="XK", database_url=url_there) as there,
    ):
        serbia.settle_in(here.runtime, kosovo)
        kosovo.settle_in(there.runtime, serbia)
        yield Crossing(Side(here, "SENT"), Side(there, "RECEIVED"))


def sharing_abroad(**fields: Any) -> dict[str, Any]:
    return (
        consent(
            "SHARE_CROSS_BORDER",
            recipient_organisation_id=str(THERE),
            recipient_countries=["XK"],
            purposes=["ASSISTANCE"],
            data_groups=list(GROUPS),
            risk_information_given=True,
        )
        | fields
    )


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json().get("code", "")


async def known(side: Side, **fields: Any) -> None:
    """Open the case with a whole identity, and the consents to keep it and to send it."""
    caller = side.worker
    await opened(caller, languages=["sr-Cyrl"], citizenships=["RS"], **fields)
    granted = await caller.post(f"/v1/cases/{CASE}/consents", json=consent())
    written = await caller.put(f"/v1/cases/{CASE}/identity", json=PERSON, headers=if_match(granted))
    assert written.status_code == 200, written.text


async def agreed(side: Side, **fields: Any) -> httpx.Response:
    """Record a consent that everything of the referral may go abroad."""
    granted = await side.worker.post(f"/v1/cases/{CASE}/consents", json=sharing_abroad(**fields))
    assert granted.status_code == 201, granted.text
    return granted


async def step(side: Side, verb: str, case_id: UUID = CASE, **fields: Any) -> httpx.Response:
    """Release, give or recall the case as it is now."""
    caller = side.worker
    shown = await caller.get(f"/v1/cases/{case_id}")
    body = {"referral_id": str(REFERRAL)} | fields
    return await caller.post(f"/v1/cases/{case_id}/{verb}", json=body, headers=if_match(shown))


async def crossed(crossing: Crossing, status: str = "ARRIVED") -> None:
    """Let the person's data be abroad and the referral in `status` on both sides."""
    await known(crossing.here)
    await agreed(crossing.here)
    for side in (crossing.here, crossing.there):
        await side.reach("ACCEPTED")
    released = await step(crossing.here, "release")
    assert released.status_code == 200, released.text
    assert await crossing.carry_packages() == ["applied"]
    if status != "ACCEPTED":
        for side in (crossing.here, crossing.there):
            await side.reach(status)
