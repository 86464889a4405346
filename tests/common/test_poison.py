"""Records that nobody can apply (T15, T16): none takes effect, none stops a reader, all are put aside."""

import asyncio
import gzip
import hashlib
from collections.abc import Iterable
from itertools import chain
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from common import dead_letters, inbox
from common.bus import Bus, Record
from common.clock import new_id
from common.db import Database
from common.errors import ConflictError
from common.events import Event, canonical
from common.sealing import ServiceBox
from common.tables import ConsumerPosition, DeadLetter, InboxAggregate, InboxMessage, InboxPending
from common.unit import Unit
from tests.common.consuming import Down, Scene, record_of
from tests.common.things import (
    TOPIC,
    ThingMoved,
    accounts,
    counted,
    delivered,
    new_unit,
    on_thing,
    steps_of,
    trails,
)
from tests.conftest import fixed_id

VICTIM, OTHER, LAST = fixed_id(1), fixed_id(2), fixed_id(3)
WHOLE = steps_of(VICTIM, 1)[0].to_bytes()


async def on_moved(unit: Unit, event: Event) -> None:
    """What a service's handlers do: nothing, before the payload is what its contract says."""
    ThingMoved.model_validate(event.data)
    await on_thing(unit, event)


def with_checksum(plain: bytes) -> bytes:
    """Return what whoever may write to the topic can make of any bytes that begin as an object."""
    return b'{"checksum":"' + hashlib.sha256(plain).hexdigest().encode() + b'",' + plain[1:]


def turned() -> Iterable[bytes]:
    """Return the event with each of its bits turned, one at a time."""
    for place, byte in enumerate(WHOLE):
        for bit in range(8):
            yield WHOLE[:place] + bytes([byte ^ (1 << bit)]) + WHOLE[place + 1 :]


def cut() -> Iterable[bytes]:
    """Return the event cut short at each place, and grown."""
    yield from (WHOLE[:length] for length in range(len(WHOLE)))
    yield from (WHOLE + b" ", WHOLE + b"\0", b" " + WHOLE, WHOLE * 2)


def foreign() -> Iterable[tuple[bytes, str]]:
    """Return records that were meant to be what they are, each with the reason it is put aside for."""
    step = steps_of(LAST, 1)[0]
    bomb = gzip.compress(bytes(32 * 1024 * 1024))
    yield bomb, "malformed"
    yield with_checksum(b"{" + bomb), "malformed"
    yield bytes(256 * 1024 + 1), "too_large"
    yield b"[" * 200_000, "malformed"
    for plain in (b"{}", b"{}" * 9, b'{"data":' * 30_000, b'{"data":{},"seq":1e999}'):
        yield with_checksum(plain), "malformed"
    wrong_members: tuple[dict[str, Any], ...] = (
        {"seq": 0},
        {"seq": 2**31},
        {"subject": "nobody"},
        {"specversion": "2.0"},
        {"data": []},
        {"time": "yesterday"},
    )
    for members in wrong_members:
        yield with_checksum(canonical(step.model_dump(mode="json") | members)), "malformed"
    yield step.model_copy(update={"type": "referral.thing.moved.v1"}).to_bytes(), "foreign_topic"
    for data in ({}, {"thing_id": "x", "step": 1}, {"thing_id": str(LAST), "step": {}}):
        # Each in the place of an event of its own: its aggregate goes on without it.
        wrong = step.model_copy(update={"subject": new_id(), "id": new_id(), "data": data})
        yield wrong.to_bytes(), "payload_invalid"


