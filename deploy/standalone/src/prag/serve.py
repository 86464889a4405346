"""`prag serve`: the processes of production without containers, started in order and kept alive.

Per service its migration, which ends, then its API and its worker. Whatever dies is started again.
`prag run` runs one process by itself, with the environment it has here.
Code 78 at a first start ends them all: a setting can never work, and the log names it. Later the
others go on, for what one process may not do any more is no reason to send people away.
"""

import asyncio
import configparser
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import NoReturn

from common.clock import monotonic
from common.migrations.rights import RightsSettings
from common.settings import EX_CONFIG
from prag.manifest import SERVICES, TroubleError
from prag.probe import is_ready, knows_keys
from prag.process import listen

PARTS = ("api", "worker")
GRACE_SECONDS = 20.0
"""How long the processes may take to end; an API finishes what it is answering."""
_SOUND_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_ASK_SECONDS = 0.2
_KEYS_SECONDS = 4.0
"""What a provider that is well may take to tell its keys."""
_HIGHEST_BASE = 65532
_SECTIONS = {
    *("country", *SERVICES, *PARTS, "migrate"),
    *(f"{service}.{part}" for service in SERVICES for part in (*PARTS, "migrate")),
}


def serve(file: Path) -> int:
    """Run the country whose settings are in `file` until SIGTERM or Ctrl-C; return the exit code."""
    # What can be told now is told before anything starts.
    for service in SERVICES:
        host, port = _address(file, service)
        listen(host, port, service, by=f"PRAG_PORT_BASE in {file}").close()
    return asyncio.run(_Country(file).run())


def run(file: Path, process: str, options: Sequence[str]) -> NoReturn:
    """Become one process of the country, as `intake.worker`, with these options; no return."""
    service, _, part = process.partition(".")
    if service not in SERVICES or part not in {*PARTS, "migrate"}:
        raise TroubleError(
            f"There is no process {process}: name a service ({', '.join(SERVICES)}) and "
            "api, worker or migrate, as intake.worker."
        )
    own = environment(file, service, part)
    os.execve(sys.executable, [sys.executable, "-m", process, *options], own)  # noqa: S606


def _address(file: Path, service: str) -> tuple[str, int]:
    own: Mapping[str, str] = environment(file, service, "api")
    base = own.get("PRAG_PORT_BASE", "8001")
    if not base.isdecimal() or not 1 <= int(base) <= _HIGHEST_BASE:
        raise TroubleError(f"{file}: PRAG_PORT_BASE is not valid.")
    return own.get("PRAG_HOST", "127.0.0.1"), int(base) + SERVICES.index(service)


def environment(file: Path, service: str, part: str) -> dict[str, str]:
    """Return the environment of one process, from the sections of `file`; deploy/country.ini is one.

    `[country]` is for all, others are named by a service, a part (api, worker, migrate), or both
    (`intake.worker`); a later line goes before an earlier one. `{service}` in a value becomes the
    service's name. Of this process's own environment everything holds besides but PRAG_ variables.
    TroubleError for what cannot be read; it names the line and never what stands in it.
    """
    found = _read(file)
    given: dict[str, str] = {}
    for section in found.sections():
        if section in {"country", service, part, f"{service}.{part}"}:
            given |= {n: v.replace("{service}", service) for n, v in found[section].items()}
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("PRAG_")}  # noqa: TID251  the parent's
    return inherited | given


@cache
def known_settings() -> frozenset[str]:
    """Return the name of each setting that a service may have."""
    kinds = [import_module(f"{service}.settings").Settings for service in SERVICES]
    names = {name for kind in (*kinds, RightsSettings) for name in kind.model_fields}
    return frozenset(f"PRAG_{name.upper()}" for name in names)


