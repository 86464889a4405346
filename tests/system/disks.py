"""A small disk of its own for one server, that can be filled to the last byte and emptied again."""

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Disk:
    """A file system in memory; what fills it is one file beside the server's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Take all the room there is."""
        with self._ballast.open("ab") as ballast:
            for size in (1024 * 1024, 4096):
                while _takes(ballast.fileno(), size):
                    pass

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)


def _takes(file: int, size: int) -> bool:
    try:
        os.posix_fallocate(file, os.fstat(file).st_size, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


@contextmanager
def small_disk(megabytes: int, at: Path | None = None) -> Iterator[Disk]:
    """Mount one; skips the test where this process may not."""
    folder = at or Path(tempfile.mkdtemp(prefix="prag-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode != 0:  # noqa: S603
        pytest.skip("no file system can be mounted here: that needs root on Linux")
    disk = Disk(folder)
    try:
        yield disk
    finally:
        disk.free()
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607
        folder.rmdir()
