"""`?fields=` on every reading of the four services, found by walking their applications (F78)."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.settings import ServiceName
from tests.kit import open_service
from tests.surface.operations import SERVICES, Operation, all_operations, operations
from tests.surface.stage import WHOLE_LIST, Ready, Stage, builder_of, time_stands_still

READINGS = [operation for operation in all_operations() if operation.method == "GET"]

NOTHING_TO_READ = {"analytics-list_changes", "intake-list_identification"}
"""Analytics tells audit heads only; a case begins without a decision on identification."""


@pytest.fixture(params=SERVICES)
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    time_stands_still()
    service: ServiceName = request.param
    async with open_service(service, tmp_path) as kit:
        yield Stage(kit)


def documented(operation: Operation) -> list[str]:
    names: list[str] = operation.parameters("query")["fields"]["schema"]["items"]["enum"]
    return names


def records_of(operation: Operation, answer: Any) -> list[Any]:
    """Return what the names are of: the items of a page, else the answer itself."""
    return answer["items"] if is_page(operation) else [answer]


def is_page(operation: Operation) -> bool:
    schema = operation.resolve(operation.success[1])
    return "items" in schema.get("properties", {}) and schema["properties"].keys() <= {
        "items",
        "next",
    }


def names_in(value: Any) -> Iterator[str]:
    """Yield the dotted names of all that stands in a JSON value."""
    if isinstance(value, list):
        for each in value:
            yield from names_in(each)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from (f"{name}.{below}" for below in names_in(inner))


def kept(value: Any, name: str) -> Any:
    """Return what shall be left of a JSON value when only `name` was asked for."""
    if isinstance(value, list):
        return [kept(each, name) for each in value]
    if not isinstance(value, dict):
        return value
    head, _, rest = name.partition(".")
    return {head: kept(value[head], rest) if rest else value[head]} if head in value else {}


def test_every_reading_takes_fields_and_names_them_in_its_description() -> None:
    # Fails for a reading outside the edge, and for an answer nobody has described.
    assert {str(operation) for operation in READINGS if documented(operation)} == {
        str(operation) for operation in READINGS
    }
    assert {operation.service for operation in READINGS} == {*SERVICES}


@pytest.mark.slow
@pytest.mark.row("F78")
async def test_every_reading_sends_only_the_fields_asked_for(stage: Stage) -> None:
    """Each documented name, asked for alone, leaves of the whole answer what stands there.

    Seeded: keep the answer as it is; keep the whole object above a dotted name; give a sparse
    answer another ETag.
    """
    for operation in operations(stage.kit.runtime.name):
        if operation.method != "GET":
            continue
        ready = await ready_for(operation, stage)
        whole = await ask(stage, operation, ready)
        assert whole.status_code == 200, f"{operation}: {whole.text}"
        records = records_of(operation, whole.json())
        present = set(names_in(records))

        assert records or str(operation) in NOTHING_TO_READ, operation
        # Below an object of free names, such as labels by language, the object is asked for whole.
        for name in sorted(present & {*documented(operation)}):
            sparse = await ask(stage, operation, ready, name)

            assert sparse.status_code == 200, f"{operation} {name}: {sparse.text}"
            left = records_of(operation, sparse.json())
            # The newest first: the log of who has read a case has the readings of this test too.
            seen = left[len(left) - len(records) :] if operation.name == "get_access_log" else left
            assert seen == kept(records, name), (operation, name)
            assert sparse.headers.get("ETag") == whole.headers.get("ETag"), operation
            if is_page(operation) and "next" in whole.json():
                assert sparse.json()["next"] == whole.json()["next"], operation
        top = {name for name in present if "." not in name}
        assert top <= {*documented(operation)}, operation


@pytest.mark.row("F78")
async def test_every_reading_refuses_a_field_it_has_not(stage: Stage) -> None:
    """Seeded: pass over a name that is not known; the caller takes the gap for an empty field."""
    for operation in operations(stage.kit.runtime.name):
        if operation.method != "GET":
            continue
        ready = await ready_for(operation, stage)
        good = documented(operation)[0]
        for bad in (
            "nothing",
            "",
            f"{good},",
            f"{good}.nothing",
            f"{good},,{good}",
            "*",
            "id " * 99,
        ):
            answer = await ask(stage, operation, ready, bad)

            shown = (answer.status_code, answer.json().get("code"))
            assert shown == (400, "fields.unknown"), f"{operation} {bad}: {answer.text}"
        twice = await ask(stage, operation, ready, [good, good])
        assert (twice.status_code, twice.json()["code"]) == (400, "query.invalid"), operation


async def test_an_entry_names_what_was_opened_although_less_was_sent(tmp_path: Path) -> None:
    """Seeded: let the parameter reach the query, so that a reading without names leaves no entry."""
    time_stands_still()
    async with open_service("intake", tmp_path) as kit:
        stage = Stage(kit)
        [operation] = [o for o in operations("intake") if o.name == "get_identity"]
        ready = await ready_for(operation, stage)
        await ask(stage, operation, ready)
        await ask(stage, operation, ready, "case_id")

        whole, sparse = (await kit.audit(action="read", operation="get_identity"))[-2:]
        assert whole.data_groups == sparse.data_groups != []


async def test_one_answer_with_many_fields_is_put_together_once(tmp_path: Path) -> None:
    # Fails when the second name of an object replaces the first, or undoes the object itself.
    async with open_service("analytics", tmp_path) as kit:
        client = kit.stranger()
        url = "/v1/codelists/urgency?fields="

        parts = (await client.get(f"{url}items.code,codelist,items.labels")).json()
        both = (await client.get(f"{url}items.label,items.code")).json()
        everything = (await client.get(f"{url}items.code,items")).json()

    assert set(parts) == {"codelist", "items"}
    assert {"code", "label", "labels", "attributes"} <= set(everything["items"][0])
    assert {frozenset(item) for item in parts["items"]} == {frozenset({"code", "labels"})}
    assert {frozenset(item) for item in both["items"]} == {frozenset({"code", "label"})}
    assert json.dumps(parts["items"][0]["labels"]) != "{}"


async def ready_for(operation: Operation, stage: Stage) -> Ready:
    return await builder_of(operation)(stage, next(iter(operation.examples), None))


async def ask(
    stage: Stage, operation: Operation, ready: Ready, fields: str | list[str] | None = None
) -> Any:
    query: dict[str, str | list[str]] = {}
    if "cursor" in operation.parameters("query"):
        query.update(WHOLE_LIST)
    query.update(ready.query)
    if fields is not None:
        query["fields"] = fields
    path = operation.path.format(**ready.path)
    return await stage.request("GET", path, ready.by, params=query)
