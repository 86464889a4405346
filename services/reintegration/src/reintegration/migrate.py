"""Bring the database to this release, once: `python -m reintegration.migrate`."""

from pathlib import Path

from common.migrations import folder_of, migrate_once
from common.migrations.rights import READ_ADD, READ_WRITE, Rights
from reintegration.settings import Settings

MIGRATIONS: Path = folder_of(__file__)

RIGHTS: Rights = {
    "plan": READ_WRITE,
    "plan_referral": READ_WRITE,
    "plan_step": READ_ADD,
    "agreement": (*READ_ADD, "UPDATE (status, effective_on)"),
    "agreement_signature": READ_ADD,
    "known_case": READ_WRITE,
    "departed_case": READ_WRITE,
}
"""What the api and the worker do with the tables; nothing of it is ever deleted."""

if __name__ == "__main__":
    migrate_once(MIGRATIONS, Settings, RIGHTS)
