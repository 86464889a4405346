"""What a worker does by the clock: each record by itself, at midnight, and nothing kept for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from common import clock, worker
from common.db import Database
from common.runtime import Runtime
from common.tables import DeadLetter, IdempotencyAnswer
from common.unit import StaleError, Unit
from tests.common.consuming import Scene
from tests.common.things import Thing, delivered, make, move
from tests.common.tiny import Tiny
from tests.conftest import fixed_id

THINGS = "/v1/things"
BODY = {"label": "a thing"}


@asynccontextmanager
async def running(runtime: Runtime, **jobs: tuple[float, worker.Job]) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.run_worker(runtime, {}, jobs=jobs))
    async with asyncio.timeout(10):
        yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def kept(database: Database) -> int:
    return len(await database.fetch(select(IdempotencyAnswer.key)))


# --- for ever


async def let_out() -> None:
    """Let out that a task of one's own was cancelled, as a library may."""
    own = asyncio.create_task(asyncio.Event().wait())
    own.cancel()
    await own


async def test_work_that_nobody_ended_ends_its_worker_aloud(tiny: Tiny) -> None:
    # Fails when a group is left to it: it takes a task that was cancelled for one it was done with.
    async def lost(_: Runtime) -> None:
        await let_out()

    with pytest.raises(ExceptionGroup) as told:
        await asyncio.wait_for(worker.run_worker(tiny.runtime, {}, jobs={"lost": (0, lost)}), 10)

    assert [type(each) for each in told.value.exceptions] == [worker.LostTaskError]


