"""RS and XK as whole countries: their story, told once, and what becomes of their data folders."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from common.clock import new_id
from common.db.base import unit_of
from common.federation.custody import SignedStatement
from prag import peer
from prag.backup import backup
from prag.instance import Instance
from referral.queries.letters import list_custody
from referral.worker import go_on_alone
from tests.conftest import fixed_id
from tests.intake.bodies import CASE, PERSON, case, consent
from tests.kit import if_match
from tests.referral.crossing import REFUGE, URL, draft, plan
from tests.referral.story import organisation
from tests.referral.whole import Whole

REFERRAL = fixed_id(77)


def make(folder: Path, *codes: str) -> None:
    """Make countries that have exchanged their descriptors, each in a folder of its name."""
    for code in codes:
        with Instance(folder / code, code, 8001) as instance:
            instance.prepare()
        peer.init(peer.place_of(folder / code), folder / f"{code}.root")
    for code in codes:
        for other in codes:
            if other != code:
                descriptor = peer.own_descriptor(peer.place_of(folder / other))
                (folder / f"{other}.json").write_bytes(descriptor.to_bytes())
                place = peer.place_of(folder / code)
                peer.add(place, folder / f"{other}.json", descriptor.fingerprint)


@dataclass
class World:
    """RS and XK, and whoever else runs on a copy of the folder of one."""

    folder: Path
    s: Whole
    r: Whole
    more: list[Whole] = field(default_factory=list)
    referral_id: UUID = REFERRAL

    async def rest(self, *only: Whole) -> None:
        """Let everybody, or only some, do what is to be done until nothing is."""
        moved = True
        while moved:
            moved = False
            for each in only or (self.s, self.r, *self.more):
                moved |= bool(await each.send() + await each.collect() + await each.hear())

    # --- backups

    async def back_up(self, country: Whole) -> Path:
        """Copy the folder of a country as it is, as any tool would; return the copy."""
        await country.seal_audit()
        await country.end()
        copy = self.folder / f"backup-{new_id()}"
        shutil.copytree(country.home, copy)
        await country.start()
        return copy

    def back_up_by_command(self, country: Whole) -> Path:
        """Back a running country up by `prag backup`; return a folder with what was unpacked."""
        unpacked = self.folder / f"backup-{new_id()}"
        unpacked.mkdir()
        for archive in backup(country.home, self.folder / f"{unpacked.name}.tar.gz"):
            subprocess.run(["tar", "-xzf", archive, "-C", unpacked], check=True)  # noqa: S603, S607
        return unpacked

    async def put_back(self, country: Whole, copy: Path, *, data_only: bool = False) -> None:
        """Put a copy in the place of a country's folder, or of its databases only, and start it."""
        await country.end()
        part = "data" if data_only else "."
        shutil.rmtree(country.home / part)
        shutil.copytree(copy / part, country.home / part)
        await country.start()

    async def go_on_alone(self, country: Whole) -> None:
        """Let an operator say that a country waits for nobody's answer."""
        await country.hear()
        await go_on_alone(country.referral.runtime)
        await country.hear()

    async def clone(self, copy: Path) -> Whole:
        """Start the sender's folder a second time, on a copy."""
        second = replace(self.s, home=self.folder / f"clone-{new_id()}", kits={}, sealers={})
        shutil.copytree(copy, second.home)
        await second.start()
        self.more.append(second)
        return second

    # --- the story

    @property
    def path(self) -> str:
        return f"{URL}/{self.referral_id}"

    async def ready(self) -> None:
        """Open a case in RS whose person agrees to go to a shelter of XK."""
        coordinator = self.r.referral.caller("NATIONAL_COORDINATOR", new_id())
        body = organisation(REFUGE, country="XK")
        assert (await coordinator.post("/v1/organisations", json=body)).status_code == 201
        await self.open_case(CASE)

    async def open_case(self, case_id: UUID) -> None:
        worker, day, path = self.s.worker("intake"), "2026-05-01", f"/v1/cases/{case_id}"
        opened = await worker.post("/v1/cases", json=case(case_id))
        assert opened.status_code == 201, opened.text
        kept = await worker.post(f"{path}/consents", json=consent(granted_on=day))
        assert kept.status_code == 201, kept.text
        written = await worker.put(f"{path}/identity", json=PERSON, headers=if_match(kept))
        assert written.status_code == 200, written.text
        terms = {
            "recipient_kinds": ["SHELTER"],
            "recipient_countries": ["XK"],
            "purposes": ["ASSISTANCE"],
            "data_groups": ["IDENTITY"],
            "risk_information_given": True,
        }
        shared = consent("SHARE_CROSS_BORDER", granted_on=day, **terms)
        agreed = await worker.post(f"{path}/consents", json=shared)
        assert agreed.status_code == 201, agreed.text
        await self.rest()

    async def draft(self, referral_id: UUID, case_id: UUID) -> None:
        body = draft(case_id, data_groups=["IDENTITY"], id=str(referral_id))
        answer = await self.s.worker("referral").post(URL, json=body)
        assert answer.status_code == 201, answer.text

    async def send(self) -> None:
        """Refer her to XK."""
        await self.draft(self.referral_id, CASE)
        await self.step(self.s, "submit")

    async def go_on_to_arrival(self) -> None:
        """Let the person arrive in XK, her data before her."""
        await self.step(self.r, "acknowledge")
        await self.step(self.r, "accept", {"organisation_id": str(REFUGE)})
        released = await self.s.do(
            f"/v1/cases/{await self.s.case_id()}", "release", {"referral_id": str(self.referral_id)}
        )
        assert released.status_code == 200, released.text
        await self.rest()
        await self.step(self.s, "plan-transfer", plan())
        await self.step(self.s, "depart")
        await self.step(self.r, "confirm-arrival")

    async def step(self, country: Whole, verb: str, body: Any = None) -> None:
        answer = await country.do(self.path, verb, body)
        assert answer.status_code == 200, (verb, answer.text)
        await self.rest()

    async def give(self, *, epoch: int = 1) -> httpx.Response:
        """Let RS let go of the case, and nothing more."""
        body = {"referral_id": str(self.referral_id), "epoch": epoch}
        return await self.s.do(f"/v1/cases/{await self.s.case_id()}", "give", body)

    async def withdraw(self) -> None:
        """Let the person take back at home that she agreed to go abroad."""
        worker, path = self.s.worker("intake"), f"/v1/cases/{await self.s.case_id()}/consents"
        [shared] = [
            each
            for each in (await worker.get(path)).json()["items"]
            if each["scope"] == "SHARE_CROSS_BORDER"
        ]
        taken_back = await worker.post(f"{path}/{shared['id']}/withdraw", json={})
        assert taken_back.status_code == 200, taken_back.text

    async def custody(self) -> list[SignedStatement]:
        """Return what both countries said of the referral, as RS has it."""
        runtime = self.s.referral.runtime
        unit = unit_of(runtime.database, source="/tests", operation="test")
        return await list_custody(unit, self.referral_id)

    async def handed_over(self) -> None:
        """Hand the case over from where the person has arrived."""
        given = await self.give()
        assert given.status_code == 200, given.text
        await self.rest()
        assert await self.holdings() == (("NONE", 2), ("OWNER", 2))

    async def holdings(self) -> tuple[tuple[str, int], tuple[str, int]]:
        return await self.s.holding(), await self.r.holding()


