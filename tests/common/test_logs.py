"""Logs: only declared keys pass, and no error ever speaks for itself."""

import asyncio
import inspect
import io
import json
import logging
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, cast

import pytest
import structlog
from aiokafka.consumer import group_coordinator
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    KafkaConnectionError,
)
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from common import logs
from common.consumer import Consumer
from common.db import Database
from common.db.postgres import PostgresDatabase
from common.events import Event
from common.runtime import Runtime
from common.sealing import ServiceBox
from common.unit import Actor, Unit
from common.worker import run_worker
from tests.common.things import Around, SeenThing, ThingMoved, delivered, made, new_unit, steps_of
from tests.common.tiny import Tiny
from tests.conftest import fixed_id

CANARY = "Ana-Canary-Марковић"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Logging as a service sets it up, into memory; undone afterwards."""
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook, sys.unraisablehook)
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    stream = io.StringIO()
    logs.configure(stream)
    yield stream
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level
    structlog.configure(**before)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


def parsed(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines() if line.startswith("{")]


def test_what_the_library_of_kafka_tries_again_is_no_error(lines: io.StringIO) -> None:
    # Fails when the first start of a healthy cluster looks like one that needs somebody.
    logging.getLogger("aiokafka.consumer.group_coordinator").error("refused: %s", CANARY)

    [entry] = parsed(lines)
    assert entry["level"] == "warning"
    assert CANARY not in entry["event"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        *((text, (CANARY,)) for text in logs.GROUP_MOVES),
        ("Group Coordinator Request failed: %s", (GroupCoordinatorNotAvailableError(CANARY),)),
        ("Error sending %s to node %s [%s]", ("Heartbeat", 1, KafkaConnectionError(CANARY))),
    ],
)
def test_that_readers_are_dealt_out_anew_warns_nobody(
    text: str, values: tuple[object, ...], lines: io.StringIO
) -> None:
    # Fails when each start of a worker looks like something to be mended.
    logging.getLogger("aiokafka.consumer.group_coordinator").error(text, *values)

    [entry] = parsed(lines)
    assert (entry["event"], entry["level"]) == ("bus.group_moves", "info")


def test_what_a_group_of_readers_cannot_mend_by_itself_still_warns(lines: io.StringIO) -> None:
    # Fails when errors go the way of what is ordinary, or another part's lines do.
    failed = "Group Coordinator Request failed: %s"
    group = logging.getLogger("aiokafka.consumer.group_coordinator")
    group.error(failed, GroupAuthorizationFailedError(CANARY))
    group.error("Heartbeat session expired")
    logging.getLogger("aiokafka.conn").error(failed, KafkaConnectionError(CANARY))

    assert [entry["level"] for entry in parsed(lines)] == ["warning"] * 3


def test_the_library_of_kafka_still_says_so_when_readers_are_dealt_out_anew() -> None:
    # Fails when a release of it puts that in other words: they would warn again.
    said = inspect.getsource(group_coordinator)

    assert [text for text in logs.GROUP_MOVES if text not in said] == []


def test_a_key_nobody_declared_is_dropped_and_counted(lines: io.StringIO) -> None:
    # Fails when a list of forbidden keys stands in for the list of allowed ones.
    structlog.get_logger("x").warning(
        "something.happened", name=CANARY, body={"a": CANARY}, error="KeyError", topic="intake.case"
    )

    [entry] = parsed(lines)
    assert entry.pop("timestamp")
    assert entry == {
        "event": "something.happened",
        "level": "warning",
        "error": "KeyError",
        "topic": "intake.case",
        "count": 2,
    }


def test_an_exception_is_never_written_out(lines: io.StringIO) -> None:
    # Fails when exc_info or a stack is drawn: the text of an error holds values.
    error = ValueError(CANARY)

    structlog.get_logger("x").error("it.failed", exc_info=error, stack_info=True)
    library = logging.getLogger("sqlalchemy.engine")
    library.error("cannot write %s", CANARY, exc_info=error, stack_info=True)
    logging.getLogger("asyncio").error("task %r", error, exc_info=error)

    assert CANARY not in lines.getvalue()
    assert "Traceback" not in lines.getvalue()
    assert "sqlalchemy.engine error at line" in lines.getvalue()


def test_a_library_says_where_and_of_what_kind_its_error_was(lines: io.StringIO) -> None:
    # Fails when an operator cannot tell a refusal from a broken wire, or what is told is more than that.
    library = logging.getLogger("library")
    library.warning("cannot reach %s: %s", CANARY, KafkaConnectionError(CANARY))
    library.error("broken", exc_info=KeyError(CANARY))

    first, second = parsed(lines)
    assert re.fullmatch(r"library warning at line \d+ of test_logs", first["event"])
    assert (first["error"], second["error"]) == ("KafkaConnectionError", "KeyError")
    assert CANARY not in lines.getvalue()


def test_warnings_and_what_ends_a_thread_come_without_their_words(lines: io.StringIO) -> None:
    # Fails when Python prints them itself: pydantic's warnings show the value, an error its text.
    def broken() -> None:
        raise KeyError(CANARY)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"unexpected value {CANARY}", stacklevel=1)
    thread = threading.Thread(target=broken, name="worker")
    thread.start()
    thread.join()

    assert CANARY not in lines.getvalue()
    assert [e["error"] for e in parsed(lines) if e["event"] == "process.failed"] == ["KeyError"]
    assert "py.warnings warning" in lines.getvalue()


PROGRAM = """
import asyncio, sys
from common import logs
logs.configure()
async def main():
    lost = asyncio.get_running_loop().create_future()
    lost.set_exception(ValueError(sys.argv[1]))
    del lost
    raise RuntimeError(sys.argv[1])
