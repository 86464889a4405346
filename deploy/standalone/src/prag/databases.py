"""The SQLite files of a data folder: are they whole, and do they have the schema of this release."""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, literal, select, table
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from common.migrations import upgrade
from common.put_back import COPY
from prag.files import FOLDER_MODE
from prag.manifest import TroubleError, missing

_NOT_WHOLE = {"SQLITE_CORRUPT", "SQLITE_NOTADB"}
_NO_ROOM = {"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC"}
_IN_USE = {"SQLITE_BUSY", "SQLITE_LOCKED"}


def check_whole(path: Path) -> None:
    """Raise TroubleError unless the file is a database whose pages are all in order.

    What a killed process left half done is rolled back by SQLite when the file is opened.
    """
    try:
        if path.stat().st_size == 0:
            raise damaged(path)
        with closing(_open(path)) as database:
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except FileNotFoundError:
        raise missing(path) from None
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise explain(path, error) from None
    if verdict != "ok":
        raise damaged(path)


def explain(path: Path, error: Exception) -> TroubleError:
    """Say what an error of SQLite means for the file and what to do."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if not path.exists():
        return missing(path)
    if name in _NO_ROOM:
        return no_room(path)
    if name in _IN_USE:
        return TroubleError(f"{path} is held open by another program. End that program first.")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
        return TroubleError(
            f"{path} cannot be opened for writing. Make it yours: chown and chmod 600 {path}"
        )
    if name.startswith(tuple(_NOT_WHOLE)) or isinstance(error, UnicodeDecodeError):
        return damaged(path)
    return TroubleError(f"{path} cannot be used ({name or type(error).__name__}).")


def damaged(path: Path) -> TroubleError:
    return TroubleError(
        f"{path} is damaged or not a database. It was left as it is: move it aside "
        "and put it back from a backup."
    )


def no_room(path: Path) -> TroubleError:
    return TroubleError(
        f"The disk that holds {path} is full. Free some space and start again; nothing was lost."
    )


def needs_migration(path: Path, migrations: Path) -> bool:
    """Tell whether the database lacks something of this release; TroubleError for a newer one."""
    revision = _revision(path)
    scripts = ScriptDirectory(str(migrations))
    if revision is not None and revision not in {s.revision for s in scripts.walk_revisions()}:
        raise TroubleError(
            f"{path} was written by a newer release of Prag. Start that release; "
            "this one has not touched it."
        )
    return revision != scripts.get_current_head()


def migrate(path: Path, migrations: Path, safe_copy: Path) -> None:
    """Give the database the schema of this release; TroubleError if that fails.

    The work is done on a draft that takes the file's place when it is whole, so that neither an
    error nor a killed process leaves a database between two releases. What was there before stays
    as `safe_copy`.
    """
    draft = path.with_name(f".{path.name}")
    _remove(draft)
    try:
        if path.exists():
            safe_copy.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
            for target in (safe_copy, draft):
                copy(path, target)
        upgrade(migrations, f"sqlite:///{draft}")
    except Exception as error:
        _remove(draft)
        cause = error.__cause__ if isinstance(error.__cause__, sqlite3.Error) else error
        if getattr(cause, "sqlite_errorname", None) in _NO_ROOM:
            raise no_room(path) from None
        raise TroubleError(
            f"{path} could not be brought to this release ({type(cause).__name__}); "
            "it stands as it was before."
        ) from error
    draft.replace(path)


def _remove(database: Path) -> None:
    for path in (database, database.with_name(f"{database.name}-journal")):
        path.unlink(missing_ok=True)


def make_empty(path: Path) -> None:
    """Make a database without tables: one page, so that it can be told from a file that was cut off."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version=1")


def copy(source: Path, target: Path) -> None:
    """Copy a database by SQLite's own backup, which is sound while others write to it."""
    with closing(_open(source)) as read, closing(sqlite3.connect(target)) as write:
        read.backup(write)


def mark_copy(database: Path) -> None:
    """Let the service that starts on this copy know that it was put back: see common.put_back."""
    with closing(sqlite3.connect(database)) as write, write:
        tables = write.execute("SELECT name FROM sqlite_master WHERE name = 'standing'").fetchall()
        if tables:  # else its service has said nothing yet to other countries by this release
            write.execute(
                "INSERT INTO standing (id, sign) VALUES (1, ?) "
                "ON CONFLICT (id) DO UPDATE SET sign = excluded.sign",
                [COPY],
            )


def holds_rows(path: Path) -> bool:
    """Tell whether anything was ever written into the database beside its schema."""
    if not path.exists():
        return False
    engine = create_engine("sqlite://", creator=partial(_open, path), poolclass=NullPool)
    try:
        with engine.connect() as database:
            return any(
                database.execute(select(literal(1)).select_from(table(name)).limit(1)).first()
                for name in inspect(database).get_table_names()
                if name != "alembic_version"
            )
    except (DatabaseError, UnicodeDecodeError) as error:
        raise explain(path, getattr(error, "orig", error)) from None


def _revision(path: Path) -> str | None:
    """Return the migration the database stands at; None for one without tables."""
    if not path.exists():
        return None
    with closing(_open(path)) as database:
        named = database.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
        ).fetchone()
        row = named and database.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=5)
    database.execute("PRAGMA trusted_schema=OFF")
    return database
