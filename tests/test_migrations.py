"""Every service's migrations on both engines: up, down, up with data, and equal to the models."""

import uuid
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Connection,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Uuid,
    create_engine,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.pool import NullPool

from common.migrations import NewerDatabaseError, check, downgrade, upgrade

SERVICES = ("intake", "referral", "reintegration", "analytics")


def folder(service: str) -> Path:
    found: Path = import_module(f"{service}.migrate").MIGRATIONS
    return found


def connect(url: str) -> Connection:
    return create_engine(url.replace("+asyncpg", "+psycopg"), poolclass=NullPool).connect()


def tables(connection: Connection) -> list[Table]:
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]


def some_value(column: Any) -> Any:  # noqa: PLR0911  a reflected column
    kind = column.type
    if isinstance(kind, Uuid) or (column.type.__class__.__name__ == "CHAR"):
        return (
            uuid.UUID(int=1).hex if column.type.__class__.__name__ == "CHAR" else uuid.UUID(int=1)
        )
    if isinstance(kind, Boolean):
        return True
    if isinstance(kind, Integer):
        return 1
    if isinstance(kind, DateTime):
        return datetime(2026, 3, 1, 12, tzinfo=UTC)
    if isinstance(kind, Date):
        return date(2026, 3, 1)
    if isinstance(kind, LargeBinary):
        return b"\x01"
    return [] if isinstance(kind, JSON) else "X"


@pytest.mark.parametrize("service", SERVICES)
def test_up_down_up_with_data_leaves_the_schema_of_the_models(
    service: str, database_url: str
) -> None:
    # Fails when a migration misses a column of the models, or a downgrade leaves a table behind.
    upgrade(folder(service), database_url)
    with connect(database_url) as connection:
        for table in tables(connection):
            connection.execute(insert(table), {c.name: some_value(c) for c in table.columns})
        connection.commit()
        counts = {
            t.name: connection.scalar(select(func.count()).select_from(t))
            for t in tables(connection)
        }
    assert set(counts.values()) == {1}

    upgrade(folder(service), database_url)
    with connect(database_url) as connection:
        kept = {
            t.name: connection.scalar(select(func.count()).select_from(t))
            for t in tables(connection)
        }
    assert kept == counts

    downgrade(folder(service), database_url)
    with connect(database_url) as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}

    upgrade(folder(service), database_url)
    check(folder(service), database_url)


@pytest.mark.parametrize("service", SERVICES)
def test_a_database_of_a_newer_release_is_left_alone(service: str, database_url: str) -> None:
    upgrade(folder(service), database_url)
    with connect(database_url) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()

    with pytest.raises(NewerDatabaseError):
        upgrade(folder(service), database_url)
