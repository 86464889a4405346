"""What a service needs to start, from PRAG_… variables; no default for a secret."""

import sys
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.here import Here

ServiceName = Literal["intake", "referral", "reintegration", "analytics"]

PORTS: dict[ServiceName, int] = {"intake": 0, "referral": 1, "reintegration": 2, "analytics": 3}
"""Offset of each service's port from PRAG_PORT_BASE."""


class ServiceSettings(BaseSettings):
    """What every service needs to start. A value without a default stops the process."""

    model_config = SettingsConfigDict(env_prefix="PRAG_", extra="ignore", frozen=True)

    country: str = Field(pattern=r"^[A-Z]{2}$")
    """The country this instance belongs to: ISO 3166-1 alpha-2, or XK."""
    database_url: str
    """`sqlite:///absolute/path` or `postgresql+asyncpg://…`."""
    bus_url: str
    """`local:///absolute/path` of the log file all services of an instance share."""
    oidc_issuer: str
    oidc_audience: str
    oidc_jwks_file: Path
    """The issuer's public keys as a JWK set; read again when a token names an unknown key."""
    master_key_file: Path
    """32 random bytes; wraps the key of every case. Mode 0600."""
    time_zone: str = "Europe/Belgrade"
    """The zone in which calendar days of this country are counted."""
    port_base: int = 8001
    max_body_bytes: int = 1024 * 1024

    @property
    def here(self) -> Here:
        return Here(self.country, self.time_zone)


S = TypeVar("S", bound=ServiceSettings)
EX_CONFIG = 78
"""The exit code of a process that will not start before a setting is mended (sysexits.h)."""


def read_settings(kind: type[S]) -> S:
    """Read the PRAG_… variables; end the process with a line for each that will not do.

    The lines name the variable and never its value, which may be a secret.
    """
    try:
        return kind()
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_context=False, include_url=False):
            name = "_".join(str(step) for step in fault["loc"]).upper()
            is_missing = fault["type"] == "missing"
            print(f"PRAG_{name} {'is not set' if is_missing else 'is not valid'}", file=sys.stderr)  # noqa: T201
        sys.exit(EX_CONFIG)
