"""What the application's role may do with which table of a PostgreSQL database: no more than is used."""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import Field
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from common.settings import ServiceSettings, SettingError

Rights = Mapping[str, Sequence[str]]
"""Table → privileges, one for some of the columns as `UPDATE (status)`."""

READ_ADD = ("SELECT", "INSERT")
READ_WRITE = ("SELECT", "INSERT", "UPDATE")
_QUEUE = ("SELECT", "INSERT", "UPDATE", "DELETE")

SHARED: Rights = {
    "alembic_version": ("SELECT",),
    # An event stays as it was told; it is marked as sent, or taken out of somebody's feed.
    "outbox_message": (
        *READ_ADD,
        "UPDATE (published_at, feed_position, organisation_id, other_organisation_id)",
    ),
    "relay_lease": READ_WRITE,
    "inbox_message": READ_ADD,
    "inbox_aggregate": READ_WRITE,
    "inbox_pending": _QUEUE,
    "consumer_position": READ_WRITE,
    "dead_letter": (*READ_ADD, "DELETE"),
    "idempotency_answer": (*READ_ADD, "DELETE"),
    "subject_key": READ_ADD,
    "key_mark": READ_ADD,
    "audit_entry": READ_ADD,
    "audit_link": READ_ADD,
    "audit_shown": READ_ADD,
    "audit_head": READ_ADD,
    # Heard twice, a head is put over itself.
    "known_audit_head": (*READ_ADD, "UPDATE (hash, signature, received_at)"),
}

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('prag.rights'))")
_ROLE = text("SELECT rolname = current_user FROM pg_roles WHERE rolname = :role")


class RightsSettings(ServiceSettings):
    """What the migration of a PostgreSQL database needs besides."""

    database_app_role: str = Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    """As whom the api and the worker log in; deploy/postgres/databases.sql makes it."""


def grant(url: str, role: str, rights: Rights) -> None:
    """Give `role` these rights and the shared ones, and take away what it had besides, at once."""
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    with engine.begin() as connection:
        connection.execute(_LOCK)  # of two at a time, one would be told that a row was changed
        is_owner = connection.scalar(_ROLE, {"role": role})
        if is_owner is not False:
            raise SettingError(
                "PRAG_DATABASE_APP_ROLE must name a role that is there and is not the owner's"
            )
        for statement in _statements(connection, role, {**SHARED, **rights}):
            connection.exec_driver_sql(statement)
    engine.dispose()


def _statements(connection: Connection, role: str, rights: Rights) -> Iterator[str]:
    quote = connection.dialect.identifier_preparer.quote
    to = quote(role)
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, {to}"
    yield f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, {to}"
    for table, privileges in rights.items():
        yield f"GRANT {', '.join(privileges)} ON TABLE {quote(table)} TO {to}"
    yield f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {to}"
