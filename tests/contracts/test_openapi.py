"""The API descriptions: valid, whole, bounded, and what the services serve."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Mount, Route

from common import messages
from common.settings import PORTS, ServiceName
from tests.contracts.openapi import FOLDER, stale
from tests.kit import open_service
from tests.surface.fields import fields
from tests.surface.operations import (
    JSON,
    PROBLEM,
    SERVICES,
    Operation,
    all_operations,
    application,
    authorisation,
    description,
    operations,
)

OPERATIONS = [pytest.param(operation, id=str(operation)) for operation in all_operations()]
WITH_BODY = [
    pytest.param(operation, id=str(operation)) for operation in all_operations() if operation.body
]


@pytest.mark.row("F76")
@pytest.mark.parametrize("service", SERVICES)
def test_a_description_is_valid_openapi_3_1(service: ServiceName) -> None:
    """Seeded: a `$ref` into nowhere, a path parameter that the path lacks."""
    document = description(service)

    assert document["openapi"].startswith("3.1.")
    assert [str(fault) for fault in OpenAPIV31SpecValidator(document).iter_errors()] == []


@pytest.mark.row("F76", "X17")
@pytest.mark.row("X17")
def test_the_published_files_are_what_the_code_says() -> None:
    """Seeded: change a route's docstring, or add an event, without `make api-docs`."""
    assert stale() == [], "run `make api-docs`"


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_serves_its_description(service: ServiceName, tmp_path: Path) -> None:
    """Seeded: include the change feed's router, whose routes are then described as they first were."""
    async with open_service(service, tmp_path) as kit:
        await kit.stranger().get("/v1/changes")
        served = await kit.stranger().get("/openapi.json")

    assert served.json() == description(service)


# --- nothing is left out


@pytest.mark.row("F76")
@pytest.mark.parametrize("service", SERVICES)
def test_every_route_under_v1_is_described(service: ServiceName) -> None:
    """Seeded: `include_in_schema=False` on a route, or `app.add_route("/v1/…")`."""
    routed = {
        (method, path)
        for method, path in _routed(application(service).routes)
        if path.startswith("/v1")
    }
    described = {(operation.method, operation.path) for operation in operations(service)}

    assert routed == described
    assert all(path.startswith("/v1/") for _, path in described)


