from uuid import UUID

from common.http import CurrentPrincipal, IfMatch, UnitDep, router
from common.http.request import HereDep
from intake.commands import marker as commands
from intake.commands.disclosure import disclose_marker, disclose_markers
from intake.schemas.marker import MarkerEnd, MarkerList, MarkerRead, MarkerRecord

markers = router(prefix="/v1/cases/{case_id}/markers", tags=["markers"])


@markers.post("", status_code=201)
async def record_marker(
    case_id: UUID, body: MarkerRecord, unit: UnitDep, principal: CurrentPrincipal, here: HereDep
) -> MarkerRead:
    """Record a population marker: a street child, a child who begs, unaccompanied ….

    Several may hold at once, each from its own day. A child's marker holds only while the person
    may be under 18 and ends with childhood by itself. Unaccompanied and separated exclude each
    other. What is recorded is never changed; an end is added to it. Ethnicity and health are no
    markers: see declarations. A marker of a data group your role may not know is refused.
    """
    return await commands.record_marker(unit, case_id, body, principal=principal, here=here)


@markers.get("")
async def list_markers(
    case_id: UUID, unit: UnitDep, principal: CurrentPrincipal, here: HereDep
) -> MarkerList:
    """List the markers of a case by their first day, ended ones with them.

    Only those of the data groups your role may know (code list population_markers, `data_group`).
    An organisation the case was referred to reads those of the groups that a consent in force opens
    to it.
    """
    found = await disclose_markers(unit, case_id, principal=principal, here=here)
    return MarkerList(items=tuple(found))


@markers.get("/{marker_id}")
async def get_marker(
    case_id: UUID, marker_id: UUID, unit: UnitDep, principal: CurrentPrincipal, here: HereDep
) -> MarkerRead:
    """Read one marker of a case; 404 for one the list would not show you."""
    return await disclose_marker(unit, case_id, marker_id, principal=principal, here=here)


@markers.post("/{marker_id}/end")
async def end_marker(
    case_id: UUID,
    marker_id: UUID,
    *,
    body: MarkerEnd,
    unit: UnitDep,
    principal: CurrentPrincipal,
    here: HereDep,
    expected: IfMatch,
) -> MarkerRead:
    """End a marker with the last day on which it was so. If-Match names the case's version."""
    return await commands.end_marker(
        unit,
        case_id,
        marker_id,
        until=body.until,
        principal=principal,
        here=here,
        expected=expected,
    )
