"""What FastAPI cannot know of our manners, added to the OpenAPI description."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from common import messages
from common.auth import ALGORITHM, MAX_LIFETIME, TOKEN_TYPE
from common.http.guide import guide
from common.http.idempotency import REPEATED
from common.http.methods import operations
from common.http.problem import MEDIA_TYPE, Problem
from common.http.problems import codes
from common.http.route import PragRoute
from common.runtime import Runtime
from common.settings import PORTS, ServiceName, ServiceSettings

_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "Chosen by the caller, unique per act: printable ASCII without spaces. The same key and "
    "the same bytes from the same caller: the same answer within minutes, 409 within 24 hours.",
}
_VALIDATE_ONLY = {
    "name": "validate_only",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": "`true`: check everything, change nothing, answer 200 with `Valid`; a bulk call "
    "answers per item, as it would.",
}
_VALID = {
    "title": "Valid",
    "type": "object",
    "description": "The answer to `validate_only=true`: the call would have been taken.",
    "properties": {"valid": {"type": "boolean", "const": True}},
    "required": ["valid"],
    "additionalProperties": False,
}
_LANGUAGE = {
    "name": "Accept-Language",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "en, sq, sr-Latn, sr-Cyrl, mk, bs, ro or bg; decides the language of problem details. "
    "A near one is understood: `sr` is answered in sr-Latn, `hr` in bs.",
}
_VERSION = {"type": "string", "pattern": '^"[0-9]{1,18}"$', "examples": ['"7"']}
_HEADERS: dict[str, dict[str, Any]] = {
    "ETag": {
        "description": "The version of the record, in double quotes; If-Match of its next change. "
        "Not on the answer to `validate_only=true`.",
        "schema": _VERSION,
    },
    "Location": {
        "description": "Path of the record that was made.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Trace-Id": {
        "description": "Names this request in the logs; taken from `traceparent` if that was sent.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer"},
    },
    "WWW-Authenticate": {
        "description": "The scheme that is asked for.",
        "schema": {"type": "string", "const": "Bearer"},
    },
    "Content-Language": {
        "description": "The language of `title` and `detail`.",
        "schema": {"type": "string"},
    },
}
_RELATIONS = {
    "all": "every record of the country",
    "assigned": "cases assigned to the caller",
    "own": "what is its organisation's own or concerns it",
    "referred": "cases referred to its organisation",
    "shared": "what consent shares with its organisation",
}
_ALWAYS = {
    "400": "A parameter or header is not known, has the wrong form or is out of its bounds.",
    "503": "The service cannot keep its promises just now; nothing was changed. Try again later.",
}
_GUARDED = {
    "401": "No valid token.",
    "403": "The caller's role may not do this (`entitled` names those that may), or consent is missing.",
}
_BODY = {
    "400": "The body is missing or not strict JSON, or a parameter or header is wrong.",
    "408": "The body did not arrive in time.",
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
    runtime: Runtime = app.state.runtime
    rows = runtime.authorisation
    for route in operations(app).values():
        if isinstance(route, PragRoute):
            route.describe_fields()
    schema = get_openapi(
        title=app.title,
        version=app.version,
        description=guide(
            app.description,
            feed=list(rows.entitled("list_changes")),
            languages=list(messages.LANGUAGES),
            token_type=TOKEN_TYPE,
            algorithm=ALGORITHM,
            minutes=MAX_LIFETIME // 60,
            repeated=int(REPEATED.total_seconds()) // 60,
        ),
        routes=app.routes,
        openapi_version="3.1.0",
        tags=app.openapi_tags,
        servers=_servers(runtime.name),
    )
    components = schema.setdefault("components", {})
    components["headers"] = _HEADERS
    schemas = components.setdefault("schemas", {})
    definition = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(definition.pop("$defs", {}))
    definition["properties"]["code"] |= {
        "description": "Stable. `x-codes` lists every code with its English sentence; more may come.",
        "x-codes": codes(),
    }
    schemas["Problem"] = definition
    schemas["Valid"] = _VALID
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            public = rows.is_public(operation["operationId"])
            _complete(operation, method, path, public=public)
            if not public:
                _name_roles(operation, rows.entitled(operation["operationId"]))
            _declare_headers(operation, public=public)
    return schema


def _servers(name: ServiceName) -> list[dict[str, str]]:
    port = ServiceSettings.model_fields["port_base"].default + PORTS[name]
    return [
        {"url": "/", "description": "Where this description was read"},
        {"url": f"http://127.0.0.1:{port}", "description": "A trial on this machine: make run"},
    ]


def _complete(operation: dict[str, Any], method: str, path: str, *, public: bool) -> None:
    parameters = operation.setdefault("parameters", [])
    parameters.append(_LANGUAGE)
    problems = dict(_ALWAYS) | ({} if public else _GUARDED)
    if "{" in path:
        problems["404"] = "No such record, or none the caller may know of."
    if any(p["in"] == "path" for p in parameters):
        problems["422"] = "A parameter of the path has the wrong form."
    if method in {"post", "put", "patch", "delete"}:
        parameters.append(_VALIDATE_ONLY)
        _describe_valid(operation["responses"])
        problems |= _BODY | {"409": "The record's state does not allow this; `code` says why."}
        if method == "post":
            parameters.append(_IDEMPOTENCY)
    for parameter in parameters:
        if parameter["in"] == "header" and parameter["name"].lower() == "if-match":
            parameter |= {"required": True, "schema": _VERSION}
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


def _describe_valid(responses: dict[str, Any]) -> None:
    """Tell of the answer to a check beside the answer to the act, which may have the same status."""
    valid = {"$ref": "#/components/schemas/Valid"}
    if "207" in responses:
        return
    if "200" not in responses:
        content: dict[str, Any] = {"application/json": {"schema": valid}}
        responses["200"] = {"description": "With `validate_only=true`: it would be taken."}
        responses["200"]["content"] = content
        return
    content = responses["200"]["content"]["application/json"]
    content["schema"] = {"anyOf": [content["schema"], valid]}


def _name_roles(operation: dict[str, Any], entitled: dict[str, list[str]]) -> None:
    """Say who may call it, in words and as data, both from authz.json."""
    operation["x-roles"] = entitled
    alike: dict[tuple[str, ...], list[str]] = {}
    for role, relations in entitled.items():
        alike.setdefault(tuple(relations), []).append(role)
    roles = "; ".join(
        f"{', '.join(names)} ({' or '.join(_RELATIONS[each] for each in relations)})"
        for relations, names in alike.items()
    )
    words = operation.get("description", "").rstrip()
    operation["description"] = f"{words}\n\nRoles: {roles}. Others are answered 403 `forbidden`."


def _declare_headers(operation: dict[str, Any], *, public: bool) -> None:
    is_of_record = any(
        p["in"] == "path" and p["schema"].get("format") == "uuid" for p in operation["parameters"]
    )
    for status, response in operation["responses"].items():
        names = ["Trace-Id"]
        if status == "201":
            names += ["ETag", "Location"]
        elif (
            status == "200" and is_of_record and "201" not in operation["responses"] and not public
        ):
            names.append("ETag")
        if status >= "4":
            names.append("Content-Language")
        names += {"401": ["WWW-Authenticate"], "503": ["Retry-After"]}.get(status, [])
        declared = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        response["headers"] = declared | response.get("headers", {})
