"""Which sample cases were told: a file that is there while some wait."""

import json
from datetime import datetime
from pathlib import Path

from common.clock import utcnow
from prag.files import write_private


class Journal:
    """Lets a start go on with the cases that an interrupted one before it has not told."""

    def __init__(self, path: Path) -> None:
        self._path = path
        content = json.loads(path.read_text())
        self.began = datetime.fromisoformat(content["began"])
        """The instant from which all cases count back; the same at every start."""
        self.told: set[str] = set(content["told"])

    @staticmethod
    def begin(path: Path) -> None:
        """Note that cases are to be told, before there is an instance to tell them to."""
        write_private(path, json.dumps({"began": utcnow().isoformat(), "told": []}).encode())

    def note(self, key: str) -> None:
        self.told.add(key)
        content = {"began": self.began.isoformat(), "told": sorted(self.told)}
        write_private(self._path, json.dumps(content).encode())

    def close(self) -> None:
        self._path.unlink()
