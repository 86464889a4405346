"""A partition goes from one reader to another: nothing is taken twice, and nothing by who lost it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import select

from common.bus import Log, Position
from common.clock import new_id
from common.db import Database
from common.inbox import LostPartitionError
from common.sealing import ServiceBox
from common.tables import ConsumerPosition
from common.unit import AnySelect
from tests.common.consuming import GOOD, Scene
from tests.common.things import Around, delivered, steps_of, trails


@pytest.mark.parametrize("way", ["alone", "batch"])
async def test_who_lost_a_partition_takes_and_moves_nothing(
    database: Database, box: ServiceBox, way: str
) -> None:
    """T10. Seeded: look at the epoch in one of the two ways only; put the position without it."""
    former, later = Scene(database, box), Scene(database, box)
    first, second = delivered(steps_of(GOOD, 2))
    there = Log(new_id(), 0, 2)
    await former.consumer.claim(first.topic, first.partition, there)
    await former.consumer.accept(first)
    found = await later.consumer.claim(first.topic, first.partition, there)
    assert found == Position(first.offset + 1, there.id)

    alone, batch = former.consumer.accept(second), former.consumer.accept_all([second])
    asked, other = (alone, batch) if way == "alone" else (batch, alone)
    other.close()
    with pytest.raises(LostPartitionError):
        await asked

    assert await trails(database) == {GOOD: ["1"]}
    [position] = await database.fetch(select(ConsumerPosition))
    assert (position.next_offset, position.owner_epoch) == (first.offset + 1, 2)
    assert await later.consumer.accept(second) == "applied"


class Between(Around):
    """Lets somebody else act once, after the next look at the database and before what follows it."""

    def __init__(self, inner: Database, act: Callable[[], Awaitable[object]]) -> None:
        super().__init__(inner)
        self._acts = [act]

    async def fetch(
        self, statement: AnySelect, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        found = await super().fetch(statement, parameters)
        if self._acts:
            await self._acts.pop()()
        return found


async def test_who_takes_a_partition_over_reads_on_where_the_former_reader_stands_by_then(
    database: Database, box: ServiceBox
) -> None:
    # Fails when a claim asks only whether the reader is still the same: it would begin before what
    # the former took between the look and the claim.
    former = Scene(database, box)
    first, second = delivered(steps_of(GOOD, 2))
    there = Log(new_id(), 0, 2)
    await former.consumer.claim(first.topic, first.partition, there)
    await former.consumer.accept(first)
    later = Scene(Between(database, lambda: former.consumer.accept(second)), box)

    found = await later.consumer.claim(first.topic, first.partition, there)

    assert found == Position(second.offset + 1, there.id)
    [position] = await database.fetch(select(ConsumerPosition))
    assert (position.next_offset, position.owner_epoch) == (found.offset, 2)
