"""Bring the database to this release, once: `python -m referral.migrate`."""

from pathlib import Path

from common.migrations import folder_of, migrate_once
from common.migrations.rights import READ_ADD, READ_WRITE, Rights
from referral.settings import Settings

MIGRATIONS: Path = folder_of(__file__)

RIGHTS: Rights = {
    "organisation": READ_WRITE,
    "service": READ_WRITE,
    "referral": READ_WRITE,
    "cross_border_referral": READ_WRITE,
    "letter": READ_WRITE,
    # What was said stays as it was said: a statement is signed once, a receipt comes again.
    "custody": (*READ_ADD, "UPDATE (statement, hash, kid, signature)"),
    "known_case": READ_WRITE,
    "known_consent": READ_WRITE,
}
"""What the api and the worker do with the tables; nothing of it is ever deleted."""

if __name__ == "__main__":
    migrate_once(MIGRATIONS, Settings, RIGHTS)
