"""What a data folder says about itself: whose it is, how it is laid out, who may sign its audit heads."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from prag.files import sync_folder, write_private

LAYOUT = 1
"""Version of the folder's layout. A release reads this one and older ones, never a newer one."""

SERVICES = ("intake", "referral", "reintegration", "analytics")
TIME_ZONES = {
    "AL": "Europe/Tirane",
    "BA": "Europe/Sarajevo",
    "BG": "Europe/Sofia",
    "ME": "Europe/Podgorica",
    "MK": "Europe/Skopje",
    "RO": "Europe/Bucharest",
    "RS": "Europe/Belgrade",
    "XK": "Europe/Belgrade",
}
"""The countries a standalone instance can be, and where their calendar days begin."""


class TroubleError(Exception):
    """What stands in the way and what to do about it, in a sentence for the person at the keyboard."""


def missing(path: Path) -> TroubleError:
    """Say that the folder lost something which every command needs."""
    return TroubleError(f"{path} is missing. Put it back from a backup; nothing was changed.")


def no_folder(home: Path) -> TroubleError:
    """Say that a file is where the data folder, or a folder above it, should be."""
    file = next((path for path in (home, *home.parents) if path.is_file()), home)
    return TroubleError(
        f"PRAG_HOME must be a folder, and {file} is a file. Set it to another path."
    )


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of `instance.json`, written when the first start has come to its end."""

    layout: int
    country: str
    created: datetime
    audit_keys: dict[str, str]
    """Ed25519 public key of each service's audit heads, in hex. No secret."""

    def write(self, home: Path) -> None:
        content = {
            "layout": self.layout,
            "country": self.country,
            "created": self.created.isoformat(),
            "audit_keys": self.audit_keys,
        }
        write_private(manifest_file(home), json.dumps(content, indent=2).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in a data folder."""

    home: Path

    @property
    def lock(self) -> Path:
        return self.home / "lock"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def master_key(self) -> Path:
        return self.keys / "master.key"

    @property
    def peers(self) -> Path:
        """The descriptors of this country and of those it exchanges with."""
        return self.home / "peers"

    def own_keys(self, service: str) -> Path:
        """Return the file with what a service opens with and signs with across the border."""
        return self.keys / f"{service}.peer"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def bus(self) -> Path:
        return self.data / "bus.db"

    @property
    def anchors(self) -> Path:
        return self.home / "audit"

    @property
    def log(self) -> Path:
        return self.home / "logs" / "prag.log"

    @property
    def samples(self) -> Path:
        """There while sample cases wait to be loaded."""
        return self.home / "samples.json"

    @property
    def starting(self) -> Path:
        """There from before a first start makes anything until its manifest stands."""
        return self.home / "starting.json"

    def database(self, service: str) -> Path:
        return self.data / f"{service}.db"

    def anchor(self, service: str) -> Path:
        """Return the file to which the service's signed audit heads are appended."""
        return self.anchors / f"{service}.jsonl"

    def databases(self) -> dict[str, Path]:
        """Return every SQLite file of the folder by its name; the bus is the last."""
        return {**{name: self.database(name) for name in SERVICES}, "bus": self.bus}


def manifest_file(home: Path) -> Path:
    return home / "instance.json"


def read_manifest(home: Path) -> Manifest | None:
    """Return what the folder says about itself; None where no instance was ever started.

    TroubleError for a file that cannot be read or was written by a newer release.
    """
    path = manifest_file(home)
    try:
        content = json.loads(path.read_text())
        layout = int(content["layout"])
        if layout > LAYOUT:
            raise TroubleError(
                f"{home} was written by a newer release of Prag (layout {layout}, this one knows "
                f"{LAYOUT}). Start that release, or set PRAG_HOME to another folder."
            )
        return Manifest(
            layout,
            str(content["country"]),
            datetime.fromisoformat(content["created"]),
            {service: str(content["audit_keys"][service]) for service in SERVICES},
        )
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise no_folder(home) from None
    except OSError as error:
        raise TroubleError(f"{path} cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, TypeError):
        raise TroubleError(
            f"{path} is damaged. Put it back from a backup; nothing else in the folder was touched."
        ) from None


def begin_start(files: Layout, country: str) -> None:
    """Leave the sign by which a later start knows that a first one was cut off, and whose it was."""
    write_private(files.starting, json.dumps({"country": country}).encode() + b"\n")


def end_start(files: Layout) -> None:
    """Take the sign away: from now on a folder without a manifest is one that lost it."""
    if files.starting.exists():
        files.starting.unlink()
        sync_folder(files.home)


def begun_country(files: Layout) -> str | None:
    """Return whose first start was cut off here; None where no sign, or no legible one, says so."""
    try:
        return str(json.loads(files.starting.read_text())["country"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def country_of(home: Path) -> str | None:
    """Return the country of the folder, also of one whose first start was cut off; None of a new one."""
    manifest = read_manifest(home)
    return manifest.country if manifest else begun_country(Layout(home))