def _routed(routes: Any) -> Iterator[tuple[str, str]]:
    """Yield method and path of everything that answers, whatever kind of route it is."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _routed(inner.routes)
        elif isinstance(route, Route | APIRoute):
            yield from ((method, route.path) for method in (route.methods or set()) - {"HEAD"})
        else:
            assert isinstance(route, Mount), f"{route}: what does it answer?"
            yield "GET", route.path


@pytest.mark.parametrize("service", SERVICES)
def test_operations_have_names_of_their_own_and_rows(service: ServiceName) -> None:
    """The authorisation table and the description name the same operations."""
    names = [operation.name for operation in operations(service)]

    assert len(names) == len(set(names))
    assert set(names) == set(authorisation(service))


# --- each says what a caller needs


@pytest.mark.row("F76")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_says_what_a_caller_needs_to_know(operation: Operation) -> None:
    """Seeded: a route without docstring; a problem response without its media type."""
    about = operation.about
    is_public = authorisation(operation.service)[operation.name] == "PUBLIC"

    assert about["summary"]
    assert len(about["description"]) > 20
    assert about["tags"]
    assert bool(about.get("security")) == (not is_public)
    for place in ("path", "query", "header"):
        for name, parameter in operation.parameters(place).items():
            assert parameter.get("description") or place == "path", f"no description of {name}"
            assert parameter["schema"], name


@pytest.mark.row("F79")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_names_its_problems(operation: Operation) -> None:
    """Seeded: drop a status from `common.http.openapi`."""
    responses = operation.about["responses"]
    expected = {"400", "503"}
    if authorisation(operation.service)[operation.name] != "PUBLIC":
        expected |= {"401", "403"}
    if operation.parameters("path"):
        expected |= {"404", "422"}
    if operation.is_write:
        expected |= {"408", "409", "413", "415", "422"}
    if operation.takes_version:
        expected |= {"412", "428"}

    assert expected <= responses.keys()
    for status, response in responses.items():
        assert response["description"]
        if status >= "4":
            assert response["content"][PROBLEM]["schema"] == {
                "$ref": "#/components/schemas/Problem"
            }


@pytest.mark.row("F79")
@pytest.mark.parametrize("service", SERVICES)
def test_the_codes_of_problems_are_published(service: ServiceName) -> None:
    """Seeded: leave the codes of a domain out; programs decide by them."""
    problem = description(service)["components"]["schemas"]["Problem"]
    sentences = messages.catalogue("en")

    assert problem["properties"]["code"]["x-codes"] == {
        key: sentence
        for key, sentence in sentences.items()
        if key.partition(".")[0] not in {"title", "ui"}
    }


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_write_says_how_it_is_repeated_and_made_on_what(operation: Operation) -> None:
    """A POST has its key, a change its version, every write its rehearsal."""
    headers = {name.lower(): each for name, each in operation.parameters("header").items()}
    is_change = operation.method in {"PUT", "PATCH"}

    assert ("idempotency-key" in headers) == (operation.method == "POST")
    assert ("validate_only" in operation.parameters("query")) == operation.is_write
    assert operation.takes_version or not is_change
    assert all(
        headers[name]["required"] for name in ("idempotency-key", "if-match") if name in headers
    )


@pytest.mark.row("F76")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_names_the_roles_that_may_call_it(operation: Operation) -> None:
    """Seeded: a table in words beside authz.json; a role left out of the sentence."""
    row = authorisation(operation.service)[operation.name]
    told = operation.about["description"].partition("Roles: ")[2]

    if isinstance(row, str):
        assert "x-roles" not in operation.about
        assert told == ""
    else:
        wanted = {role: sorted(relations) for role, relations in row.items()}
        assert operation.about["x-roles"] == wanted
        assert set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)*\b", told)) == set(row)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_version_is_described_as_it_must_be_sent(operation: Operation) -> None:
    """Seeded: leave FastAPI's nullable string, which any text fits."""
    headers = {name.lower(): each for name, each in operation.parameters("header").items()}
    if "if-match" not in headers:
        return
    schema = headers["if-match"]["schema"]

    assert schema["type"] == "string"
    assert all(re.fullmatch(schema["pattern"], good) for good in ('"7"', *schema["examples"]))
    assert not any(re.fullmatch(schema["pattern"], bad) for bad in ("7", 'W/"7"', "*", '"7","8"'))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_answer_to_a_check_is_described(operation: Operation) -> None:
    """Seeded: describe only the answer to the act; a generated client cannot read the other."""
    is_bulk = "207" in operation.about["responses"]

    assert operation.documents(200, validate_only=True) == (operation.is_write and not is_bulk)


# --- the forms of answers

TIME = re.compile(r"(.*_)?at|respond_by|as_of")
DAY = re.compile(r".*_on|on|valid_from|valid_to")
CODED = frozenset(
    {"status", "phase", "from_phase", "to_phase", "leads_to", "side", "step", "service_type"}
    | {"action", "direction", "urgency", "sex", "sexes", "age_group", "age_groups", "kind"}
    | {"sector", "country", "purpose", "data_groups", "trm_stage", "accessibility", "party"}
    | {"closure_reason", "legal_basis", "identification_status", "beneficiary_kind", "decision"}
)
"""Fields whose values come from a closed set, whatever record they are of."""

OPEN = frozenset(
    {
        ("AccessRead", "action"),
        ("NoticeBulkResult", "status"),
        ("Problem", "status"),
        ("Statement", "kind"),
    }
)
"""Words of the audit trail, HTTP statuses, and letters, of which a newer release has more."""


