from typing import Annotated, cast

from fastapi import Depends, Request

from common.http.peers import speak
from common.http.request import runtime_of
from referral.domain.calendar import Calendar
from referral.settings import Settings


async def _calendar(request: Request) -> Calendar:
    settings = cast(Settings, runtime_of(request).settings)
    return Calendar(settings.country, settings.time_zone, settings.public_holidays)


async def _saying(request: Request) -> Calendar:
    await speak(request)
    return await _calendar(request)


CalendarDep = Annotated[Calendar, Depends(_calendar)]

SayingDep = Annotated[Calendar, Depends(_saying)]
"""The calendar, for a step of which the other country must hear."""
