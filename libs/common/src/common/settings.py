"""What a service needs to start, from PRAG_… variables; no default for a secret."""

import ipaddress
import re
import sys
from pathlib import Path
from typing import Literal, Self, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from common.here import Here

ServiceName = Literal["intake", "referral", "reintegration", "analytics"]

PORTS: dict[ServiceName, int] = {"intake": 0, "referral": 1, "reintegration": 2, "analytics": 3}
"""Offset of each service's port from PRAG_PORT_BASE."""

EX_CONFIG = 78
"""The exit code of a process that will not start before a setting is mended (sysexits.h)."""


class SettingError(Exception):
    """With a setting as it is this process can never work; the text names it, never its value."""


_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?:(?P<host>[A-Za-z0-9.-]+)|\[(?P<ip>[0-9A-Fa-f:.]+)\])(?::[0-9]{1,5})?"
    r"(?:/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*)?"
)


def may_be_asked(address: str) -> bool:
    """Tell whether a provider's keys may come from there: HTTPS, or HTTP within this machine."""
    url = _ADDRESS.fullmatch(address)
    return url is not None and (url["scheme"] == "https" or is_here(url["host"] or url["ip"]))


def is_here(host: str) -> bool:
    """Tell whether this name or address is this machine's own, whatever the network says."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_BROKER = re.compile(
    r"(?:(?P<host>[A-Za-z0-9._-]+)|\[(?P<ip>[0-9A-Fa-f:.]+)\]):(?P<port>[1-9][0-9]{0,4})"
)
_HIGHEST_PORT = 65535


def brokers_of(bootstrap: str) -> list[tuple[str, int]]:
    """Return host and port of each broker that is named; ValueError if one is not told in full.

    A client would add a port by itself, and speak to a broker at whom nobody here has looked.
    """
    found = []
    for part in bootstrap.split(","):
        told = _BROKER.fullmatch(part)
        if told is None or int(told["port"]) > _HIGHEST_PORT:
            raise ValueError("must be host:port,host:port")
        try:
            host = told["host"] or str(ipaddress.IPv6Address(told["ip"]))
        except ValueError:
            raise ValueError("must be host:port,host:port") from None
        found.append((host, int(told["port"])))
    return found


_LOG = "local:///"


def _may_be_opened(database_url: str) -> bool:
    """Tell whether an engine of ours could ever open it, if what it names is there."""
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        return False
    if url.drivername == "sqlite":
        return Path(url.database or "").is_absolute()
    ports = url.port is None or 0 < url.port <= _HIGHEST_PORT
    return url.drivername == "postgresql+asyncpg" and ports


class ServiceSettings(BaseSettings):
    """What every service needs to start. A value without a default stops the process."""

    model_config = SettingsConfigDict(env_prefix="PRAG_", extra="ignore", frozen=True)

    country: str = Field(pattern=r"^[A-Z]{2}$")
    """The country this instance belongs to: ISO 3166-1 alpha-2, or XK."""
    database_url: str
    """`sqlite:////absolute/path` or `postgresql+asyncpg://…`."""
    bus_url: str = ""
    """`local:///absolute/path` of the log file all services of an instance share; or none, and
    `kafka_bootstrap`."""
    kafka_bootstrap: str = ""
    """`host:port,host:port` of the country's cluster."""
    kafka_user: str = ""
    """As whom this service speaks to the cluster; its rights are those that `prag kafka` gives."""
    kafka_password_file: Path = Path()
    kafka_ca_file: Path | None = None
    """PEM of who issued the brokers' certificates; needed unless the brokers are on this machine."""
    hub_url: str = ""
    """As `bus_url`, the log of a regional hub on this machine; or none, and `hub_bootstrap`. Without
    either the country exchanges with nobody."""
    hub_bootstrap: str = ""
    """`host:port,host:port` of the hub's cluster, with login and certificates as for `kafka_…`."""
    hub_user: str = ""
    hub_password_file: Path = Path()
    hub_ca_file: Path | None = None
    peers_folder: Path | None = None
    """Descriptors of this country (`own.json`) and of those it exchanges with (`prag peer add`)."""
    own_keys_file: Path | None = None
    """What this service opens letters and packages with, and signs with (`prag peer init`)."""
    oidc_issuer: str
    """The `iss` of its tokens, to the letter."""
    oidc_audience: str
    oidc_jwks_file: Path = Path()
    """The issuer's public keys as a JWK set, read again on change. Without it they are asked of the
    provider, whose address is then `oidc_issuer`."""
    master_key_file: Path
    """32 random bytes; wraps the key of every case. Mode 0600."""
    time_zone: str = "Europe/Belgrade"
    """The zone in which calendar days of this country are counted."""
    host: str = "127.0.0.1"
    """The address the API listens on. Beyond this machine only behind something that speaks TLS."""
    port_base: int = 8001
    metrics_port: int | None = Field(None, ge=1, le=65535)
    """Where the worker tells its metrics, on 127.0.0.1; without it, nowhere. The API has its own port."""
    max_body_bytes: int = 1024 * 1024

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            return ZoneInfo(name).key
        except (KeyError, OSError, ValueError):  # "Asia" is a folder
            raise ValueError("must be a zone of the IANA database, as Europe/Belgrade") from None

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, url: str) -> str:
        if not _may_be_opened(url):
            raise ValueError(
                "must be postgresql+asyncpg://user@host:port/database or sqlite:////absolute/path"
            )
        return url

    @field_validator("bus_url", "hub_url")
    @classmethod
    def _is_a_log(cls, url: str) -> str:
        if url and not url.startswith(_LOG):
            raise ValueError(f"must be {_LOG}absolute/path")
        return url

    @field_validator("max_body_bytes")
    @classmethod
    def _lets_something_in(cls, count: int) -> int:
        if count < 1:
            raise ValueError("must be 1 or more bytes")
        return count

    @field_validator("kafka_bootstrap", "hub_bootstrap")
    @classmethod
    def _names_brokers(cls, bootstrap: str) -> str:
        if bootstrap:
            brokers_of(bootstrap)
        return bootstrap

    @model_validator(mode="after")
    def _has_one_bus(self) -> Self:
        if bool(self.bus_url) == bool(self.kafka_bootstrap):
            raise ValueError("either PRAG_BUS_URL or PRAG_KAFKA_BOOTSTRAP must be set")
        if self.kafka_bootstrap and not (self.kafka_user and self.kafka_password_file.name):
            raise ValueError("PRAG_KAFKA_USER and PRAG_KAFKA_PASSWORD_FILE must be set")
        return self

    @model_validator(mode="after")
    def _reaches_its_hub(self) -> Self:
        if self.hub_url and self.hub_bootstrap:
            raise ValueError("only one of PRAG_HUB_URL and PRAG_HUB_BOOTSTRAP may be set")
        if self.hub_bootstrap and not (self.hub_user and self.hub_password_file.name):
            raise ValueError("PRAG_HUB_USER and PRAG_HUB_PASSWORD_FILE must be set")
        if self.hub and (self.peers_folder is None or self.own_keys_file is None):
            raise ValueError("PRAG_PEERS_FOLDER and PRAG_OWN_KEYS_FILE must be set")
        return self

    @model_validator(mode="after")
    def _knows_whence_keys_come(self) -> Self:
        if not self.oidc_jwks_file.name and not may_be_asked(self.oidc_issuer):
            raise ValueError(
                "PRAG_OIDC_ISSUER must be an https address (http on this machine only), "
                "or PRAG_OIDC_JWKS_FILE be set"
            )
        return self

    @property
    def bus(self) -> str:
        """The URL by which `common.bus.open_bus` finds the bus."""
        return self.bus_url or _kafka(
            self.kafka_user, self.kafka_bootstrap, self.kafka_password_file, self.kafka_ca_file
        )

    @property
    def hub(self) -> str:
        """The same for the hub; empty where there is none."""
        if not self.hub_bootstrap:
            return self.hub_url
        return _kafka(self.hub_user, self.hub_bootstrap, self.hub_password_file, self.hub_ca_file)

    @property
    def here(self) -> Here:
        return Here(self.country, self.time_zone)


