#!/usr/bin/env python3
"""Make build/image, from which an image is built without any network: wheels and their hashes.

Only what runs: the members of this checkout and the packages of requirements.lock that they lead
to, by the metadata of what `make setup` installed. Run it by .venv/bin/python on the kind of machine
and with the Python the image has; the wheels are theirs.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parent.parent.parent
MEMBERS = ["libs/common", *(f"services/{p.name}" for p in sorted((ROOT / "services").iterdir()))]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def needed(root: str = "prag-standalone") -> set[str]:
    """Return the packages that the `prag` command and the services lead to; members too."""
    reached: set[tuple[str, str]] = set()
    waiting = [(root, "")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in reached:
            continue
        reached.add((name, extra))
        for requirement in map(Requirement, requires(name) or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                child = canonicalize_name(requirement.name)
                waiting += [(child, one) for one in ("", *requirement.extras)]
    return {name for name, _ in reached}


def locked(names: set[str]) -> str:
    """Return the entries of requirements.lock for these packages, each with its hashes."""
    found = {}
    text = (ROOT / "requirements.lock").read_text()
    for entry in re.split(r"\n(?=\S)", text.strip()):
        requirement = Requirement(entry.replace("\\\n", " ").partition(" --hash=")[0].strip())
        name = canonicalize_name(requirement.name)
        if name in names and (requirement.marker is None or requirement.marker.evaluate()):
            found[name] = entry
    lost = {name for name in names - set(found) if not name.startswith("prag-")}
    if lost:
        sys.exit(f"requirements.lock does not hold {', '.join(sorted(lost))}: run make lock")
    return "\n".join(found[name] for name in sorted(found)) + "\n"


def make(target: Path) -> None:
    """Make the context anew where anything changed; packages that are there already stay."""
    entries = locked(needed())
    wheels, asked = target / "wheels", target / "packages.txt"
    if not asked.exists() or asked.read_text() != entries:
        shutil.rmtree(target, ignore_errors=True)
        wheels.mkdir(parents=True)
        draft = target / "packages.draft"
        draft.write_text(entries)
        # Wheels only: what would have to be compiled would run its own code here.
        fetch = ["download", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*PIP, *fetch, "-d", str(wheels), "-r", str(draft)], check=True)  # noqa: S603
        draft.rename(asked)
    for old in wheels.glob("prag_*.whl"):
        old.unlink()
    members = [str(ROOT / member) for member in (*MEMBERS, "deploy/standalone")]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), *members]
    subprocess.run([*PIP, *build], check=True, cwd=target)  # noqa: S603
    (target / "requirements.txt").write_text(entries + "".join(map(_pin, _members_in(wheels))))
    shutil.copy(ROOT / "deploy/docker/healthy.py", target)


def _members_in(wheels: Path) -> list[Path]:
    return sorted(wheels.glob("prag_*.whl"))


def _pin(wheel: Path) -> str:
    name, number, _, _ = parse_wheel_filename(wheel.name)
    return f"{name}=={number} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


if __name__ == "__main__":
    make(ROOT / "build" / "image")
    print(f"build/image is ready: prag {version('prag-standalone')}")  # noqa: T201
