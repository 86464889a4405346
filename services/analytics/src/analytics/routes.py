from typing import Annotated, Literal

from fastapi import Query

from analytics import queries
from analytics.domain import PERSONS_ASSISTED, PERSONS_AT_RISK_ASSISTED, SECONDARY_BENEFICIARIES
from analytics.schemas import IndicatorRead
from common.http import CurrentPrincipal, UnitDep, router
from common.schema import PastInstant

indicators = router(prefix="/v1/indicators", tags=["indicators"])

INDICATORS = {
    "persons-assisted": PERSONS_ASSISTED,
    "persons-at-risk-assisted": PERSONS_AT_RISK_ASSISTED,
    "secondary-beneficiaries": SECONDARY_BENEFICIARIES,
}
IndicatorName = Literal["persons-assisted", "persons-at-risk-assisted", "secondary-beneficiaries"]


@indicators.get("/{indicator}")
async def get_indicator(
    indicator: IndicatorName,
    unit: UnitDep,
    _principal: CurrentPrincipal,
    as_of: Annotated[
        PastInstant | None, Query(description="Compute over what had happened by this time")
    ] = None,
) -> IndicatorRead:
    """Read a national indicator: exact numbers by year, sex and age group, and by marker.

    Persons assisted counts distinct cases of presumed and identified victims, each once, in the
    year in which their first plan was started. Persons at risk and secondary beneficiaries are
    counted apart and never added to it. The answer carries the formula's version and the data cut:
    equal `query_hash` means equal numbers, and an event that arrives late changes the hash. Exact numbers stay inside the ministry.
    """
    figure = await queries.get_figure(unit, INDICATORS[indicator], as_of)
    unit.audit("read", "indicator", [indicator])
    return IndicatorRead.of(figure)
