"""Taking a port before a server is there, so that what is wrong with it can be told."""

import errno
import socket

_BACKLOG = 2048


class PortError(Exception):
    """The port cannot be had; its text says what it is."""


class AddressError(PortError):
    """The address cannot be had."""


def listen(host: str, port: int) -> socket.socket:
    """Listen there; whoever connects waits until the socket is served. PortError, AddressError."""
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((host, port))
        # Two programs may bind one port as long as neither listens.
        held.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        held.close()
        raise _meant_by(error) from None
    held.setblocking(False)  # noqa: FBT003
    return held


def _meant_by(error: Exception) -> PortError:
    if isinstance(error, PermissionError):
        return PortError("is not open to ordinary users")
    if isinstance(error, OverflowError):
        return PortError("does not exist")
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return PortError("is taken by another program")
    return AddressError("is no address of this machine")
