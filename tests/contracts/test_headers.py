"""The headers a description declares are those the answers carry."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.clock import new_id
from tests.kit import open_service
from tests.surface.operations import Operation, all_operations
from tests.surface.stage import Stage, builder_of, time_stands_still

TOLD = ("etag", "location", "trace-id", "retry-after", "www-authenticate", "content-language")
"""The headers a caller's program acts on."""


@pytest.mark.parametrize(
    "operation", [pytest.param(operation, id=str(operation)) for operation in all_operations()]
)
async def test_an_answer_carries_the_headers_that_are_declared(
    operation: Operation, tmp_path: Path
) -> None:
    """Seeded: declare ETag on every answer; leave Location out of the answer to a creation."""
    time_stands_still()
    async with open_service(operation.service, tmp_path) as kit:
        answers = await _answers(Stage(kit), operation)

    assert answers[0].is_success, answers[0].text
    faults = [fault for answer in answers for fault in _faults(operation, answer)]
    assert faults == [], "\n".join(faults)


async def _answers(stage: Stage, operation: Operation) -> list[httpx.Response]:
    """Return the answer to the act itself, and those to a check of it and to faulty calls."""
    ready = await builder_of(operation)(stage, next(iter(operation.examples), None))
    path = operation.path.format(**ready.path)
    elsewhere = operation.path.format(
        **{**ready.path, **{name: str(new_id()) for name in operation.record_ids}}
    )
    checked = replace(ready, query={**ready.query, "validate_only": "true"})
    others = [
        await stage.request(operation.method, path, None),
        await stage.request(operation.method, path, ready.by, params={"zzz": "1"}),
        await stage.request(operation.method, elsewhere, ready.by),
        *([await stage.call(operation, checked, ready.by)] if operation.is_write else []),
    ]
    return [await stage.call(operation, ready, ready.by), *others]


def _faults(operation: Operation, answer: httpx.Response) -> list[str]:
    described: Mapping[str, Any] = operation.about["responses"].get(str(answer.status_code), {})
    declared = {name.lower() for name in described.get("headers", {})}
    if "validate_only=true" in str(answer.url) and answer.is_success:
        declared.discard("etag")  # of a version that was not made
    sent = {name for name in TOLD if name in answer.headers}
    where = f"{operation} {answer.status_code}"
    return [f"{where}: {name} sent, not declared" for name in sorted(sent - declared)] + [
        f"{where}: {name} declared, not sent" for name in sorted(declared - sent)
    ]
