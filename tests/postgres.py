"""A PostgreSQL server set up as production is: by the files of deploy/postgres."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from common.db.caller import CALLER, SERVICE, Caller
from common.http.introducing import Introducing
from common.migrations import rights, upgrade
from common.settings import ServiceName
from prag.files import write_private
from tests.conftest import PostgresUrls
from tests.house import ROOT
from tests.kit import Kit, open_service
from tests.system.processes import SERVICES, free_ports

FILES = ROOT / "deploy" / "postgres"
_NUMBERS = count(1)


@dataclass(frozen=True, slots=True)
class Logins:
    """The three ways into a service's database, as PRAG_DATABASE_URL has them."""

    owner: str
    application: str
    root: str
    """Of the server's superuser: for what the test looks at or breaks, never for the product."""

    @property
    def role(self) -> str:
        return str(make_url(self.application).username)


def set_up(urls: PostgresUrls, home: Path) -> dict[str, Logins]:
    """Make a country's databases and roles on the test server, and give it our settings."""
    root = make_url(urls.new())
    plain = root.set(drivername="postgresql").render_as_string(hide_password=False)
    configure(plain)
    prefix = f"p{root.database}_{next(_NUMBERS)}_"
    passwords = home / "passwords"
    passwords.mkdir(parents=True, exist_ok=True)
    roles = [f"{prefix}{service}{kind}" for service in SERVICES for kind in ("", "_owner")]
    for role in roles:
        (passwords / role).write_text(f"secret-{role}\n")
    provision(plain, passwords, prefix)

    def login(service: str, role: str) -> str:
        url = root.set(database=f"{prefix}{service}")
        if role:
            url = url.set(username=role, password=f"secret-{role}")
        return url.render_as_string(hide_password=False)

    return {
        service: Logins(
            login(service, f"{prefix}{service}_owner"),
            login(service, f"{prefix}{service}"),
            login(service, ""),
        )
        for service in SERVICES
    }


def provision(url: str, passwords: Path, prefix: str) -> None:
    """Run databases.sql as an operator does, with the server's own psql."""
    with psycopg.connect(url) as connection:
        [(programs,)] = connection.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
    subprocess.run(  # noqa: S603
        [
            f"{programs}/psql",
            "-X",
            "-q",
            "-d",
            url,
            "-v",
            f"prefix={prefix}",
            "-f",
            str(FILES / "databases.sql"),
        ],
        env={"PRAG_PASSWORDS": str(passwords), "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        timeout=60,
    )


def migrate(service: str, login: Logins) -> None:
    """Do what `python -m <service>.migrate` does, in this process."""
    module = import_module(f"{service}.migrate")
    upgrade(module.MIGRATIONS, login.owner)
    rights.grant(login.owner.replace("+asyncpg", "+psycopg"), login.role, module.RIGHTS)


def copy(login: Logins) -> Logins:
    """Make a database as `login` leads to; the roles are the same."""
    root = make_url(login.root)
    name = f"{root.database}_{next(_NUMBERS)}"
    server = root.set(drivername="postgresql", database="postgres")
    with psycopg.connect(
        server.render_as_string(hide_password=False), autocommit=True
    ) as connection:
        names = (sql.Identifier(name), sql.Identifier(str(root.database)))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
    urls = (login.owner, login.application, login.root)
    return Logins(
        *(make_url(url).set(database=name).render_as_string(hide_password=False) for url in urls)
    )


@contextmanager
def asking(caller: Caller) -> Iterator[None]:
    """Let what the test does itself be done as by this caller."""
    before = CALLER.set(lambda: caller)
    try:
        yield
    finally:
        CALLER.reset(before)


@asynccontextmanager
async def serving(service: ServiceName, home: Path, url: str) -> AsyncIterator[Kit]:
    """Open a service as its api does, as the application's role; the test itself sees every row."""
    async with open_service(service, home, database_url=url) as kit:
        kit.app.add_middleware(Introducing, authorisation=kit.runtime.authorisation)
        with asking(SERVICE):
            yield kit


def configure(url: str) -> None:
    """Include prag.conf in the server's settings, once, and wait until they hold."""
    with psycopg.connect(url, autocommit=True) as connection:
        [(name,)] = connection.execute("SHOW config_file")
        main, mine = Path(name), Path(name).with_name("prag.conf")
        if not mine.exists():
            mine.write_text((FILES / "prag.conf").read_text())
            mine.chmod(0o644)
            with main.open("a") as settings:
                settings.write("\ninclude = 'prag.conf'\n")
        connection.execute("SELECT pg_reload_conf()")
    for _ in range(1000):
        with psycopg.connect(url) as fresh:
            [(value,)] = fresh.execute("SHOW log_error_verbosity")
        if value == "terse":
            return
    raise AssertionError("the server did not take the settings")


class TlsServer:
    """A PostgreSQL server of this machine's own packages, which speaks TLS; the wheel's cannot."""

    def __init__(self, programs: Path, home: Path, certificate: str) -> None:
        """`certificate` is PEM, with its key. It believes who somebody says they are."""
        # PostgreSQL never runs as root.
        self._user = None if os.getuid() else "postgres"
        self._programs = programs
        self._data = home / "data"
        self._port = free_ports()
        shutil.chown(home, self._user or os.getuid())
        pem = home / "server.pem"
        write_private(pem, certificate.encode())
        shutil.chown(pem, self._user or os.getuid())
        self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync")
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write(f"\nssl_cert_file = '{pem}'\nssl_key_file = '{pem}'\n")
        with (self._data / "pg_hba.conf").open("a") as doors:
            doors.write("\nhost all all all trust\n")

    def url(self, host: str) -> str:
        """Return the superuser's URL by this name or address of the server."""
        return f"postgresql://postgres@{host}:{self._port}/postgres"

    def start(self, addresses: Sequence[str], *, tls: bool = True) -> None:
        options = f"-h {','.join(addresses)} -p {self._port} -k '' -c ssl={'on' if tls else 'off'}"
        self._run("pg_ctl", "-w", "-s", "-l", f"{self._data}/log", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-s", "-m", "fast", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [f"{self._programs}/{program}", "-D", str(self._data), *arguments]
        # Nobody's home: the server may not look into that of whoever runs the tests.
        subprocess.run(  # noqa: S603
            command,
            check=True,
            user=self._user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            timeout=60,
        )


@contextmanager
def tls_server(certificate: str, addresses: Sequence[str]) -> Iterator[TlsServer]:
    """Start one that listens on these addresses; skips where no PostgreSQL is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL is installed; the wheel's speaks no TLS")
    with tempfile.TemporaryDirectory(prefix="prag-postgres-") as home:
        server = TlsServer(found[-1].parent, Path(home), certificate)
        server.start(addresses)
        try:
            yield server
        finally:
            server.stop()
