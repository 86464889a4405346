"""Nothing of a person leaves the sealed columns (T31), whatever is written and whatever goes wrong.

Canaries go through every field of every body that is personal by its data class. Then every place
where bytes come to rest or leave is searched for them in any form.
"""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import structlog
from prometheus_client import generate_latest
from sqlalchemy import func, select

from common import logs
from common.bus import Delivery
from common.db.sqlite import SqliteDatabase
from common.inbox import Inbox
from common.tables import DeadLetter, InboxAggregate, InboxMessage, OutboxMessage
from tests.privacy.canaries import Scanner, persons
from tests.privacy.country import Country, open_country
from tests.privacy.sending import (
    WRITES,
    Sent,
    all_canaries,
    missing_when_read,
    new_in,
    refusals,
    write,
)
from tests.surface.operations import SERVICES
from tests.surface.stage import Stage, time_stands_still

NEVER_SHOWN = {"create_case /birth_date", "update_case /birth_date"}
"""What is kept to decide by, and given back by no operation."""

Places = dict[str, bytes]


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    """Logging as a service sets it up, into a file; undone afterwards."""
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook, sys.unraisablehook)
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    path = tmp_path / "prag.log"
    with path.open("w") as stream:
        logs.configure(stream)
        yield path
        logging.captureWarnings(capture=False)
        root.handlers[:], root.level = handlers, level
        structlog.configure(**before)
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


@pytest.mark.slow
@pytest.mark.row("F17", "F18", "F90")
async def test_nothing_of_a_person_is_anywhere_but_sealed(tmp_path: Path, log_file: Path) -> None:
    """Every canary was stored and can be read again; no place outside the seals has a trace of one.

    Seeded: a note in a String column; a place's name in an event; a logged body; an echoed field; a
    person's name in a metric's label.
    """
    time_stands_still()
    made, places = persons(2026), Places()
    async with open_country(tmp_path / "country") as country:
        sent = [await write(country.stages[o.service], o, made) for o in WRITES]
        await country.settle()
        missing = [
            field
            for each in sent
            for field in await missing_when_read(country.stages[each.operation.service], each)
        ]
        places["refusals"] = await _refused(country, sent)
        places["outages"] = await _broken(country, sent)
        for service, stage in country.stages.items():
            places[f"{service} events"] = await _told(stage)
            await _assert_heard_all(stage)
        places["URLs"] = "\n".join(country.urls).encode()
    places["headers"] = "\n".join(str(each.answer.headers) for each in sent).encode()
    places["metrics"] = generate_latest()
    places |= _files(tmp_path)

    canaries = all_canaries(sent)
    scanner = Scanner(canaries)
    found = {place: scanner.found_in(content) for place, content in places.items()}
    assert len(set(canaries)) == len(canaries) >= 200
    assert set(missing) == NEVER_SHOWN
    assert {place: traces for place, traces in found.items() if traces} == {}
    assert {"prag.log", "country/bus.db", *(f"country/{s}.db" for s in SERVICES)} <= places.keys()
    assert {"database.write_failed", "consumer.dead_letter"} <= _logged(log_file)


async def _refused(country: Country, sent: list[Sent]) -> bytes:
    """Return all that refusals of these persons say, status and headers too."""
    said = []
    for each in sent:
        async for answer in refusals(country.stages[each.operation.service], each):
            assert 400 <= answer.status_code < 500, f"{each.operation}: {answer.text}"
            said.append(f"{answer.status_code} {answer.headers} {answer.text}")
    return "\n".join(said).encode()


async def _broken(country: Country, sent: list[Sent]) -> bytes:
    """Return what is said when nothing can be stored, and let a record that is no event come."""
    said = []
    for service, stage in country.stages.items():
        each = new_in(service, sent)
        if each is None:
            continue
        await _store_nothing(stage, on=True)
        answer = await stage.call(each.operation, each.ready, each.ready.by)
        await _store_nothing(stage, on=False)
        assert answer.status_code == 503, answer.text
        said.append(f"{answer.headers} {answer.text}")
        await _hear_of_persons(stage, all_canaries([each]))
    return "\n".join(said).encode()


async def _store_nothing(stage: Stage, *, on: bool) -> None:
    database = cast(SqliteDatabase, stage.kit.runtime.database)
    await database._run(lambda c: c.exec_driver_sql(f"PRAGMA query_only={'ON' if on else 'OFF'}"))


async def _hear_of_persons(stage: Stage, canaries: list[str]) -> None:
    """A careless sibling puts names on the bus: the record is refused and kept sealed."""
    runtime = stage.kit.runtime
    inbox = Inbox(runtime.database, {}, service=runtime.name, box=runtime.box)
    value = json.dumps({"type": "intake.case.opened.v1", "names": canaries}, ensure_ascii=False)
    assert await inbox.accept(Delivery("intake.case", 7, 0, value.encode())) == "dead"


async def _told(stage: Stage) -> bytes:
    """Return the events of a service as they are stored, published and fed."""
    rows = await stage.kit.rows(select(OutboxMessage.payload))
    assert {json.loads(row.payload)["source"] for row in rows} <= {stage.kit.runtime.source}
    return b"\n".join(row.payload for row in rows)


async def _assert_heard_all(stage: Stage) -> None:
    """The siblings' events were applied, none parked, none refused but the careless one."""
    [heard] = await stage.kit.rows(select(func.count().label("number")).select_from(InboxMessage))
    parked = await stage.kit.rows(
        select(InboxAggregate.subject).where(InboxAggregate.parked_at.is_not(None))
    )
    dead = await stage.kit.rows(select(DeadLetter.reason))
    assert heard.number > 0
    assert not parked
    assert {row.reason for row in dead} <= {"malformed"}


def _files(folder: Path) -> Places:
    """Return every file byte for byte, but for the keys."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != "keys"
    }


def _logged(log_file: Path) -> set[str]:
    lines = log_file.read_text().splitlines()
    return {json.loads(line)["event"] for line in lines if line.startswith("{")}
