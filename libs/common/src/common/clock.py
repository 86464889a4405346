"""Time and identity: the impure values every other module asks for here."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

_source: Callable[[], datetime] = lambda: datetime.now(UTC)  # noqa: E731


def utcnow() -> datetime:
    return _source()


def set_source(source: Callable[[], datetime] | None) -> None:
    """Replace the wall clock (tests and the narrated demo); None puts the real one back."""
    global _source  # noqa: PLW0603
    _source = source or (lambda: datetime.now(UTC))


def monotonic() -> float:
    """Seconds for measuring a duration or a deadline; never compared between processes."""
    return time.monotonic()


def new_id() -> UUID:
    return uuid4()
