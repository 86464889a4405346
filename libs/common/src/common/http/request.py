"""What a route may ask for: the Unit it writes with, the caller, the version the caller saw."""

import re
from datetime import date
from typing import Annotated

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPBearer

from common.auth import Principal
from common.errors import BadRequestError, PreconditionRequiredError
from common.here import Here
from common.runtime import Runtime
from common.unit import Unit

_ETAG = re.compile(r'"([0-9]{1,18})"')


def runtime_of(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


# Dependencies are coroutines although nothing is awaited: FastAPI sends plain functions through a
# thread each, which costs more than all they do.


async def _runtime(request: Request) -> Runtime:
    return runtime_of(request)


async def _here(request: Request) -> Here:
    return runtime_of(request).settings.here


async def _today(request: Request) -> date:
    return runtime_of(request).settings.here.today


async def _unit(request: Request) -> Unit:
    unit: Unit = request.state.unit
    return unit


class _Bearer(HTTPBearer):
    """The caller, whom the edge has verified; the base class only tells OpenAPI how."""

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override]
        principal: Principal = request.state.principal
        return principal


async def _expected_version(
    if_match: Annotated[
        str | None,
        Header(
            description="The version you read, in double quotes, as the answer's ETag has it: "
            '`"7"`. Exactly one; neither a weak one (`W/`) nor `*`.'
        ),
    ] = None,
) -> int:
    if if_match is None:
        raise PreconditionRequiredError("precondition.required")
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        raise BadRequestError("header.invalid", parameter="If-Match", form='"<version>"')
    return int(match[1])


UnitDep = Annotated[Unit, Depends(_unit)]
CurrentPrincipal = Annotated[Principal, Security(_Bearer(scheme_name="bearer", bearerFormat="JWT"))]
IfMatch = Annotated[int, Depends(_expected_version)]
RuntimeDep = Annotated[Runtime, Depends(_runtime)]
HereDep = Annotated[Here, Depends(_here)]
Today = Annotated[date, Depends(_today)]
