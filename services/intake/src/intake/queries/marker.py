from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from common.unit import Unit
from intake.domain.marker import Period
from intake.models import CaseMarker, CaseMarkerEnd


async def list_markers(unit: Unit, case_id: UUID) -> Sequence[Any]:
    """Return the markers of a case, oldest first, each with its `until`, `ended_by`, `ended_at`."""
    return await unit.rows(
        select(
            CaseMarker,
            CaseMarkerEnd.until,
            CaseMarkerEnd.recorded_by.label("ended_by"),
            CaseMarkerEnd.recorded_at.label("ended_at"),
        )
        .outerjoin(CaseMarkerEnd, CaseMarkerEnd.marker_id == CaseMarker.id)
        .where(CaseMarker.case_id == case_id)
        .order_by(CaseMarker.since, CaseMarker.recorded_at, CaseMarker.id)
    )


def as_period(row: Any) -> Period:  # noqa: ANN401  a row of CaseMarker with until
    return Period(row.id, row.marker, row.since, row.until)
