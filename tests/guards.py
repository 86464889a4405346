"""Write each service's guards.json from a freshly migrated PostgreSQL: `python -m tests.guards`."""

import json
from importlib import import_module
from pathlib import Path

import psycopg

from common.db import guards
from common.migrations import upgrade
from tests.conftest import PostgresUrls, running_postgres
from tests.house import SERVICES


def file_of(service: str) -> Path:
    folder: Path = import_module(f"{service}.migrate").MIGRATIONS
    return folder / guards.FILE


def fresh(service: str, url: str) -> guards.Guards:
    """Migrate the empty database, and return what guards it then."""
    upgrade(file_of(service).parent, url)
    return there(url)


def there(url: str) -> guards.Guards:
    with psycopg.connect(url.replace("+asyncpg", "")) as connection:
        connection.execute(guards.SEEN_ALIKE.encode())
        [(told,)] = connection.execute(guards.FOUND.encode()).fetchall()
    found: guards.Guards = json.loads(told)
    return found


def main() -> None:
    with running_postgres() as base:
        urls = PostgresUrls(base)
        for service in SERVICES:
            made = json.dumps(fresh(service, urls.new()), indent=2, sort_keys=True)
            file_of(service).write_text(made + "\n")


if __name__ == "__main__":
    main()
