"""Choose the bus by the URL."""

from pathlib import Path

from common.bus.base import Bus
from common.bus.local import LocalBus


def open_bus(url: str) -> Bus:
    """Open `local:///absolute/path`. Any other scheme is refused here, at the start."""
    scheme, _, path = url.partition("://")
    if scheme != "local":
        raise ValueError("PRAG_BUS_URL must be local:///path")
    return LocalBus(Path(path))
