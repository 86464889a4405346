"""Two countries and a hub: their brokers, their databases, the processes that are killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.federation.peers import OWN
from prag import peer
from prag.files import write_private
from tests.conftest import PostgresUrls, running_postgres
from tests.kafka import Broker
from tests.system.parts import Parts

SENDER, RECEIVER = "RS", "XK"
SERVICES = ("intake", "referral")
"""The two that a handover passes through; the others only hear of it."""


@dataclass(frozen=True)
class World:
    lands: dict[str, Parts]
    brokers: dict[str, Broker]
    """The brokers of the two countries by their codes, and `hub`."""

    @property
    def sender(self) -> Parts:
        return self.lands[SENDER]

    @property
    def receiver(self) -> Parts:
        return self.lands[RECEIVER]


@contextmanager
def running(home: Path) -> Iterator[World]:
    """Bring everything up; end it all when the context is left."""
    with running_postgres() as url:
        brokers = {name: Broker(home / f"kafka-{name}") for name in (SENDER, RECEIVER, "hub")}
        lands: dict[str, Parts] = {}
        try:
            for broker in brokers.values():
                broker.start()
            brokers["hub"].provision(hub_of=(SENDER, RECEIVER))
            urls = PostgresUrls(url)
            for code in (SENDER, RECEIVER):
                brokers[code].provision()
                lands[code] = Parts(
                    home / code,
                    urls,
                    brokers[code],
                    country=code,
                    services=SERVICES,
                    hub=brokers["hub"],
                )
            introduce(home, lands)
            for land in lands.values():
                land.start_all()
            yield World(lands, brokers)
        finally:
            for land in lands.values():
                land.close()
            for broker in brokers.values():
                broker.end()


def introduce(home: Path, lands: dict[str, Parts]) -> None:
    """Give each country keys of its own and the descriptors of the others."""
    for code, land in lands.items():
        descriptor = peer.init(land.place, home / "roots" / code)
        for other in lands.values():
            name = OWN if other is land else f"{code}.json"
            write_private(other.place.peers / name, descriptor.to_bytes())
