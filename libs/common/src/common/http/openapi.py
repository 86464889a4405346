"""What FastAPI cannot know of our manners, added to the OpenAPI description."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from common import messages
from common.http.problem import MEDIA_TYPE, Problem

_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "maxLength": 255},
    "description": "Chosen by the caller, unique per act. Same key and body within 24 hours: the same answer.",
}
_VALIDATE_ONLY = {
    "name": "validate_only",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": '`true`: check everything, change nothing, answer `{"valid": true}`.',
}
_LANGUAGE = {
    "name": "Accept-Language",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "en, sq, sr-Latn, sr-Cyrl, mk, bs, ro or bg; decides the language of problem details.",
}
_ALWAYS = {
    "400": "A query parameter is not known or cannot be read.",
    "503": "The service cannot keep its promises just now; nothing was changed. Try again later.",
}
_GUARDED = {"401": "No valid token.", "403": "The caller's role may not do this."}
_BODY = {
    "400": "The body is not strict JSON, or a query parameter is not known.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "A field breaks a rule; `errors` has a pointer and a code for each.",
}


def install(app: FastAPI) -> None:
    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]


def describe(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        openapi_version="3.1.0",
        tags=app.openapi_tags,
    )
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    definition = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(definition.pop("$defs", {}))
    definition["properties"]["code"] |= {
        "description": "Stable. `x-codes` lists every code with its English sentence; more may come.",
        "x-codes": _codes(),
    }
    schemas["Problem"] = definition
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    authorisation = app.state.runtime.authorisation
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            _complete(
                operation, method, path, public=authorisation.is_public(operation["operationId"])
            )
    return schema


def _codes() -> dict[str, str]:
    """Return the codes of problems and of fields; the other keys are words of pages."""
    sentences = messages.catalogue(messages.DEFAULT)
    return {
        code: sentence
        for code, sentence in sorted(sentences.items())
        if not code.startswith(("title.", "ui."))
    }


def _complete(operation: dict[str, Any], method: str, path: str, *, public: bool) -> None:
    parameters = operation.setdefault("parameters", [])
    parameters.append(_LANGUAGE)
    problems = dict(_ALWAYS) | ({} if public else _GUARDED)
    if "{" in path:
        problems["404"] = "No such record, or none the caller may know of."
    if any(p["in"] in {"query", "path"} for p in parameters):
        problems["422"] = "A parameter has the wrong form or is out of its bounds."
    if method in {"post", "put", "patch", "delete"}:
        parameters.append(_VALIDATE_ONLY)
        problems |= _BODY | {"409": "The record's state does not allow this; `code` says why."}
        if method == "post":
            parameters.append(_IDEMPOTENCY)
    for parameter in parameters:
        if parameter["in"] == "header" and parameter["name"].lower() == "if-match":
            parameter["required"] = True
            problems |= {
                "412": "The record has changed since; read it again.",
                "428": "If-Match is missing.",
            }
    responses = operation["responses"]
    responses.pop("422", None)
    for status, description in sorted(problems.items()):
        responses[status] = {
            "description": description,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
