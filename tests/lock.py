"""Is requirements.lock what the pyprojects ask for? Answered from files and what is installed, offline.

`python -m tests.lock` prints what is wrong and exits with 1. `make lock` compiles the lock anew.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = "requirements.lock"
MEMBERS = ("libs/*", "services/*", "deploy/standalone")


@dataclass(frozen=True)
class Pin:
    """One package of the lock with its one version."""

    requirement: Requirement
    has_hash: bool

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        return str(self.requirement.specifier).removeprefix("==")

    @property
    def is_for_this_machine(self) -> bool:
        return self.requirement.marker is None or self.requirement.marker.evaluate()


def read_pins(text: str) -> list[Pin]:
    entries = re.split(r"\n(?=\S)", text.replace("\\\n", " ").strip())
    return [
        Pin(Requirement(entry.partition(" --hash=")[0].strip()), " --hash=sha256:" in entry)
        for entry in entries
        if entry and not entry.startswith(("#", "-"))
    ]


def asked(root: Path) -> Iterator[tuple[str, Requirement]]:
    """Every requirement of every pyproject, with the file that states it; members excepted."""
    folders = [root, *(folder for pattern in MEMBERS for folder in sorted(root.glob(pattern)))]
    for folder in folders:
        path = folder / "pyproject.toml"
        if not path.exists():
            continue
        project = tomllib.loads(path.read_text())
        lines = [
            *project.get("project", {}).get("dependencies", []),
            *(line for group in project.get("dependency-groups", {}).values() for line in group),
            *project.get("build-system", {}).get("requires", []),
        ]
        for line in lines:
            requirement = Requirement(line)
            if not requirement.name.startswith("prag-"):
                yield path.relative_to(root).as_posix(), requirement


def unneeded(pins: Sequence[Pin], roots: Sequence[Requirement]) -> set[str]:
    """Pins for this machine that no requirement leads to, by the metadata of what is installed."""
    reached: set[tuple[str, str]] = set()
    waiting = [(r, extra) for r in roots for extra in ("", *r.extras)]
    while waiting:
        requirement, extra = waiting.pop()
        key = (canonicalize_name(requirement.name), extra)
        if key in reached:
            continue
        reached.add(key)
        try:
            lines = requires(requirement.name) or []
        except PackageNotFoundError:
            continue
        for child in map(Requirement, lines):
            if child.marker is None or child.marker.evaluate({"extra": extra}):
                waiting += [(child, e) for e in ("", *child.extras)]
    names = {name for name, _ in reached}
    return {pin.name for pin in pins if pin.is_for_this_machine} - names


def problems(root: Path = ROOT) -> list[str]:
    """Say in which points lock, pyprojects and environment do not agree."""
    text = (root / LOCK).read_text()
    pins = read_pins(text)
    versions = {pin.name: pin.version for pin in pins}
    found = [f"{LOCK}: {pin.name} has no hash" for pin in pins if not pin.has_hash]
    found += [
        f"{LOCK}:{number}: names an index or a place"
        for number, line in enumerate(text.splitlines(), 1)
        if "://" in line or re.match(r"\s*(-i|-f|--(?!hash=)[a-z])", line)
    ]
    requirements = [*asked(root)]
    for path, requirement in requirements:
        version = versions.get(canonicalize_name(requirement.name))
        if version is None:
            found.append(f"{path}: {requirement.name} is not in {LOCK}: run make lock")
        elif not requirement.specifier.contains(version, prereleases=True):
            found.append(f"{path}: {requirement} is not met by {version}: run make lock")
    for name in sorted(unneeded(pins, [requirement for _, requirement in requirements])):
        found.append(f"{LOCK}: nothing asks for {name}: run make lock")
    return found


if __name__ == "__main__":
    wrong = problems()
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(1 if wrong else 0)
