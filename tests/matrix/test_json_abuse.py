"""Whatever is sent in place of a good body is refused, said so politely, and leaves no trace.

Every field and object of every request body is found by walking the descriptions (T26, T29).
"""

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from common import messages
from common.settings import ServiceName
from common.tables import AuditEntry, CommonBase, OutboxMessage
from tests.kit import open_service
from tests.matrix.abuse import (
    MARK,
    NUMBER,
    Attack,
    attacks_by_size,
    attacks_on_fields,
    attacks_on_json,
    attacks_on_names,
)
from tests.surface.operations import PROBLEM, SERVICES, Operation, operations
from tests.surface.stage import Ready, Stage, builder_of, time_stands_still

LANGUAGES = ("sq", "sr-Cyrl", "ro")

MEMBERS = {"type", "title", "status", "code", "detail", "trace_id", "errors"}


@pytest.fixture(
    params=[service for service in SERVICES if any(o.body for o in operations(service))]
)
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    time_stands_still()
    service: ServiceName = request.param
    async with open_service(service, tmp_path) as kit:
        yield Stage(kit)


@pytest.mark.row("F79")
async def test_no_field_takes_what_it_is_not_for(stage: Stage) -> None:
    """Seeded: `int` without strict for an age; drop `clean_text` from ShortText; echo a value."""
    await _assert_refused(stage, attacks_on_fields)


@pytest.mark.row("F79")
async def test_nobody_sets_what_the_service_decides(stage: Stage) -> None:
    """Seeded: `extra="ignore"` in StrictModel, or a body that inherits BaseModel."""
    columns = frozenset(
        column.name
        for metadata in (CommonBase.metadata, _models(stage).metadata)
        for table in metadata.sorted_tables
        for column in table.columns
    )

    await _assert_refused(stage, lambda operation: attacks_on_names(operation, columns))


@pytest.mark.row("F79")
async def test_only_one_strict_json_object_is_read(stage: Stage) -> None:
    """Seeded: parse with plain `json.loads`: NaN, repeated names and depth get through."""
    await _assert_refused(stage, attacks_on_json)


async def test_a_body_at_the_edge_of_size_is_refused(stage: Stage) -> None:
    """Seeded: ask FastAPI for the body before its size is looked at."""
    limit = stage.kit.runtime.settings.max_body_bytes
    [first, *_] = [operation for operation in operations(stage.kit.runtime.name) if operation.body]

    await _assert_refused(stage, lambda o: attacks_by_size(limit) if o is first else [])


async def test_what_takes_no_body_does_not_ignore_one(stage: Stage) -> None:
    """Seeded: let the edge pass a body over to a route that has no use for it."""
    bare = [o for o in operations(stage.kit.runtime.name) if o.is_write and not o.body]
    ready = {operation: await builder_of(operation)(stage, None) for operation in bare}
    before = await _written(stage)

    for operation, call in ready.items():
        answer = await stage.call(operation, call, call.by, json={"status": MARK})

        assert (answer.status_code, answer.json()["code"]) == (422, "field.unknown"), operation
        assert MARK not in answer.text
        nothing = await stage.call(operation, call, call.by, validate_only=True, json={})
        assert nothing.status_code == 200, nothing.text
    assert await _written(stage) == before


# --- asking


@dataclass(frozen=True, slots=True)
class Trial:
    """One attack on one operation in one language."""

    operation: Operation
    ready: Ready
    attack: Attack
    language: str

    def __str__(self) -> str:
        return f"{self.operation} {self.attack.name} ({self.language})"


async def _assert_refused(stage: Stage, attacks_on: Any) -> None:
    writes = [operation for operation in operations(stage.kit.runtime.name) if operation.body]
    ready = {o: await builder_of(o)(stage, o.examples[0]) for o in writes}
    before = await _written(stage)
    languages = cycle(LANGUAGES)
    trials = [
        Trial(operation, ready[operation], attack, next(languages))
        for operation in writes
        for attack in attacks_on(operation)
    ]
    assert trials

    faults = [fault for trial in trials for fault in await _judge(stage, trial)]

    assert faults == [], f"{len(faults)} faults\n" + "\n".join(faults[:60])
    assert await _written(stage) == before


