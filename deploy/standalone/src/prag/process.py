"""What the process takes from the machine at its start: the signals that end it and four ports."""

import errno
import signal
import socket

from prag.manifest import SERVICES, TroubleError

HOST = "127.0.0.1"
_BACKLOG = 2048


class StopSignal:
    """Remembers a SIGTERM or Ctrl-C that comes while the start is still under way."""

    NUMBERS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.is_asked = False
        for number in self.NUMBERS:
            signal.signal(number, self._remember)

    def _remember(self, *_: object) -> None:
        self.is_asked = True


class Ports:
    """The four ports, taken before anything is made, so that a taken one is told at once."""

    def __init__(self, base: int) -> None:
        self._base = base
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> "Ports":
        try:
            for port, service in enumerate(SERVICES, self._base):
                self.sockets.append(listen(HOST, port, service, by="--port-base or PRAG_PORT_BASE"))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for held in self.sockets:
            held.close()


def listen(host: str, port: int, service: str, *, by: str) -> socket.socket:
    """Take a port; TroubleError says who has it, and by what (`by`) another one is chosen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((host, port))
        # Two programs may bind one port as long as neither listens.
        held.listen(_BACKLOG)
    except OSError as error:
        held.close()
        if isinstance(error, PermissionError):
            raise TroubleError(
                f"Port {port} ({service}) is not open to ordinary users. Choose others with {by}."
            ) from None
        if error.errno != errno.EADDRINUSE:
            raise TroubleError(
                f"{service} cannot listen on {host}: it is no address of this machine."
            ) from None
        raise TroubleError(
            f"Port {port} ({service}) is taken by another program. End that program, "
            f"or choose other ports with {by}."
        ) from None
    held.settimeout(0)
    return held