asyncio.run(main())
"""


def test_what_ends_a_process_is_told_by_type_and_place() -> None:
    # Fails when the interpreter prints the traceback: its last line is the error's text.
    ended = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", PROGRAM, CANARY], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert CANARY not in ended.stdout + ended.stderr
    last = json.loads(ended.stderr.splitlines()[-1])
    assert (last["event"], last["error"]) == ("process.failed", "RuntimeError")
    assert any(frame.startswith("main:") for frame in last["frames"])


# --- the errors that hold values


async def hurt(database: Database) -> list[SQLAlchemyError]:
    """Provoke errors of the driver that are about a value."""
    found: list[SQLAlchemyError] = []
    nameless, cut = new_unit(database), new_unit(database)
    nameless.actor = cut.actor = Actor(CANARY)
    nameless.audit(cast(str, None), "thing", [CANARY])
    cut.put(SeenThing, thing_id=fixed_id(1), trail=[CANARY, "\0"])
    wrong = select(text("CAST(:name AS INTEGER) / 0 FROM thing WHERE no_such_column = :name"))
    for act in (
        database.write(nameless),
        database.write(cut),
        database.fetch(wrong, {"name": CANARY}),
    ):
        try:
            await act
        except SQLAlchemyError as error:
            found.append(error)
    return found


async def test_an_error_of_the_database_shows_no_parameter(
    database: Database, lines: io.StringIO
) -> None:
    # Fails without hide_parameters: SQLAlchemy prints every bound value with the statement.
    await made(database, fixed_id(1))

    errors = await hurt(database)

    assert len(errors) >= 2
    for error in errors:
        assert CANARY not in str(error).partition("[SQL:")[2]
    assert CANARY not in lines.getvalue()


async def test_a_driver_that_names_the_value_is_not_quoted_anywhere(
    postgres_only: PostgresDatabase, lines: io.StringIO, tiny_sqlite: Tiny
) -> None:
    # Fails when asyncpg's error gets past, whose text carries the value; or str(error) is logged or
    # answered.
    wrong = select(text("1 FROM thing WHERE version = :name"))
    with pytest.raises(SQLAlchemyError) as refusal:
        await postgres_only.fetch(wrong, {"name": CANARY})
    driver = refusal.value.__context__
    assert CANARY not in str(refusal.value)
    assert CANARY in str(driver)
    real = SQLAlchemyError(str(driver))

    class Quoting(Around):
        async def write(self, unit: Unit) -> None:
            raise real

    tiny = Tiny(tiny_sqlite.issuer.jwks_file.parent.parent, Quoting(tiny_sqlite.runtime.database))
    response = await tiny.post("/v1/things", {"label": "x"})
    await tiny.close()

    assert response.status_code in {500, 503}
    assert CANARY not in response.text
    assert CANARY not in lines.getvalue()
    assert {e["event"] for e in parsed(lines)} & {"request.failed", "database.write_refused"}


async def test_a_handler_that_quotes_a_person_is_logged_by_its_type(
    database: Database, box: ServiceBox, lines: io.StringIO
) -> None:
    # Fails when the consumer logs or stores the error's text.
    async def quoting(unit: Unit, event: Event) -> None:
        raise RuntimeError(CANARY)

    async def at_once(_: float) -> None: ...

    consumer = Consumer(
        database, {ThingMoved.type: quoting}, service="test", box=box, pause=at_once
    )
    await consumer.accept_all(delivered([*steps_of(fixed_id(1), 2), CANARY.encode()]))

    assert CANARY not in lines.getvalue()
    events = [entry["event"] for entry in parsed(lines)]
    assert events.count("consumer.failed") == 5
    assert {"consumer.parked", "consumer.dead_letter"} < {*events}
    reasons = [e["error"] for e in parsed(lines) if e["event"] == "consumer.parked"]
    assert reasons == ["RuntimeError"]


async def test_a_lost_task_is_reported_without_its_error(lines: io.StringIO) -> None:
    # Fails when asyncio's own report of a lost exception is passed on.
    async def broken() -> None:
        raise RuntimeError(CANARY)

    task = asyncio.create_task(broken())
    await asyncio.wait({task})
    asyncio.get_running_loop().call_exception_handler(
        {"message": f"lost {CANARY}", "exception": task.exception(), "task": task}
    )

    assert CANARY not in lines.getvalue()
    assert "asyncio error at line" in lines.getvalue()


@pytest.mark.row("F90")
async def test_the_start_and_the_end_of_api_and_worker_are_in_the_log(
    tiny_sqlite: Tiny, lines: io.StringIO
) -> None:
    # Fails when a restart leaves no line: whether a gap is silence or absence could not be told; or
    # when what shares a process with others does not say which of them it is.
    runtime = tiny_sqlite.runtime
    async with tiny_sqlite.app.router.lifespan_context(tiny_sqlite.app):
        works = asyncio.Event()

        async def note(_: Runtime) -> None:
            logging.getLogger("library").warning(CANARY)
            works.set()

        with logs.speaking(runtime.name, "worker"):
            worker = asyncio.create_task(run_worker(runtime, {}, jobs={"note": (3600, note)}))
        async with asyncio.timeout(5):
            await works.wait()
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker

    told = [(e["event"], e.get("service"), e.get("process")) for e in parsed(lines)]
    whose = (runtime.name, "worker")
    assert [(event.partition(" at ")[0], *who) for event, *who in told] == [
        ("api.started", None, None),
        ("worker.started", *whose),
        ("library warning", *whose),
        ("worker.stopped", *whose),
        ("api.stopped", None, None),
    ]


def test_a_library_that_says_the_same_again_and_again_is_told_once_with_its_count() -> None:
    # Fails when a library in a loop buries what the service says, or when its lines are lost unseen.
    stream, library = io.StringIO(), logging.getLogger("library.of.tests")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines())

    def say(times: int) -> None:
        for _ in range(times):
            library.warning(CANARY)

    library.addHandler(handler)
    library.propagate = False
    try:
        times = iter([0.0, 1, 2, 59, 59.9, 59.9, 60])
        handler.addFilter(logs.TypeOnly(lambda: next(times)))
        say(5)
        library.warning("from another line")
        assert len(parsed(stream)) == 2

        say(1)
    finally:
        library.removeHandler(handler)
        library.propagate = True

    told = parsed(stream)[-1]
    assert told["count"] == 4
    assert "library.of.tests" in told["event"]
    assert CANARY not in stream.getvalue()
