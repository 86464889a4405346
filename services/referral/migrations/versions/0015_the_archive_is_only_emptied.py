"""the archive is only emptied."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # The application may update both columns, for this one change.
        op.execute(
            "CREATE TRIGGER only_emptied BEFORE UPDATE OF type, payload ON outbox_message FOR EACH ROW "
            "WHEN (OLD.type <> 'referral.referral.package_received.v1' "
            "OR NEW.type <> 'referral.referral.emptied.v1') EXECUTE FUNCTION prag_refuse()"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER only_emptied ON outbox_message")