async def _judge(stage: Stage, trial: Trial) -> Iterable[str]:
    attack = trial.attack
    headers = {"Accept-Language": trial.language, "Content-Type": attack.content_type}
    answer = await stage.call(
        trial.operation, trial.ready, trial.ready.by, headers=headers, content=attack.content
    )
    found = list(_faults_of_item(answer, attack) if _is_bulk(answer) else _faults(answer, trial))
    if not trial.operation.documents(answer.status_code):
        found.append("has a status that is not in the description")
    if MARK in answer.text or str(NUMBER) in answer.text or MARK in str(answer.headers):
        found.append("echoes what was sent")
    return [f"{trial}: {fault}: {answer.text[:300]}" for fault in found]


def _faults(answer: httpx.Response, trial: Trial) -> Iterable[str]:
    """Yield in what the answer is no good refusal."""
    if not 400 <= answer.status_code < 500:
        yield f"answered {answer.status_code}"
        return
    if answer.headers["content-type"] != PROBLEM:
        yield "is no problem+json"
        return
    body = answer.json()
    language = answer.headers["content-language"]
    members = {name: value for name, value in body.items() if name not in MEMBERS}
    if language != trial.language:
        yield f"speaks {language}"
    if body["detail"] != messages.text(body["code"], trial.language, **members):
        yield "its detail is not the catalogue's"
    yield from _pointer_faults(body.get("errors", []), trial.attack)
    for error in body.get("errors", []):
        if error["detail"] != messages.text(error["code"], trial.language, **members):
            yield "a field's detail is not the catalogue's"


def _is_bulk(answer: httpx.Response) -> bool:
    return answer.status_code == 207


def _faults_of_item(answer: httpx.Response, attack: Attack) -> Iterable[str]:
    """Yield in what the first item of a bulk answer is no good refusal."""
    item = answer.json()["items"][0]
    if item["status"] != 422 or item["id"] is not None:
        yield f"took the item: {item['status']}"
    elif attack.pointer is not None:
        yield from _pointer_faults(item["errors"], attack, "/items/0")


def _pointer_faults(
    errors: list[dict[str, str]], attack: Attack, inside: str = ""
) -> Iterable[str]:
    """Yield what is wrong with the pointers; `inside` leads to the object they start from."""
    if attack.pointer is None:
        return
    body = json.loads(attack.content)
    places = {f"{inside}{error['pointer']}": error["code"] for error in errors}
    for place in places:
        if not _leads_somewhere(body, place):
            yield f"{place} leads nowhere"
    at = {
        code
        for place, code in places.items()
        if place == attack.pointer or place.startswith(f"{attack.pointer}/")
    }
    if not at:
        yield f"no pointer {attack.pointer}"
    elif attack.code and attack.code not in at:
        yield f"not {attack.code}"


def _leads_somewhere(body: Any, place: str) -> bool:
    """Tell whether a pointer leads to what was sent, or to a member an object of it lacks."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in place.split("/")[1:]]
    for number, step in enumerate(steps, 1):
        if isinstance(body, list) and step.isdigit() and int(step) < len(body):
            body = body[int(step)]
        elif isinstance(body, dict) and step in body:
            body = body[step]
        else:
            return isinstance(body, dict) and number == len(steps)
    return True


def _models(stage: Stage) -> Any:
    return import_module(f"{stage.kit.runtime.name}.models").Base


async def _written(stage: Stage) -> tuple[int, int]:
    """Return how many events there are, and how many entries of what was done."""
    counts = [
        select(func.count().label("number")).select_from(OutboxMessage),
        select(func.count().label("number")).where(
            AuditEntry.decision == "allow", AuditEntry.action != "check"
        ),
    ]
    events, entries = [(await stage.kit.rows(statement))[0].number for statement in counts]
    return events, entries
