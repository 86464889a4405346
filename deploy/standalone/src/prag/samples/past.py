"""A clock of one's own: what runs inside `at` lives then, everybody else lives now.

Years of history cannot be had otherwise: a plan cannot be entered before its referral was accepted,
and a referral is accepted on the day on which somebody says so.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from common import clock

_MOMENT: ContextVar[datetime | None] = ContextVar("moment", default=None)


@contextmanager
def history() -> Iterator[None]:
    """Make `at` work. Tasks that were started outside keep the real time."""
    clock.set_source(_now)
    try:
        yield
    finally:
        clock.set_source(None)


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Let this task, and what it calls, live at `moment`."""
    before = _MOMENT.set(moment)
    try:
        yield
    finally:
        _MOMENT.reset(before)


def _now() -> datetime:
    return _MOMENT.get() or datetime.fromtimestamp(time.time(), UTC)
