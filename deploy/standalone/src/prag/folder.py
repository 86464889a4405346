"""Who holds a data folder: one process at a time, and only a folder that is ours."""

import errno
import fcntl
import os
from pathlib import Path
from typing import IO

from prag.files import FILE_MODE, FOLDER_MODE
from prag.manifest import Layout, TroubleError, manifest_file

_NOT_OURS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENOENT,
    errno.EISDIR,
}
_OURS = {"lock", "keys", "data", "audit", "logs", "backups", "demo", "samples.json"}


def claim(home: Path) -> IO[str]:
    """Make the folder if it is new and hold it until the returned file is closed.

    TroubleError when another process holds it, when it cannot be written to, or when it holds
    somebody else's files.
    """
    try:
        _refuse_foreign(home)
        home.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        descriptor = os.open(Layout(home).lock, os.O_RDWR | os.O_CREAT, FILE_MODE)
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise TroubleError(f"{home} cannot be used: {error.strerror}.") from None
        raise TroubleError(
            f"{home} cannot be written to. Make the folder yours, or set PRAG_HOME to another."
        ) from None
    lock = os.fdopen(descriptor, "r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise TroubleError(
            f"Prag already runs on {home} (process {holder}). Stop it first, "
            "or set PRAG_HOME and PRAG_PORT_BASE to start another country."
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _refuse_foreign(home: Path) -> None:
    """Refuse a folder of somebody else: a mistyped PRAG_HOME must not fill it with databases."""
    if not home.is_dir() or manifest_file(home).exists():
        return
    if {path.name for path in home.iterdir()} - _OURS:
        raise TroubleError(
            f"{home} holds other files and is no data folder of Prag. "
            "Set PRAG_HOME to a new or empty folder."
        )
