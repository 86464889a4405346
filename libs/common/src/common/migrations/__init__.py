"""The Alembic environment of all four services, and the one way to bring a database up to date."""

import sys
import time
from pathlib import Path
from typing import Any, Literal

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Enum, MetaData, create_engine, event, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from common.clock import monotonic
from common.columns import SealedColumn, UtcDateTime
from common.crash import crash
from common.db.head import folder_of
from common.db.opening import is_sqlite
from common.migrations.rights import Rights, RightsSettings, grant
from common.settings import ServiceSettings, read_settings
from common.tables import CommonBase

WAIT_SECONDS = 60.0
"""How long a migration waits for a database that does not answer yet."""


class NewerDatabaseError(Exception):
    """The database was written by a newer release; this one must not touch it."""


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


def migrate_once(folder: Path, settings: type[ServiceSettings], rights: Rights) -> None:
    """Bring the database of PRAG_DATABASE_URL to this release; one of a newer release is left alone.

    On PostgreSQL PRAG_DATABASE_APP_ROLE then has `rights` to the service's own tables, and to the
    shared ones what every service needs, and no others.
    """
    url = read_settings(settings).database_url
    try:
        if is_sqlite(url):
            upgrade(folder, url)
        else:
            role = read_settings(RightsSettings).database_app_role
            _wait_for(_sync_url(url))
            upgrade(folder, url)
            grant(_sync_url(url), role, rights)
    except NewerDatabaseError:
        sys.exit("The database was written by a newer release; it was not touched.")


def _wait_for(url: str) -> None:
    """Return once the database lets us in; whoever starts a country starts its parts all at once."""
    engine, deadline = create_engine(url, poolclass=NullPool), monotonic() + WAIT_SECONDS
    while True:
        try:
            engine.connect().close()
        except OperationalError:
            if monotonic() >= deadline:
                raise
            time.sleep(0.5)
        else:
            return


def upgrade(folder: Path, database_url: str, revision: str = "head") -> None:
    """Bring the database to `revision` of the migrations in `folder`. Synchronous; run it before serving."""
    _with_connection(folder, database_url, lambda config: command.upgrade(config, revision))


def downgrade(folder: Path, database_url: str, revision: str = "base") -> None:
    _with_connection(folder, database_url, lambda config: command.downgrade(config, revision))


def check(folder: Path, database_url: str) -> None:
    """Raise if the models and the migrated database differ."""
    _with_connection(folder, database_url, command.check)


def _with_connection(folder: Path, database_url: str, act: Any) -> None:  # noqa: ANN401
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    engine = create_engine(_sync_url(database_url), poolclass=NullPool, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _leave_transactions_alone)
        event.listen(engine, "begin", _begin)
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


def _sync_url(database_url: str) -> str:
    url = make_url(database_url)
    if is_sqlite(database_url):
        return f"sqlite:///{url.database}"
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


__all__ = [
    "NewerDatabaseError",
    "check",
    "downgrade",
    "folder_of",
    "migrate_once",
    "run",
    "upgrade",
]