class _Sections(configparser.ConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr  # a variable's name keeps its letters


def _read(file: Path) -> configparser.ConfigParser:
    found = _Sections(delimiters="=", interpolation=None, default_section="")
    try:
        found.read_string(file.read_text())
    except (OSError, UnicodeError):
        raise TroubleError(f"{file} cannot be read.") from None
    except configparser.ParsingError as error:
        line = getattr(error, "lineno", None) or error.errors[0][0]
        raise TroubleError(f"{file}, line {line}: not NAME=value in a section.") from None
    except (configparser.DuplicateOptionError, configparser.DuplicateSectionError) as error:
        raise TroubleError(f"{file}, line {error.lineno}: this stands there twice.") from None
    for section in found.sections():
        if section not in _SECTIONS:
            raise TroubleError(f"{file}: there is no process of the kind [{section}].")
        for name in found[section]:
            if name.startswith("PRAG_") and name not in known_settings():
                raise TroubleError(f"{file}: there is no setting {name}; it stands in [{section}].")
    return found


class _RefusedError(Exception):
    """A process ended with code 78: its settings have to be mended first."""


class _Country:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._is_refused = False

    async def run(self) -> int:
        work = asyncio.ensure_future(self._all())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
        try:
            await asyncio.wait([work])
        finally:
            await self._end()
        if self._is_refused:
            work.exception()  # looked at, so that nothing tells of it again
            return EX_CONFIG
        with suppress(asyncio.CancelledError):
            work.result()
        return 0

    async def _all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for service in SERVICES:
                group.create_task(self._bring_up(service, group))
            group.create_task(self._say_ready())

    async def _bring_up(self, service: str, group: asyncio.TaskGroup) -> None:
        pause = _FIRST_PAUSE
        while code := await self._once(service, "migrate"):
            _say(f"{service}.migrate ended with {code}; it is started again in {pause:g} s.")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        for part in PARTS:
            group.create_task(self._keep(service, part))

    async def _keep(self, service: str, part: str) -> None:
        pause = _FIRST_PAUSE
        for number in count():
            began = monotonic()
            code = await self._once(service, part, is_first=number == 0)
            if monotonic() - began > _SOUND_SECONDS:
                pause = _FIRST_PAUSE
            _say(f"{service}.{part} ended with {code}; it is started again in {pause:g} s.")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _once(self, service: str, part: str, *, is_first: bool = True) -> int:
        name = f"{service}.{part}"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            name,
            env=environment(self._file, service, part),
            stdin=asyncio.subprocess.DEVNULL,
            preexec_fn=_die_with_parent,
            # A Ctrl-C is for this process, which ends the others in its own way.
            start_new_session=True,
        )
        self._running[name] = process
        code = await process.wait()
        del self._running[name]
        if code == EX_CONFIG and is_first:
            _say(f"{name} will not start before a setting is mended; see above.")
            self._is_refused = True
            raise _RefusedError
        return code

    async def _say_ready(self) -> None:
        for service in SERVICES:
            host, port = _address(self._file, service)
            asked = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104  not bound here
            while not await is_ready(port, asked):  # noqa: ASYNC110  it is behind a socket
                await asyncio.sleep(_ASK_SECONDS)
            _say(f"{service} is ready on http://{host}:{port}/")
            if not await _knows_keys(port, asked):
                _say(
                    f"nobody can sign in at {service} yet: it waits for the keys of the provider "
                    "that PRAG_OIDC_ISSUER names; see above."
                )
        _say("ready")

    async def _end(self) -> None:
        ending = list(self._running.values())
        for process in ending:
            with suppress(ProcessLookupError):
                process.terminate()
        waits = [asyncio.ensure_future(process.wait()) for process in ending]
        if not waits:
            return
        _, slow = await asyncio.wait(waits, timeout=GRACE_SECONDS)
        if slow:
            for process in ending:
                with suppress(ProcessLookupError):
                    process.kill()
            await asyncio.wait(slow)


async def _knows_keys(port: int, host: str) -> bool:
    deadline = monotonic() + _KEYS_SECONDS
    while not (is_known := await knows_keys(port, host)) and monotonic() < deadline:  # noqa: ASYNC110  it is behind a socket
        await asyncio.sleep(_ASK_SECONDS)
    return is_known


def _die_with_parent() -> None:
    """Let a process end when this one is killed: nobody would start it again, or end it later."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _say(words: str) -> None:
    print(f"prag: {words}", file=sys.stderr, flush=True)
