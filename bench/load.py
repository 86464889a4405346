"""The load generator: a process that speaks HTTP/1.1 over keep-alive connections.

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
from typing import Any, Self, cast

import uvloop

from common.clock import new_id

CONNECTIONS = 16
_PATIENCE_SECONDS = 30
"""How long the last answers may take; a server that hangs ends the run."""
_IDS = 1000


@dataclass(frozen=True, slots=True)
class Drive:
    """What to send. `{id}` and `{key}` in the path, a header or the body become new UUIDs.

    With `ids` given, `{id}` runs through them in turn instead. Only answers with `status` count.
    """

    port: int
    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    seconds: float
    count: int = 100_000
    connections: int = CONNECTIONS
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a drive went: answers, answers a second, delays in ms, and the first ids sent."""

    answered: int
    failed: int
    rate: float
    p50_ms: float
    p99_ms: float
    ids: tuple[str, ...]


class LoadProcess:
    """The generator as a child process."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def drive(self, drive: Drive) -> Outcome:
        """Return the outcome once it is there; RuntimeError if a request had no such answer."""
        pipes = self._process
        if pipes.stdin is None or pipes.stdout is None:
            raise RuntimeError("the load generator has no pipes")
        pipes.stdin.write(json.dumps(asdict(drive)).encode() + b"\n")
        pipes.stdin.flush()
        outcome = Outcome(**json.loads(pipes.stdout.readline()))
        if outcome.failed or not outcome.answered:
            raise RuntimeError(
                f"{drive.method} {drive.path}: {outcome.answered} answered, {outcome.failed} failed"
            )
        return outcome


class _Load:
    """One drive under way: what is left to send, and what came back."""

    def __init__(self, drive: Drive) -> None:
        lines = [f"{drive.method} {drive.path} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [f"{name}: {value}" for name, value in drive.headers.items()]
        self._head = "\r\n".join(lines)
        self._drive = drive
        self._ids = _ids(drive.ids)
        self._sent: list[str] = []
        self._delays: list[float] = []
        self._failed = 0
        self._left = drive.count
        self._started = perf_counter()

    def next_request(self) -> bytes | None:
        """Return the next request; None when nothing more shall be sent."""
        if not self._left or perf_counter() - self._started >= self._drive.seconds:
            return None
        self._left -= 1
        id_, key = next(self._ids), str(new_id())
        if len(self._sent) < _IDS:
            self._sent.append(id_)
        head = self._head.replace("{id}", id_).replace("{key}", key)
        body = self._drive.body.replace("{id}", id_).replace("{key}", key).encode()
        return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def note(self, status: int, delay: float) -> None:
        if status == self._drive.status:
            self._delays.append(delay)
        else:
            self._failed += 1

    def outcome(self) -> Outcome:
        seconds = perf_counter() - self._started
        delays = sorted(self._delays) or [0.0]
        return Outcome(
            answered=len(self._delays),
            failed=self._failed,
            rate=len(self._delays) / seconds,
            p50_ms=delays[len(delays) // 2] * 1000,
            p99_ms=delays[len(delays) * 99 // 100] * 1000,
            ids=tuple(self._sent),
        )


class _Connection(asyncio.Protocol):
    """Sends the next request when the last answer has been read to its end."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._read = b""
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by name
        self._send()

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        if not end or len(body) < int(length or 0):
            return
        self._read = b""
        self._load.note(int(head[9:12]), perf_counter() - self._sent_at)
        self._send()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self._load.note(0, 0.0)
            self.done.set_result(None)

    def _send(self) -> None:
        request = self._load.next_request()
        if request is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._sent_at = perf_counter()
        self._transport.write(request)


def _ids(given: Sequence[str]) -> Iterator[str]:
    while True:
        yield from given or [str(new_id())]


async def _run(drive: Drive) -> Outcome:
    loop = asyncio.get_running_loop()
    load = _Load(drive)
    async with asyncio.timeout(drive.seconds + _PATIENCE_SECONDS):
        connections = [
            (await loop.create_connection(lambda: _Connection(load), "127.0.0.1", drive.port))[1]
            for _ in range(drive.connections)
        ]
        await asyncio.gather(*(connection.done for connection in connections))
    return load.outcome()


def _drive_of(line: str) -> Drive:
    fields: dict[str, Any] = json.loads(line)
    return Drive(**fields | {"ids": tuple(fields["ids"])})


def main() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in sys.stdin:
            print(json.dumps(asdict(runner.run(_run(_drive_of(line))))), flush=True)


if __name__ == "__main__":
    main()
