"""Every example body of the API is sent, and every operation answers as its description says."""

import json
from datetime import date, datetime
from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from common.events import Event
from tests.contracts.asyncapi import describe_events
from tests.kit import open_service
from tests.surface.operations import JSON, SERVICES, Operation, all_operations
from tests.surface.stage import Ready, Stage, builder_of, time_stands_still

FORMATS = FormatChecker(formats=())

MESSAGES = describe_events()["components"]["messages"]


@FORMATS.checks("uuid", raises=ValueError)
def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or str(UUID(value)) == value


@FORMATS.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    return not isinstance(value, str) or date.fromisoformat(value).isoformat() == value


@FORMATS.checks("date-time", raises=ValueError)
def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or (
        value.endswith("Z") and datetime.fromisoformat(value).tzinfo is not None
    )


CALLS = [
    pytest.param(operation, example, id=f"{operation}-{number}")
    for operation in all_operations()
    for number, example in enumerate(operation.examples or [None], 1)
]


@pytest.mark.row("F76", "X17")
@pytest.mark.parametrize(("operation", "example"), CALLS)
async def test_an_example_works_and_the_answer_is_as_described(
    operation: Operation, example: Any, tmp_path: Path
) -> None:
    """Seeded: rename a field of an answer's model in its route, or an example's code."""
    time_stands_still()
    async with open_service(operation.service, tmp_path) as kit:
        stage = Stage(kit)
        ready = await builder_of(operation)(stage, example)

        response = await stage.call(operation, ready, ready.by)

        status, schema = operation.success
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == JSON
        faults = faults_of(response.json(), schema, operation)
        assert faults == []
        await _has_its_headers(operation, ready, stage, response)
        for event in await kit.events():
            assert faults_of_event(event) == [], event.type


def test_no_builder_is_idle() -> None:
    """An operation without a builder fails its example; a builder without one is left over."""
    built = {
        (service, name)
        for service in SERVICES
        for name, each in vars(import_module(f"tests.surface.{service}")).items()
        if iscoroutinefunction(each) and not name.startswith("_")
    }
    assert built <= {(operation.service, operation.name) for operation in all_operations()}


async def _has_its_headers(
    operation: Operation, ready: Ready, stage: Stage, response: httpx.Response
) -> None:
    """A created record says where it is, a changed one at which version."""
    if operation.takes_version:
        assert response.headers["ETag"]
    if response.status_code == 201:
        found = await stage.request("GET", response.headers["Location"], ready.by)
        assert found.status_code == 200, response.headers["Location"]
        assert found.json()["id"] == response.json()["id"]


def faults_of(answer: Any, schema: dict[str, Any], operation: Operation) -> list[str]:
    """Return in what an answer is not what its schema says; a field not described is a fault."""
    root = _closed({**schema, "components": {"schemas": operation.components["schemas"]}})
    validator = Draft202012Validator(root, format_checker=FORMATS)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(answer)]


def faults_of_event(event: Event) -> list[str]:
    """Return in what an event is not what the published catalogue says of its type."""
    message = MESSAGES[event.type.replace(".", "_")]
    validator = Draft202012Validator(_closed(message["payload"]), format_checker=FORMATS)
    sent = json.loads(event.to_bytes())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(sent)]


def _closed(node: Any) -> Any:
    """Return the schema with every object closed against fields it does not name."""
    if isinstance(node, list):
        return [_closed(part) for part in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(part) for key, part in node.items()}
    if node.get("type") == "object" and "properties" in node:
        closed.setdefault("additionalProperties", False)
    return closed
