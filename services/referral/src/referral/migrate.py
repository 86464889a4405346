"""Bring the database to this release, once: `python -m referral.migrate`."""

from pathlib import Path

from common.migrations import folder_of, migrate_once
from referral.settings import Settings

MIGRATIONS: Path = folder_of(__file__)

if __name__ == "__main__":
    migrate_once(MIGRATIONS, Settings)
