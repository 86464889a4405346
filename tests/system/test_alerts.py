"""The alerts: each names a metric there is, comes when it should, and goes when it is over."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from structlog.testing import capture_logs

from common import clock
from common.bus import Record
from common.clock import new_id
from common.consumer import Consumer, topics_of, with_audit_heads
from common.db.base import unit_of
from common.events import Event
from common.recovery import resume
from common.relay import Relay
from common.unit import Unit
from common.worker import forget_dead_letters
from referral.domain.cross_border import CrossBorderStatus, Direction
from referral.models import CrossBorderReferral, Letter, PeerToHear, Slip
from referral.worker import go_on_alone, warn_of_keys
from tests.federation.countries import land
from tests.intake.bodies import case, desk
from tests.kit import Kit, open_service
from tests.system.alerting import ALERTS, RULES, is_true, read

NOW = datetime(2026, 11, 16, 10, tzinfo=UTC)


class Watched:
    """Intake tells, referral hears; a scraper looks at referral and at intake."""

    def __init__(self, intake: Kit, referral: Kit) -> None:
        self.intake, self.referral = intake, referral
        self._relay = Relay(intake.runtime.database, intake.runtime.bus, service="intake")
        self.consumer = _consumer(referral)

    async def open_cases(self, count: int) -> None:
        worker = desk(self.intake)
        for _ in range(count):
            answer = await worker.post("/v1/cases", json=case(new_id()))
            assert answer.status_code == 201, answer.text

    async def publish(self) -> None:
        await self._relay.lead()
        while await self._relay.publish_waiting():
            pass

    async def consume(self, consumer: Consumer | None = None) -> None:
        consumer = consumer or self.consumer
        bus = self.referral.runtime.bus
        subscription = await bus.subscribe(
            consumer.topics, group="referral", position_of=consumer.claim
        )
        while found := await subscription.poll(limit=1000, seconds=0):
            await consumer.accept_all(found)

    async def metrics(self, kit: Kit) -> dict[str, dict[str, float]]:
        """Scrape: metric → its value by what it is told of (a topic, or one of its parts)."""
        answer = await _scraper(kit).get("/metrics")
        assert answer.status_code == 200
        return read(answer.text, kit.runtime.name)

    async def firing(self, kit: Kit) -> set[str]:
        """Return the alerts whose expression is true for this service at this moment."""
        found = await self.metrics(kit)
        service = kit.runtime.name
        return {name for name, rule in RULES.items() if is_true(rule, found, service)}


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    clock.set_source(lambda: NOW)
    async with (
        open_service("intake", tmp_path) as intake,
        open_service("referral", tmp_path) as referral,
    ):
        yield Watched(intake, referral)


def later(**pause: float) -> None:
    clock.set_source(lambda: NOW + timedelta(**pause))


def _consumer(kit: Kit, handlers: Any = None, **more: Any) -> Consumer:
    runtime = kit.runtime
    handlers = handlers or import_module(f"{runtime.name}.consumers").HANDLERS
    return Consumer(
        runtime.database,
        with_audit_heads(runtime.name, handlers),
        service=runtime.name,
        box=runtime.box,
        source=runtime.source,
        **more,
    )


def _scraper(kit: Kit) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=kit.app, client=("127.0.0.1", 9))
    return httpx.AsyncClient(transport=transport, base_url="http://prag")


@pytest.mark.row("F90")
async def test_a_consumer_that_stopped_falls_behind_and_catches_up(watched: Watched) -> None:
    """Seeded: measure in the worker, which is not there; count from the beginning of the log."""
    quiet = await watched.metrics(watched.referral)
    await watched.open_cases(3)
    await watched.publish()
    later(minutes=6)
    stopped = await watched.metrics(watched.referral)
    alerts = await watched.firing(watched.referral)
    await watched.consume()
    after = await watched.metrics(watched.referral)

    lag, age = "prag_consumer_lag_events", "prag_consumer_lag_seconds"
    assert set(quiet[lag].values()) == set(quiet[age].values()) == {0}
    assert (stopped[lag]["intake.case"], stopped[age]["intake.case"]) == (3, 360)
    assert alerts == {"ConsumerBehind"}
    assert set(after[lag].values()) == set(after[age].values()) == {0}
    assert await watched.firing(watched.referral) == set()


async def test_an_outbox_nobody_empties_is_seen_in_the_service_that_tells(watched: Watched) -> None:
    # Fails when the gauge is set by the relay, which is what has stopped.
    await watched.open_cases(1)
    later(minutes=3)

    assert await watched.firing(watched.intake) == {"OutboxNotPublished"}
    await watched.publish()
    assert await watched.firing(watched.intake) == set()


async def test_a_great_backlog_is_seen_by_its_number(watched: Watched) -> None:
    # Fails when only the age is told: after an outage the numbers say whether it is worked off.
    bus = watched.referral.runtime.bus
    await bus.publish([Record("intake.case", "k", b"{}")] * 10_001)

    assert await watched.firing(watched.referral) == {"ConsumerFarBehind"}


async def test_what_cannot_be_applied_is_seen_until_it_is_mended(watched: Watched) -> None:
    # Fails when parked or refused records are only a line in a log.
    async def broken(_: Unit, __: Event) -> None:
        raise KeyError("bug")

    async def at_once(_: float) -> None:
        return None

    await watched.open_cases(1)
    await watched.publish()
    failing = _consumer(watched.referral, {"intake.case.opened.v1": broken}, pause=at_once)
    await watched.consume(failing)
    parked = await watched.firing(watched.referral)
    await watched.consumer.retry_all_parked()
    mended = await watched.firing(watched.referral)
    await watched.referral.runtime.bus.publish([Record("intake.case", "k", b"no event")])
    await watched.consume()

    assert (parked, mended) == ({"AggregateParked"}, set())
    assert await watched.firing(watched.referral) == {"DeadLetters"}


async def test_a_flood_of_what_cannot_be_applied_is_seen_and_is_over_after_thirty_days(
    watched: Watched,
) -> None:
    """T16. Seeded: never delete a dead letter: the alert of the first one would stand for good."""
    bus = watched.referral.runtime.bus
    await bus.publish([Record("intake.case", "k", b"no event")] * 1001)
    await watched.consume()
    flood = await watched.firing(watched.referral)
    later(days=29)
    await forget_dead_letters(watched.referral.runtime)
    at_last = await watched.firing(watched.referral)
    later(days=31)
    await forget_dead_letters(watched.referral.runtime)

    assert flood == at_last == {"DeadLetters", "DeadLettersFlood"}
    assert await watched.firing(watched.referral) == set()


async def test_a_record_that_no_reader_can_parse_blinds_no_scraper(watched: Watched) -> None:
    # Fails when the age of what waits is read from a record as if it were an event.
    bus = watched.referral.runtime.bus
    for bad in (b"[" * 200_000, b"\xff", b'{"time":[]}', b"[]"):
        await bus.publish([Record("intake.case", "k", bad)])
        found = await watched.metrics(watched.referral)
        assert found["prag_consumer_lag_events"]["intake.case"] == 1
        await watched.consume()


async def test_an_event_whose_predecessor_does_not_come_is_told_within_a_minute(
    watched: Watched,
) -> None:
    # T14. Fails when what came early waits for ever, and nobody hears of the one that is missing.
    await watched.open_cases(1)
    [opened] = await watched.intake.events()
    early = opened.model_copy(update={"id": new_id(), "seq": opened.seq + 1})
    bus = watched.referral.runtime.bus
    await bus.publish([Record("intake.case", str(early.subject), early.to_bytes())])
    await watched.consume()

    at_first = await watched.firing(watched.referral)
    later(seconds=61)
    overdue = await watched.firing(watched.referral)
    await watched.publish()
    await watched.consume()

    assert (at_first, overdue) == (set(), {"EventMissing"})
    assert await watched.firing(watched.referral) == set()


@pytest.mark.row("F90")
async def test_a_log_that_lost_what_was_unread_is_seen_and_hides_nothing_else(
    watched: Watched,
) -> None:
    """T19. Seeded: refuse to tell what waits where one position lies outside its log."""
    await watched.open_cases(1)
    await watched.publish()
    await watched.consume()
    assert await watched.firing(watched.referral) == set()
    with closing(sqlite3.connect(watched.referral.home / "bus.db")) as log, log:
        log.execute("DELETE FROM record WHERE topic = 'intake.case'")
    lost = await watched.firing(watched.referral)
    told = Record("intake.audit", "k", b"no event")
    await watched.referral.runtime.bus.publish([told])
    found = await watched.metrics(watched.referral)

    assert lost == {"OutsideLog"}
    assert found["prag_consumer_lag_events"]["intake.audit"] == 1
    runtime = watched.referral.runtime
    await resume(runtime.database, runtime.bus, ["intake.case"], service="referral")
    assert await watched.firing(watched.referral) == set()


@pytest.mark.row("F90")
@pytest.mark.parametrize("away", ["bus", "database"])
async def test_a_service_that_cannot_look_says_where(watched: Watched, away: str) -> None:
    """Seeded: measure both in one try: without the bus, events nobody publishes are not seen."""
    await watched.open_cases(1)
    await watched.metrics(watched.intake)
    later(minutes=3)
    file, table = {"bus": ("bus.db", "record"), "database": ("intake.db", "outbox_message")}[away]
    with closing(sqlite3.connect(watched.intake.home / file)) as database, database:
        database.execute(f"ALTER TABLE {table} RENAME TO elsewhere")

    fired = await watched.firing(watched.intake)
    readable = (await watched.metrics(watched.intake))["prag_backlog_readable"]

    assert fired == {"BacklogUnreadable"} | ({"OutboxNotPublished"} if away == "bus" else set())
    assert readable == {"database": away != "database", "bus": 0}


async def test_a_peer_that_said_two_things_at_once_is_seen_until_it_is_put_right(
    watched: Watched,
) -> None:
    # Fails when a fork is only a row that nobody looks for; see tests/referral/test_put_back.py.
    referral_id = new_id()
    await _write(
        watched.referral,
        lambda unit: unit.add(
            CrossBorderReferral,
            id=referral_id,
            version=1,
            direction=Direction.RECEIVED,
            peer_country="XK",
            status=CrossBorderStatus.SUBMITTED,
            needs=[],
            languages=[],
            urgency="LOW",
            data_groups=[],
            consent_ids=[],
            forked_at=NOW,
        ),
    )
    forked = await watched.firing(watched.referral)
    await _write(
        watched.referral,
        lambda unit: unit.update(CrossBorderReferral, {"id": referral_id}, forked_at=None),
    )

    assert (forked, await watched.firing(watched.referral)) == ({"CustodyForked"}, set())


async def test_peers_that_do_not_answer_a_country_put_back_are_seen(watched: Watched) -> None:
    # Fails when nobody hears that cases are not edited.
    await _write(watched.referral, lambda unit: unit.add(PeerToHear, country="XK", asked=new_id()))
    silent = await watched.firing(watched.referral)
    await go_on_alone(watched.referral.runtime)

    assert (silent, await watched.firing(watched.referral)) == ({"PeersSilent"}, set())


async def test_words_to_a_peer_that_do_not_leave_are_seen_until_they_have(watched: Watched) -> None:
    # Fails when only the worker, which may be down, or only a letter, which may not be there, tells.
    kit, slip, letter = watched.referral, new_id(), new_id()
    body = {"peer": "XK", "kind": "roll", "body": {}, "position": 0}
    await _write(kit, lambda unit: unit.add(Slip, id=slip, written_at=NOW, **body))
    later(minutes=15)
    at_first = await watched.firing(kit)
    later(minutes=16)
    overdue = await watched.firing(kit)
    await _write(kit, lambda unit: unit.remove(Slip, id=slip))
    left = await watched.firing(kit)
    of = {"referral_id": new_id(), "number": 1, "kind": "offer", "recipient": "BA"}
    await _write(kit, lambda unit: unit.add(Letter, id=letter, written_at=NOW, **of))
    waits = await watched.firing(kit)
    await _write(kit, lambda unit: unit.update(Letter, {"id": letter}, sent_at=NOW))

    assert (at_first, overdue, left) == (set(), {"LettersDoNotLeave"}, set())
    assert (waits, await watched.firing(kit)) == ({"LettersDoNotLeave"}, set())


async def test_letters_that_left_and_that_nobody_confirms_are_seen_until_they_are(
    watched: Watched,
) -> None:
    # Fails when a letter is forgotten once it left: a peer that cannot read it never says so.
    kit, letter, receipt = watched.referral, new_id(), new_id()
    of = {"referral_id": new_id(), "recipient": "BA", "written_at": NOW}
    sent = {"sent_at": NOW, "times_sent": 1}
    said = {"number": 1, "kind": "offer"}
    await _write(kit, lambda unit: unit.add(Letter, id=letter, **of, **said, **sent))
    answered = {"number": 0, "receipt_of": 1, "kind": "receipt"}
    await _write(kit, lambda unit: unit.add(Letter, id=receipt, **of, **answered, **sent))
    later(days=2)
    at_first = await watched.firing(kit)
    later(days=2, minutes=1)
    overdue = await watched.firing(kit)
    # To be sent once more it waits again, and is no less unconfirmed.
    again = {"sent_at": None, "times_sent": 5}
    await _write(kit, lambda unit: unit.update(Letter, {"id": letter}, **again))
    waits = await watched.firing(kit)
    await _write(kit, lambda unit: unit.update(Letter, {"id": letter}, sent_at=NOW, heard_at=NOW))

    assert (at_first, overdue) == (set(), {"LettersUnheard"})
    assert (waits, await watched.firing(kit)) == ({"LettersUnheard", "LettersDoNotLeave"}, set())


async def test_keys_that_end_soon_are_seen_and_named(watched: Watched) -> None:
    # Fails when only `prag up` says it at its start: a worker runs for a hundred days, and then is mute.
    runtime = watched.referral.runtime
    land(runtime.settings.country, since=NOW, days=100).settle_in(runtime, land("XK", since=NOW))
    with capture_logs() as at_first:
        await warn_of_keys(runtime)
    quiet = await watched.firing(watched.referral)
    later(days=87)
    with capture_logs() as at_last:
        await warn_of_keys(runtime)

    assert (quiet, at_first) == (set(), [])
    assert await watched.firing(watched.referral) == {"OwnKeysEnd"}
    told = [(line["event"], line["country"], line["use"], line["end"]) for line in at_last]
    end, theirs = "2027-02-24", "2027-02-14"
    assert told == [
        ("peers.keys_end", "RS", "seal", end),
        ("peers.keys_end", "RS", "sign", end),
        ("peers.keys_end", "XK", "seal", theirs),
        ("peers.keys_end", "XK", "sign", theirs),
    ]


async def _write(kit: Kit, hand_over: Callable[[Unit], object]) -> None:
    unit = unit_of(kit.runtime.database, source=kit.runtime.source, operation="test")
    hand_over(unit)
    await kit.runtime.database.write(unit)


async def test_every_service_measures_what_its_worker_listens_to(tmp_path: Path) -> None:
    # Fails for a service whose application was not given its handlers.
    for name in ("intake", "referral", "reintegration", "analytics"):
        async with open_service(name, tmp_path / name) as kit:
            handlers = import_module(f"{name}.consumers").HANDLERS

            assert kit.app.state.topics == topics_of(with_audit_heads(name, handlers)) != []


def test_every_alert_says_what_to_do_and_is_tried_above() -> None:
    # Fails for an alert that was added without a test that makes it come.
    source = "".join(
        Path(__file__).with_name(name).read_text()
        for name in (
            "test_alerts.py",
            "test_alerts_of_keys.py",
            "test_alerts_of_audit.py",
            "test_process_told.py",
            "test_postgres_shipped.py",
        )
    )

    assert len(RULES) == 22
    assert [name for name in RULES if f'"{name}"' not in source] == []
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        assert all(rule["annotations"]["action"] for rule in group["rules"])
