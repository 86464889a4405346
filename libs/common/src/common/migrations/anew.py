"""A service that keeps what the others tell forgets it, to be told again; its audit trail stays."""

from collections.abc import Iterable

from sqlalchemy import create_engine, delete, insert, select, table, update
from sqlalchemy.pool import NullPool

from common.clock import utcnow
from common.tables import (
    AuditEntry,
    ConsumerPosition,
    InboxAggregate,
    InboxMessage,
    InboxPending,
)
from common.unit import SYSTEM


def forget(url: str, facts: Iterable[str]) -> None:
    """Empty the tables `facts` and what is known of events seen, and say so in the audit trail.

    The positions in the log stay: what is sent again stands behind them. A worker that runs
    meanwhile loses its partitions, and what it has under way is taken back.
    """
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    with engine.begin() as connection:
        # First of all: whoever committed before is seen by what follows, and nobody does after it.
        epoch = ConsumerPosition.owner_epoch
        connection.execute(update(ConsumerPosition).values(owner_epoch=epoch + 1))
        topics = connection.scalars(select(ConsumerPosition.topic).distinct()).all()
        for name in facts:
            connection.execute(delete(table(name)))
        for inbox in (InboxPending, InboxMessage, InboxAggregate):
            connection.execute(delete(inbox))
        connection.execute(
            insert(AuditEntry).values(
                at=utcnow(),
                actor=SYSTEM.subject,
                action="forget",
                operation="anew",
                object_type=ConsumerPosition.__tablename__,
                object_ids=sorted(topics),
                data_groups=[],
                decision="allow",
                trace_id="",
            )
        )
    engine.dispose()
