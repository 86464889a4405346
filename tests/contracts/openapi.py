"""The published API files: `python -m tests.contracts.openapi --write` or `--check`.

docs/api/<service>.openapi.json is what the service serves at /openapi.json, and
docs/api/events.asyncapi.json describes every event on the bus.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from common.settings import PORTS, ServiceName
from tests.contracts.asyncapi import describe_events
from tests.kit import open_service

FOLDER = Path(__file__).parents[2] / "docs" / "api"


def files() -> dict[Path, str]:
    """Return every API file with the content it should have."""
    wanted: dict[Path, Any] = {FOLDER / "events.asyncapi.json": describe_events()}
    with tempfile.TemporaryDirectory() as scratch:
        for service in PORTS:
            described = asyncio.run(_describe(service, Path(scratch) / service))
            wanted[FOLDER / f"{service}.openapi.json"] = described
    return {path: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for path, content in wanted.items()}


async def _describe(service: ServiceName, home: Path) -> dict[str, Any]:
    home.mkdir()
    async with open_service(service, home) as kit:
        return kit.app.openapi()


def main(argument: str) -> int:
    stale = [path for path, text in files().items() if not path.exists() or path.read_text() != text]
    if argument == "--write":
        FOLDER.mkdir(parents=True, exist_ok=True)
        for path, text in files().items():
            path.write_text(text)
        return 0
    for path in stale:
        print(f"stale: {path.relative_to(FOLDER.parents[1])}; run `make api-docs`")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
