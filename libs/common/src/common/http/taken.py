"""Ids that are taken: see docs/decisions/0006."""

from uuid import UUID

from sqlalchemy import Column, select

from common.errors import ConflictError
from common.tables import CommonBase, OutboxMessage
from common.unit import Step, Unit


class TakenError(ConflictError):
    """A record with this id is there; the answer says only that."""

    def __init__(self, *, table: str, id: UUID) -> None:  # noqa: A002
        super().__init__("already_exists")
        self.table = table
        self.id = id


async def refuse_taken(unit: Unit) -> None:
    """Raise TakenError if a row handed over as new has the id of a record that is there.

    The events of a record stand under its id, so no record of another kind may have it either.
    """
    outbox = OutboxMessage.__table__
    telling = {step.values.get("subject") for step in unit.steps if step.table is outbox}
    for step in unit.steps:
        column = _chosen_id(step)
        if column is None:
            continue
        id_ = step.values[column.key]
        told = select(OutboxMessage.id).where(OutboxMessage.subject == id_).limit(1)
        is_there = await unit.rows(select(column).where(column == id_))
        if is_there or (id_ in telling and await unit.rows(told)):
            raise TakenError(table=step.table.name, id=id_)


def _chosen_id(step: Step) -> Column[UUID] | None:
    """Return the column of a new row in which an id from outside may stand."""
    if step.kind != "insert":
        return None
    column = step.table.c.get("id")
    is_ours = step.table.metadata is not CommonBase.metadata
    return column if is_ours and isinstance(step.values.get("id"), UUID) else None
