"""The Alembic environment of all four services, and the one way to bring a database up to date."""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Enum, MetaData, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from common.clock import monotonic
from common.columns import SealedColumn, UtcDateTime
from common.crash import crash
from common.db.base import OUTAGE
from common.db.head import folder_of
from common.db.opening import is_sqlite
from common.db.tls import server_of
from common.migrations.anew import forget
from common.migrations.rights import Rights, RightsSettings, grant
from common.settings import EX_CONFIG, ServiceSettings, SettingError, read_settings
from common.tables import CommonBase

WAIT_SECONDS = 60.0
"""How long a migration waits for a database that does not answer yet."""
LOCK_PATIENCE = 600.0
"""Seconds for which a step that did not get its lock steps aside and tries again."""
_WAIT_BRIEFLY = "SET LOCAL lock_timeout = '3s'"
"""For a table that somebody reads: whoever asks for it later waits behind the step."""
_ASIDE_SECONDS = 1.0
_STEPS_ASIDE = ("55P03", "40P01")
"""No lock within the time, or a deadlock with somebody who writes."""


class NewerDatabaseError(SettingError):
    """The database was written by a newer release; this one must not touch it."""

    def __init__(self) -> None:
        super().__init__(
            "The database of PRAG_DATABASE_URL was written by a newer release; it was not touched."
        )


class LockedDatabaseError(Exception):
    """Somebody held a table for as long as a migration tries; the steps before it are done."""


def render_item(kind: str, item: object, _: Any) -> str | Literal[False]:  # noqa: ANN401
    """Write our column types as plain SQLAlchemy, so that old migrations never import us."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, SealedColumn):
        return "sa.LargeBinary()"
    if kind == "type" and isinstance(item, Enum):
        return f"sa.String({item.length})"
    return False


def run(metadata: MetaData) -> None:
    """Run the migrations; each service's migrations/env.py calls it inside `upgrade` or `downgrade`."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=[metadata, CommonBase.metadata],
        render_item=render_item,
        render_as_batch=True,
        transaction_per_migration=True,
        transactional_ddl=True,
        on_version_apply=lambda **_: crash("migration.before_commit"),
    )
    with context.begin_transaction():
        context.run_migrations()


def migrate_once(
    folder: Path, settings: type[ServiceSettings], rights: Rights, *, facts: Iterable[str] = ()
) -> None:
    """Bring the database of PRAG_DATABASE_URL to this release; one of a newer release is left alone.

    On PostgreSQL PRAG_DATABASE_APP_ROLE then has `rights` to the service's own tables, and to the
    shared ones what every service needs, and no others. With `--anew` the tables `facts` are emptied
    besides, to be filled again from what the others tell. Ends the process with a line of what was
    wrong: with 78 where a setting must be mended, with 1 where it is worth another try.
    """
    is_anew = _is_anew(settings, facts)
    try:
        url = _migrate(folder, settings, rights)
        if is_anew:
            forget(sync_url(url), facts)
    except SettingError as refused:
        words, code = str(refused), EX_CONFIG
    except LockedDatabaseError:
        words = "a table was in use all the time; the database stands at the last whole step."
        code = 1
    except DBAPIError as error:
        # The kind alone: the text may hold a value.
        state = getattr(error.orig, "sqlstate", None) or ""
        words, code = f"not migrated: {type(error.orig).__name__} {state}".rstrip(), 1
    except OUTAGE as error:
        server = server_of(read_settings(settings).database_url)
        kind = type(error).__name__
        words = f"not migrated: no database at {server} (PRAG_DATABASE_URL): {kind}"
        code = 1
    else:
        return
    _tell(settings, words)
    sys.exit(code)


def _is_anew(settings: type[ServiceSettings], facts: Iterable[str]) -> bool:
    parser = argparse.ArgumentParser(prog=f"python -m {_name(settings)}.migrate")
    if facts:
        parser.add_argument(
            "--anew",
            action="store_true",
            help="forget what the others told, to be told again by their workers' --replay",
        )
    return getattr(parser.parse_args(), "anew", False)


def _tell(settings: type[ServiceSettings], words: str) -> None:
    print(f"{_name(settings)}: {words}", file=sys.stderr, flush=True)  # noqa: T201


def _name(settings: type[ServiceSettings]) -> str:
    return settings.__module__.partition(".")[0]


def _migrate(folder: Path, settings: type[ServiceSettings], rights: Rights) -> str:
    url = read_settings(settings).database_url
    if is_sqlite(url):
        upgrade(folder, url)
        return url
    from common.db.checks import wait_for  # noqa: PLC0415  its driver

    role = read_settings(RightsSettings).database_app_role
    asyncio.run(wait_for(url, patience=WAIT_SECONDS, tell=partial(_tell, settings)))
    upgrade(folder, url)
    grant(sync_url(url), role, rights)
    return url


def upgrade(folder: Path, database_url: str, revision: str = "head") -> None:
    """Bring the database to `revision` of the migrations in `folder`. Synchronous; run it before serving.

    Each step is one transaction. On PostgreSQL a step that gets no lock within three seconds, or that
    a writer waits for in turn, lets the others pass and is tried again; LockedDatabaseError after
    LOCK_PATIENCE.
    """
    deadline = monotonic() + LOCK_PATIENCE
    while True:
        try:
            _with_connection(folder, database_url, lambda config: command.upgrade(config, revision))
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) not in _STEPS_ASIDE:
                raise
            if monotonic() >= deadline:
                raise LockedDatabaseError from None
            time.sleep(_ASIDE_SECONDS)
        else:
            return


def downgrade(folder: Path, database_url: str, revision: str = "base") -> None:
    _with_connection(folder, database_url, lambda config: command.downgrade(config, revision))


def check(folder: Path, database_url: str) -> None:
    """Raise if the models and the migrated database differ."""
    _with_connection(folder, database_url, command.check)


def _with_connection(folder: Path, database_url: str, act: Any) -> None:  # noqa: ANN401
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    engine = create_engine(sync_url(database_url), poolclass=NullPool, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _leave_transactions_alone)
        event.listen(engine, "begin", _begin)
    else:
        event.listen(engine, "begin", _wait_briefly)
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if current is not None and current not in known:
            raise NewerDatabaseError
        connection.rollback()
        config.attributes["connection"] = connection
        act(config)
        connection.commit()
    engine.dispose()


# Python's sqlite3 would commit each CREATE TABLE by itself: a process killed in the middle would
# leave tables without their revision, and no later start could get past them.


def _leave_transactions_alone(connection: Any, _: object) -> None:  # noqa: ANN401  the driver's
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _wait_briefly(connection: Connection) -> None:
    connection.exec_driver_sql(_WAIT_BRIEFLY)


def sync_url(database_url: str) -> str:
    """Return the URL of the same database for the driver that migrations use."""
    url = make_url(database_url)
    if is_sqlite(database_url):
        return f"sqlite:///{url.database}"
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


__all__ = [
    "LockedDatabaseError",
    "NewerDatabaseError",
    "check",
    "downgrade",
    "folder_of",
    "migrate_once",
    "run",
    "sync_url",
    "upgrade",
]
