"""Another country at the hub of the containers: it has its keys, and reads what is for it."""

import base64
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from common.federation.envelope import EnvelopeError, Letter, open_envelope
from common.federation.mail import reader_of
from common.federation.peers import read_own_keys, read_peers
from common.sealing import MasterKey
from prag import peer
from prag.files import write_private
from prag.kafka import password_file
from prag.peer import Place, place_of_secrets

HOME, ABROAD = "RS", "XK"
HUB_PORT = 9094

_READ = f"""
import asyncio, base64, os, tempfile
from pathlib import Path
from common.bus import Position, open_bus
from common.federation.mail import topic_to

async def read():
    password = Path(tempfile.gettempdir(), "password")
    password.write_text(os.environ["HUB_PASSWORD"])
    password.chmod(0o600)
    user, country = os.environ["HUB_USER"], os.environ["HUB_READS"]
    bus = open_bus(f"kafka://{{user}}@hub:{HUB_PORT}/?password_file={{password}}&ca_file=/run/secrets/hub_ca.pem")
    async def begin(topic, partition, log):
        return Position(0)
    found, more, topics = [], [], [topic_to(country)]
    await bus.check(reads=topics, writes=[])
    opened = await bus.subscribe(topics, group=user, position_of=begin)
    while not found or more:
        more = await opened.poll(seconds=5)
        found += more
    for each in found:
        print(base64.b64encode(each.value).decode())
    await opened.close()
    await bus.close()

asyncio.run(read())
"""
"""Run in a container, for only there the hub has its name."""


@dataclass(frozen=True, slots=True)
class Abroad:
    """Its place, and the hub's secrets, of which it has been given its own password."""

    place: Place
    hub_secrets: Path

    @classmethod
    def introduce(cls, home: Path, secrets: Path, hub_secrets: Path, *, uid: int) -> "Abroad":
        """Make the keys of both countries, as `prag peer` does, and let each know the other."""
        keys = home / "abroad"
        write_private(keys / "master.key", os.urandom(32))
        master = MasterKey.from_file(keys / "master.key")
        there = Place(ABROAD, master, keys, keys / "peers")
        here = place_of_secrets(secrets, HOME)
        for place, other in ((there, here), (here, there)):
            descriptor = peer.init(place, home / "roots" / place.country)
            told = home / f"{place.country}.json"
            told.write_bytes(descriptor.to_bytes())
            peer.add(other, told, descriptor.fingerprint)
        for country in (HOME, ABROAD):
            password = password_file(hub_secrets / "users", reader_of(country))
            write_private(password, os.urandom(24).hex().encode())
        for name, file in (
            ("hub_ca.pem", "ca.pem"),
            ("hub_password", f"users/kafka_{reader_of(HOME)}"),
        ):
            shutil.copy(hub_secrets / file, secrets / name)
            os.chown(secrets / name, uid, uid)
        return cls(there, hub_secrets)

    def reading(self, country: str, *, of: str) -> tuple[str, ...]:
        """Return the command by which a country reads at the hub what is for the country `of`."""
        password = password_file(self.hub_secrets / "users", reader_of(country)).read_text()
        told = {"HUB_PASSWORD": password, "HUB_USER": reader_of(country), "HUB_READS": of}
        return ("env", *(f"{key}={value}" for key, value in told.items()), "python", "-c", _READ)

    def open(self, line: str) -> Letter | None:
        """Open what was read with this country's key; None where it does not open."""
        keys = read_own_keys(self.place.own_keys("referral"), self.place.master, "referral")
        peers = read_peers(self.place.peers)
        try:
            return open_envelope(
                base64.b64decode(line),
                country=ABROAD,
                keys=keys.opening,
                signer=peers.directory.signer,
            )
        except EnvelopeError:
            return None
