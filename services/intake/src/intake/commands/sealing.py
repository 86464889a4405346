"""Sealing and opening the texts of one row, each for its own place in it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.orm import DeclarativeBase

from common.clock import utcnow
from common.errors import NotFoundError
from common.sealing import SubjectBox
from common.unit import Sealed, Unit
from intake.domain.identity import DATA_GROUPS
from intake.models import CaseIdentity

_LISTS = frozenset({"other_names", "phones", "documents"})


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


def seal_identity(box: SubjectBox, case_id: UUID, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of an identity, each field as JSON; None for one with nothing in it."""
    texts = {
        name: json.dumps(value, ensure_ascii=False) if value else None
        for name, value in fields.items()
    }
    return seal(box, CaseIdentity, case_id, **texts)


def keep_identity(
    unit: Unit, box: SubjectBox, case_id: UUID, fields: Mapping[str, Any], *, legal_basis: str
) -> None:
    """Hand over who the person of a case is, in place of what was known, with its audit entry."""
    unit.put(
        CaseIdentity,
        case_id=case_id,
        recorded_at=utcnow(),
        **seal_identity(box, case_id, fields),
    )
    unit.audit(
        "write",
        CaseIdentity.__tablename__,
        [str(case_id)],
        about=case_id,
        data_groups=sorted(DATA_GROUPS),
        legal_basis=legal_basis,
    )


def open_identity(box: SubjectBox, identity: CaseIdentity, names: Iterable[str]) -> dict[str, Any]:
    """Return the named fields of an identity; an empty list where there is none of a kind."""
    fields = {}
    for name in names:
        text = open_sealed(box, CaseIdentity, identity.case_id, name, getattr(identity, name))
        value = None if text is None else json.loads(text)
        fields[name] = (value or ()) if name in _LISTS else value
    return fields
