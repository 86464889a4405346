"""An outbox with the indexes that are read, over the rows that have something in them. History: never edited."""

import sqlalchemy as sa
from alembic import op


def create() -> None:
    with op.batch_alter_table("outbox_message") as table:
        table.drop_constraint("uq_outbox_message_event_id", type_="unique")
        table.drop_constraint("uq_outbox_message_feed_position", type_="unique")
        table.drop_index("ix_outbox_message_other_organisation_id")
        for name, column, unique in (
            ("uq_outbox_message_feed_position", "feed_position", True),
            ("ix_outbox_message_other_organisation_id", "other_organisation_id", False),
        ):
            there = sa.column(column).is_not(None)
            table.create_index(
                name, [column], unique=unique, sqlite_where=there, postgresql_where=there
            )


def drop() -> None:
    with op.batch_alter_table("outbox_message") as table:
        table.drop_index("ix_outbox_message_other_organisation_id")
        table.drop_index("uq_outbox_message_feed_position")
        table.create_index("ix_outbox_message_other_organisation_id", ["other_organisation_id"])
        table.create_unique_constraint("uq_outbox_message_feed_position", ["feed_position"])
        table.create_unique_constraint("uq_outbox_message_event_id", ["event_id"])
