"""The published API files: `python -m tests.contracts.openapi --write` or `--check`.

docs/api/<service>.openapi.json is what the service serves at /openapi.json, and
docs/api/events.asyncapi.json describes every event on the bus. docs/api/problem-codes.json lists
every code a problem may carry, with its status, sentence, members and pointers.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tests.contracts.asyncapi import describe_events
from tests.contracts.problems import describe_problems
from tests.surface.operations import SERVICES, description

FOLDER = Path(__file__).parents[2] / "docs" / "api"


def files() -> dict[Path, str]:
    """Return every API file with the content it should have."""
    wanted: dict[Path, Any] = {
        FOLDER / f"{service}.openapi.json": description(service) for service in SERVICES
    }
    wanted[FOLDER / "events.asyncapi.json"] = describe_events()
    wanted[FOLDER / "problem-codes.json"] = describe_problems()
    return {
        path: json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        for path, content in wanted.items()
    }


def stale() -> list[str]:
    """Name the files in docs/api that are missing, left over, or not what the code says."""
    wanted = files()
    found = {path: path.read_text() for path in FOLDER.glob("*.json")}
    return sorted(
        path.name for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path)
    )


def write() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale():
        (FOLDER / name).unlink(missing_ok=True)
    for path, text in files().items():
        path.write_text(text)


def main(argument: str) -> int:
    if argument == "--write":
        write()
        return 0
    for name in stale():
        sys.stderr.write(f"stale: docs/api/{name}; run `make api-docs`\n")
    return 1 if stale() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
