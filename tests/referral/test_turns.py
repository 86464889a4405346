"""Each peer has its turn: one that the hub does not serve, or that lies, keeps no other waiting (T16)."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from common.bus import BusError, BusRefusedError, LocalBus, Log, Record
from common.clock import new_id
from common.federation.custody import GENESIS, ROLL, SignedStatement, Statement, digest_of
from common.federation.envelope import Letter, seal
from common.federation.mail import topic_to
from common.tables import AuditEntry
from referral.worker import courier_of
from tests.referral.crossing import Crossing, agreed, known_land, open_crossing
from tests.referral.forging import on_hub
from tests.referral.story import NOW, Case, now_is, opened

TO_BOSNIA = topic_to("BA")
MANY = 60
"""Letters, more than a peer is sent at a time."""


class Unserved(LocalBus):
    """A hub on which one topic is not ours to write, as Kafka says it: when asked, or only when written."""

    refuses: str | None = TO_BOSNIA
    shows = True
    """Whether the topic can be seen to be there, and only its writing is refused."""

    async def check(self, *, reads: Collection[str], writes: Collection[str]) -> None:
        if self.refuses in {*reads, *writes} and not self.shows:
            raise BusRefusedError("PRAG_KAFKA_USER", f"rs-referral may not use {self.refuses}")

    async def publish(self, records: Sequence[Record]) -> None:
        if self.refuses in {record.topic for record in records}:
            raise BusRefusedError("PRAG_KAFKA_USER", "lacks a right")
        await super().publish(records)


@dataclass
class Three:
    """A country with two peers."""

    crossing: Crossing
    to_kosovo: Case
    to_bosnia: Case

    async def submit(self, country: str, count: int = 1) -> None:
        s = self.crossing.s
        case = self.to_bosnia if country == "BA" else self.to_kosovo
        for _ in range(count):
            await s.do(await self.crossing.drafted(case, peer_country=country), "submit")


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[Three]:
    now_is(NOW)
    async with open_crossing(tmp_path) as crossing:
        s = crossing.s
        s.land.settle_in(s.kit.runtime, crossing.r.land, known_land("BA"))
        to_kosovo, _ = await crossing.ready()
        to_bosnia = Case()
        consent = agreed(to_bosnia.id, recipient_countries=("BA",))
        await to_bosnia.tell(s.kit, opened(to_bosnia.id, country="RS"), consent)
        yield Three(crossing, to_kosovo, to_bosnia)


async def count_on(hub: LocalBus, topic: str) -> int:
    return (await hub.logs([topic]))[topic, 0].end


@pytest.mark.parametrize("shows", [True, False])
async def test_a_peer_that_the_hub_does_not_serve_keeps_no_other_waiting(
    three: Three, tmp_path: Path, *, shows: bool
) -> None:
    """Seeded: publish to all in one batch; or take what is refused for an outage of the hub."""
    s = three.crossing.s
    for country in ("BA", "XK"):
        await three.submit(country, 2)
    hub = Unserved(tmp_path / "hub.db")
    hub.shows = shows
    courier = courier_of(s.kit.runtime, hub)
    rolls = (
        0 if shows else 1
    )  # to each; a roll that is refused would keep the letters from being tried
    assert rolls == 0 or await courier.write_rolls() == 2

    with capture_logs() as told:
        while await courier.sign_waiting():
            pass
        assert await courier.send_slips() + await courier.send_due() == rolls + 2
        for seconds in (1, 2, 4, 8):  # tried again, and less and less often
            now_is(NOW + timedelta(seconds=seconds))
            assert await courier.send_slips() + await courier.send_due() == 0
    lines = [line for line in told if line["event"] == "courier.letters_rest"]
    assert {line["topic"] for line in lines} == {TO_BOSNIA}
    assert all(line["error"].startswith("PRAG_HUB_USER") for line in lines)
    assert 2 <= len(lines) <= 4
    opened_for = await s.kit.rows(select(AuditEntry).where(AuditEntry.action == "send"))
    # None in vain where the hub says so when it is asked; else all that are due once, then one at a time.
    assert len(opened_for) == 2 + (2 + len(lines) - 1 if shows else 0)

    hub.refuses = None
    now_is(NOW + timedelta(minutes=6))
    while await courier.send_slips() + await courier.send_due():
        pass
    assert await count_on(hub, TO_BOSNIA) == rolls + 2
    assert await count_on(hub, topic_to("XK")) == rolls + 2
    await hub.close()


async def test_a_clock_that_is_put_back_makes_no_peer_wait_until_that_time_comes(
    three: Three, tmp_path: Path
) -> None:
    # Fails when a rest, or a roll, of a day that never was keeps letters until that day.
    hub = Unserved(tmp_path / "hub.db")
    courier = courier_of(three.crossing.s.kit.runtime, hub)
    now_is(NOW + timedelta(days=30))
    assert await courier.write_rolls() == 2
    await courier.send_slips()
    assert await count_on(hub, TO_BOSNIA) == 0
    hub.refuses = None

    now_is(NOW)

    assert await courier.write_rolls() == 2
    await courier.send_slips()
    assert await count_on(hub, TO_BOSNIA) == 1
    await hub.close()


async def roll_of_a_liar(three: Three) -> None:
    """Let Kosovo say, signed, that it knows of nothing."""
    s, land = three.crossing.s, three.crossing.r.land
    body: dict[str, Any] = {"asked": str(new_id()), "after": None, "upto": None, "referrals": []}
    said = Statement(
        referral_id=new_id(),
        author="XK",
        peer="RS",
        number=0,
        kind=ROLL,
        digest=digest_of(body),
        previous=GENESIS,
    )
    letter = Letter.of(SignedStatement.of(said, land.signing), body)
    value = seal(letter, by=land.signing, to=s.land.sealing.public)
    await s.hub.publish([Record(topic_to("RS"), "k", value)])
    await s.collect()


async def test_a_peer_with_many_letters_due_keeps_no_other_waiting(three: Three) -> None:
    """Seeded: take the oldest letters of all peers together, as many as are sent at a time."""
    s = three.crossing.s
    await three.submit("XK", MANY)
    await three.submit("BA")
    courier = courier_of(s.kit.runtime, s.hub)
    while await courier.sign_waiting():
        pass

    assert await courier.send_due() == 50 + 1
    assert await count_on(s.hub, TO_BOSNIA) == 1


@pytest.mark.parametrize("is_heard", [True, False])
async def test_a_roll_makes_letters_due_again_but_not_as_often_as_it_comes(
    three: Three, *, is_heard: bool
) -> None:
    """Seeded: let `send_again` take every roll at its word."""
    crossing = three.crossing
    await three.submit("XK", 3)
    assert await crossing.s.send() == 3
    if is_heard:
        await crossing.r.collect()
        await crossing.r.send()
        await crossing.s.collect()
    offers = len(await on_hub(crossing, crossing.r))

    sent = []
    for minutes in (0, 1, 2, 5 * 60, 6 * 60 + 1, 6 * 60 + 2, 7 * 60):
        now_is(NOW + timedelta(minutes=minutes))
        await roll_of_a_liar(three)
        sent.append(await crossing.s.send())

    # What it had heard goes at once, for it may have been put back; from then on in hours.
    assert sent == [3 if is_heard else 0, 0, 0, 0, 3, 0, 0]
    assert len(await on_hub(crossing, crossing.r)) == offers + sum(sent)


class EndedError(Exception):
    """The test has seen enough."""


class Shut(LocalBus):
    """A hub that does not let us in, as Kafka says it: what is asked fails, and a look says why."""

    async def check(self, *, reads: Collection[str], writes: Collection[str]) -> None:
        raise BusRefusedError("PRAG_KAFKA_USER and PRAG_KAFKA_PASSWORD_FILE", "were not accepted")

    async def logs(self, topics: Collection[str]) -> Mapping[tuple[str, int], Log]:
        raise BusError("KafkaConnectionError")

    async def publish(self, records: Sequence[Record]) -> None:
        raise BusError("KafkaConnectionError")


async def test_a_hub_that_does_not_let_us_in_is_asked_less_and_less_often(
    three: Three, tmp_path: Path
) -> None:
    # Fails when it knocks each second: each try is a refused login, and a line in two logs.
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 8:
            raise EndedError

    hub = Shut(tmp_path / "hub.db")
    courier = courier_of(three.crossing.s.kit.runtime, hub)
    courier._pause = pause
    with pytest.raises(EndedError):
        await courier.run()
    await hub.close()

    assert paused == [1, 2, 4, 8, 16, 30, 30, 30]
