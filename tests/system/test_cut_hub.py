"""The hub is cut off for fourteen days (T6, F88): a country works on, and then says everything.

The time is made up, the letters are not: each is written by the product's own commands, sealed under
its referral's key, signed, sealed to the other country and taken there. `--letters 50000` is the whole
of what is promised (`make chaos-full`); without it there are some hundred, to be quick.

The memory that is measured is this test's own process: both countries' code, the embedded log as the
hub (LocalBus, no Kafka) and the test itself, on PostgreSQL. With some hundred letters the bound on its
growth would notice little; what the whole number shows is that what waits is not read all at once.
"""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import groupby
from math import ceil
from pathlib import Path
from uuid import UUID

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from sqlalchemy import func, select

from common.auth import Principal
from common.bus import BusError, LocalBus
from common.clock import monotonic
from common.contracts.referral import CrossBorderChanged
from common.db.base import unit_of
from common.db.caller import SERVICE
from common.http.introducing import Introducing
from common.relay import Relay
from common.tables import OutboxMessage
from referral.commands.cross_border import draft_cross_border, submit_cross_border
from referral.courier import BATCH
from referral.domain.calendar import Calendar
from referral.models import Letter
from referral.schemas.cross_border import CrossBorderCreate
from referral.worker import courier_of, expire_overdue
from tests.conftest import PostgresUrls
from tests.kit import HOME
from tests.postgres import asking, copy, migrate, set_up
from tests.referral import story
from tests.referral.crossing import Country, Crossing, draft, open_crossing
from tests.referral.story import NOW, Case, now_is
from tests.system.writing import write_down

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

DAYS = 14
EXPIRING = 1.2
"""How many letters there are to an offer, for some offers expire meanwhile; a little more in truth."""
PAGE = 200
"""Referrals of one transaction, when many are written."""
MOST_GROWTH = 300 * 1024 * 1024
WORKER = Principal("rs-1", HOME, "SOCIAL_WORKER", relations=frozenset({"own"}))


@pytest.fixture
async def crossing(tmp_path: Path, postgres_urls: PostgresUrls) -> AsyncIterator[Crossing]:
    now_is(NOW)
    here = set_up(postgres_urls, tmp_path)["referral"]
    migrate("referral", here)
    urls = (here.application, copy(here).application)
    with asking(SERVICE):
        async with open_crossing(tmp_path, urls=urls) as opened:
            for country in (opened.s, opened.r):
                rows = country.kit.runtime.authorisation
                country.kit.app.add_middleware(Introducing, authorisation=rows)
            yield opened


