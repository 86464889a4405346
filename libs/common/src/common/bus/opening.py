"""Choose the bus by the URL."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from common.bus.base import Bus
from common.bus.local import LocalBus


def open_bus(url: str) -> Bus:
    """Open `local:///absolute/path`, or what `ServiceSettings.bus` makes of the PRAG_KAFKA_… settings.

    Anything else is refused here, at the start.
    """
    scheme, _, path = url.partition("://")
    if scheme == "local":
        return LocalBus(Path(path))
    if scheme != "kafka":
        raise ValueError("PRAG_BUS_URL must be local:///path")
    from common.bus.kafka import KafkaBus, KafkaLogin  # noqa: PLC0415  only the bus in use is loaded

    parts = urlsplit(url)
    user, _, bootstrap = parts.netloc.rpartition("@")
    files = {name: Path(values[0]) for name, values in parse_qs(parts.query).items()}
    return KafkaBus(KafkaLogin(bootstrap, user, **files))
