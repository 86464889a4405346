"""Named points at which a test may kill the process; without PRAG_TEST_CRASH they do nothing."""

import os
import signal

_ARMED = os.environ.get("PRAG_TEST_CRASH", "")  # noqa: TID251  (read once, before any settings)
_name, _, _after = _ARMED.partition(":")
_left = int(_after or "1")


def crash(point: str) -> None:
    """Die by SIGKILL at `point` if PRAG_TEST_CRASH names it (`point` or `point:n`, the n-th pass)."""
    global _left  # noqa: PLW0603
    if point != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
