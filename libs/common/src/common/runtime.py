"""What one service of one instance holds while it runs; API and worker share it when embedded."""

from dataclasses import dataclass
from pathlib import Path

from common.auth import Keys, KeySet, TokenVerifier, read_keys
from common.authz import Authorisation
from common.bus import Bus, open_bus
from common.db import Database, open_database
from common.errors import UnavailableError
from common.issuer import IssuerKeys
from common.sealing import MasterKey, ServiceBox, SubjectKeyRing
from common.settings import ServiceName, ServiceSettings, SettingError
from common.tags import TagKeys


@dataclass(frozen=True, slots=True)
class Runtime:
    name: ServiceName
    settings: ServiceSettings
    database: Database
    bus: Bus
    master: MasterKey
    box: ServiceBox
    tags: TagKeys
    tokens: TokenVerifier
    authorisation: Authorisation

    @property
    def source(self) -> str:
        """CloudEvents source of this service in this country."""
        return f"/{self.settings.country}/{self.name}"


def open_runtime(
    name: ServiceName, settings: ServiceSettings, *, bus: Bus | None = None
) -> Runtime:
    """Open everything a service needs; the services of one process share one `bus`.

    SettingError names the setting with which that will never do.
    """
    master = _master(settings.master_key_file)
    keys = SubjectKeyRing(master, name)
    verifier = TokenVerifier(
        _keys(settings),
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
    )
    return Runtime(
        name=name,
        settings=settings,
        database=open_database(settings.database_url, keys),
        bus=bus or open_bus(settings.bus),
        master=master,
        box=ServiceBox(master, name),
        tags=TagKeys(master),
        tokens=verifier,
        authorisation=Authorisation.of_package(name),
    )


def _master(path: Path) -> MasterKey:
    try:
        return MasterKey.from_file(path)
    except PermissionError:
        words = "must be readable by this user and by nobody else (chmod 600)"
    except OSError:
        words = "cannot be read"
    except ValueError:
        words = "does not hold 32 bytes"
    raise SettingError(f"PRAG_MASTER_KEY_FILE {words}")


def _keys(settings: ServiceSettings) -> Keys:
    if settings.oidc_jwks_file.name:
        keys = KeySet(settings.oidc_jwks_file)
        try:
            keys.refresh()
        except UnavailableError:
            raise SettingError("PRAG_OIDC_JWKS_FILE cannot be read, or holds no JWK set") from None
        return keys
    return IssuerKeys(settings.oidc_issuer, read_keys).start()
