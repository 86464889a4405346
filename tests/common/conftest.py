"""A database with the shared tables and those of a thing, on either engine."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from common.db import Database, open_database
from common.db.postgres import PostgresDatabase
from common.db.sqlite import SqliteDatabase
from common.sealing import SubjectKeyRing
from common.tables import CommonBase
from tests.common.things import ThingBase
from tests.common.tiny import Tiny
from tests.conftest import MASTER, PostgresUrls, create_tables


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all tables, to be copied: to make them anew takes ten times as long."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    create_tables(f"sqlite:///{path}", CommonBase.metadata, ThingBase.metadata)
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_urls: PostgresUrls) -> str:
    url = postgres_urls.new()
    create_tables(url, CommonBase.metadata, ThingBase.metadata)
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with the tables and no rows."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        shutil.copy(template, tmp_path / "test.db")
        return f"sqlite:///{tmp_path}/test.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = open_database(database_url, SubjectKeyRing(MASTER, "test"))
    yield opened
    await opened.close()


@pytest.fixture
async def tiny(database: Database, tmp_path: Path) -> AsyncIterator[Tiny]:
    """The tiny service over the database of either engine."""
    made = Tiny(tmp_path, database)
    yield made
    await made.close()


@pytest.fixture
async def tiny_sqlite(sqlite_only: SqliteDatabase, tmp_path: Path) -> AsyncIterator[Tiny]:
    """The tiny service where the engine makes no difference."""
    made = Tiny(tmp_path, sqlite_only)
    yield made
    await made.close()


# --- one engine, for what the other has not got


@pytest.fixture
def postgres_url(postgres_urls: PostgresUrls, postgres_template: str) -> Iterator[str]:
    url = postgres_urls.copy(postgres_template)
    yield url
    postgres_urls.drop(url)


@pytest.fixture
async def postgres_only(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    opened = PostgresDatabase(postgres_url, SubjectKeyRing(MASTER, "test"))
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite_only(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    path = tmp_path / "only.db"
    shutil.copy(sqlite_template, path)
    opened = SqliteDatabase(path, SubjectKeyRing(MASTER, "test"))
    yield opened
    await opened.close()
