"""Where PostgreSQL is and by which certificates it is spoken to: the variables that its own clients read."""

import ssl
from pathlib import Path
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL, make_url

from common.settings import SettingError, is_here, read_settings

_ROOT = ".postgresql/root.crt"
"""Under the home folder: where the clients look for a certificate that nobody named."""

_MAY_SAY = {"host", "port", "passfile", "target_session_attrs"}
"""What a URL may have besides: nothing that changes how the server is verified."""


class PostgresSettings(BaseSettings):
    """As PostgreSQL's manual has them; the drivers read them by themselves."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    pgsslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = (
        "prefer"
    )
    pgsslrootcert: str = ""
    pgsslcert: str = ""
    pgsslkey: str = ""
    pgsslcrl: str = ""
    pghost: str = ""
    pghostaddr: str = ""
    pgservice: str = ""
    pgport: str = "5432"
    pgpassfile: str = ""


def server_of(database_url: str) -> str:
    """Return where the database is, as host:port, without who logs in; for whoever waits for it."""
    url, settings = make_url(database_url), read_settings(PostgresSettings)
    return f"{','.join(_hosts(url, settings)) or 'localhost'}:{url.port or settings.pgport}"


def check_settings(url: URL) -> None:
    """SettingError unless nobody can listen to or stand in for the server that is asked for.

    It is on this machine, or TLS will verify it by its name. Said before a login is sent.
    """
    settings = read_settings(PostgresSettings)
    for name in ("pghostaddr", "pgservice"):
        if getattr(settings, name):
            raise SettingError(
                f"{name.upper()} must not be set: PRAG_DATABASE_URL names the server"
            )
    if not url.query.keys() <= _MAY_SAY:
        raise SettingError(
            "PRAG_DATABASE_URL says more than where the server is and the database's name: how it "
            "is verified is said by PGSSLMODE."
        )
    if settings.pgsslmode != "verify-full" and not all(map(_is_near, _hosts(url, settings))):
        raise SettingError(
            "PGSSLMODE must be verify-full, and PGSSLROOTCERT name who issued the server's "
            "certificate: only a server on this machine is spoken to without."
        )
    _check_files(settings)


def _hosts(url: URL, settings: PostgresSettings) -> list[str]:
    """Return where the drivers look for the server: one after another, or none but the default."""
    told = url.query.get("host") or url.host or settings.pghost
    several = told.split(",") if isinstance(told, str) else told
    return [host for host in several if host]


def _is_near(host: str) -> bool:
    """Tell whether it is a folder with the server's socket, or a loopback address."""
    return host.startswith("/") or is_here(host.partition(":")[0]) or is_here(host)


def _check_files(settings: PostgresSettings) -> None:
    """SettingError names a file that the drivers will want and cannot read.

    They tell of it in the words with which they tell of a server that is away.
    """
    if settings.pgpassfile:
        _check_passwords(Path(settings.pgpassfile))
    if settings.pgsslmode in {"disable", "allow", "prefer"}:
        return
    for name in ("pgsslcert", "pgsslkey", "pgsslcrl"):
        path = getattr(settings, name)
        if path and not _is_readable(Path(path)):
            raise SettingError(f"{name.upper()} cannot be read")
    if settings.pgsslrootcert:
        _check_root(Path(settings.pgsslrootcert))
    elif settings.pgsslmode != "require" and not (Path.home() / _ROOT).is_file():
        raise SettingError("PGSSLROOTCERT is not set, and PGSSLMODE asks for what it names")


def refusal_of(error: BaseException) -> SettingError | None:
    """Return what a failed connection says of the settings; None if it may succeed another time."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return SettingError(
            "PGSSLROOTCERT did not issue the server's certificate, or that is for another host than "
            "PRAG_DATABASE_URL names, as PGSSLMODE demands, or it has expired."
        )
    # asyncpg raises the bare class, which it uses for a cut wire too.
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return SettingError("PGSSLMODE asks for TLS, and the server of PRAG_DATABASE_URL has none.")
    return None


def _check_passwords(path: Path) -> None:
    if not _is_readable(path):
        raise SettingError("PGPASSFILE cannot be read")
    if path.stat().st_mode & 0o077:
        raise SettingError(
            "PGPASSFILE may be read by others, and is passed over for that: chmod 600"
        )


def _check_root(path: Path) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError:  # of which ssl's own are a kind
        raise SettingError("PGSSLROOTCERT cannot be read, or holds no certificate") from None


def _is_readable(path: Path) -> bool:
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True
