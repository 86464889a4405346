"""The processes that are measured: started, awaited, looked at, ended."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter, sleep
from typing import Self

import psutil  # type: ignore[import-untyped]  # it ships no types

from bench.load import CONNECTIONS
from common.migrations import upgrade
from intake.migrate import MIGRATIONS
from prag.files import write_private
from prag.issuer import AUDIENCE, ISSUER, LocalIssuer

_START_SECONDS = 60
_STOP_SECONDS = 20
_SERVICES = 4
MEGABYTE = 1_000_000


class Server:
    """A child process that answers on `ports`; ended when the block is left."""

    def __init__(self, command: Sequence[str], ports: Sequence[int], **settings: str) -> None:
        self.port = ports[0] if ports else 0
        self._ports = ports
        self._command = command
        self._settings = settings
        self.start_seconds = 0.0
        """From the command to the first answer of `/readyz` on every port."""

    def __enter__(self) -> Self:
        self._log = TemporaryFile()
        started = perf_counter()
        self._process = subprocess.Popen(  # noqa: S603  our own commands
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env=environment(self._settings),
        )
        try:
            for port in self._ports:
                self._await_ready(port, until=started + _START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        self.start_seconds = perf_counter() - started
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def cpu_seconds(self) -> float:
        times = [process.cpu_times() for process in self._all()]
        return float(sum(t.user + t.system for t in times))

    def idle_megabytes(self) -> float:
        """Return the resident memory once the process has come to rest, of its children too."""
        process = psutil.Process(self._process.pid)
        while process.cpu_percent(interval=0.5) > 10:  # noqa: PLR2004  per cent of one core
            pass
        return float(sum(each.memory_info().rss for each in self._all())) / MEGABYTE

    def _all(self) -> list[psutil.Process]:
        process = psutil.Process(self._process.pid)
        return [process, *process.children(recursive=True)]

    def _await_ready(self, port: int, *, until: float) -> None:
        while not _is_ready(port):
            if self._process.poll() is not None:
                self._log.seek(0)
                told = self._log.read().decode()
                raise RuntimeError(f"{' '.join(self._command)} ended by itself: {told}")
            if perf_counter() > until:
                raise TimeoutError(f"{' '.join(self._command)} is not ready")
            sleep(0.005)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with these settings of Prag and no others.

    Python keeps what it compiled, as it does where a service is installed.
    """
    left_out = ("PRAG_", "PYTHONDONTWRITE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}  # noqa: TID251  the parent's
    return {**kept, **settings}


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, HTTPException):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200  # noqa: PLR2004
    return False


def plain(folder: Path, journal: str, synchronous: str) -> Server:
    """Return the reference with its own file, new for each start."""
    [port] = free_ports(1)
    file = folder / f"plain-{port}.db"
    command = [sys.executable, "-m", "bench.plain", str(file), str(port), journal, synchronous]
    return Server(command, [port])


def bare(url: str, **more: str) -> Server:
    """Return the reference for start and size on a PostgreSQL database."""
    [port] = free_ports(1)
    return Server([sys.executable, "-m", "bench.bare", url, str(port)], [port], **more)


def raw(url: str) -> Server:
    """Return the reference on bare asyncpg, with its tables in an empty PostgreSQL database."""
    [port] = free_ports(1)
    return Server([sys.executable, "-m", "bench.raw", url, str(port)], [port])


def drf(url: str) -> Server:
    """Return the reference of Django's kind, with its tables in an empty PostgreSQL database."""
    [port] = free_ports(1)
    gunicorn = [sys.executable, "-m", "gunicorn", "--no-control-socket", "--log-level", "error"]
    threads = ["--worker-class", "gthread", "--workers", "1", "--threads", str(CONNECTIONS)]
    listen = ["--keep-alive", "75", "--bind", f"127.0.0.1:{port}", "bench.drf:application"]
    return Server([*gunicorn, *threads, *listen], [port], BENCH_DATABASE_URL=url)


def intake(folder: Path) -> Server:
    """Return the API process of intake on a migrated, empty SQLite file in `folder`."""
    [port] = free_ports(1)
    issuer = LocalIssuer(folder)
    write_private(folder / "keys" / "master.key", os.urandom(32))
    upgrade(MIGRATIONS, database_url(folder))
    return Server(
        [sys.executable, "-m", "intake.api"],
        [port],
        PRAG_COUNTRY="RS",
        PRAG_DATABASE_URL=database_url(folder),
        PRAG_BUS_URL=f"local://{folder}/bus.db",
        PRAG_OIDC_ISSUER=ISSUER,
        PRAG_OIDC_AUDIENCE=AUDIENCE,
        PRAG_OIDC_JWKS_FILE=str(issuer.jwks_file),
        PRAG_MASTER_KEY_FILE=str(folder / "keys" / "master.key"),
        PRAG_PORT_BASE=str(port),
    )


def country(folder: Path) -> Server:
    """Return the whole country in one process, as `prag up --empty` starts it."""
    ports = free_ports(_SERVICES)
    prag = Path(sys.executable).with_name("prag")
    command = [str(prag), "up", "--country", "RS", "--empty"]
    return Server(command, ports, PRAG_HOME=str(folder), PRAG_PORT_BASE=str(ports[0]))


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder}/intake.db"


def free_ports(count: int) -> list[int]:
    """Return neighbouring ports that nobody listens on just now."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first: int = probe.getsockname()[1]
        ports = [*range(first, first + count)]
        if ports[-1] < 2**16 and all(map(_is_free, ports)):
            return ports
    raise RuntimeError(f"no {count} neighbouring ports are free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False
