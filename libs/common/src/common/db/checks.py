"""What must be so before a service works on a PostgreSQL database."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from common.clock import Telling, monotonic
from common.db import guards
from common.db.base import OUTAGE
from common.db.connections import limits
from common.db.postgres import outages
from common.db.tls import check_settings, refusal_of, server_of
from common.settings import SettingError

QUIET = {
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_parameter_max_length_on_error": "0",
    "debug_print_parse": "off",
    "debug_print_rewritten": "off",
    "debug_print_plan": "off",
    "auto_explain.log_min_duration": "-1",
    "pgaudit.log": "none",
}
"""Settings with which the server writes no row's value into its log; those of a part that is not
loaded have no value and do no harm."""

DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
"""Settings of which one that is off loses what was answered for, when the machine loses its power."""

_GROWING = ("audit_entry", "audit_link", "audit_shown", "audit_head")

# A role can become those it is a member of, so what they are, it is.
_FACTS = text("""
SELECT
  ARRAY(SELECT name || '=' || current_setting(name, true) FROM unnest(CAST(:names AS text[])) AS name
    WHERE current_setting(name, true) IS NOT NULL) AS settings,
  (SELECT rolname FROM pg_roles WHERE pg_has_role(oid, 'MEMBER')
    AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication OR rolname IN
      ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'))
    ORDER BY rolname <> current_user, rolname LIMIT 1) AS mighty,
  EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace
    AND pg_has_role(relowner, 'MEMBER'))
    OR EXISTS (SELECT FROM pg_database WHERE datname = current_database()
      AND pg_has_role(datdba, 'MEMBER')) AS is_owner,
  has_schema_privilege('public', 'CREATE') AS may_create,
  coalesce(has_table_privilege(to_regclass('public.alembic_version'), 'SELECT'), false) AS may_read,
  EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace
    AND relname = ANY(CAST(:growing AS text[]))
    AND (has_table_privilege(oid, 'UPDATE, DELETE, TRUNCATE')
      OR has_any_column_privilege(oid, 'UPDATE'))) AS may_rewrite,
  ARRAY(SELECT DISTINCT relname::text FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE relnamespace = 'public'::regnamespace AND tgenabled IN ('D', 'R') ORDER BY 1) AS unguarded
""")
# The server's own view: a tunnel that ends on its machine has encrypted what comes from it.
_IS_IN_THE_CLEAR = text("""
SELECT NOT ssl AND inet_client_addr() IS NOT NULL
  AND NOT inet_client_addr() <<= '127.0.0.0/8' AND inet_client_addr() <> '::1'
FROM pg_stat_ssl WHERE pid = pg_backend_pid()
""")
_SEEN_ALIKE, _GUARDS = text(guards.SEEN_ALIKE), text(guards.FOUND)
_REVISION = text("SELECT version_num FROM public.alembic_version")


class DatabaseRefusedError(SettingError):
    """The service must not work on its database as it is; the text says what to do."""


async def check_postgres(url: str, *, service: str, head: str | None) -> None:
    """Raise SettingError unless the server, the login and the tables are as they must be.

    Raises one of OUTAGE while the server is away.
    """
    async with _connected(url) as connection:
        await _check(connection, service, head)


async def wait_for(url: str, *, patience: float, tell: Callable[[str], None]) -> None:
    """Return once the database lets us in; whoever starts a country starts its parts all at once.

    Tried for `patience` seconds, then raised: one of OUTAGE, or DatabaseRefusedError while the login
    or the database is not there yet. What will never do, a certificate say, is raised at once.
    `tell` is told now and then for what is waited.
    """
    deadline, telling = monotonic() + patience, Telling()
    while True:
        try:
            async with _connected(url):
                return
        except (DatabaseRefusedError, *OUTAGE) as error:
            if monotonic() >= deadline:
                raise
            if telling.is_due():
                tell(
                    f"waits for the database at {server_of(url)} (PRAG_DATABASE_URL, PGPASSFILE): "
                    f"{kind_of(error)}"
                )
            await asyncio.sleep(0.5)


def kind_of(error: BaseException) -> str:
    """Say what was wrong by its kind alone: the text of another's error may hold a value."""
    return "login refused" if isinstance(error, DatabaseRefusedError) else type(error).__name__


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncConnection]:
    """Give a connection that nobody else can listen to or stand in for."""
    check_settings(make_url(url))
    engine = create_async_engine(
        url, poolclass=NullPool, hide_parameters=True, connect_args=limits()
    )
    try:
        with outages():
            async with engine.connect() as connection:
                await _check_wire(connection)
                yield connection
    except SettingError:
        raise
    except Exception as error:
        if refusal := refusal_of(error):
            raise refusal from None
        if _is_refusal(error):
            raise DatabaseRefusedError(
                "The server refused the login or knows no such database: look at "
                "PRAG_DATABASE_URL and PGPASSFILE, or make both by deploy/postgres/databases.sql."
            ) from None
        raise
    finally:
        await engine.dispose()


