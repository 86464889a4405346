"""The event bus: publish a batch, read on from a position. Two implementations, one protocol."""

from common.bus.base import (
    Bus,
    BusError,
    BusRefusedError,
    Delivery,
    Log,
    Position,
    Record,
    Subscription,
    Waiting,
)
from common.bus.local import LocalBus
from common.bus.opening import open_bus

__all__ = [
    "Bus",
    "BusError",
    "BusRefusedError",
    "Delivery",
    "LocalBus",
    "Log",
    "Position",
    "Record",
    "Subscription",
    "Waiting",
    "open_bus",
]
