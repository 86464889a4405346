"""What the process takes from the machine at its start: the signals that end it and four ports."""

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
                self.sockets.append(_listen(port, service))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for held in self.sockets:
            held.close()


def _listen(port: int, service: str) -> socket.socket:
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((HOST, port))
        # Two programs may bind one port as long as neither listens.
        held.listen(_BACKLOG)
    except OSError as error:
        held.close()
        if isinstance(error, PermissionError):
            raise TroubleError(
                f"Port {port} ({service}) is not open to ordinary users. "
                "Choose others with --port-base or PRAG_PORT_BASE."
            ) from None
        raise TroubleError(
            f"Port {port} ({service}) is taken by another program. End that program, "
            "or choose other ports with --port-base or PRAG_PORT_BASE."
        ) from None
    held.settimeout(0)
    return held
