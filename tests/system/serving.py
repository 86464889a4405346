"""A country as `prag serve` runs it: the supervisor, and the processes it keeps alive."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType

import psutil  # type: ignore[import-untyped]  # it ships no types

from tests.system.parts import Parts
from tests.system.processes import PATIENCE, SERVICES, poll


def write_settings(parts: Parts) -> Path:
    """Write the file of `prag serve` for these parts."""
    file = parts.home / "country.ini"
    sections = {
        f"{service}.{part}": parts.settings(service, part)
        for service in SERVICES
        for part in ("migrate", "api", "worker")
    }
    lines = []
    for section, settings in sections.items():
        lines += [f"[{section}]", *(f"{name}={value}" for name, value in settings.items()), ""]
    file.write_text("\n".join(lines))
    return file


class Served:
    """A running `prag serve` with the settings of `parts`. Leaving the context kills it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._said = parts.home / "serve.log"
        file = write_settings(parts)
        with self._said.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "prag.cli", "serve", str(file)], stdout=log, stderr=log
            )

    def __enter__(self) -> "Served":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        kept = self.running()
        self._process.kill()
        self._process.wait()
        for each in kept:
            if each.is_running():
                each.kill()

    @property
    def said(self) -> str:
        return self._said.read_text()

    def wait_ready(self) -> "Served":
        poll(lambda: "prag: ready\n" in self.said or self._process.poll() is not None)
        assert self._process.poll() is None, self.said
        return self

    def running(self) -> list[psutil.Process]:
        """Return the processes it keeps, those that still run."""
        try:
            return list(psutil.Process(self._process.pid).children())
        except psutil.NoSuchProcess:
            return []

    def find(self, service: str, part: str) -> psutil.Process | None:
        module = f"{service}.{part}"
        return next((each for each in self.running() if module in _command(each)), None)

    def kill(self, service: str, part: str) -> None:
        """Kill one of them, and wait until it is back."""
        died = self.find(service, part)
        assert died is not None
        died.kill()
        poll(lambda: (new := self.find(service, part)) is not None and new.pid != died.pid)
        if part == "api":
            poll(lambda: self._parts.is_ready(service))

    def kill_all(self) -> None:
        """Kill the supervisor itself."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        return self._process.wait(PATIENCE)

    def end(self) -> int:
        self._process.terminate()
        return self.wait()


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:  # it has ended
        return []
