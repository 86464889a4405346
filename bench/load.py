"""The load generator: one process that speaks HTTP/1.1 over keep-alive connections.

It reads one `Drive` a line on its standard input and answers each with one `Outcome` a line. Each
connection has one request under way; none is sent after the time or the count has run out, and
every answer is read to its end.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from types import TracebackType
from typing import Any, Self, cast

import uvloop

from common.clock import new_id

CONNECTIONS = 16
_PATIENCE_SECONDS = 30
"""How long the last answers may take; a server that hangs ends the run."""


@dataclass(frozen=True, slots=True)
class Drive:
    """What to send. `{id}` and `{key}` in path, headers and body become a new UUID each time.

    With `ids` given, `{id}` runs through them in turn instead.
    """

    port: int
    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    """The only status that counts as answered."""
    seconds: float
    count: int = 1_000_000
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went: answers a second, their delays in ms, and the ids of the first few."""

    answered: int
    failed: int
    rate: float
    p50_ms: float
    p99_ms: float
    ids: tuple[str, ...]


class LoadProcess:
    """The generator as a child process; `drive` blocks until the outcome is there."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(
        self,
        _: type[BaseException] | None,
        __: BaseException | None,
        ___: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def drive(self, drive: Drive) -> Outcome:
        """Return the outcome; RuntimeError if any answer had another status."""
        assert self._process.stdin is not None  # noqa: S101  both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(json.dumps(asdict(drive)).encode() + b"\n")
        self._process.stdin.flush()
        outcome = Outcome(**json.loads(self._process.stdout.readline()))
        if outcome.failed:
            raise RuntimeError(f"{drive.method} {drive.path}: {outcome.failed} requests failed")
        return outcome


class _Load:
    """One drive under way: what is left to send and what came back."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self._head, self._body = _template(drive)
        self._ids = _ids(drive.ids)
        self._left = drive.count
        self._started = perf_counter()
        self.delays: list[float] = []
        self.failed = 0
        self.used: list[str] = []

    def next_request(self) -> bytes | None:
        """Return the bytes of the next request; None when nothing more shall be sent."""
        if self._left == 0 or perf_counter() - self._started >= self._drive.seconds:
            return None
        self._left -= 1
        id_ = next(self._ids)
        if len(self.used) < 1000:  # noqa: PLR2004  enough to read back
            self.used.append(id_)
        key = str(new_id())
        body = self._body.replace("{id}", id_).replace("{key}", key).encode()
        head = self._head.replace("{id}", id_).replace("{key}", key)
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def answered(self, status: int, delay: float) -> None:
        if status == self._drive.status:
            self.delays.append(delay)
        else:
            self.failed += 1

    def outcome(self) -> Outcome:
        seconds = perf_counter() - self._started
        delays = sorted(self.delays) or [0.0]
        return Outcome(
            answered=len(self.delays),
            failed=self.failed,
            rate=len(self.delays) / seconds,
            p50_ms=delays[len(delays) // 2] * 1000,
            p99_ms=delays[len(delays) * 99 // 100] * 1000,
            ids=tuple(self.used),
        )


class _Connection(asyncio.Protocol):
    """Sends the next request when the last answer has been read to its end."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.WriteTransport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by name
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self._buffer) < end + 4 + length:
            return
        self._buffer = b""
        self._load.answered(int(head[9:12]), perf_counter() - self._sent_at)
        self._send()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self._load.failed += 1
            self.done.set_result(None)

    def _send(self) -> None:
        assert self._transport is not None  # noqa: S101
        request = self._load.next_request()
        if request is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._sent_at = perf_counter()
        self._transport.write(request)


def _template(drive: Drive) -> tuple[str, str]:
    lines = [f"{drive.method} {drive.path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in drive.headers.items()]
    return "\r\n".join(lines) + "\r\n", drive.body


def _ids(given: Sequence[str]) -> Iterator[str]:
    while True:
        yield from given or [str(new_id())]


async def _run(drive: Drive) -> Outcome:
    loop = asyncio.get_running_loop()
    load = _Load(drive)
    connections = [
        (await loop.create_connection(lambda: _Connection(load), "127.0.0.1", drive.port))[1]
        for _ in range(CONNECTIONS)
    ]
    async with asyncio.timeout(drive.seconds + _PATIENCE_SECONDS):
        await asyncio.gather(*(connection.done for connection in connections))
    return load.outcome()


def _drive_of(line: str) -> Drive:
    fields: dict[str, Any] = json.loads(line)
    return Drive(**{**fields, "ids": tuple(fields["ids"])})


def main() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in sys.stdin:
            outcome = runner.run(_run(_drive_of(line)))
            print(json.dumps(asdict(outcome)), flush=True)


__all__ = ["CONNECTIONS", "Drive", "LoadProcess", "Outcome"]

if __name__ == "__main__":
    main()
