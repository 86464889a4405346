"""What the containers' test needs of a machine, and how it gets it where it may."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests import kafka

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "compose"
IMAGE_PYTHON = (3, 11)
"""Of the test's base image, Debian 12; the wheels are made by this machine's."""

_PROGRAMS = {
    "podman": "podman",
    "runc": "runc",
    "debootstrap": "debootstrap",
    "dnsmasq": "dnsmasq-base",
    "iptables": "iptables",
    "openssl": "openssl",
}
_NAMES = Path("/usr/lib/cni/dnsname")
"""By which containers find each other; of a package of its own."""
_JARS = {"java": "openjdk-17-jre-headless", "mvn": "maven"}


def missing() -> str | None:
    """Install what is missing if that is possible; return what still is, None if nothing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "it builds a base image and networks, which takes Linux and root"
    if sys.version_info[:2] != IMAGE_PYTHON:
        return "the base image is Debian 12, so .venv must be of Python 3.11"
    if importlib.util.find_spec("pip") is None:
        return "there is no pip in .venv (run make setup)"
    _install(_lacking())
    lacking = _lacking()
    return f"not installed, and not to be had by apt-get: {' '.join(lacking)}" if lacking else None


def compose() -> list[str]:
    """Return the command podman-compose, from an environment of its own."""
    folder, stamp = BUILD / "tool", BUILD / "tool" / "installed.txt"
    wanted = ROOT / "tests" / "compose" / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        run(sys.executable, "-m", "venv", "--clear", str(folder))
        pip = [str(folder / "bin" / "python"), "-m", "pip", "-q", "--disable-pip-version-check"]
        run(*pip, "install", "--require-hashes", "--only-binary", ":all:", "-r", str(wanted))
        shutil.copy(wanted, stamp)
    return [str(folder / "bin" / "podman-compose"), "--podman-args", "--runtime runc"]


def podman(*arguments: str) -> str:
    """Run podman; crun, its usual runtime, refuses the control groups of some machines."""
    return run("podman", "--runtime", "runc", *arguments)


def run(*command: str, **environment: str) -> str:
    """Run a command to its end; return its output, or raise with its errors."""
    done = subprocess.run(  # noqa: S603
        command,
        cwd=ROOT,
        env={**os.environ, **environment},  # noqa: TID251  the parent's
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


def _lacking() -> list[str]:
    packages = [name for program, name in _PROGRAMS.items() if shutil.which(program) is None]
    if not _NAMES.exists():
        packages.append("golang-github-containernetworking-plugin-dnsname")
    if not kafka.JARS.is_dir():
        packages += [name for program, name in _JARS.items() if shutil.which(program) is None]
    return packages


def _install(packages: list[str]) -> None:
    if packages and shutil.which("apt-get"):
        options = ["-y", "-qq", "--no-install-recommends"]
        subprocess.run(["apt-get", "update", "-qq"], check=False)  # noqa: S607
        subprocess.run(  # noqa: S603
            ["apt-get", "install", *options, *packages],  # noqa: S607
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},  # noqa: TID251  the parent's
            stdout=subprocess.DEVNULL,
            check=False,
        )
