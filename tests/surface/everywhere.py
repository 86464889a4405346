"""The operations all services share."""

from typing import Any

from tests.surface.stage import Ready, Stage, Who

ANYBODY = Who("ANALYST")


async def list_codelists(_: Stage, __: Any) -> Ready:
    return Ready(ANYBODY)


async def get_codelist(_: Stage, __: Any) -> Ready:
    return Ready(ANYBODY, path={"name": "urgency"})
