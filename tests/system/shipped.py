"""PostgreSQL as deploy/docker/postgres starts it, out of a container: of this machine's own packages."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.house import ROOT
from tests.system.processes import PATIENCE, free_ports, poll


class Shipped:
    """One server on one folder; it is spoken to by its socket, as its operator does."""

    def __init__(self, home: Path) -> None:
        # PostgreSQL never runs as root.
        self._user = None if os.getuid() else "postgres"
        self.home = home
        self.data = home / "data"
        self.secrets = home / "secrets"
        self.more = home / "more.conf"
        self.more.touch()
        (home / "tmp").mkdir()
        (home / "socket").mkdir()
        for folder in ("docker", "postgres"):
            shutil.copytree(ROOT / "deploy" / folder, home / "deploy" / folder)
        owner = pwd.getpwnam(self._user).pw_uid if self._user else os.getuid()
        make = [str(ROOT / "deploy" / "docker" / "secrets"), str(self.secrets)]
        own = {"PATH": os.defpath, "PRAG_UID": str(owner)}
        subprocess.run(make, env=own, check=True, capture_output=True, timeout=60)  # noqa: S603
        for path in (home, *home.rglob("*")):
            shutil.chown(path, owner)
        self.port = free_ports()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def script(self) -> Path:
        return self.home / "deploy" / "docker" / "postgres"

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    @property
    def environment(self) -> dict[str, str]:
        programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
        return {
            "PATH": f"{programs}:{os.defpath}",
            "TMPDIR": str(self.home / "tmp"),
            "PGPORT": str(self.port),
            "PRAG_POSTGRES_LISTEN": "127.0.0.1",
            "PGDATA": str(self.data),
            "PRAG_POSTGRES": str(self.home / "deploy" / "postgres"),
            "PRAG_PASSWORDS": str(self.secrets),
            "PRAG_POSTGRES_SOCKET": str(self.home / "socket"),
            "PRAG_POSTGRES_MORE": str(self.more),
        }

    def begin(self) -> "subprocess.Popen[bytes]":
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [str(self.script)],
                env=self.environment,
                user=self._user,
                cwd="/",
                stdout=log,
                stderr=log,
            )
        return self._process

    def start(self) -> None:
        """Start it, and wait until the services could come in."""
        started = self.begin()
        # Before that its databases are brought up to date by a server that listens to nobody.
        poll(lambda: started.poll() is not None or self.is_listening())
        assert started.poll() is None, self.log

    def is_listening(self) -> bool:
        asked = self.run("psql", "-X", "-At", "-d", "postgres", "-c", "SHOW listen_addresses")
        return asked.stdout == "127.0.0.1\n"

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a program as the superuser who owns the server."""
        own = self.environment | {"PGHOST": str(self.home / "socket"), "PGUSER": "postgres"}
        return subprocess.run(  # noqa: S603
            command,
            env=own,
            user=self._user,
            cwd="/",
            text=True,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )

    def done(self, *command: str) -> str:
        found = self.run(*command)
        assert found.returncode == 0, found.stderr
        return found.stdout

    def sql(self, statement: str, database: str = "prag_intake") -> str:
        return self.done("psql", "-X", "-At", "-d", database, "-c", statement).strip()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE)


@contextmanager
def shipped() -> Iterator[Shipped]:
    """Make one that is not started yet; skips where no PostgreSQL is installed."""
    if not [*Path("/usr/lib/postgresql").glob("*/bin/initdb")]:
        pytest.skip("no PostgreSQL is installed; the wheel's has not all of its programs")
    with tempfile.TemporaryDirectory(prefix="prag-postgres-") as home:
        server = Shipped(Path(home))
        try:
            yield server
        finally:
            server.stop()
