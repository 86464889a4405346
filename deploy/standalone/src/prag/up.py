"""`prag up`: one country in one process."""

import sys
from pathlib import Path

import common.garbage  # noqa: F401  first of all: it hastens the imports
from prag.hub import log_of
from prag.instance import Instance
from prag.process import Ports, StopSignal


def up(home: Path, country: str, port_base: int, *, empty: bool, hub: Path | None = None) -> int:
    """Run the country until SIGTERM or Ctrl-C and return the exit code.

    TroubleError, with nothing changed, for what stands in the way of a start.
    """
    stop = StopSignal()
    log = None if hub is None else log_of(hub)
    with Instance(home, country, port_base, hub=log) as instance, Ports(port_base) as ports:
        instance.prepare(samples=not empty)
        if stop.is_asked:
            return 0
        from prag.anchors import tend_anchors  # noqa: PLC0415
        from prag.peer import place_of, require_own_keys, warnings  # noqa: PLC0415
        from prag.running import run  # noqa: PLC0415  loads the servers once nothing stands in the way

        require_own_keys(place_of(home))
        for line in [*tend_anchors(instance.files), *warnings(instance.files.peers)]:
            print(f"prag: {line}", file=sys.stderr, flush=True)
        return run(instance, ports.sockets, stop)