def _kafka(user: str, bootstrap: str, password_file: Path, ca_file: Path | None) -> str:
    files = {"password_file": password_file, "ca_file": ca_file}
    query = urlencode({name: path for name, path in files.items() if path})
    return f"kafka://{user}@{bootstrap}/?{query}"


def _whose(kind: type[BaseSettings]) -> str:
    service = kind.__module__.partition(".")[0]
    return f"{service}: " if service in PORTS else ""


def _what(fault: ErrorDetails) -> str:
    """Say what is wrong: in our own words where a check of ours found it."""
    if fault["type"] == "value_error":
        return fault["msg"].removeprefix("Value error, ")
    return "is not set" if fault["type"] == "missing" else "is not valid"


S = TypeVar("S", bound=BaseSettings)


def read_settings(kind: type[S]) -> S:
    """Read the variables of `kind`; end the process with a line for each that will not do.

    The lines name the variable and never its value, which may be a secret.
    """
    try:
        return kind()
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_context=False, include_url=False):
            name = "_".join(str(step) for step in fault["loc"])
            full = f"{kind.model_config.get('env_prefix', '')}{name}".upper()
            words = f"{full} {_what(fault)}" if name else _what(fault)
            print(f"{_whose(kind)}{words}", file=sys.stderr)  # noqa: T201
        sys.exit(EX_CONFIG)