STAGES = ("ready", "sent", "arrived")


def tell_to_arrival(folder: Path) -> Path:
    """Tell the story once, until the person has arrived; return what `open_world` may begin from."""
    make(folder, "RS", "XK")
    (folder / "told").mkdir()

    async def tell() -> None:
        async with open_world(folder, folder / "told") as world:
            for stage, act in zip(
                STAGES, (world.ready, world.send, world.go_on_to_arrival), strict=True
            ):
                await act()
                for each in (world.s, world.r):
                    await each.seal_audit()
                    await each.end()
                shutil.copytree(folder / "told", folder / stage)
                for each in (world.s, world.r):
                    await each.start()

    asyncio.run(tell())
    return folder


@asynccontextmanager
async def open_world(
    template: Path, folder: Path, *, urls: dict[str, str] | None = None
) -> AsyncIterator[World]:
    """Start both countries on copies of the folders in `template`, RS on PostgreSQL by its `urls`."""
    for code in ("RS", "XK"):
        shutil.copytree(template / code, folder / code)
    log = folder / "hub.db"
    if (template / "hub.db").exists():
        shutil.copy(template / "hub.db", log)
    sender = Whole("RS", folder / "RS", log, urls or {})
    world = World(folder, sender, Whole("XK", folder / "XK", log))
    await world.s.start()
    await world.r.start()
    try:
        yield world
    finally:
        for each in (world.s, world.r, *world.more):
            await each.end()
