"""The calendar day of the country, which months and terms are counted by."""

from datetime import date
from typing import Annotated

from fastapi import Depends

from common.clock import local_date
from common.http.request import RuntimeDep


async def _today(runtime: RuntimeDep) -> date:
    return local_date(runtime.settings.time_zone)


Today = Annotated[date, Depends(_today)]
