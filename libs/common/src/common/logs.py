"""Structured logs that pass only declared keys; an error is its type, never its text."""

import contextlib
import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any

import structlog

from common.clock import monotonic

ALLOWED = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "logger",
        "service",
        "process",
        "operation",
        "error",
        "type",
        "topic",
        "subject",
        "event_id",
        "attempt",
        "seconds",
        "count",
        "trace_id",
        "status",
        "port",
        "file",
        "country",
        "epoch",
        "frames",
        "version",
        "signal",
        "server",
        "setting",
        "partition",
        "offset",
        "use",
        "end",
    }
)


def keep_declared(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop every key nobody declared; what is dropped is counted, so that it is noticed."""
    dropped = [key for key in entry if key not in ALLOWED]
    for key in dropped:
        del entry[key]
    if dropped:
        entry["count"] = len(dropped)
    return entry


Speaker = Mapping[str, str]
"""Whose a line is: `service`, and its `process`, api or worker."""

_NOBODY: Speaker = MappingProxyType({})
_SPEAKER: ContextVar[Speaker] = ContextVar("speaker")


@contextlib.contextmanager
def speaking(service: str, process: str) -> Iterator[None]:
    """Let each line of what is done within, and of every task begun within, say whose it is."""
    before = _SPEAKER.set({"service": service, "process": process})
    try:
        yield
    finally:
        _SPEAKER.reset(before)


QUIET_SECONDS = 60.0


_GROUP = "aiokafka.consumer.group_coordinator"
GROUP_MOVES = (
    "Marking the coordinator dead",
    "Heartbeat failed for group %s because it is rebalancing",
    "Heartbeat failed for group %s: generation id is not",
    "Heartbeat failed: local member_id was not recognized",
)
"""How its lines begin that tell of a member who comes or goes, before any value is put in."""


def _is_a_move(record: logging.LogRecord) -> bool:
    """Tell whether a group of readers is being dealt out anew, as at each start of one of them."""
    if record.name != _GROUP:
        return False
    given = record.args if isinstance(record.args, tuple) else ()
    # An error of this kind passes by itself, and the client says so: its next request may go well.
    return str(record.msg).startswith(GROUP_MOVES) or any(
        getattr(a, "retriable", False) for a in given
    )


def _kind_of(record: logging.LogRecord) -> str:
    """Return the type of the error that a library tells of; an empty text if it names none."""
    given = record.args if isinstance(record.args, tuple) else ()
    raised = record.exc_info[1] if record.exc_info else None
    found = next((each for each in (raised, *given) if isinstance(each, BaseException)), None)
    return "" if found is None else type(found).__name__


class TypeOnly(logging.Filter):
    """Library loggers: their messages may hold values, so only where, how bad and of what kind is kept.

    A line that comes again within a minute is counted and told with the next one: a library
    that tries for ever says so several times a second, and would bury what we have to say.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._now = now
        self._told: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        place, now = (record.name, record.lineno), self._now()
        until, unsaid = self._told.get(place, (now, 0))
        if now < until:
            self._told[place] = until, unsaid + 1
            return False
        self._told[place] = now + QUIET_SECONDS, 0
        record.unsaid, record.kind = unsaid, _kind_of(record)
        record.exc_info = None
        record.exc_text = None
        record.stack_info = None
        if _is_a_move(record):
            record.levelname, record.msg, record.args = "INFO", "bus.group_moves", ()
            return True
        if record.name.startswith("aiokafka"):
            # It tries again, and at the first start of a cluster it has to; what will never do is told
            # by the part that asked.
            record.levelname = "WARNING"
        if not record.name.startswith("prag"):
            level = record.levelname.lower()
            record.msg = f"{record.name} {level} at line {record.lineno} of {record.module}"
            record.args = ()
        return True


class JsonLines(logging.Formatter):
    """Library records in the form of our own: one JSON object a line."""

    def __init__(self, speaker: Speaker = _NOBODY) -> None:
        super().__init__()
        self._speaker = speaker

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        entry: dict[str, Any] = {
            **_SPEAKER.get(self._speaker),
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "timestamp": at,
        }
        if kind := getattr(record, "kind", ""):
            entry["error"] = kind
        if unsaid := getattr(record, "unsaid", 0):
            entry["count"] = unsaid
        return json.dumps(entry, ensure_ascii=False)


def _report(
    kind: type[BaseException], _: BaseException | None, trace: TracebackType | None
) -> None:
    """Say what ended a thread or the process, and where, without the error's own words."""
    if issubclass(kind, KeyboardInterrupt):
        return
    frames = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(trace)]
    structlog.get_logger("prag").critical("process.failed", error=kind.__name__, frames=frames)


def configure(stream: Any = None, speaker: Speaker = _NOBODY) -> None:  # noqa: ANN401
    """Send JSON lines to `stream` (standard error by default).

    `speaker` is whose process this is, down to its last thread; where services share a process, each
    says so in its tasks (`speaking`).

    Uncaught errors and warnings come the same way: Python's own printing of them shows values.
    """

    def name_speaker(
        _: object, __: str, entry: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        return {**_SPEAKER.get(speaker), **entry}

    structlog.configure(
        processors=[
            name_speaker,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_declared,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(TypeOnly())
    handler.setFormatter(JsonLines(speaker))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _report
    threading.excepthook = lambda ended: _report(
        ended.exc_type, ended.exc_value, ended.exc_traceback
    )
    sys.unraisablehook = lambda lost: _report(lost.exc_type, lost.exc_value, lost.exc_traceback)
