from datetime import date
from typing import Any
from uuid import UUID

from common.auth import Principal
from common.clock import utcnow
from common.contracts.intake import CaseMarkerEnded, CaseMarkerRecorded
from common.errors import ForbiddenError, NotFoundError
from common.events import EventData
from common.here import Here
from common.unit import Unit
from intake.domain import marker as domain
from intake.domain.age import Birth
from intake.domain.case import require_open
from intake.domain.marker import Period
from intake.models import Case, CaseMarker, CaseMarkerEnd
from intake.queries import case as cases
from intake.queries import marker as queries
from intake.schemas.marker import MarkerRead, MarkerRecord


async def record_marker(
    unit: Unit, case_id: UUID, body: MarkerRecord, *, principal: Principal, here: Here
) -> MarkerRead:
    """Add a marker to a case; earlier ones stay as they are.

    Raises ForbiddenError `data_group.closed` for a marker the role itself may not know.
    """
    case = await cases.get_for_step(unit, case_id, principal=principal)
    require_open(case.status)
    if domain.GROUP[body.marker] not in principal.data_groups:
        raise ForbiddenError("data_group.closed", pointer="/marker")
    new = Period(body.id, body.marker, body.since, body.until)
    domain.check_record(
        new,
        [queries.as_period(row) for row in await queries.list_markers(unit, case_id)],
        birth=(await cases.told_age(unit, case)).birth(),
        today=here.today,
    )
    events: list[EventData] = [
        CaseMarkerRecorded(case_id=case_id, marker_id=body.id, marker=body.marker, since=body.since)
    ]
    if body.until is not None:
        events.append(_ended(case_id, new, body.until))
    unit.change(Case, case, *events, about=case_id, updated_at=utcnow())
    unit.created_id = body.id
    row = unit.add(
        CaseMarker,
        id=body.id,
        case_id=case_id,
        marker=body.marker,
        since=body.since,
        recorded_by=principal.subject,
    )
    end = None if body.until is None else _end(unit, body.id, body.until, by=principal.subject)
    _note(unit, case, new)
    return _read(row, end)


async def end_marker(
    unit: Unit,
    case_id: UUID,
    marker_id: UUID,
    *,
    until: date | None,
    principal: Principal,
    here: Here,
    expected: int,
) -> MarkerRead:
    """End a marker with its last day, today if None. The marker's own row stays as it was."""
    case = await cases.get_for_step(unit, case_id, principal=principal, expected=expected)
    rows = [row for row in await queries.list_markers(unit, case_id) if row.id == marker_id]
    if not rows or domain.GROUP[rows[0].marker] not in principal.data_groups:
        raise NotFoundError
    period = queries.as_period(rows[0])
    domain.require_running(period)
    until = until or here.today
    birth = (await cases.told_age(unit, case)).birth()
    domain.check_end(period, until=until, birth=birth, today=here.today)
    unit.change(Case, case, _ended(case_id, period, until), about=case_id, updated_at=utcnow())
    end = _end(unit, marker_id, until, by=principal.subject)
    _note(unit, case, period)
    return _read(rows[0], end)


async def end_childhood(
    unit: Unit, case_id: UUID, birth: Birth | None, *, today: date, to_the_day: bool = False
) -> list[EventData]:
    """End the child's markers of a person who has come of age; return the events that tell of it.

    `to_the_day` as of `grown_out_of`.
    """
    recorded = [queries.as_period(row) for row in await queries.list_markers(unit, case_id)]
    ended = domain.grown_out_of(recorded, birth=birth, today=today, to_the_day=to_the_day)
    for period, until in ended:
        _end(unit, period.marker_id, until, by="system")
    return [_ended(case_id, period, until) for period, until in ended]


def _end(unit: Unit, marker_id: UUID, until: date, *, by: str) -> CaseMarkerEnd:
    return unit.add(CaseMarkerEnd, marker_id=marker_id, until=until, recorded_by=by)


def _ended(case_id: UUID, period: Period, until: date) -> CaseMarkerEnded:
    return CaseMarkerEnded(
        case_id=case_id, marker_id=period.marker_id, marker=period.marker, until=until
    )


def _note(unit: Unit, case: Case, period: Period) -> None:
    unit.audit(
        "write",
        CaseMarker.__tablename__,
        [str(period.marker_id)],
        about=case.id,
        data_groups=[domain.GROUP[period.marker]],
        legal_basis=case.legal_basis,
    )


def _read(row: Any, end: CaseMarkerEnd | None) -> MarkerRead:  # noqa: ANN401  a row of CaseMarker
    return MarkerRead(
        id=row.id,
        case_id=row.case_id,
        marker=row.marker,
        since=row.since,
        until=None if end is None else end.until,
        recorded_by=row.recorded_by,
        recorded_at=row.recorded_at,
        ended_by=None if end is None else end.recorded_by,
        ended_at=None if end is None else end.recorded_at,
    )
