"""One whole country on its own data folder: both services that a handover passes through.

Nothing runs by itself: what its workers would do is done when it is asked for.
"""

import json
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from common.audit import Sealer
from common.bus import LocalBus
from common.clock import new_id
from common.http.introducing import Introducing
from common.relay import Relay
from common.runtime import open_runtime
from common.settings import ServiceName
from common.tables import DeadLetter
from common.worker import consumer_of, sealer_of
from intake.models import Case
from prag.instance import Instance
from prag.issuer import LocalIssuer
from prag.manifest import Layout
from prag.parts import PARTS
from prag.verify_custody import report
from referral.courier import Courier
from referral.models import CrossBorderReferral, Custody
from referral.worker import courier_of, mail_of, postbox_of, take_up_held
from tests.intake.bodies import CASE
from tests.kit import HOME, Kit, handlers_of, if_match
from tests.referral.crossing import REFUGE, URL

SERVICES: tuple[ServiceName, ServiceName] = ("intake", "referral")


@dataclass
class Whole:
    """One country while it runs. A clone is another one on a copy of its folder."""

    code: str
    home: Path
    log: Path
    """The hub's."""
    urls: dict[str, str] = field(default_factory=dict)
    """Of databases on PostgreSQL by service; else they are the folder's."""
    kits: dict[str, Kit] = field(default_factory=dict)
    sealers: dict[str, Sealer] = field(default_factory=dict)
    is_connected: bool = True
    """Whether its settings name the hub."""

    async def start(self) -> None:
        """Open the services and do what their workers do at a start."""
        hub = self.log if self.is_connected else None
        instance = Instance(self.home, self.code, 8001, hub=hub)
        self.hub = LocalBus(self.log)
        for name in SERVICES:
            settings = instance.settings(name, PARTS[name])
            if name in self.urls:
                settings = settings.model_copy(update={"database_url": self.urls[name]})
            runtime = open_runtime(name, settings)
            app = import_module(f"{name}.app").create_app(runtime)
            app.add_middleware(Introducing, authorisation=runtime.authorisation)
            self.kits[name] = Kit(runtime, app, LocalIssuer(self.home), self.home)
            anchor = instance.files.anchor(name)
            self.sealers[name] = sealer_of(runtime, anchor)
            begin = PARTS[name].begin
            assert begin is not None
            await begin(runtime, anchor_file=anchor)
        self.courier: Courier = courier_of(self.referral.runtime, self.hub)

    async def end(self) -> None:
        for kit in self.kits.values():
            await kit.runtime.database.close()
            await kit.runtime.bus.close()
        await self.hub.close()

    @property
    def intake(self) -> Kit:
        return self.kits["intake"]

    @property
    def referral(self) -> Kit:
        return self.kits["referral"]

    # --- what the workers do

    async def send(self) -> int:
        sent = await self.courier.write_rolls()
        while await self.courier.sign_waiting():
            pass
        return sent + await self.courier.send_slips() + await self.courier.send_due()

    async def collect(self) -> int:
        runtime = self.referral.runtime
        postbox = postbox_of(runtime)
        mail = mail_of(runtime, self.hub, self.courier)
        reading = await mail.subscribe(
            postbox.topics, group=runtime.name, position_of=postbox.claim
        )
        taken = 0
        while deliveries := await reading.poll(seconds=0):
            await postbox.accept_all(deliveries)
            taken += len(deliveries)
        await take_up_held(runtime)
        return taken

    async def hear(self) -> int:
        """Let the services of the country hear of each other."""
        moved = 0
        for kit in self.kits.values():
            relay = Relay(kit.runtime.database, kit.runtime.bus, service=kit.runtime.name)
            await relay.lead()
            while count := await relay.publish_waiting():
                moved += count
        for kit in self.kits.values():
            consumer = consumer_of(kit.runtime, handlers_of(kit.runtime))
            reading = await kit.runtime.bus.subscribe(
                consumer.topics, group=kit.runtime.name, position_of=consumer.claim
            )
            while deliveries := await reading.poll(seconds=0):
                await consumer.accept_all(deliveries)
        return moved

    async def seal_audit(self) -> None:
        """Link what was audited, and anchor the heads outside the databases."""
        for sealer in self.sealers.values():
            while await sealer.link_waiting():
                pass
            await sealer.seal_head()

    # --- what it has

    async def row(self, referral_id: UUID) -> Any:
        where = CrossBorderReferral.id == referral_id
        rows = await self.referral.rows(select(CrossBorderReferral).where(where))
        return rows[0] if rows else None

    async def holding(self) -> tuple[str, int]:
        """Return what it holds of the person's case."""
        [row] = await self.intake.rows(select(Case).where(Case.id == await self.case_id()))
        return str(row.holding), row.epoch

    async def case_id(self) -> UUID:
        """Return the person's case: in XK the only one there is."""
        if self.code == "RS":
            return CASE
        [row] = await self.intake.rows(select(Case))
        found: UUID = row.id
        return found

    async def gauge(self, name: str) -> float:
        """Scrape a gauge of the referral service."""
        transport = httpx.ASGITransport(app=self.referral.app, client=("127.0.0.1", 9))
        async with httpx.AsyncClient(transport=transport, base_url="http://prag") as scraper:
            text = (await scraper.get("/metrics")).text
        [found] = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if (sample.name, sample.labels.get("service")) == (name, "referral")
        ]
        return found

    async def links(self, referral_id: UUID) -> dict[tuple[str, int], str]:
        """Return the hash of each link of both chains of custody, as this country has them."""
        of_referral = select(Custody).where(
            Custody.referral_id == referral_id, Custody.receipt_of == 0
        )
        return {(row.author, row.number): row.hash for row in await self.referral.rows(of_referral)}

    async def dead(self) -> list[str]:
        rows = [r for kit in self.kits.values() for r in await kit.rows(select(DeadLetter))]
        return [row.reason for row in rows]

    async def verify(self, referral_id: UUID) -> int:
        """Return what `prag verify-custody` says of what its coordinator reads: 0 where it holds."""
        reader = self.referral.caller("NATIONAL_COORDINATOR", new_id())
        answer = await reader.get(f"{URL}/{referral_id}/custody")
        assert answer.status_code == 200, answer.text
        file = self.home.with_name(f"{self.home.name}-custody.json")
        file.write_text(json.dumps(answer.json()))
        return report(Layout(self.home).peers, file)

    # --- what its people do

    def worker(self, service: ServiceName) -> httpx.AsyncClient:
        organisation_id = HOME if self.code == "RS" else REFUGE
        return self.kits[service].caller("SOCIAL_WORKER", organisation_id)

    async def edit(self) -> httpx.Response:
        """Change the person's case."""
        path = f"/v1/cases/{await self.case_id()}"
        shown = await self.worker("intake").get(path)
        return await self.worker("intake").patch(
            path, json={"urgency": "NORMAL"}, headers=if_match(shown)
        )

    async def do(self, path: str, verb: str, body: Any = None) -> httpx.Response:
        """Take a step of the case or the referral at `path`."""
        service: ServiceName = "intake" if path.startswith("/v1/cases") else "referral"
        caller = self.worker(service)
        if verb in {"acknowledge", "accept"}:
            caller = self.referral.caller("NATIONAL_CONTACT_POINT", new_id())
        shown = await caller.get(path)
        return await caller.post(f"{path}/{verb}", json=body, headers=if_match(shown))
