"""Sealing and opening the texts of one row, each for its own place in it."""

from typing import Any
from uuid import UUID

from sqlalchemy.orm import DeclarativeBase

from common.errors import NotFoundError
from common.sealing import SubjectBox
from common.unit import Sealed, Unit


async def case_box(unit: Unit, case_id: UUID) -> SubjectBox:
    """Return the key of a case. It was made at the opening: without it the case is erased."""
    box = await unit.box(case_id)
    if box is None:
        raise NotFoundError
    return box


def seal(
    box: SubjectBox, model: type[DeclarativeBase], row: UUID, **texts: str | None
) -> dict[str, Any]:
    """Return the named columns of the row with their texts `Sealed`; None stays None."""
    table = model.__tablename__
    return {
        column: None if text is None else box.seal(text, table=table, row=row, column=column)
        for column, text in texts.items()
    }


def open_sealed(
    box: SubjectBox, model: type[DeclarativeBase], row: UUID, column: str, sealed: Sealed | None
) -> str | None:
    """Return the text of one column of the row; SealError if it was sealed for another place."""
    if sealed is None:
        return None
    return box.open(sealed, table=model.__tablename__, row=row, column=column)
