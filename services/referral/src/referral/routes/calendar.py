from typing import Annotated, cast

from fastapi import Depends, Request

from common.http.request import runtime_of
from referral.domain.calendar import Calendar
from referral.settings import Settings


async def calendar_of(request: Request) -> Calendar:
    settings = cast(Settings, runtime_of(request).settings)
    return Calendar(settings.country, settings.time_zone, settings.public_holidays)


CalendarDep = Annotated[Calendar, Depends(calendar_of)]
