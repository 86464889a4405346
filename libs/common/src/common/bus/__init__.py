"""The event bus: publish a batch, read on from a position. Two implementations, one protocol."""

from common.bus.base import Bus, BusError, Delivery, Record, Subscription, Waiting
from common.bus.local import LocalBus
from common.bus.opening import open_bus

__all__ = [
    "Bus",
    "BusError",
    "Delivery",
    "LocalBus",
    "Record",
    "Subscription",
    "Waiting",
    "open_bus",
]
