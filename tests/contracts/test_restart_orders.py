"""Four services step from one release to the next, one after another, in every order (T21)."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import permutations
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from sqlalchemy import func, select

from common.bus import Bus, Subscription
from common.clock import new_id
from common.relay import Relay
from common.settings import ServiceName
from common.tables import DeadLetter, InboxMessage, InboxPending, OutboxMessage
from common.worker import consumer_of
from tests.contracts.released import Release, Wire, releases
from tests.kit import HOME, Kit, handlers_of, open_service
from tests.referral.story import SHELTER, draft, organisation
from tests.surface.operations import SERVICES
from tests.surface.stage import NOW, Stage, Who, time_stands_still

OLDER = releases()[0]
ORDERS = [*permutations(SERVICES)]
ABREAST = 4
"""Countries at a time: while one waits for the disk the others work."""
WORKER = Who("SOCIAL_WORKER", HOME, "sender-1")
SHELTERS = Who("NGO_CASE_MANAGER", SHELTER, "receiver-1")
Step = tuple[Who, str, Any]
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Worker:
    """The worker of a service in the release it was started in; without one, in today's."""

    def __init__(self, kit: Kit, release: Release | None) -> None:
        handlers = handlers_of(kit.runtime)
        bus: Bus = kit.runtime.bus
        self._bus = bus if release is None else Wire(bus, release)
        self._relay = Relay(kit.runtime.database, self._bus, service=kit.runtime.name)
        hears = handlers if release is None else release.hearing(handlers)
        self._consumer = consumer_of(kit.runtime, hears)
        self._reads: Subscription | None = None

    async def step(self) -> int:
        """Publish what waits and take what has come; return how much that was."""
        if self._reads is None:
            await self._relay.lead()
            await self._consumer.catch_up()
            await self._consumer.retry_all_parked()
            self._reads = await self._bus.subscribe(
                self._consumer.topics, group="", position_of=self._consumer.claim
            )
        published = await self._relay.publish_waiting()
        deliveries = await self._reads.poll(seconds=0)
        await self._consumer.accept_all(deliveries)
        return published + len(deliveries)


class Country:
    def __init__(self, kits: Mapping[ServiceName, Kit], release: Release | None) -> None:
        self.kits = kits
        self.stages = {service: Stage(kit) for service, kit in kits.items()}
        self.workers = {service: Worker(kit, release) for service, kit in kits.items()}

    def restart(self, service: ServiceName) -> None:
        """Let a service go on in today's release, on the database that it has."""
        self.workers[service] = Worker(self.kits[service], None)

    async def settle(self) -> None:
        while sum([await worker.step() for worker in self.workers.values()]):
            pass

    async def do(
        self, service: ServiceName, by: Who, method: str, path: str, body: Any = None
    ) -> Any:
        return (await self.stages[service].do(method, path, by, body)).json()

    async def steps(self, service: ServiceName, url: str, *steps: Step) -> None:
        """Take steps of a record one after another, from its first version on."""
        for version, (by, verb, body) in enumerate(steps, 1):
            await self.stages[service].do("POST", f"{url}/{verb}", by, body, version)

    async def walk(self) -> str:
        """Take a person from her first day in as far as a plan; return all that is shown of her."""
        case_id, body = new_id(), draft(new_id())
        body["case_id"], referral = str(case_id), f"/v1/referrals/{body['id']}"
        case, plan = f"/v1/cases/{case_id}", f"/v1/plans/{uuid5(UUID(body['id']), 'plan')}"
        await self.do("intake", WORKER, "POST", "/v1/cases", {**_OPENED, "id": str(case_id)})
        await self.do("intake", WORKER, "POST", f"{case}/consents", _AGREED)
        await self.settle()
        await self.do("referral", WORKER, "POST", "/v1/referrals", body)
        taken_in = ((WORKER, "submit"), (SHELTERS, "acknowledge"), (SHELTERS, "accept"))
        await self.steps("referral", referral, *((by, verb, None) for by, verb in taken_in))
        await self.settle()
        day = {"entered_on": NOW.date().isoformat()}
        await self.steps("reintegration", plan, (SHELTERS, "start", day), (SHELTERS, "suspend", {}))
        await self.settle()
        return _without_ids(
            [
                await self.do("intake", WORKER, "GET", case),
                await self.do("referral", SHELTERS, "GET", referral),
                await self.do("reintegration", SHELTERS, "GET", plan),
            ]
        )

    async def figures(self) -> Any:
        figure = await self.do(
            "analytics", Who("ANALYST"), "GET", "/v1/indicators/persons-assisted"
        )
        return {name: figure[name] for name in ("total", "cells", "data_cut")}

    async def faults(self) -> list[str]:
        """Return what is left lying: dead letters, events that wait, events that were not told."""
        found = []
        for service, kit in self.kits.items():
            for table, where in (
                (DeadLetter, None),
                (InboxPending, None),
                (OutboxMessage, OutboxMessage.published_at.is_(None)),
                (InboxMessage, InboxMessage.outcome != "applied"),
            ):
                statement = select(func.count().label("n")).select_from(table)
                [row] = await kit.rows(statement if where is None else statement.where(where))
                found += [f"{service}: {row.n} in {table.__tablename__}"] if row.n else []
        return found