async def _check_wire(connection: AsyncConnection) -> None:
    if await connection.scalar(_IS_IN_THE_CLEAR):
        raise SettingError(
            "PGSSLMODE lets the connection to PostgreSQL be in the clear, and what listens here "
            "leads to another machine: set it to verify-full, and PGSSLROOTCERT."
        )


async def _check(connection: AsyncConnection, service: str, head: str | None) -> None:
    migrate = (
        f"`prag run country.ini {service}.migrate` (in containers `docker compose up "
        f"{service}-migrate`)"
    )
    [facts] = await connection.execute(
        _FACTS, {"names": [*QUIET, *DURABLE], "growing": [*_GROWING]}
    )
    _check_login(facts)
    settings = dict(each.split("=", 1) for each in facts.settings)
    _check_log(settings)
    _check_disk(settings)
    if not facts.may_read:
        raise DatabaseRefusedError(
            f"Nothing in the database was granted to this login: run {migrate}, whose "
            "PRAG_DATABASE_APP_ROLE names it."
        )
    revision = await connection.scalar(_REVISION)
    if revision != head:
        raise DatabaseRefusedError(
            f"The database is at migration {revision} and this release needs {head}: run "
            f"{migrate} of this release, or start the release that database is of."
        )
    await connection.execute(_SEEN_ALIKE)
    # A database of no release yet has none.
    found = json.loads((await connection.execute(_GUARDS)).scalar_one())
    _check_tables(facts, [*guards.differing(found, guards.wanted(service))], service)


def _check_login(facts: Any) -> None:  # noqa: ANN401  a row
    if facts.mighty:
        raise DatabaseRefusedError(
            "The login of PRAG_DATABASE_URL is a superuser or could make itself one, or passes by "
            f"row-level security ({facts.mighty}): log in as the role deploy/postgres/databases.sql made for it."
        )
    if facts.is_owner or facts.may_create:
        raise DatabaseRefusedError(
            "The login of PRAG_DATABASE_URL owns the database or may make tables in it: that is "
            "for `migrate` only, let the api and the worker log in as the application's role."
        )
    if facts.may_rewrite:
        raise DatabaseRefusedError(
            "The login of PRAG_DATABASE_URL may change the audit trail: revoke what was granted "
            "by hand, or run migrate again, which does it."
        )


def _check_tables(facts: Any, others: list[str], service: str) -> None:  # noqa: ANN401  a row
    if others:
        raise DatabaseRefusedError(
            "What hides rows from strangers and keeps the audit trail is not as this release's "
            f"migrations make it: {', '.join(others)}. Put a whole backup back, or let the owner make "
            f"it again by the statements of {service}/migrations/{guards.FILE}, and run "
            "`prag verify-audit`."
        )
    if facts.unguarded:
        raise DatabaseRefusedError(
            f"Triggers are off on {', '.join(facts.unguarded)}, by which rows belong together: as a "
            "superuser, ALTER TABLE … ENABLE TRIGGER ALL."
        )


def _check_log(settings: dict[str, str]) -> None:
    loud = [name for name, value in QUIET.items() if settings.get(name, value) != value]
    if loud:
        raise DatabaseRefusedError(
            "The server would write values of rows into its log: include deploy/postgres/prag.conf "
            f"in its settings, or set {', '.join(f'{name} = {QUIET[name]}' for name in loud)}."
        )


def _check_disk(settings: dict[str, str]) -> None:
    loose = [name for name in DURABLE if settings[name] == "off"]
    if loose:
        raise DatabaseRefusedError(
            "The server would lose what was committed when its machine loses power: include "
            f"deploy/postgres/prag.conf in its settings, or set {', '.join(f'{n} = on' for n in loose)}."
        )


def _is_refusal(error: Exception) -> bool:
    """Tell a login or database that will not do from a server that is away."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(cause, "sqlstate", None) or "").startswith(("28", "3D", "42501"))
