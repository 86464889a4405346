"""What tests of a wire's encryption need: certificates, and an address that is not loopback."""

import ipaddress
import subprocess
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from tests.house import ROOT


def certificates(folder: Path) -> Path:
    """Make an authority and a certificate for `localhost`, as an operator makes those of a hub."""
    script = str(ROOT / "deploy" / "docker" / "secrets")
    made = [script, "--hub", "localhost", str(folder)]
    subprocess.run(made, check=True, capture_output=True, timeout=60)  # noqa: S603
    return folder


def outer_address() -> str | None:
    """Return an address of this machine that others could use too."""
    found = (each.address for several in psutil.net_if_addrs().values() for each in several)
    for address in found:
        try:
            if not ipaddress.IPv4Address(address).is_loopback:
                return str(address)
        except ValueError:
            continue
    return None
