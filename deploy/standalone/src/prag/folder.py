"""Who holds a data folder: one process at a time, and only a folder that is ours."""

import errno
import fcntl
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from shlex import quote
from typing import IO, Concatenate, ParamSpec, Protocol, TypeVar

from prag.files import FILE_MODE, FOLDER_MODE, is_private
from prag.manifest import Layout, TroubleError, manifest_file, no_folder


class _Keeper(Protocol):
    @property
    def keys(self) -> Path: ...


K = TypeVar("K", bound=_Keeper)
P = ParamSpec("P")
R = TypeVar("R")

_NOT_OURS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.EISDIR,
}
_OURS = {
    "lock",
    "keys",
    "data",
    "audit",
    "logs",
    "backups",
    "demo",
    "peers",
    "samples.json",
    "starting.json",
    ".backup",
}
_DRAFT = re.compile(r"\.(instance|samples|starting)\.json\.[0-9]+")
"""What a process killed while it wrote one of our files leaves behind."""
_PRIVATE_FOLDERS = ("keys", "data", "audit", "logs", "backups", "peers")
_PRIVATE_FILES = ("instance.json", "samples.json", "starting.json")


def claim(home: Path) -> IO[str]:
    """Make the folder if it is new and hold it until the returned file is closed.

    TroubleError when another process holds it, when it cannot be written to, when a file is in
    its place, or when it holds somebody else's files.
    """
    try:
        _refuse_foreign(home)
        home.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        if not Layout(home).lock.exists():
            # Nobody was here before: whoever made the folder, for a new country or for the files of
            # a backup, made it as any other.
            home.chmod(FOLDER_MODE)
        descriptor = os.open(Layout(home).lock, os.O_RDWR | os.O_CREAT, FILE_MODE)
    except (NotADirectoryError, FileExistsError):
        raise no_folder(home) from None
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise TroubleError(f"{home} cannot be used: {error.strerror}.") from None
        raise TroubleError(
            f"{home} cannot be written to. Make the folder yours, or set PRAG_HOME to another."
        ) from None
    return _held(home, descriptor)


def hold(folder: Path) -> IO[str]:
    """Hold a folder that is there until the returned file is closed; TroubleError if another does."""
    return _held(folder, os.open(Layout(folder).lock, os.O_RDWR | os.O_CREAT, FILE_MODE))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only command at work on a folder that is there; wait, and say so, while another is."""
    # The folder itself is locked: a file in it would belong to whoever came first, perhaps to root.
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waits for another command that is at work on {folder}.", file=sys.stderr)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def one_at_a_time(act: Callable[Concatenate[K, P], R]) -> Callable[Concatenate[K, P], R]:
    """Let no other command change the keys and peers of a country meanwhile.

    Of two that go on from one chain each would publish its own end of it, and a peer that was given
    the one refuses all that follows on the other.
    """

    @wraps(act)
    def waiting(place: K, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with alone(place.keys):
            return act(place, *args, **kwargs)

    return waiting


def _held(home: Path, descriptor: int) -> IO[str]:
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
    others = {path.name for path in home.iterdir()} - _OURS
    if not all(map(_DRAFT.fullmatch, others)):
        raise TroubleError(
            f"{home} holds other files and is no data folder of Prag. "
            "Set PRAG_HOME to a new or empty folder."
        )


def refuse_shared(home: Path) -> None:
    """Refuse a folder of which others may read or write a part; TroubleError has the command."""
    folders = [home, *(home / name for name in _PRIVATE_FOLDERS)]
    files = [home / name for name in _PRIVATE_FILES]
    inside = [path for folder in folders[1:] if folder.is_dir() for path in folder.rglob("*")]
    shared = sorted(
        path for path in (*folders, *files, *inside) if path.exists() and not is_private(path)
    )
    if not shared:
        return
    first = shared[0]
    mend = f"chmod {FOLDER_MODE if first.is_dir() else FILE_MODE:o} {quote(str(first))}"
    more = ""
    if len(shared) > 1:
        more, mend = f" and {len(shared) - 1} more", f"chmod -R go= {quote(str(home))}"
    raise TroubleError(
        f"Others on this machine may get at {first}{more}; nothing was started. Run: {mend}"
    )
