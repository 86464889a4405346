"""An operation's function with what it asks for: FastAPI's own work, prepared once per route.

FastAPI reads what a function wants and describes it; at each request it then finds out anew of what
kind everything is, which costs more than to do it. All operations of the house are of one form, so
that is settled when the route is made, and one of another form is refused then. Checks and errors
are FastAPI's: the same fields find the same faults in the same order.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from http import HTTPStatus
from inspect import iscoroutinefunction
from typing import Any, cast

from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_body_to_args, request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, serialize_response
from pydantic_core import PydanticUndefined
from starlette.requests import Request
from starlette.responses import Response

Call = Callable[..., Coroutine[Any, Any, Any]]

_NOT_ASKED = (
    "response_param_name",
    "background_tasks_param_name",
    "http_connection_param_name",
    "security_scopes_param_name",
)
"""What FastAPI could pass besides: refused, else an operation would be called without it."""


class _Asking:
    """A function of a route, an operation or what one depends on, and what it takes of the request."""

    def __init__(self, dependant: Dependant) -> None:
        self.call = _coroutine(dependant.call)
        self.name = dependant.name or ""
        self._request = dependant.request_param_name
        self._path = [(field, field.alias) for field in dependant.path_params]
        self._query = dependant.query_params
        self._headers = dependant.header_params
        if dependant.cookie_params or any(getattr(dependant, name) for name in _NOT_ASKED):
            raise TypeError(f"{self.call} asks for what no operation of the house needs")

    def arguments(self, request: Request, errors: list[Any]) -> dict[str, Any]:
        """Return what to call it with; what is wrong with the request is added to `errors`."""
        found: dict[str, Any] = {}
        for field, name in self._path:
            value, wrong = field.validate(request.path_params[name], {}, loc=("path", name))
            if wrong:
                errors += wrong
            else:
                found[field.name] = value
        if self._query:
            values, wrong = request_params_to_args(self._query, request.query_params)
            found |= values
            errors += wrong
        if self._headers:
            values, wrong = request_params_to_args(self._headers, request.headers)
            found |= values
            errors += wrong
        if self._request:
            found[self._request] = request
        return found


class Operation:
    """What a route does with a request whose body the edge has parsed; called with it, it answers.

    Raises RequestValidationError, as FastAPI's own would.
    """

    def __init__(self, route: APIRoute) -> None:
        """TypeError if it has another form than all.

        That is coroutines, at most one body, dependencies that depend on nothing, a model to answer with.
        """
        whole = route.dependant
        if (
            route.response_field is None
            or not isinstance(route.response_class, DefaultPlaceholder)
            or any(p.dependencies or p.body_params or not p.name for p in whole.dependencies)
            or len(whole.body_params) > 1
            or route._embed_body_fields  # noqa: SLF001  whether each parameter is a member of the body
        ):
            raise TypeError(f"{route.name} has another form than all operations")
        self._asking = _Asking(whole)
        self._parts = [_Asking(part) for part in whole.dependencies]
        self._body = whole.body_params
        self._status = route.status_code or HTTPStatus.OK
        self._serialize = partial(
            serialize_response,
            field=route.response_field,
            include=route.response_model_include,
            exclude=route.response_model_exclude,
            by_alias=route.response_model_by_alias,
            exclude_unset=route.response_model_exclude_unset,
            exclude_defaults=route.response_model_exclude_defaults,
            exclude_none=route.response_model_exclude_none,
            dump_json=True,
        )

    async def __call__(self, request: Request) -> Response:
        made = await self._asking.call(**await self._arguments(request))
        if isinstance(made, Response):
            return made
        content = await self._serialize(response_content=made)
        return Response(content, self._status, media_type="application/json")

    async def _arguments(self, request: Request) -> dict[str, Any]:
        errors: list[Any] = []
        found: dict[str, Any] = {}
        for part in self._parts:
            before = len(errors)
            arguments = part.arguments(request, errors)
            if len(errors) == before:
                found[part.name] = await part.call(**arguments)
        found |= self._asking.arguments(request, errors)
        body = None
        for field in self._body:
            if await request.body():
                body = await request.json()
                found[field.name], wrong = field.validate(body, {}, loc=("body",))
            else:
                values, wrong = await request_body_to_args(
                    [field], PydanticUndefined, embed_body_fields=False
                )
                found |= values
            errors += wrong
        if errors:
            raise RequestValidationError(errors, body=body)
        return found


def queries_of(dependant: Dependant) -> dict[str, bool]:
    """Return the query parameters a route and its dependencies take: name → may it be repeated."""
    found = {p.alias: "list[" in str(p.field_info.annotation) for p in dependant.query_params}
    for part in dependant.dependencies:
        found |= queries_of(part)
    return found


def _coroutine(call: Callable[..., Any] | None) -> Call:
    if not iscoroutinefunction(call) and not iscoroutinefunction(getattr(call, "__call__", None)):  # noqa: B004
        raise TypeError(f"{call} is no coroutine")
    return cast(Call, call)
