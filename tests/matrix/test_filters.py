"""One filter grammar: the same operators for the same kind of field in all services (F78)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from common.settings import ServiceName
from tests.kit import open_service
from tests.surface.operations import SERVICES, Operation, all_operations, operations
from tests.surface.stage import Stage, builder_of, time_stands_still

ORDERED = {"", "gte", "gt", "lte", "lt"}
OPERATORS = {
    "date": ORDERED,
    "date-time": ORDERED,
    "integer": ORDERED,
    "boolean": {""},
    "uuid": {"", "in"},
    "string": {"", "in"},
}
"""Kind of field, as the description names it → the operators it has, everywhere."""

GOOD = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "integer": "1",
    "boolean": "true",
    "uuid": "10000000-0000-4000-8000-000000000001",
    "string": "A",
}
OTHERS = {"limit", "cursor", "fields"}
SEARCH = {
    "find_services": {
        "sex",
        "age_group",
        "language",
        "accessibility",
        "has_places",
        "has_free_places",
    },
    "list_referrals": {"direction", "case_id"},
    "list_cross_border_referrals": {"case_id"},
}
"""Words of a search that is more than a comparison, such as whom a service would take."""


def filters(operation: Operation) -> dict[str, dict[str, Any]]:
    """Return the filters of a list: name with operator → its description."""
    found = operation.parameters("query")
    if operation.name == "list_changes" or "cursor" not in found:
        return {}
    without = OTHERS | SEARCH.get(operation.name, set())
    return {name: part for name, part in found.items() if name not in without}


def _kind(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    kind: str = schema.get("format", schema.get("type", "string"))
    return kind


LISTS = [operation for operation in all_operations() if filters(operation)]


def test_there_are_lists_with_filters_in_every_service_that_has_lists() -> None:
    # Fails when the walk below finds nothing to look at.
    assert {operation.service for operation in LISTS} == {"intake", "referral", "reintegration"}


@pytest.mark.row("F78")
@pytest.mark.parametrize("operation", LISTS, ids=str)
def test_a_kind_of_field_has_the_same_operators_wherever_it_stands(operation: Operation) -> None:
    """Seeded: leave `.in` out for one kind; give one service `.ne`."""
    described = filters(operation)
    fields = {name for name in described if "." not in name}

    assert fields
    for field in fields:
        kind = _kind(described[field])
        given = {n.partition(".")[2] for n in described if n.partition(".")[0] == field}
        assert given == OPERATORS[kind], f"{operation} {field}"
        for operator in given:
            name = f"{field}.{operator}" if operator else field
            assert described[name]["description"] == _meaning(operator), name


def _meaning(operator: str) -> str:
    """Return what the operator is said to mean; the same words everywhere."""
    found: set[str] = {
        o.parameters("query")[n]["description"]
        for o in LISTS
        for n in filters(o)
        if n.partition(".")[2] == operator
    }
    assert len(found) == 1, operator
    return found.pop()


@pytest.fixture(params=SERVICES)
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    time_stands_still()
    service: ServiceName = request.param
    async with open_service(service, tmp_path) as kit:
        yield Stage(kit)


@pytest.mark.row("F78")
async def test_every_filter_takes_a_good_value_and_refuses_a_bad_one(stage: Stage) -> None:
    """Seeded: describe a filter that is not applied; pass over a value that cannot be read."""
    for operation in operations(stage.kit.runtime.name):
        if not filters(operation):
            continue
        ready = await builder_of(operation)(stage, None)
        for name, part in filters(operation).items():
            field = operation.parameters("query")[name.partition(".")[0]]
            good = field["schema"].get("enum", [GOOD[_kind(field)]])[0]
            taken = await stage.request("GET", operation.path, ready.by, params={name: good})
            refused = await stage.request("GET", operation.path, ready.by, params={name: "\u202e"})

            assert taken.status_code == 200, f"{operation} {name}: {taken.text}"
            problem = refused.json()
            shown = (refused.status_code, problem["code"], problem["parameter"])
            assert shown == (400, "filter.invalid", name), f"{operation} {name}"
            assert part["description"]
