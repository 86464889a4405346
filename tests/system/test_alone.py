"""A service is down for seven days, and the others work on (F88, within a country)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import httpx
import pytest
from sqlalchemy import select

from common import clock
from common.clock import new_id
from common.consumer import topics_of, with_audit_heads
from common.settings import ServiceName
from common.tables import DeadLetter, InboxAggregate, InboxMessage, InboxPending, OutboxMessage
from referral.models import KnownCase
from tests.kit import HOME, Kit, if_match
from tests.privacy.country import Country, open_country
from tests.surface.operations import SERVICES

BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAYS = 7
SHELTER = UUID("20000000-0000-4000-8000-000000000001")
SERVICE = UUID("20000000-0000-4000-8000-000000000002")


class Week:
    """What each service has to do on each of seven days, from what was known before them."""

    def __init__(self, country: Country) -> None:
        self.country = country
        kits = country.kits
        self._ana = kits["intake"].caller("SOCIAL_WORKER")
        self._sender = kits["referral"].caller("SOCIAL_WORKER")
        self._receiver = kits["referral"].caller("NGO_CASE_MANAGER", SHELTER, "mira")
        self._mira = kits["reintegration"].caller("NGO_CASE_MANAGER", SHELTER, "mira")
        self._analyst = kits["analytics"].caller("ANALYST")
        self.waiting: list[UUID] = []
        """Referrals that wait for the shelter's answer, one a day."""
        self.taken: list[UUID] = []
        """Referrals whose plans wait to be begun, one a day."""
        self.opened: list[UUID] = []
        """Cases opened in the week."""

    async def prepare(self) -> None:
        today_is(0)
        await self._directory()
        cases = [await self._open_case() for _ in range(2 * DAYS)]
        await self.country.settle()
        referrals = [await self._refer(case) for case in cases]
        self.waiting, self.taken = referrals[:DAYS], referrals[DAYS:]
        for referral in self.taken:
            await self._accept(referral)
        await self.country.settle()

    def work(self, service: ServiceName) -> Callable[[int], Awaitable[None]]:
        return {
            "intake": self._intake,
            "referral": self._referral,
            "reintegration": self._reintegration,
            "analytics": self._analytics,
        }[service]

    async def _intake(self, day: int) -> None:
        """Open a case, whose urgency changes twice on the day: three events in their order."""
        case = await self._open_case()
        self.opened.append(case)
        path = f"/v1/cases/{case}"
        for urgency in ("LOW", "NORMAL"):
            seen = await self._ana.get(path)
            await done(self._ana.patch(path, json={"urgency": urgency}, headers=if_match(seen)))

    async def _referral(self, day: int) -> None:
        """Take in a person who was referred before the week."""
        await self._accept(self.waiting[day])

    async def _reintegration(self, day: int) -> None:
        """Begin the plan of a person taken in before the week."""
        path = f"/v1/plans/{uuid5(self.taken[day], 'plan')}"
        seen = await done(self._mira.get(path))
        begun = {"entered_on": clock.utcnow().date().isoformat()}
        await done(self._mira.post(f"{path}/start", json=begun, headers=if_match(seen)))

    async def _analytics(self, day: int) -> None:
        await self.persons_assisted()

    async def persons_assisted(self) -> int:
        figure = await done(self._analyst.get("/v1/indicators/persons-assisted"))
        return sum(cell["value"] for cell in figure.json()["cells"])

    # --- steps

    async def _directory(self) -> None:
        contact = self.country.kits["referral"].caller("NATIONAL_CONTACT_POINT", HOME, "jelena")
        for organisation in (HOME, SHELTER):
            body = {
                "id": str(organisation),
                "country": "RS",
                "name": "Kuća",
                "kind": "SHELTER",
                "sector": "CIVIL_SOCIETY",
                "languages": ["sr-Latn"],
            }
            await done(contact.post("/v1/organisations", json=body))
        service = {
            "id": str(SERVICE),
            "organisation_id": str(SHELTER),
            "service_type": "SHELTER",
            "sexes": ["FEMALE"],
            "age_groups": ["25-34"],
            "languages": ["sr-Latn"],
            "capacity": 50,
            "free_places": 50,
        }
        await done(contact.post("/v1/services", json=service))

    async def _open_case(self) -> UUID:
        case = new_id()
        body = {
            "id": str(case),
            "beneficiary_kind": "PRESUMED",
            "sex": "FEMALE",
            "urgency": "HIGH",
            "legal_basis": "PUBLIC_TASK",
            "birth_date": "1997",
        }
        consent = {
            "scope": "SHARE_NATIONAL",
            "recipient_organisation_id": str(SHELTER),
            "purposes": ["ASSISTANCE"],
            "data_groups": ["IDENTITY"],
            "given_by": "SELF",
            "language": "sr-Latn",
            "granted_on": clock.utcnow().date().isoformat(),
        }
        await done(self._ana.post("/v1/cases", json=body))
        await done(self._ana.post(f"/v1/cases/{case}/consents", json=consent))
        return case

    async def _refer(self, case: UUID) -> UUID:
        referral = new_id()
        body = {
            "id": str(referral),
            "case_id": str(case),
            "receiving_organisation_id": str(SHELTER),
            "service_id": str(SERVICE),
            "urgency": "HIGH",
            "purpose": "ASSISTANCE",
            "data_groups": ["IDENTITY"],
        }
        path = f"/v1/referrals/{referral}"
        drafted = await done(self._sender.post("/v1/referrals", json=body))
        sent = await done(self._sender.post(f"{path}/submit", headers=if_match(drafted)))
        await done(self._receiver.post(f"{path}/acknowledge", headers=if_match(sent)))
        return referral

    async def _accept(self, referral: UUID) -> None:
        path = f"/v1/referrals/{referral}"
        seen = await done(self._receiver.get(path))
        await done(self._receiver.post(f"{path}/accept", headers=if_match(seen)))


