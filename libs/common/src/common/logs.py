"""Structured logs that pass only declared keys; an error is its type, never its text."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

ALLOWED = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "logger",
        "service",
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
        "country",
        "epoch",
        "version",
        "signal",
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


class _TypeOnly(logging.Filter):
    """Library loggers: their messages may hold values, so only where and how bad is kept."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        record.exc_text = None
        if not record.name.startswith("prag"):
            record.msg = f"{record.name} {record.levelname.lower()} at line {record.lineno}"
            record.args = ()
        return True


def configure(stream: Any = None) -> None:  # noqa: ANN401
    """Send JSON lines to `stream` (standard error by default)."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_declared,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(_TypeOnly())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
