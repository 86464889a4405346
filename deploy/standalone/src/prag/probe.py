"""Asks the services for their health as anybody would, over HTTP."""

import asyncio

from prag.manifest import SERVICES

_PAUSE_SECONDS = 0.02
_PATIENCE_SECONDS = 2.0


async def is_ready(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether the service on this port, of this machine, answers /readyz with 200."""
    status = (await _answer(port, host)).partition(b"\r\n")[0]
    return status.split(b" ")[1:2] == [b"200"]


async def knows_keys(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether the service is ready and can tell its callers apart."""
    answer = await _answer(port, host)
    return answer.startswith(b"HTTP/1.1 200") and b'"keys"' not in answer


async def _answer(port: int, host: str) -> bytes:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(
                    f"GET /readyz HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
                )
                return await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""


async def all_ready(port_base: int) -> None:
    """Return when all four services are ready."""
    for port, _ in enumerate(SERVICES, port_base):
        while not await is_ready(port):  # noqa: ASYNC110  what is asked is behind a socket
            await asyncio.sleep(_PAUSE_SECONDS)
