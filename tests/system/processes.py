"""Drives `prag` as a person would: a real process, its output, signals."""

import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import cycle
from pathlib import Path
from types import TracebackType

import httpx
import psutil  # type: ignore[import-untyped]  # it ships no types

from common.clock import monotonic

SERVICES = ("intake", "referral", "reintegration", "analytics")
PATIENCE = 120.0
"""Seconds until a wait counts as failed; far above what is promised, for a busy machine."""
KILLED = -signal.SIGKILL
_PORTS = range(14_000, 32_000, 1_500)
"""The first of each run's ports. It stays bound for as long as the run lives, and says whose they are."""
_SIGNS: list[socket.socket] = []


class KilledError(Exception):
    """A country was killed while somebody waited for a word of it."""


def prag(*arguments: str, home: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "prag.cli", *arguments],
        env=_environment(home, environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextmanager
def begun(*arguments: str, home: Path) -> Iterator["subprocess.Popen[str]"]:
    """Begin one command; it is killed if it has not ended by itself."""
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "prag.cli", *arguments],
        env=_environment(home, {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            yield command
        finally:
            command.kill()


def _environment(home: Path, more: dict[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PRAG_", "PYTHONDONTWRITE"))}  # noqa: TID251  the parent's
    return {**kept, "PRAG_HOME": str(home), **more}


def free_ports() -> int:
    """Return the first of four neighbouring ports nobody listens on, and nobody else is given.

    What is to listen there does so seconds later, and while it is killed and started again nobody does.
    """
    while True:
        base = next(_ours())
        try:
            for port in range(base, base + len(SERVICES)):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base


@cache
def _ours() -> Iterator[int]:
    """Take hundreds of ports away from all other runs of the tests; give them four by four, in turn."""
    for first in random.sample(_PORTS, len(_PORTS)):
        sign = socket.socket()
        try:
            sign.bind(("127.0.0.1", first))
        except OSError:  # another run's
            sign.close()
            continue
        _SIGNS.append(sign)
        return cycle(range(first + len(SERVICES), first + _PORTS.step, len(SERVICES)))
    raise AssertionError("too many runs of the tests at once")


class Country:
    """A running `prag up`. Leaving the context ends it if it still runs."""

    def __init__(
        self, home: Path, *arguments: str, port_base: int | None = None, crash_at: str = ""
    ) -> None:
        """`crash_at` names a point of common.crash at which the process dies: `name` or `name:n`."""
        self.home = home
        self.port_base = port_base or free_ports()
        self.lines: list[str] = []
        self._rest = b""
        self._process = subprocess.Popen(  # noqa: S603
            [
                sys.executable,
                "-m",
                "prag.cli",
                "up",
                "--port-base",
                str(self.port_base),
                *arguments,
            ],
            env=_environment(home, {"PRAG_TEST_CRASH": crash_at}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __enter__(self) -> "Country":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self._process.pid)

    @property
    def exit_code(self) -> int | None:
        """The negative number of the signal that killed it; None while it runs."""
        return self._process.poll()

    def url(self, service: str, path: str) -> str:
        return f"http://127.0.0.1:{self.port_base + SERVICES.index(service)}{path}"

    def read_until(self, is_last: Callable[[str], bool]) -> str:
        """Read lines of its output up to the first for which `is_last` holds; return that line."""
        assert self._process.stdout is not None
        deadline = monotonic() + PATIENCE
        while True:
            while b"\n" in self._rest:
                raw, _, self._rest = self._rest.partition(b"\n")
                self.lines.append(raw.decode())
                if is_last(self.lines[-1]):
                    return self.lines[-1]
            ready, _, _ = select.select([self._process.stdout], [], [], deadline - monotonic())
            chunk = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            if ready and not chunk and self.wait() == KILLED:
                raise KilledError(str(self.lines))
            assert chunk, f"ended or fell silent after {self.lines}: {self.errors()}"
            self._rest += chunk

    def wait_ready(self) -> "Country":
        self.read_until(lambda line: line == "ready")
        return self

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; return its exit code."""
        self.send(number)
        return self.wait()

    def wait(self) -> int:
        return self._process.wait(timeout=PATIENCE)

    def errors(self) -> str:
        """Return what it wrote to standard error until it ended."""
        assert self._process.stderr is not None
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        return self._process.stderr.read().decode()


@contextmanager
def running(home: Path, *arguments: str) -> Iterator[Country]:
    """Run a country without sample data, ready."""
    with Country(home, "--empty", *arguments) as country:
        yield country.wait_ready()


def poll(until: Callable[[], bool], *, patience: float = PATIENCE) -> None:
    """Ask again, over the network or of the disk, until the answer is yes."""
    deadline = monotonic() + patience
    pause = threading.Event()
    while not until():
        pause.wait(0.02)
        assert monotonic() < deadline, "it did not come to pass"


def token(home: Path, role: str = "SOCIAL_WORKER", organisation: str = "csr-beograd") -> str:
    ended = prag("token", "--role", role, "--org", organisation, home=home)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def report_notice(country: Country, bearer: str, notice_id: str) -> httpx.Response:
    return httpx.post(
        country.url("intake", "/v1/notices"),
        json={"id": notice_id, "source": "HOTLINE", "country": "RS", "urgency": "HIGH"},
        headers={"Authorization": f"Bearer {bearer}", "Idempotency-Key": notice_id},
        timeout=PATIENCE,
    )
