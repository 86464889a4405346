"""Bring the database to this release, once: `python -m intake.migrate`."""

from pathlib import Path

from common.migrations import folder_of, migrate_once
from common.migrations.rights import READ_ADD, READ_WRITE, Rights
from intake.settings import Settings

MIGRATIONS: Path = folder_of(__file__)

RIGHTS: Rights = {
    "notice": READ_WRITE,
    "case_file": READ_WRITE,
    "case_identity": (*READ_WRITE, "DELETE"),
    "case_origin": READ_WRITE,
    "package_release": READ_ADD,
    "consent": READ_ADD,
    "consent_withdrawal": READ_ADD,
    "case_marker": (*READ_ADD, "DELETE"),
    "case_marker_end": (*READ_ADD, "DELETE"),
    "declaration": (*READ_ADD, "UPDATE (content, withdrawn_at)", "DELETE"),
    "identification_decision": (*READ_ADD, "UPDATE (note)"),
    "known_referral": READ_WRITE,
    "known_organisation": READ_WRITE,
    "known_transfer": READ_WRITE,
    "standing": READ_WRITE,
    "subject_key": (*READ_ADD, "DELETE"),
}
"""What the api and the worker do with the tables; only an erasure deletes."""

if __name__ == "__main__":
    migrate_once(MIGRATIONS, Settings, RIGHTS)