@pytest.mark.row("F88")
async def test_a_country_without_the_hub_for_two_weeks_works_on_and_then_sends_all_in_order(
    crossing: Crossing, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Seeded: read all letters that wait at once; leave the order of the letters to the database."""
    wanted = int(pytestconfig.getoption("--letters"))
    s, r = crossing.s, crossing.r
    with asking(SERVICE):
        case, _ = await crossing.ready()
        national, _ = await story.ready(s.kit)
        rss = Rss()
        hub, s.hub = s.hub, LocalBus(tmp_path / "away" / "hub.db")
        for day in range(DAYS):
            now_is(NOW + timedelta(days=day))
            await offer_many(s, case, ceil(wanted / EXPIRING / DAYS))
            await expire_overdue(s.kit.runtime)
            await work_as_ever(s, national)
            with pytest.raises(BusError):
                await s.send()
            rss.look()
        now_is(NOW + timedelta(days=DAYS))
        [waiting] = await s.kit.rows(
            select(func.count().label("n")).where(Letter.sent_at.is_(None))
        )
        assert waiting.n >= wanted
        sealed = select(func.count().label("n")).where(Letter.body.is_not(None))
        assert (await s.kit.rows(sealed))[0].n > wanted / 2

        await s.hub.close()
        s.hub = hub
        began = monotonic()
        sent = await send_all(s, rss)
        seconds = monotonic() - began
        assert sent == waiting.n
        assert await r.collect() == sent
        rss.look()
        await crossing.post()

        assert await r.dead() == []
        assert await taken(r) == await said(s)
        assert set((await taken(r)).values()) == {("SUBMITTED",), ("SUBMITTED", "EXPIRED")}
        unheard = select(Letter.id).where(Letter.receipt_of == 0, Letter.heard_at.is_(None))
        assert await s.kit.rows(unheard) == []
        assert rss.grown < MOST_GROWTH
    write_down(
        f"hub away {DAYS} days: {sent} letters waited, sent in {seconds:.0f} s "
        f"({sent / seconds:.0f} a second), resident memory grew by {rss.grown / 2**20:.0f} MB"
    )


class Rss:
    """By how much the resident memory of this process, which relays, has grown at its most."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._first = self._process.memory_info().rss
        self.grown = 0

    def look(self) -> None:
        self.grown = max(self.grown, self._process.memory_info().rss - self._first)


async def offer_many(country: Country, case: Case, count: int) -> None:
    """Offer a person abroad so many times. Of every four one is so urgent that it expires by itself."""
    runtime = country.kit.runtime
    here = Calendar(country.code, runtime.settings.time_zone)
    for first in range(0, count, PAGE):
        async with runtime.database.batch() as batch:
            for number in range(first, min(first + PAGE, count)):
                urgency = "NORMAL" if number % 4 else "HIGH"
                body = CrossBorderCreate.model_validate(draft(case.id, urgency=urgency))
                unit = unit_of(batch, source=runtime.source, operation="draft")
                unit.actor = WORKER.actor
                await draft_cross_border(
                    unit, body, principal=WORKER, calendar=here, peers=[body.peer_country]
                )
                await batch.write(unit)
                unit = unit_of(batch, source=runtime.source, operation="submit")
                unit.actor = WORKER.actor
                await submit_cross_border(
                    unit, body.id, principal=WORKER, expected=1, calendar=here
                )
                await batch.write(unit)


async def work_as_ever(country: Country, case: Case) -> None:
    """Refer somebody inside the country, by its API, and let its other services hear of all there is."""
    await story.sent(country.kit, case)
    relay = Relay(country.kit.runtime.database, country.kit.runtime.bus)
    await relay.lead()
    while await relay.publish_waiting():
        pass
    unpublished = select(OutboxMessage.id).where(OutboxMessage.published_at.is_(None))
    assert await country.kit.rows(unpublished) == []


async def send_all(country: Country, rss: Rss) -> int:
    """Send what waits as the worker does, a bounded page at a time; return how many that were."""
    courier = courier_of(country.kit.runtime, country.hub)
    sent = 0
    while await courier.sign_waiting():
        rss.look()
    while more := await courier.send_due():
        assert more <= BATCH
        sent += more
        rss.look()
    return sent


async def said(country: Country) -> dict[UUID, tuple[str, ...]]:
    """Return what a country has said of each referral that it sent, in its order."""
    statement = select(Letter.referral_id, Letter.kind).where(Letter.receipt_of == 0)
    rows = await country.kit.rows(statement.order_by(Letter.referral_id, Letter.number))
    status = {"offer": "SUBMITTED", "expired": "EXPIRED"}
    return {
        referral_id: tuple(status[row.kind] for row in letters)
        for referral_id, letters in groupby(rows, key=lambda row: row.referral_id)
    }


async def taken(country: Country) -> dict[UUID, tuple[str, ...]]:
    """Return which statuses a country's own services were told of each referral, in their order."""
    told = select(OutboxMessage.subject, OutboxMessage.payload).where(
        OutboxMessage.type == CrossBorderChanged.type
    )
    rows = await country.kit.rows(told.order_by(OutboxMessage.subject, OutboxMessage.id))
    return {
        subject: tuple(json.loads(row.payload)["data"]["status"] for row in events)
        for subject, events in groupby(rows, key=lambda row: row.subject)
    }
