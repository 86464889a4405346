"""What is left of an event whose content was erased: its place in the order, and nothing else (T36)."""

from sqlalchemy import select

from common.clock import new_id
from common.db import Database
from common.sealing import ServiceBox
from common.tables import DeadLetter, InboxPending
from tests.common.consuming import BAD, GOOD, Scene
from tests.common.test_consumer_parking import Moody
from tests.common.things import counted, delivered, steps_of, trails


async def test_who_has_seen_it_drops_it_and_who_has_not_goes_on_behind_it(
    database: Database, box: ServiceBox
) -> None:
    """Seeded: take it for a forgery, for it has the id of another event."""
    scene = Scene(database, box)
    seen, unseen = steps_of(GOOD, 3), steps_of(BAD, 3)
    await scene.consumer.accept_all(delivered(seen))

    again = [seen[0], seen[1].emptied(), seen[2], unseen[0], unseen[1].emptied(), unseen[2]]
    await scene.consumer.accept_all(delivered(again))

    assert await trails(database) == {GOOD: ["1", "2", "3"], BAD: ["1", "3"]}
    assert counted(scene.service) == {"applied": 6, "duplicate": 3}
    assert await database.fetch(select(DeadLetter)) == []


async def test_what_says_something_is_not_emptied_whatever_it_is_called(
    database: Database, box: ServiceBox
) -> None:
    """Seeded: believe the type alone: a forgery under a known id would leave no trace."""
    scene = Scene(database, box)
    seen = steps_of(GOOD, 1)
    await scene.consumer.accept_all(delivered(seen))

    forged = seen[0].emptied().model_copy(update={"data": {"step": "other"}})
    await scene.consumer.accept_all(delivered([forged]))

    dead = await database.fetch(select(DeadLetter))
    assert [row.reason for row in dead] == ["hash_conflict"]


async def test_it_takes_the_place_of_the_event_itself_where_that_still_waits(
    database: Database, box: ServiceBox
) -> None:
    """Seeded: leave what waits as it is: its content would stay for as long as it is parked."""
    scene = Scene(database, box, Moody(RuntimeError("bug")))
    events = steps_of(BAD, 3)
    await scene.consumer.accept_all(delivered(events))
    forged = events[1].emptied().model_copy(update={"id": new_id()})

    await scene.consumer.accept_all(delivered([events[1].emptied(), forged]))

    waiting = await database.fetch(select(InboxPending).order_by(InboxPending.seq))
    assert [row.payload for row in waiting] == [
        e.to_bytes() for e in (events[1].emptied(), events[2])
    ]
    dead = await database.fetch(select(DeadLetter))
    assert [row.reason for row in dead] == ["seq_conflict"]
