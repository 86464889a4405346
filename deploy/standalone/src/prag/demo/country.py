"""A country for the story: a real `prag up` in a folder of its own, and callers who ask it things."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import httpx

from common.clock import monotonic, new_id
from prag.issuer import LocalIssuer, organisation_id
from prag.manifest import SERVICES

PATIENCE = 30.0
_PAUSE = 0.05
_PRAG = (sys.executable, "-m", "prag.cli")


class StoryError(Exception):
    """A step of the story did not hold."""


class Hub:
    """A hub as an outside program sees it: a command to start, a folder."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @contextlib.contextmanager
    def running(self) -> Iterator["Hub"]:
        process = subprocess.Popen(  # noqa: S603  our own command
            [*_PRAG, "hub", str(self.home)], stdout=subprocess.PIPE, text=True
        )
        output: IO[str] = process.stdout  # type: ignore[assignment]  # it is piped
        try:
            if output.readline().strip() != "ready":
                raise StoryError("the hub did not start")
            yield self
        finally:
            process.terminate()
            process.wait(PATIENCE)
            output.close()

    def files(self) -> Iterator[Path]:
        return (path for path in sorted(self.home.iterdir()) if path.is_file())


class Country:
    """One instance as an outside program sees it: a command to start, four ports to call."""

    def __init__(self, home: Path, code: str, hub: Hub | None = None) -> None:
        self._hub = hub
        self.home = home
        self.code = code
        self.port_base = _free_ports()
        self._process: subprocess.Popen[str] | None = None
        self._callers: list[Caller] = []

    def start(self) -> float:
        """Start the process; return the seconds until it said `ready`."""
        started = monotonic()
        options = ["--country", self.code, "--empty", "--port-base", str(self.port_base)]
        if self._hub is not None:
            options += ["--hub", str(self._hub.home)]
        self._process = subprocess.Popen(  # noqa: S603  our own command
            [*_PRAG, "up", *options],
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        output: IO[str] = self._process.stdout  # type: ignore[assignment]  # it is piped
        said = []
        for line in output:
            said.append(line)
            if line.strip() == "ready":
                return monotonic() - started
        raise StoryError("the country did not start:\n" + "".join(said))

    def kill(self) -> None:
        """End the process as a power cut would: no signal handler runs, no buffer is flushed."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask the process to end; return its exit code."""
        return self._end(signal.SIGTERM)

    def run(self, *command: str) -> tuple[int, str]:
        """Run a `prag` command on this country's folder; return its exit code and what it said."""
        done = subprocess.run(  # noqa: S603  our own command
            [*_PRAG, *command],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def make_keys(self) -> tuple[str, str]:
        """Make the country's keys; return its descriptor, and the fingerprint it says in person."""
        root = str(self.home.with_name(f"{self.code}.root"))
        code, said = self.run("peer", "init", "--root", root)
        shown, descriptor = self.run("peer", "show")
        if code or shown:
            raise StoryError(f"the keys were not made: {said}")
        words = descriptor.splitlines()
        return words[0], words[-1].removeprefix("fingerprint ")

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PRAG_HOME": str(self.home)}  # noqa: TID251  a child's, not our settings

    def _end(self, number: signal.Signals) -> int:
        process = self._process
        if process is None:
            return 0
        self._process = None
        process.send_signal(number)
        if process.stdout is not None:
            process.stdout.close()
        return process.wait(PATIENCE)

    @contextlib.contextmanager
    def running(self) -> Iterator["Country"]:
        try:
            yield self
        finally:
            for caller in self._callers:
                caller.close()
            self._end(signal.SIGKILL)

    def organisation(self, name: str) -> UUID:
        return organisation_id(name, self.code)

    def caller(self, role: str, organisation: str, user: str) -> "Caller":
        caller = Caller(self, role, organisation, user)
        self._callers.append(caller)
        return caller

    def files(self) -> Iterator[Path]:
        """Go through every file of the instance except its keys."""
        for path in sorted(self.home.rglob("*")):
            if path.is_file() and "keys" not in path.relative_to(self.home).parts:
                yield path


class Caller:
    """A person with a role in an organisation, calling the four services."""

    def __init__(self, country: Country, role: str, organisation: str, user: str) -> None:
        self._country = country
        self._who = (role, country.organisation(organisation), user)
        self._http = httpx.Client(timeout=PATIENCE)

    def get(self, service: str, path: str) -> Any:  # noqa: ANN401  JSON
        return self.ask("GET", service, path, 200).json()

    def post(
        self,
        service: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        of: str | None = None,
        expect: int = 0,
    ) -> Any:  # noqa: ANN401
        """Post; `of` is the path of the record that is changed, whose version is read first."""
        expected = expect or (200 if of else 201)
        return self.ask("POST", service, path, expected, body=body, of=of).json()

    def put(self, service: str, path: str, body: dict[str, Any], *, of: str) -> Any:  # noqa: ANN401
        return self.ask("PUT", service, path, 200, body=body, of=of).json()

    def close(self) -> None:
        self._http.close()

    def ask(
        self,
        method: str,
        service: str,
        path: str,
        expect: int,
        *,
        body: dict[str, Any] | None = None,
        of: str | None = None,
    ) -> httpx.Response:
        """Send one request; StoryError if the answer has another status than `expect`."""
        headers = {"Authorization": f"Bearer {LocalIssuer(self._country.home).token(*self._who)}"}
        if of is not None:
            headers["If-Match"] = self.ask("GET", service, of, 200).headers["ETag"]
        if method == "POST":
            headers["Idempotency-Key"] = str(new_id())
        port = self._country.port_base + SERVICES.index(service)
        answer = self._http.request(
            method, f"http://127.0.0.1:{port}{path}", json=body, headers=headers
        )
        if answer.status_code != expect:
            raise StoryError(
                f"{method} {service}{path}: {answer.status_code}, not {expect}: {answer.text}"
            )
        return answer


def wait_for(what: str, ask: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Ask until the answer is true: what one service learns of another, it learns by events."""
    deadline = monotonic() + PATIENCE
    while monotonic() < deadline:
        with contextlib.suppress(StoryError, httpx.TransportError):
            if answer := ask():
                return answer
        time.sleep(_PAUSE)
    raise StoryError(f"waited {PATIENCE:.0f} seconds in vain for: {what}")


_given: set[int] = set()


def _free_ports() -> int:
    """Return the first of four neighbouring ports that are free now and of no other country here."""
    for base in range(18001, 19000, 10):
        if base in _given:
            continue
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(base, base + len(SERVICES)):
                held = stack.enter_context(socket.socket())
                held.bind(("127.0.0.1", port))
            _given.add(base)
            return base
    raise StoryError("no four neighbouring ports are free between 18001 and 19000")
