"""When Python looks for garbage in cycles: not while a process starts, and seldom afterwards.

What runs as a process imports this before all else. Importing makes objects by the hundred thousand
and leaves nothing to collect; looking through them time and again took a seventh of the start.
"""

import gc

gc.set_threshold(500_000)


def look_seldom() -> None:
    """Look for garbage less often, and no more among what was there from the start.

    A request makes few cycles and thousands of objects, so it met the collector several times.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
