"""`prag backup`: one consistent copy of a country, running or not, with the keys in a file apart."""

import fcntl
import io
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from prag.databases import copy, explain
from prag.files import FILE_MODE
from prag.manifest import Layout, TroubleError, manifest_file, read_manifest

KEYS_SUFFIX = ".keys.tar.gz"
_SUFFIX = ".tar.gz"
_WAIT_SECONDS = 30


def backup(home: Path, target: Path) -> tuple[Path, Path]:
    """Write `target` (….tar.gz) and, beside it, the keys; return both paths. Mode 0600 each.

    Unpacked into one empty folder they are that country again, readable by `prag up`. Writers of a
    running instance wait while its files are copied. Nothing that exists is overwritten.
    """
    if read_manifest(home) is None:
        raise TroubleError(f"{home} is no data folder of Prag; there is nothing to back up.")
    target = _with_suffix(target)
    keys = target.with_name(target.name.removesuffix(_SUFFIX) + KEYS_SUFFIX)
    for path in (target, keys):
        if path.exists():
            raise TroubleError(f"{path} exists already. Name another file.")
    files = Layout(home.absolute())
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=home) as scratch:
        _copy_at_one_moment(files, Path(scratch))
        _pack(target, Path(scratch))
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=home) as apart:
            shutil.copytree(files.keys, Path(apart) / files.keys.name)
            _pack(keys, Path(apart))
    return target, keys
