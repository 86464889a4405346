"""Bring the database to this release, once: `python -m analytics.migrate`."""

from pathlib import Path

from analytics.settings import Settings
from common.migrations import folder_of, migrate_once
from common.migrations.rights import READ_ADD, Rights

MIGRATIONS: Path = folder_of(__file__)

RIGHTS: Rights = {
    "case_fact": READ_ADD,
    "marker_fact": READ_ADD,
    "plan_fact": READ_ADD,
    "referral_fact": READ_ADD,
}
"""What the api and the worker do with the tables; nothing of it is ever deleted but by `--anew`."""

if __name__ == "__main__":
    migrate_once(MIGRATIONS, Settings, RIGHTS, facts=RIGHTS)
