"""Which migration a service's database must be at, told without loading what migrates."""

import re
from importlib.resources import files
from pathlib import Path

_LINE = re.compile(r"^(revision|down_revision)\b.*?=\s*(None|\"(\w+)\"|'(\w+)')\s*$", re.MULTILINE)
_NAMES = ["down_revision", "revision"]


def folder_of(module_file: str) -> Path:
    """Return a service's migrations: inside the installed package, or beside `src` in a checkout."""
    package = Path(module_file).parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent.parent / "migrations"


def head_of(package: str) -> str:
    """Return the newest revision of a service's migrations, as this release has them."""
    return newest(folder_of(str(files(package) / "__init__.py")))


def newest(folder: Path) -> str:
    """Return the one revision on which no other builds; ValueError where that cannot be told."""
    builds_on: dict[str, str] = {}
    for path in folder.glob("versions/[!_.]*.py"):
        found = {name: one or other for name, _, one, other in _LINE.findall(path.read_text())}
        if sorted(found) != _NAMES or not found["revision"] or found["revision"] in builds_on:
            raise ValueError(
                f"{path.name} does not say which revision it is and on which it builds"
            )
        builds_on[found["revision"]] = found["down_revision"]
    heads = builds_on.keys() - builds_on.values()
    if len(heads) != 1:
        raise ValueError(f"{folder} has {len(heads)} newest revisions")
    return heads.pop()
