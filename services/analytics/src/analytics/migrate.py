"""Bring the database to this release, once: `python -m analytics.migrate`."""

from pathlib import Path

from analytics.settings import Settings
from common.migrations import folder_of, migrate_once

MIGRATIONS: Path = folder_of(__file__)

if __name__ == "__main__":
    migrate_once(MIGRATIONS, Settings)
