"""One rendering of errors: RFC 9457, in the caller's language, never an echo of what was sent."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from common import messages
from common.db import OUTAGE
from common.errors import ProblemError, UnavailableError
from common.http.faults import POINTER, field_problems
from common.http.members import FIELD_MEMBERS, MEMBERS
from common.http.methods import allowed

logger = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
_MAX_FIELDS = 50

HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body.too_large",
}


# What is left of a body that came too late must not be taken for the next request.
_HEADERS = {
    401: {"WWW-Authenticate": "Bearer"},
    408: {"Connection": "close"},
    503: {"Retry-After": "5"},
}


def _with(members: Mapping[str, Any]) -> Callable[[dict[str, Any]], None]:
    def add(schema: dict[str, Any]) -> None:
        schema["properties"] |= members

    return add


class FieldProblem(BaseModel):
    """What is wrong with one field of the body, or with one parameter.

    A fault of the body has a `pointer`. That of an unknown field leads to the object around it,
    because the name it was sent under is not repeated; `known` then lists the fields of that object.
    A fault elsewhere names the `parameter` instead.
    """

    model_config = ConfigDict(json_schema_extra=_with({"pointer": POINTER, **FIELD_MEMBERS}))

    code: str
    location: str = Field(description="body, query, path or header")
    detail: str = Field(description="The sentence of `code`, in the language of the answer.")


class Problem(BaseModel):
    """RFC 9457 problem details. Programs decide by `code`; `detail` is for people.

    Beside the fields every problem has stand the members that its code brings along.
    """

    model_config = ConfigDict(json_schema_extra=_with(MEMBERS))

    type: str = Field(description="`/problems/{code}`; a `GET` there tells what the code means.")
    title: str
    status: int
    code: str
    detail: str = Field(description="A sentence in the language negotiated by Accept-Language.")
    trace_id: str = Field(description="Names this request in the service's logs.")
    errors: list[FieldProblem] = []


def render(
    request: Request,
    status: int,
    code: str,
    *,
    fields: Sequence[dict[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    language = messages.negotiate(request.headers.get("accept-language"))
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": messages.text(f"title.{status}", language),
        "status": status,
        "code": code,
        "detail": messages.text(code, language, **members),
        "trace_id": getattr(request.state, "trace_id", ""),
        **members,
    }
    if fields:
        body["errors"] = [
            {**f, "detail": messages.text(f["code"], language, **{**members, **f})} for f in fields
        ]
    return JSONResponse(
        body,
        status_code=status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", "Content-Language": language, **(headers or {})},
    )


def render_error(request: Request, error: Exception) -> Response:
    """Draw any error; one nobody expected becomes a 500 that says nothing but its trace id."""
    if isinstance(error, OUTAGE) and not isinstance(error, ProblemError):
        logger.error("database.unavailable", error=type(error).__name__)
        error = UnavailableError("unavailable")
    if isinstance(error, ProblemError):
        headers = _HEADERS.get(error.status)
        told = {k: v for k, v in error.members.items() if k in FIELD_MEMBERS}
        fields = (
            [{"code": error.code, "location": "body", "pointer": error.pointer, **told}]
            if error.pointer
            else ()
        )
        return render(
            request, error.status, error.code, fields=fields, headers=headers, **error.members
        )
    if isinstance(error, RequestValidationError):
        return _invalid(request, error)
    if isinstance(error, HTTPException):
        code = HTTP_CODES.get(error.status_code, "bad_request")
        # The router names the methods of the first route it met, not of all the path has.
        allow = {"Allow": allowed(request)} if code == "method_not_allowed" else None
        return render(request, error.status_code, code, headers=allow or error.headers)
    if isinstance(error, ClientDisconnect):
        logger.info("request.abandoned")  # in the middle of its body; nobody reads the answer
        return render(request, 400, "bad_request")
    logger.error("request.failed", error=type(error).__name__)
    return render(request, 500, "internal")


def install(app: FastAPI) -> None:
    async def handler(request: Request, error: Exception) -> Response:
        return render_error(request, error)

    for kind in (
        ProblemError,
        RequestValidationError,
        HTTPException,
        ClientDisconnect,
        Exception,
    ):
        app.add_exception_handler(kind, handler)


def _invalid(request: Request, error: RequestValidationError) -> Response:
    fields = field_problems(error.errors(), getattr(request.scope.get("route"), "body_field", None))
    shown = fields[:_MAX_FIELDS]
    codes = {field["code"] for field in fields}
    if "body.not_json" in codes:
        return render(request, 400, "body.not_json")
    if "body.missing" in codes:
        return render(request, 400, "body.missing")
    asked = [field["parameter"] for field in fields if field["location"] == "query"]
    if asked:
        return render(request, 400, "query.invalid", fields=shown, parameter=asked[0])
    return render(request, 422, "invalid", fields=shown)
