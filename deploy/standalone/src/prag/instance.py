"""One country's data folder: made at the first start, checked at every start, held by one process."""

import shutil
from pathlib import Path
from typing import IO, TYPE_CHECKING

from common.clock import utcnow
from common.crash import crash
from prag.folder import claim, refuse_shared
from prag.issuer import AUDIENCE, ISSUER, LocalIssuer
from prag.manifest import (
    LAYOUT,
    TIME_ZONES,
    Layout,
    Manifest,
    TroubleError,
    begin_start,
    begun_country,
    end_start,
    read_manifest,
)
from prag.samples.journal import Journal

if TYPE_CHECKING:
    from common.settings import ServiceName, ServiceSettings
    from prag.parts import Part

MIN_FREE_BYTES = 64 * 1024 * 1024
"""With less room than this nothing is started: a country must not stop in the middle of a day."""


class Instance:
    """The data folder of one country; while the context is open no other process can start on it.

    A first start writes `starting.json` first and `instance.json` last. With the one and not the
    other it was interrupted, and is simply done again; with neither, a folder that is not empty has
    lost what it says about itself, and is refused.
    """

    def __init__(
        self, home: Path, country: str, port_base: int, *, hub: Path | None = None
    ) -> None:
        """`hub` is the log of a hub on this machine, through which other countries are reached."""
        self.home = home.absolute()
        self.country = country.upper()
        self.port_base = port_base
        self.hub = hub
        self.files = Layout(self.home)
        self.is_new = False
        """Whether this start is the first."""
        self._lock: IO[str] | None = None

    def __enter__(self) -> "Instance":
        """Claim the folder; TroubleError if another process has it or it cannot be ours."""
        if self.country not in TIME_ZONES:
            raise TroubleError(
                f"There is no country {self.country} here. Countries are {', '.join(TIME_ZONES)}."
            )
        self._lock = claim(self.home)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def issuer(self) -> LocalIssuer:
        return LocalIssuer(self.home)

    def prepare(self, *, samples: bool = False) -> None:
        """Check the folder, make what a first start needs, migrate the databases.

        With `samples` a first start notes that sample cases are to be loaded. TroubleError for what is wrong with it; then nothing in it was changed.
        """
        # Each check brings its libraries along, so that the cheap ones answer at once.
        manifest = read_manifest(self.home)
        self.is_new = manifest is None
        self._check_folder(manifest)
        if manifest is None:
            self._refuse_lost()
        from prag import keys  # noqa: PLC0415

        if manifest is None:
            if begun_country(self.files) is None:
                begin_start(self.files, self.country)
            keys.make_keys(self.files)
            self.files.samples.unlink(missing_ok=True)
            if samples:
                Journal.begin(self.files.samples)
        refuse_shared(self.home)
        master = keys.check_keys(self.files, manifest)
        self._prepare_databases(manifest)
        if manifest is None:
            Manifest(LAYOUT, self.country, utcnow(), keys.audit_keys(master)).write(self.home)
        end_start(self.files)

    def _check_folder(self, manifest: Manifest | None) -> None:
        owner = manifest.country if manifest else begun_country(self.files)
        if owner not in {None, self.country}:
            raise TroubleError(
                f"{self.home} belongs to {owner}, not to {self.country}. "
                f"Start it with --country {owner}, or set PRAG_HOME to another folder."
            )
        if shutil.disk_usage(self.home).free < MIN_FREE_BYTES:
            raise TroubleError(
                f"The disk that holds {self.home} is full: less than "
                f"{MIN_FREE_BYTES // 1024 // 1024} MB are left. Free some space and start again."
            )

    def _refuse_lost(self) -> None:
        """Refuse a folder that was somebody's register: as a new one it would get another's keys.

        A first start that was cut off left its sign, and nothing but keys and empty tables.
        """
        if begun_country(self.files) is None:
            folders = (self.files.data, self.files.keys, self.files.anchors)
            is_lost = any(folder.is_dir() and any(folder.iterdir()) for folder in folders)
        else:
            from prag.databases import holds_rows  # noqa: PLC0415

            is_lost = any(holds_rows(path) for path in self.files.databases().values())
        if is_lost:
            raise TroubleError(
                f"{self.home} holds data but no instance.json. Put it back from a backup; "
                "nothing was changed."
            )

    def _prepare_databases(self, manifest: Manifest | None) -> None:
        from prag import databases  # noqa: PLC0415

        if manifest is not None:
            for path in self.files.databases().values():
                databases.check_whole(path)
        from prag.parts import PARTS  # noqa: PLC0415

        # All are asked before the first is changed: a newer one must find its siblings as they were.
        old = [
            name
            for name, part in PARTS.items()
            if databases.needs_migration(self.files.database(name), part.migrations)
        ]
        for name in old:
            safe_copy = self.home / "backups" / f"{name}-before-migration.db"
            databases.migrate(self.files.database(name), PARTS[name].migrations, safe_copy)
            crash("migration.between")
        if manifest is None:
            databases.make_empty(self.files.bus)

    def settings(self, service: "ServiceName", part: "Part") -> "ServiceSettings":
        """Return the settings by which this folder's `service` starts."""
        writes_abroad = service in {"intake", "referral"}
        return part.settings(
            country=self.country,
            database_url=f"sqlite:///{self.files.database(service)}",
            bus_url=f"local://{self.files.bus}",
            oidc_issuer=ISSUER,
            oidc_audience=AUDIENCE,
            oidc_jwks_file=self.issuer.jwks_file,
            master_key_file=self.files.master_key,
            time_zone=TIME_ZONES[self.country],
            port_base=self.port_base,
            peers_folder=self.files.peers if writes_abroad else None,
            own_keys_file=self.files.own_keys(service) if writes_abroad else None,
            hub_url=f"local://{self.hub}" if self.hub and service == "referral" else "",
        )
