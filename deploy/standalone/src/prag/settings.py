"""What the environment may say about a standalone instance; the command line says it louder."""

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from prag.manifest import TroubleError

DEFAULT_COUNTRY = "RS"
DEFAULT_HOME = Path(".prag")


class StandaloneSettings(BaseSettings):
    """PRAG_HOME, PRAG_PORT_BASE, PRAG_COUNTRY and PRAG_HUB."""

    model_config = SettingsConfigDict(env_prefix="PRAG_", extra="ignore", frozen=True)

    home: Path = DEFAULT_HOME
    """The data folder; relative to where the command is given."""
    port_base: int = Field(8001, ge=1, le=65532)
    """The first of four neighbouring ports."""
    country: str | None = None
    hub: Path | None = None
    """The folder of a hub on this machine (`prag hub`)."""


def read_settings() -> StandaloneSettings:
    """Return the settings; TroubleError names the variable that cannot be used."""
    try:
        return StandaloneSettings()
    except ValidationError as error:
        names = sorted({f"PRAG_{str(e['loc'][0]).upper()}" for e in error.errors()})
        raise TroubleError(
            f"{', '.join(names)} cannot be used: {error.errors()[0]['msg']}."
        ) from None