@pytest.mark.slow
async def test_no_damaged_event_takes_effect_or_stops_another(
    database: Database, bus: Bus, box: ServiceBox
) -> None:
    """T15. Seeded: do not compare the checksum; take whatever has none for an event of before."""
    expected = [*((mutant, "malformed") for mutant in chain(turned(), cut())), *foreign()]
    poison = [record for record, _ in expected]
    good = [record_of(event) for event in steps_of(OTHER, 3)]
    scene = Scene(database, box, on_moved)
    # One at the front, one in the middle, and the rest behind all of it.
    half = len(poison) // 2
    await bus.publish(
        [
            good[0],
            *(Record(TOPIC, "k", value) for value in poison[:half]),
            good[1],
            *(Record(TOPIC, "k", value) for value in poison[half:]),
            good[2],
            Record(TOPIC, str(VICTIM), WHOLE),
        ]
    )

    running = asyncio.create_task(scene.consumer.run(bus))
    async with asyncio.timeout(120):
        while (await trails(database)).get(VICTIM) is None:
            assert not running.done()
            await asyncio.wait([running], timeout=0.05)
    running.cancel()

    assert len(poison) > 3500
    assert await trails(database) == {OTHER: ["1", "2", "3"], VICTIM: ["1"]}
    letters = await database.fetch(select(DeadLetter).order_by(DeadLetter.offset))
    assert [letter.reason for letter in letters] == [reason for _, reason in expected]
    assert [box.open(each.value, place=each.id.bytes) for each in letters] == poison
    assert counted(scene.service) == {"dead": len(poison), "applied": 4}
    assert await database.fetch(select(InboxPending)) == []
    [position] = await database.fetch(select(ConsumerPosition))
    assert position.next_offset == len(poison) + 4


async def test_an_event_of_a_release_that_wrote_no_checksum_is_applied(
    database: Database, box: ServiceBox
) -> None:
    # T21. Fails when what waits in an outbox at an upgrade is put aside by those who read it then.
    old = canonical(steps_of(VICTIM, 1)[0].model_dump(mode="json", exclude={"traceparent"}))
    scene = Scene(database, box, on_moved)

    await scene.consumer.accept_all(delivered([old]))

    assert await trails(database) == {VICTIM: ["1"]}


async def test_another_version_of_what_is_handled_waits_for_the_release_that_knows_it(
    database: Database, box: ServiceBox
) -> None:
    """Seeded: pass it over as if nobody here wanted it: the fact would be lost, and nobody told."""
    first, second, third = steps_of(VICTIM, 3)
    newer = second.model_copy(update={"type": "intake.thing.moved.v2"})
    scene = Scene(database, box, on_moved)

    await scene.consumer.accept_all(
        delivered([first, newer, third, *steps_of(OTHER, 1)])  # read by the release before
    )

    assert await trails(database) == {VICTIM: ["1"], OTHER: ["1"]}
    [parked] = await database.fetch(select(InboxAggregate).where(InboxAggregate.subject == VICTIM))
    assert (parked.last_seq, parked.parked_reason) == (1, "unknown_version")
    assert scene.pauses == []  # no number of tries teaches it

    upgraded = Scene(database, box, on_moved)
    upgraded.consumer._handlers = upgraded.consumer._alone._handlers = {
        ThingMoved.type: on_moved,
        newer.type: on_moved,
    }
    await upgraded.consumer.retry_all_parked()
    assert await trails(database) == {VICTIM: ["1", "2", "3"], OTHER: ["1"]}


async def test_what_another_consumer_parked_in_the_same_database_is_left_to_it(
    database: Database, box: ServiceBox
) -> None:
    # Fails when a restart takes up what is parked on every topic: letters of a peer, parked by the
    # consumer of letters, would count as applied by the one of events, which has no handler for them.
    letters, events = Scene(database, box, on_moved), Scene(database, box, on_moved)
    broken = True

    async def on_letter(unit: Unit, event: Event) -> None:
        if broken:
            raise KeyError
        await on_thing(unit, event)

    handlers = {ThingMoved.type: on_letter}
    letters.consumer._handlers = letters.consumer._alone._handlers = handlers
    others = {"intake.other.moved.v1": on_moved}
    events.consumer._handlers = events.consumer._alone._handlers = others
    await letters.consumer.accept_all(delivered(steps_of(VICTIM, 2)))

    await events.consumer.retry_all_parked()

    [parked] = await database.fetch(select(InboxAggregate).where(InboxAggregate.subject == VICTIM))
    assert (parked.last_seq, parked.parked_reason) == (0, "KeyError")
    broken = False
    await letters.consumer.retry_all_parked()
    assert await trails(database) == {VICTIM: ["1", "2"]}


