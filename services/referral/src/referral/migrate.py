"""Bring the database to this release, once: `python -m referral.migrate`."""

from pathlib import Path

from common.migrations import folder_of, migrate_once
from common.migrations.rights import READ_ADD, READ_WRITE, SHARED, Rights
from referral.settings import Settings

MIGRATIONS: Path = folder_of(__file__)

RIGHTS: Rights = {
    "organisation": READ_WRITE,
    "service": READ_WRITE,
    "referral": READ_WRITE,
    "cross_border_referral": READ_WRITE,
    # A package of a person's data goes from what was told when she is erased.
    "outbox_message": (*SHARED["outbox_message"], "UPDATE (type, payload)"),
    "letter": (*READ_WRITE, "DELETE"),
    "owed_letter": (*READ_ADD, "DELETE"),
    # What was said stays as it was said: a statement is signed once, a receipt comes again. Of a
    # country put back that went on, what no peer had heard gives way, and is kept in `fork`.
    "custody": (*READ_ADD, "UPDATE (statement, hash, kid, signature)", "DELETE"),
    "fork": READ_ADD,
    "slip": (*READ_ADD, "DELETE"),
    "standing": READ_WRITE,
    "peer_to_hear": (*READ_WRITE, "DELETE"),
    "inbox_message": (*READ_ADD, "DELETE"),
    "known_case": READ_WRITE,
    "known_consent": READ_WRITE,
}
"""What the api and the worker do with the tables; nothing of a case is ever deleted."""

if __name__ == "__main__":
    migrate_once(MIGRATIONS, Settings, RIGHTS)
