"""`prag backup`: one consistent copy of a country, running or not, with the keys in a file apart."""

import errno
import fcntl
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from prag.databases import copy, explain, mark_copy
from prag.files import FILE_MODE, FOLDER_MODE
from prag.keys import check_keys
from prag.manifest import Layout, TroubleError, manifest_file, missing, read_manifest

_SUFFIX = ".tar.gz"
_KEYS_SUFFIX = ".keys.tar.gz"
_WAIT_SECONDS = 30
_PUT_BACK = ("intake", "referral")
"""Services that must know when they were put back: what they said to other countries cannot be."""


def backup(home: Path, target: Path) -> tuple[Path, Path]:
    """Write `target` (….tar.gz) and beside it a file with the keys; return both. Mode 0600 each.

    Unpacked into one empty folder they are that country again, for `prag up` to start on. While
    the databases are copied a running instance waits with its writes. Nothing is overwritten.
    TroubleError, and neither file, for a country that could not be started again from them.
    """
    manifest = read_manifest(home)
    if manifest is None:
        raise TroubleError(f"{home} is no data folder of Prag; there is nothing to back up.")
    files = Layout(home.absolute())
    check_keys(files, manifest)
    stem = target.name.removesuffix(_SUFFIX)
    archive, keys = (target.with_name(stem + suffix) for suffix in (_SUFFIX, _KEYS_SUFFIX))
    try:
        _refuse_target(archive, keys)
        with _scratch(home) as scratch:
            _copy_at_one_moment(files, Layout(scratch))
            _pack(archive, scratch)
        try:
            _pack(keys, files.home, files.keys.name)
        except BaseException:
            archive.unlink()
            raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise TroubleError("The disk is full; the backup was not written.") from None
        raise TroubleError(
            f"The backup was not written: {error.filename or target}: {error.strerror}."
        ) from None
    return archive, keys


def _refuse_target(*archives: Path) -> None:
    for path in archives:
        if not path.parent.is_dir():
            raise TroubleError(f"There is no folder {path.parent}. Make it, or name another file.")
        if path.exists():
            raise TroubleError(f"{path} exists already. Name another file.")


@contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    """Give a folder for the copy to one backup at a time; what a killed one left is removed first."""
    scratch = home / ".backup"
    held = os.open(home, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TroubleError(
                f"Another backup of {home} is under way. Wait for its end."
            ) from None
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=FOLDER_MODE)
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    finally:
        os.close(held)


def _copy_at_one_moment(files: Layout, into: Layout) -> None:
    """Copy everything but the keys. No service may know of an event that another's copy lacks."""
    for folder in (into.data, into.anchors):
        folder.mkdir(mode=FOLDER_MODE)
    if not files.anchors.is_dir():
        raise missing(files.anchors)
    with _without_writers(files):
        for name, path in files.databases().items():
            try:
                copy(path, into.databases()[name])
            except sqlite3.Error as error:
                raise explain(path, error) from None
            if name in _PUT_BACK:
                mark_copy(into.databases()[name])
            into.databases()[name].chmod(FILE_MODE)
        for path in files.anchors.iterdir():
            shutil.copy2(path, into.anchors)
    if files.peers.is_dir():
        shutil.copytree(files.peers, into.peers)
    shutil.copy2(manifest_file(files.home), manifest_file(into.home))


@contextmanager
def _without_writers(files: Layout) -> Iterator[None]:
    """Hold the write lock of every database. A writer has only one at a time, so none waits in a ring."""
    with ExitStack() as held:
        for path in files.databases().values():
            try:
                database = sqlite3.connect(
                    f"{path.as_uri()}?mode=rw",
                    uri=True,
                    timeout=_WAIT_SECONDS,
                    isolation_level=None,
                )
                held.enter_context(closing(database))
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise explain(path, error) from None
        yield


def _pack(archive: Path, folder: Path, *names: str) -> None:
    """Pack what lies in `folder`, or only what is named; the archive appears when it is whole."""
    draft = archive.with_name(f".{archive.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as tar:
                for name in names or sorted(path.name for path in folder.iterdir()):
                    tar.add(folder / name, arcname=name)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(archive)
    finally:
        draft.unlink(missing_ok=True)
