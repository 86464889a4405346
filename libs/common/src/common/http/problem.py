"""One rendering of errors: RFC 9457, in the caller's language, never an echo of what was sent."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from common import messages
from common.db import OUTAGE
from common.errors import ProblemError, UnavailableError
from common.http.methods import allowed

logger = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

# pydantic's error types → our stable codes; what is not listed is field.invalid.
FIELD_CODES = {
    "missing": "field.missing",
    "extra_forbidden": "field.unknown",
    "json_invalid": "body.not_json",
    "string_too_short": "field.length",
    "string_too_long": "field.length",
    "too_long": "field.length",
    "too_short": "field.length",
    "string_pattern_mismatch": "field.pattern",
    "enum": "field.choice",
    "literal_error": "field.choice",
    "greater_than_equal": "field.range",
    "less_than_equal": "field.range",
    "greater_than": "field.range",
    "less_than": "field.range",
    "code_unknown": "field.code_unknown",
    "text_unsafe": "field.text_unsafe",
    "time_in_future": "field.time_in_future",
    "edtf_invalid": "field.edtf_invalid",
    "id_not_random": "field.id_not_random",
}
_TYPE_ENDINGS = ("_type", "_parsing", "_from_float", "_attributes_type")
HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body.too_large",
}


class FieldProblem(BaseModel):
    """What is wrong with one field.

    `pointer` (RFC 6901) leads to it, or to the object around an unknown one; `location` says whether
    it is in the body, the query, a header or the path.
    """

    code: str
    pointer: str
    location: str
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details. Programs decide by `code`; `detail` is for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    trace_id: str
    errors: list[FieldProblem] = []


def render(
    request: Request,
    status: int,
    code: str,
    *,
    fields: Sequence[dict[str, str]] = (),
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
            {**f, "detail": messages.text(f["code"], language, **members)} for f in fields
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
        headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}.get(error.status)
        fields = (
            [{"code": error.code, "pointer": error.pointer, "location": "body"}]
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
    logger.error("request.failed", error=type(error).__name__)
    return render(request, 500, "internal")


def install(app: FastAPI) -> None:
    async def handler(request: Request, error: Exception) -> Response:
        return render_error(request, error)

    for kind in (ProblemError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handler)


def _invalid(request: Request, error: RequestValidationError) -> Response:
    fields = [field_problem(e) for e in error.errors()]
    code = "body.not_json" if any(f["code"] == "body.not_json" for f in fields) else "invalid"
    return render(request, 400 if code == "body.not_json" else 422, code, fields=fields[:50])


def field_problem(error: Mapping[str, Any]) -> dict[str, str]:
    """Return code, pointer and location of one of pydantic's errors, without what was sent."""
    kind = error["type"]
    code = FIELD_CODES.get(kind) or (
        "field.type" if kind.endswith(_TYPE_ENDINGS) else "field.invalid"
    )
    location, *path = error["loc"]
    if kind == "extra_forbidden":
        path = path[:-1]  # the field's name is the caller's text
    pointer = "".join(f"/{_escape(part)}" for part in path)
    return {"code": code, "pointer": pointer, "location": str(location)}


def _escape(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
