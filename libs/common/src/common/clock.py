"""Time and identity: the impure values every other module asks for here."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

_source: Callable[[], datetime] = lambda: datetime.now(UTC)  # noqa: E731


def utcnow() -> datetime:
    return _source()


def set_source(source: Callable[[], datetime] | None) -> None:
    """Replace the wall clock (tests and the narrated demo); None puts the real one back."""
    global _source  # noqa: PLW0603
    _source = source or (lambda: datetime.now(UTC))


def has_passed(span: timedelta, since: datetime) -> bool:
    """Tell whether so long has passed since; true too where that lies ahead: the clock was put back."""
    return not timedelta() <= utcnow() - since < span


def monotonic() -> float:
    """Seconds for measuring a duration or a deadline; never compared between processes."""
    return time.monotonic()


def new_id() -> UUID:
    return uuid4()


class Telling:
    """When to tell of a wait: after three seconds, then every ten."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._next = now() + 3

    def is_due(self) -> bool:
        """Tell whether to tell now; then not again for ten seconds."""
        if self._now() < self._next:
            return False
        self._next = self._now() + 10
        return True