def today_is(day: int) -> None:
    now = BEGIN + timedelta(days=day)
    clock.set_source(lambda: now)


async def done(call: Awaitable[httpx.Response]) -> httpx.Response:
    answer = await call
    assert answer.is_success, f"{answer.request.url}: {answer.status_code} {answer.text}"
    return answer


@pytest.fixture
async def week(tmp_path: Path) -> AsyncIterator[Week]:
    async with open_country(tmp_path) as country:
        week = Week(country)
        await week.prepare()
        yield week


@pytest.mark.slow
@pytest.mark.row("F88")
@pytest.mark.parametrize("down", SERVICES)
async def test_the_others_work_on_and_nothing_is_lost_or_doubled(
    week: Week, down: ServiceName
) -> None:
    """Nothing is refused meanwhile; afterwards the backlog drains in order, and each event once.

    Seeded: ask a sibling while answering; apply events as they come; forget what the inbox has
    seen; begin at the end of the log after a pause.
    """
    country = week.country
    before = await week.persons_assisted()

    for day in range(1, DAYS + 1):
        today_is(day)
        for service in SERVICES:
            if service != down:
                await week.work(service)(day - 1)
        await country.settle(without=down)
    kept = {service: await untaken(country, service) for service in SERVICES}
    for day in range(DAYS):
        await week.work(down)(day)
    await country.settle()

    assert before == 0
    assert {service for service, count in kept.items() if count} == {down}
    assert await week.persons_assisted() == DAYS
    assert await plans(country) == 2 * DAYS
    assert await urgencies(country, week.opened) == ["NORMAL"] * DAYS
    for service in SERVICES:
        assert await faults(country, service) == []


async def untaken(country: Country, service: ServiceName) -> int:
    """Return how many events its siblings have published that the service has not taken."""
    kit = country.kits[service]
    heard = {row.event_id for row in await kit.rows(select(InboxMessage))}
    return len([row for row in await told_to(country, service) if row.event_id not in heard])


async def told_to(country: Country, service: ServiceName) -> list[Any]:
    """Return the events all services have stored on the topics this one listens to."""
    handlers = import_module(f"{service}.consumers").HANDLERS
    topics = topics_of(with_audit_heads(service, handlers))
    statement = select(OutboxMessage).where(OutboxMessage.topic.in_(topics))
    return [row for kit in country.kits.values() for row in await kit.rows(statement)]


async def faults(country: Country, service: ServiceName) -> list[str]:
    """Return what is not as it must be: each event applied once, each aggregate to its end."""
    kit: Kit = country.kits[service]
    told = await told_to(country, service)
    heard = await kit.rows(select(InboxMessage))
    states = {(r.topic, r.subject): r.last_seq for r in await kit.rows(select(InboxAggregate))}
    ends: dict[tuple[str, UUID], int] = {}
    for row in told:
        key = (row.topic, row.subject)
        ends[key] = max(ends.get(key, 0), row.seq)
    found = [f"waits: {r.topic}" for r in await kit.rows(select(InboxPending))]
    found += [f"dead: {r.reason}" for r in await kit.rows(select(DeadLetter))]
    found += [f"{r.outcome}: {r.topic}" for r in heard if r.outcome != "applied"]
    if sorted(r.event_id for r in told) != sorted(r.event_id for r in heard):
        found.append(f"told {len(told)}, heard {len(heard)}")
    if states != ends:
        found.append("an aggregate is not at its end")
    return found


async def plans(country: Country) -> int:
    """Return how many plans there are: one for each person taken in, however late it was heard."""
    shelter = country.kits["reintegration"].caller("NGO_CASE_MANAGER", SHELTER, "mira")
    page = await done(shelter.get("/v1/plans", params={"limit": "200"}))
    return len(page.json()["items"])


async def urgencies(country: Country, cases: list[UUID]) -> list[str]:
    """Return what referral knows of the cases: of three changes the last, if they kept their order."""
    rows = await country.kits["referral"].rows(
        select(KnownCase).where(KnownCase.case_id.in_(cases))
    )
    return [row.urgency for row in rows]
