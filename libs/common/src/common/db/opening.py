"""Choose the engine by the URL."""

from pathlib import Path

from sqlalchemy import make_url

from common.db.base import Database
from common.sealing import SubjectKeyRing


def open_database(url: str, keys: SubjectKeyRing) -> Database:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        from common.db.sqlite import SqliteDatabase  # noqa: PLC0415  only the engine in use is loaded

        return SqliteDatabase(Path(str(parsed.database)), keys)
    from common.db.postgres import PostgresDatabase  # noqa: PLC0415

    return PostgresDatabase(url, keys)


def is_sqlite(database_url: str) -> bool:
    return make_url(database_url).get_backend_name() == "sqlite"