async def test_forgetting_that_nobody_ended_ends_its_worker_aloud(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when the group of what forgets is left to it: the one goes on, and the other is over.
    monkeypatch.setattr("common.worker.FIRST_FORGET_SECONDS", 0.01)
    fetch = tiny.runtime.database.fetch

    async def leaky(select: Any, *given: Any) -> Any:
        if DeadLetter.__tablename__ in str(select):
            await let_out()
        return await fetch(select, *given)

    monkeypatch.setattr(tiny.runtime.database, "fetch", leaky)

    with pytest.raises(ExceptionGroup) as told:
        await asyncio.wait_for(worker.run_worker(tiny.runtime, {}), 10)

    assert told.group_contains(worker.LostTaskError, depth=2)


# --- answers


async def test_every_worker_forgets_answers_that_have_expired_and_keeps_the_others(
    tiny: Tiny, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when nothing deletes them, when one batch is all, or when one that holds is taken too.
    monkeypatch.setattr("common.worker._FORGET_BATCH", 2)
    monkeypatch.setattr("common.worker.FIRST_FORGET_SECONDS", 0.01)
    now = clock.utcnow()
    for n in range(5):
        await tiny.post(THINGS, BODY, key=f"old-{n}")
    clock.set_source(lambda: now + timedelta(hours=23))
    first = await tiny.post(THINGS, BODY, key="young")
    await worker.forget_answers(tiny.runtime)
    assert await kept(database) == 6

    clock.set_source(lambda: now + timedelta(hours=25))
    async with running(tiny.runtime):
        while await kept(database) > 1:
            pass

    again = await tiny.post(THINGS, BODY, key="young")
    assert (first.status_code, again.json()["code"]) == (201, "idempotency.already_done")


async def test_a_key_answered_anew_in_between_keeps_its_new_answer(
    tiny: Tiny, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when expired answers are deleted by their key alone.
    now = clock.utcnow()
    await tiny.post(THINGS, BODY, key="k")
    clock.set_source(lambda: now + timedelta(hours=25))
    write = database.write

    async def late(unit: Unit) -> None:
        if unit.operation == "forget_answers":
            monkeypatch.undo()
            await tiny.post(THINGS, BODY, key="k")
        await write(unit)

    monkeypatch.setattr(database, "write", late)
    await worker.forget_answers(tiny.runtime)

    assert await kept(database) == 1


# --- dead letters


async def test_every_worker_forgets_dead_letters_after_thirty_days(
    tiny: Tiny, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when they are kept for good, when one batch is all, or when a young one goes too.
    monkeypatch.setattr("common.worker._FORGET_BATCH", 2)
    monkeypatch.setattr("common.worker.FIRST_FORGET_SECONDS", 0.01)
    now = clock.utcnow()
    old, young = Scene(database, tiny.runtime.box), Scene(database, tiny.runtime.box)
    await old.consumer.accept_all(delivered([b"no event"] * 5))
    clock.set_source(lambda: now + timedelta(days=2))
    await young.consumer.accept_all(delivered([b"no event"], start=5))

    clock.set_source(lambda: now + timedelta(days=31))
    async with running(tiny.runtime):
        while len(await database.fetch(select(DeadLetter.id))) > 1:
            pass
    await worker.forget_dead_letters(tiny.runtime)

    assert [row.offset for row in await database.fetch(select(DeadLetter))] == [5]


# --- sweeps


async def test_one_bad_record_and_one_that_changed_stop_no_other(
    tiny: Tiny, database: Database
) -> None:
    # Fails when the loop ends with an error, when Units are shared, or when the error's text is told.
    ids = [UUID(await tiny.created()) for _ in range(5)]

    async def act(unit: Unit, id_: UUID) -> None:
        await move(unit, id_)
        if id_ == ids[1]:
            raise ValueError("Ana Marković")
        if id_ == ids[2]:
            raise StaleError

    with capture_logs() as told:
        await worker.sweep(tiny.runtime, ids, act, operation="move_things")

    moved = await database.fetch(select(Thing.id).where(Thing.status == "MOVED"))
    assert {row.id for row in moved} == {ids[0], ids[3], ids[4]}
    assert [(line["event"], line["subject"], line.get("error")) for line in told] == [
        ("sweep.failed", str(ids[1]), "ValueError"),
        ("sweep.changed_meanwhile", str(ids[2]), None),
    ]
    assert "Marković" not in repr(told)


async def test_an_outage_ends_the_sweep(tiny_sqlite: Tiny) -> None:
    # Fails when it counts as a bad record: each of thousands would wait for a database that is away.
    tried: list[UUID] = []

    async def act(unit: Unit, id_: UUID) -> None:
        tried.append(id_)
        make(unit, id_)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await worker.sweep(tiny_sqlite.runtime, map(fixed_id, (1, 2)), act, operation="make")

    assert tried == [fixed_id(1)]


# --- by the clock


async def test_a_job_runs_at_the_start_and_right_after_local_midnight(
    tiny_sqlite: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when only the seconds between two runs count, or the day of UTC does: 22:00 UTC is
    # midnight in Belgrade in summer.
    monkeypatch.setattr("common.worker.CALENDAR_SECONDS", 0.01)
    evening = datetime(2026, 7, 1, 21, 59, 59, tzinfo=UTC)
    clock.set_source(lambda: evening)
    days: list[int] = []
    ran = asyncio.Event()

    async def job(runtime: Runtime) -> None:
        days.append(runtime.settings.here.today.day)
        ran.set()

    async with running(tiny_sqlite.runtime, job=(6 * 3600, job)):
        await ran.wait()
        ran.clear()
        clock.set_source(lambda: evening + timedelta(seconds=1))
        await ran.wait()

    assert days == [1, 2]


async def test_a_job_that_met_an_outage_is_tried_again_soon(
    tiny_sqlite: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when it rests as if it had been done: nobody would come of age for six hours.
    monkeypatch.setattr("common.worker.CALENDAR_SECONDS", 0.01)
    runs: list[int] = []
    done = asyncio.Event()

    async def job(_: Runtime) -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            raise ConnectionResetError
        done.set()

    async with running(tiny_sqlite.runtime, job=(6 * 3600, job)):
        await done.wait()

    assert runs == [0, 1]
