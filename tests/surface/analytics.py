"""How analytics comes to the state each of its operations needs."""

from typing import Any

from tests.surface.stage import Ready, Stage, Who

MINISTRY = Who("NATIONAL_COORDINATOR")


async def get_indicator(_: Stage, __: Any) -> Ready:
    return Ready(MINISTRY, path={"indicator": "persons-assisted"})


async def list_changes(_: Stage, __: Any) -> Ready:
    return Ready(MINISTRY)
