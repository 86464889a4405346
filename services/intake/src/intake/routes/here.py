"""The country a request is answered in."""

from typing import Annotated

from fastapi import Depends, Request

from common.http.request import runtime_of
from intake.domain.here import Here


async def _here(request: Request) -> Here:
    runtime = runtime_of(request)
    return Here(runtime.settings.country, runtime.settings.time_zone)


HereDep = Annotated[Here, Depends(_here)]
