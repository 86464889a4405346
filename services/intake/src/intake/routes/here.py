"""The country a request is answered in."""

from typing import Annotated

from fastapi import Depends

from common.http.request import RuntimeDep
from intake.domain.here import Here


async def _here(runtime: RuntimeDep) -> Here:
    return Here(runtime.settings.country, runtime.settings.time_zone)


HereDep = Annotated[Here, Depends(_here)]
