#!/usr/bin/env python3
"""Exit with 0 if what runs in this container is well: an API is asked whether it is ready.

Any other process is well while it runs: it waits for what is away, and ends when it cannot go on.
"""

import re
import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path

PORTS = {"intake": 8001, "referral": 8002, "reintegration": 8003, "analytics": 8004}
"""With PRAG_PORT_BASE as it is in the container; another one is chosen where ports are published."""

command = Path("/proc/1/cmdline").read_text()
api = re.search(rf"\0({'|'.join(PORTS)})\.api\0", command)
if api:
    try:
        connection = HTTPConnection("127.0.0.1", PORTS[api[1]], timeout=4)
        connection.request("GET", "/readyz")
        sys.exit(connection.getresponse().status != 200)  # noqa: PLR2004
    except (OSError, HTTPException):
        sys.exit(1)
