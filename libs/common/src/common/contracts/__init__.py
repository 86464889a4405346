"""Payloads others may rely on: one module per publishing service, one class per event type.

Within a version only optional fields are added; anything else is a new version beside the old one.
`tests/contracts` compares each class with its snapshot and refuses a field that could hold a text.
"""

from collections.abc import Iterator
from importlib import import_module

from common.events import EventData

_PUBLISHERS = ("intake", "referral", "reintegration", "audit")


def kinds() -> frozenset[str]:
    """Return the types of all events of this release."""
    found = set()
    for name in _PUBLISHERS:
        module = import_module(f"{__name__}.{name}")
        found |= {kind.type for kind in _classes(module) if "type" in vars(kind)}
    return frozenset(found)


def _classes(module: object) -> Iterator[type[EventData]]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, EventData):
            yield value
