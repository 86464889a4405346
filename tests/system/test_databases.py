"""Bringing an older database to this release: whole, or not at all."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from prag import databases
from prag.manifest import TroubleError

OLDER = '''"""{revision}."""
import sqlalchemy as sa
from alembic import op

revision, down_revision = {revision!r}, {before!r}
branch_labels = depends_on = None


def upgrade():
    {step}


def downgrade():
    pass
'''
STEPS = {
    "0001": "op.create_table('visit', sa.Column('id', sa.Integer, primary_key=True))",
    "0002": "op.add_column('visit', sa.Column('urgency', sa.String(20)))",
    "0003": "op.add_column('visit', sa.Column('due', sa.Date)); op.execute('DELETE FROM visit'); op.drop_table('nothing')",
}


def make_migrations(folder: Path, *revisions: str) -> Path:
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(
        "from sqlalchemy import MetaData\nfrom common.migrations import run\nrun(MetaData())\n"
    )
    before = None
    for revision in revisions:
        text = OLDER.format(revision=revision, before=before, step=STEPS[revision])
        (folder / "versions" / f"{revision}.py").write_text(text)
        before = revision
    return folder


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A database of the last release with one row in it."""
    path = tmp_path / "intake.db"
    databases.migrate(path, make_migrations(tmp_path / "v1", "0001"), tmp_path / "copy.db")
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT INTO visit VALUES (7)")
        database.commit()
    return path


def test_an_older_database_is_migrated_with_its_rows_and_a_copy_is_kept(
    older: Path, tmp_path: Path
) -> None:
    release = make_migrations(tmp_path / "v2", "0001", "0002")
    safe_copy = tmp_path / "backups" / "intake.db"
    assert databases.needs_migration(older, release)

    databases.migrate(older, release, safe_copy)

    assert not databases.needs_migration(older, release)
    assert rows(older) == [(7, None)]
    assert rows(safe_copy) == [(7,)]


def test_a_migration_that_fails_leaves_the_database_as_it_was(older: Path, tmp_path: Path) -> None:
    release = make_migrations(tmp_path / "v3", "0001", "0002", "0003")

    with pytest.raises(TroubleError, match="stands as it was before"):
        databases.migrate(older, release, tmp_path / "backups" / "intake.db")

    assert rows(older) == [(7,)]
    assert databases.needs_migration(older, release)


def rows(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT * FROM visit").fetchall()


def test_the_draft_of_a_killed_migration_is_thrown_away(older: Path, tmp_path: Path) -> None:
    release = make_migrations(tmp_path / "v2", "0001", "0002")
    draft = older.with_name(f".{older.name}")
    with closing(sqlite3.connect(draft)) as half:
        half.execute("CREATE TABLE visit (half INTEGER)")

    databases.migrate(older, release, tmp_path / "backups" / "intake.db")

    assert rows(older) == [(7, None)]
    assert not draft.exists()
