"""What the process takes from the machine at its start: the signals that end it and four ports."""

import signal
import socket

from common import ports
from prag.manifest import SERVICES, TroubleError

HOST = "127.0.0.1"


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
    try:
        return ports.listen(host, port)
    except ports.AddressError as error:
        raise TroubleError(f"{service} cannot listen on {host}: it {error}.") from None
    except ports.PortError as error:
        raise TroubleError(
            f"Port {port} ({service}) {error}. Choose other ports with {by}."
        ) from None