@pytest.mark.parametrize(
    "name", ["intake.thing.moved.Ana", "intake.thing.moved.v1.v2x", "intake.thing.v1"]
)
async def test_what_only_looks_like_a_version_is_nobodys(
    database: Database, box: ServiceBox, name: str
) -> None:
    # Fails when a teller's words get into the log, as the type of what is parked.
    event = steps_of(VICTIM, 1)[0].model_copy(update={"type": name})
    scene = Scene(database, box, on_moved)

    with capture_logs() as lines:
        await scene.consumer.accept_all(delivered([event]))

    assert await trails(database) == {}
    assert counted(scene.service).get("parked", 0) == 0
    assert "Ana" not in str(lines)


# --- many of them


async def test_many_aggregates_that_a_bug_parks_hold_up_the_others_for_seconds_not_for_hours(
    database: Database, box: ServiceBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T16. Seeded: give each failing event its five tries and pauses, at the time or at a restart."""
    now = 1000.0
    monkeypatch.setattr(inbox, "monotonic", lambda: now)
    broken = {fixed_id(number) for number in range(100, 120)}

    async def on_some(unit: Unit, event: Event) -> None:
        if event.subject in broken:
            raise KeyError
        await on_thing(unit, event)

    poison = [event for thing in sorted(broken) for event in steps_of(thing, 2)]
    scene = Scene(database, box, on_some)

    await scene.consumer.accept_all(delivered([*poison, *steps_of(OTHER, 2)]))

    assert await trails(database) == {OTHER: ["1", "2"]}
    assert counted(scene.service) == {"parked": 20, "pending": 20, "applied": 2}
    assert sum(scene.pauses) < 3  # of the first three

    scene.pauses.clear()
    await scene.consumer.retry_all_parked()
    assert scene.pauses == []
    now += 61
    await scene.consumer.retry_all_parked()
    assert 0 < sum(scene.pauses) < 3
    mended = {*broken}
    broken.clear()
    await scene.consumer.retry_all_parked()
    assert await trails(database) == {thing: ["1", "2"] for thing in [*mended, OTHER]}


async def test_dead_letters_fill_no_disk_and_one_kind_hides_no_other(
    database: Database, box: ServiceBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T16. Seeded: keep every record; bound all reasons together; forget what was kept at a restart."""
    monkeypatch.setattr(dead_letters, "MOST", 5)

    async def refuse(unit: Unit, event: Event) -> None:
        if event.subject == VICTIM:
            raise ConflictError("thing.illegal_step")
        await on_thing(unit, event)

    first, second = Scene(database, box, refuse), Scene(database, box, refuse)
    junk = [b"no event %d" % number for number in range(20)]
    rest = [*steps_of(VICTIM, 2), *steps_of(OTHER, 2)]

    with capture_logs() as lines:
        await first.consumer.accept_all(delivered(junk[:12]))
        await second.consumer.accept_all(delivered([*junk[12:], *rest], start=12))

    letters = await database.fetch(select(DeadLetter).order_by(DeadLetter.offset))
    assert [each.reason for each in letters] == ["malformed"] * 5 + ["thing.illegal_step"] * 2
    assert counted(first.service) == {"dead": 5, "dropped": 7}
    assert counted(second.service) == {"dropped": 8, "dead": 2, "applied": 2}
    assert await trails(database) == {OTHER: ["1", "2"]}
    # What was refused in its turn is remembered, kept or not: its aggregate goes on.
    seen = await database.fetch(select(InboxMessage).where(InboxMessage.subject == VICTIM))
    assert [each.outcome for each in seen] == ["dead", "dead"]
    told = [line["event"] for line in lines]
    assert (told.count("consumer.dead_letter"), told.count("consumer.dead_letters_full")) == (7, 1)
    assert len(told) == 8
    [position] = await database.fetch(select(ConsumerPosition))
    assert position.next_offset == len(junk) + len(rest)


async def test_dead_letters_are_bounded_by_their_size_too(
    database: Database, box: ServiceBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when only their number counts: five thousand of a megabyte each are five gigabytes.
    monkeypatch.setattr(dead_letters, "MOST_BYTES", 100_000)
    scene = Scene(database, box)

    await scene.consumer.accept_all(delivered([bytes(30_000)] * 10))
    await Scene(database, box).consumer.accept_all(delivered([bytes(30_000)] * 10, start=10))

    sizes = [len(each.value.box) for each in await database.fetch(select(DeadLetter))]
    assert len(sizes) == 3
    assert sum(sizes) <= 100_000


async def test_what_an_outage_undid_takes_no_room(
    database: Database, box: ServiceBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when each try counts: after an outage the next dead letters would be dropped.
    monkeypatch.setattr(dead_letters, "MOST", 2)
    scene = Scene(Down(database, 6), box)

    for delivery in delivered([b"a", b"b"]):
        await scene.consumer.accept(delivery)

    assert counted(scene.service) == {"dead": 2}


async def test_what_comes_too_early_waits_up_to_a_bound_and_is_taken_when_it_comes_again(
    database: Database, box: ServiceBox
) -> None:
    """T16. Seeded: keep whatever comes early; remember what was not kept, so that it never comes again."""
    scene = Scene(database, box, most_early=3)
    early = [steps_of(fixed_id(number), 2) for number in range(10, 15)]

    await scene.consumer.accept_all(delivered([second for _, second in early]))
    assert counted(scene.service) == {"pending": 3, "dead": 2}
    reasons = await database.fetch(select(DeadLetter.reason))
    assert [row.reason for row in reasons] == ["too_early"] * 2

    # Their turn came meanwhile, or they are told again in it.
    firsts, lost = [first for first, _ in early], [second for _, second in early[3:]]
    await scene.consumer.accept_all(delivered([*firsts, *lost], start=5))
    assert set(map(tuple, (await trails(database)).values())) == {("1", "2")}
    assert len(await trails(database)) == 5


async def test_what_is_parked_is_bounded_alike(database: Database, box: ServiceBox) -> None:
    # Fails when a parked event is kept without a look at how many wait already.
    broken = True

    async def on_some(unit: Unit, event: Event) -> None:
        if broken:
            raise KeyError
        await on_thing(unit, event)

    scene = Scene(database, box, on_some, most_early=3)
    things = [steps_of(fixed_id(number), 1)[0] for number in range(10, 15)]

    await scene.consumer.accept_all(delivered(things))
    assert counted(scene.service) == {"parked": 3, "dead": 2}

    broken = False
    await scene.consumer.retry_all_parked()
    await scene.consumer.accept_all(delivered(things[3:], start=5))
    assert await trails(database) == {thing.subject: ["1"] for thing in things}


async def test_there_is_room_again_once_dead_letters_are_gone(
    database: Database, box: ServiceBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when the room is looked at once in the life of a process.
    now = 1000.0
    monkeypatch.setattr(dead_letters, "monotonic", lambda: now)
    monkeypatch.setattr(dead_letters, "MOST", 2)
    scene = Scene(database, box)
    await scene.consumer.accept_all(delivered([b"a", b"b", b"c"]))
    unit = new_unit(database)
    for letter in await database.fetch(select(DeadLetter.id)):
        unit.remove(DeadLetter, id=letter.id)
    await database.write(unit)

    await scene.consumer.accept_all(delivered([b"d"], start=3))
    now += 61
    await scene.consumer.accept_all(delivered([b"e"], start=4))

    assert [each.offset for each in await database.fetch(select(DeadLetter))] == [4]
    assert await accounts(database, scene.service) == 1


def test_what_a_service_may_keep_in_all_is_far_below_any_disk() -> None:
    # Fails when the bound is set so high that it is none: so many topics, so many reasons.
    topics, reasons = 10, 20
    assert dead_letters.MOST_BYTES * topics * reasons < 8 * 1024**3