@pytest.mark.row("F76")
@pytest.mark.parametrize("service", SERVICES)
def test_a_field_says_the_form_of_its_values(service: ServiceName) -> None:
    """Seeded: `status: str` in a ReadModel; take the format from `Instant`'s answers."""
    schemas = description(service)["components"]["schemas"]
    faults = [
        f"{schema}.{name}"
        for schema, about in schemas.items()
        for name, field in about.get("properties", {}).items()
        if (schema, name) not in OPEN
        for option in _options(field, schemas)
        if option.get("type") == "string" and not _has_form(name, option)
    ]

    assert faults == []


def _options(field: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a value may be, the items of a list too; a list's own marks are theirs."""
    if "$ref" in field:
        field = {**schemas[field["$ref"].rpartition("/")[2]], **field}
        del field["$ref"]
    marks = {key: field[key] for key in ("x-codelist",) if key in field}
    for option in (*field.get("anyOf", ()), *([field["items"]] if "items" in field else ())):
        for below in _options(option, schemas):
            yield {**below, **marks}
    if "anyOf" not in field:
        yield dict(field)


def _has_form(name: str, option: Mapping[str, Any]) -> bool:
    if TIME.fullmatch(name):
        return option.get("format") == "date-time"
    if DAY.fullmatch(name):
        return option.get("format") == "date"
    return name not in CODED or bool({"enum", "const", "x-codelist"} & option.keys())


# --- what outsiders can follow

PRIVATE = re.compile(r"domain\.md|domain rule|\([FXT][0-9]+[,)]|architecture\.md", re.IGNORECASE)
"""References to papers and numbers that only their authors have."""


def test_what_is_published_refers_to_public_sources_only() -> None:
    """Seeded: "(F1)" in a route's docstring; "domain.md section 4" in a schema's."""
    found = {path.name: PRIVATE.findall(path.read_text()) for path in FOLDER.glob("*.json")}

    assert found
    assert {name: places for name, places in found.items() if places} == {}


# --- bodies


@pytest.mark.row("F76")
@pytest.mark.parametrize("operation", WITH_BODY)
def test_a_body_has_examples_that_are_what_its_schema_says(operation: Operation) -> None:
    """Seeded: a request model without `examples(…)`, or an example with a misspelt field."""
    body = operation.body
    assert body is not None
    validator = Draft202012Validator({**body, "components": operation.components})

    assert operation.about["requestBody"]["required"]
    assert list(operation.about["requestBody"]["content"]) == [JSON]
    assert operation.examples
    for example in operation.examples:
        assert [fault.message for fault in validator.iter_errors(example)] == []


@pytest.mark.parametrize("operation", WITH_BODY)
def test_a_body_is_closed_and_bounded(operation: Operation) -> None:
    """Nobody may send a field more, a text without end, a list without end, a number without end.

    Seeded: `BaseModel` for `StrictModel`; a `list[str]` without max_length.
    """
    assert operation.body is not None
    assert operation.body["additionalProperties"] is False
    faults = [
        f"{field}: {fault}"
        for field in fields(operation)
        for option in field.options
        for fault in _unbounded(option)
    ]
    assert faults == []


def _unbounded(option: Mapping[str, Any]) -> list[str]:
    closed = {"enum", "const", "format", "maxLength", "x-codelist"} & option.keys()
    has_end = {
        "string": bool(closed) or option.get("pattern", "").endswith("$"),
        "array": "maxItems" in option,
        "integer": {"minimum", "maximum"} <= option.keys(),
        "number": {"minimum", "maximum"} <= option.keys(),
        "object": option.get("additionalProperties") is False,
        "boolean": True,
    }
    kind: str = option["type"]
    return [] if has_end[kind] else [f"a {kind} without end"]


def test_a_description_holds_no_machine_and_no_person() -> None:
    """What is published names no host but the caller's own, no path of a machine."""
    for service in SERVICES:
        document = description(service)
        relative, local = document["servers"]
        assert (relative["url"], local["url"]) == ("/", f"http://127.0.0.1:{8001 + PORTS[service]}")
        text = json.dumps({k: v for k, v in document.items() if k != "servers"})
        assert "localhost" not in text
        assert "127.0.0.1" not in text
        assert "/tmp" not in text  # noqa: S108