_OPENED = {
    "beneficiary_kind": "PRESUMED",
    "sex": "FEMALE",
    "urgency": "HIGH",
    "legal_basis": "PUBLIC_TASK",
    "birth_date": "1997",
}
_AGREED = {
    "scope": "SHARE_NATIONAL",
    "given_by": "SELF",
    "language": "sq",
    "granted_on": NOW.date().isoformat(),
    "recipient_organisation_id": str(SHELTER),
    "purposes": ["ASSISTANCE"],
    "data_groups": ["IDENTITY"],
}


def _without_ids(shown: Any) -> str:
    """Return it as text with each id replaced by which one it is."""
    seen: dict[str, str] = {}
    text = json.dumps(shown, sort_keys=True)
    return _ID.sub(lambda found: seen.setdefault(found[0], f"id {len(seen)}"), text)


def _folder(home: Path, name: str) -> Path:
    (home / name).mkdir()
    return home / name


@asynccontextmanager
async def country(home: Path, release: Release | None) -> AsyncIterator[Country]:
    """Open the four services of a country, all in one release; the shelter is in the directory."""
    time_stands_still()
    async with AsyncExitStack() as stack:
        kits = {s: await stack.enter_async_context(open_service(s, home)) for s in SERVICES}
        opened = Country(kits, release)
        coordinator = Who("NATIONAL_COORDINATOR", new_id(), "coordinator-1")
        entry = organisation(SHELTER)
        await opened.do("referral", coordinator, "POST", "/v1/organisations", entry)
        yield opened


@pytest.mark.slow
async def test_every_order_of_restarts_leads_to_the_same_state(tmp_path: Path) -> None:
    """Seeded: let the older release refuse fields it did not know, or not hear of acceptances."""
    async with country(_folder(tmp_path, "today"), None) as today:
        alone = [await today.walk() for _ in SERVICES]
        counted = await today.figures()
    assert counted["total"] == len(SERVICES)
    for first in range(0, len(ORDERS), ABREAST):
        orders = ORDERS[first : first + ABREAST]
        async with asyncio.TaskGroup() as abreast:
            ends = [abreast.create_task(_end_of(order, tmp_path)) for order in orders]
        for order, end in zip(orders, ends, strict=True):
            assert end.result() == (alone, counted, []), order


async def _end_of(order: Sequence[ServiceName], home: Path) -> tuple[list[str], Any, list[str]]:
    """Restart the services in this order; return what was shown after each, figures, faults."""
    async with country(_folder(home, "-".join(order)), OLDER) as mixed:
        walks = []
        for service in order:
            mixed.restart(service)
            walks.append(await mixed.walk())
        return walks, await mixed.figures(), await mixed.faults()
