"""Who may do what to which record: every operation, role and relation, against authz.json (T28).

What is expected comes from the table as data; what is found comes from calls. Where a role may do
something only to some records, a record it may not know of is answered with the same bytes as one
that does not exist.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from common.clock import new_id
from common.codelists import codes
from common.settings import ServiceName
from tests.kit import open_service
from tests.surface.operations import SERVICES, Operation, authorisation, operations
from tests.surface.stage import (
    IDENTITIES,
    Answer,
    Ready,
    Stage,
    Who,
    builder_of,
    time_stands_still,
)

OK: Answer = (200, "")

CHANGING = {"trace-id", "date"}
"""Headers that differ between any two answers."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One question of the matrix."""

    operation: Operation
    ready: Ready
    role: str
    identity: str

    def __str__(self) -> str:
        return f"{self.operation} as {self.role}/{self.identity}"

    @property
    def who(self) -> Who:
        return Who.of(self.role, self.identity)

    @property
    def granted(self) -> frozenset[str]:
        row = authorisation(self.operation.service)[self.operation.name]
        return frozenset() if isinstance(row, str) else frozenset(row.get(self.role, []))

    @property
    def expected(self) -> Answer:
        """Return the answer for the record: what the table says, and then the domain's rule."""
        if is_public(self.operation):
            return OK
        if not self.granted:
            return 403, "forbidden"
        relations = self.ready.relations
        is_list = self.ready.listed is not None
        is_open = relations is None or is_list or bool(self.granted & relations[self.identity])
        judged = self.ready.judge(self.role, self.identity, is_open)
        return judged or (OK if is_open else self._refusal)

    @property
    def _refusal(self) -> tuple[int, str]:
        """Whoever may read the record is told that the step is another's, nobody else that it is."""
        operation, relations = self.operation, self.ready.relations
        record = next(iter(operation.record_ids), None)
        reading = READ_BY.get((operation.service, record or "")) if operation.is_write else None
        readers = authorisation(operation.service)[reading] if reading else "PUBLIC"
        if relations is None or isinstance(readers, str):
            return 404, "not_found"
        may_read = set(readers.get(self.role, ())) & set(relations[self.identity])
        return (403, "step.not_yours") if may_read else (404, "not_found")


READ_BY = {("intake", "case_id"): "get_case", ("reintegration", "plan_id"): "get_plan"}
"""The operation that reads the record a step is about. The steps of a referral name their side."""


def is_public(operation: Operation) -> bool:
    return authorisation(operation.service)[operation.name] == "PUBLIC"


@pytest.fixture(params=SERVICES)
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    time_stands_still()
    service: ServiceName = request.param
    async with open_service(service, tmp_path) as kit:
        yield Stage(kit)


async def made_ready(stage: Stage) -> list[tuple[Operation, Ready]]:
    """Build what every operation of the service needs; an operation without a builder fails."""
    made = []
    for operation in operations(stage.kit.runtime.name):
        body = next(iter(operation.examples), None)
        if body is not None and "id" in body:
            body = {**body, "id": str(new_id())}  # another operation's state may have the example's
        made.append((operation, await builder_of(operation)(stage, body)))
    return made


@pytest.mark.slow
@pytest.mark.row("F59")
async def test_the_answer_to_every_role_and_relation_is_what_the_table_says(stage: Stage) -> None:
    """Every cell is asked for, and where there is a record, one that does not exist beside it.

    Seeded: leave the caller's organisation out of `intake.queries.case._relation`; answer 403 where
    `referral.queries.referral.get_for_step` answers 404; grant a role more than the table does.
    """
    faults: list[str] = []
    for operation, ready in await made_ready(stage):
        cells = [
            Cell(operation, ready, role, identity)
            for role in sorted(codes("actor_roles"))
            for identity in IDENTITIES
        ]
        faults += await _all(_judge(stage, cell) for cell in cells)
        faults += await _all([_judge_stranger(stage, operation, ready)])
    assert faults == [], "\n".join(faults)


@pytest.mark.row("F59")
async def test_a_part_of_another_record_is_as_absent_as_none(stage: Stage) -> None:
    """A consent under another case, an agreement under another plan, though both are the caller's.

    Seeded: look the part up by its own id alone.
    """
    nested = [o for o in operations(stage.kit.runtime.name) if len(o.record_ids) > 1]
    for operation in nested:
        build, example = builder_of(operation), next(iter(operation.examples), None)
        ready, foreign = await build(stage, example), await build(stage, example)
        part = operation.record_ids[-1]
        crossed = replace(ready, path={**ready.path, part: foreign.path[part]})
        absent = replace(ready, path={**ready.path, part: str(new_id())})

        answer = await stage.call(operation, crossed, ready.by)

        assert _seen(answer) == (404, "not_found"), operation
        assert _trace(answer) == _trace(await stage.call(operation, absent, ready.by)), operation
        assert (await stage.call(operation, ready, ready.by)).is_success


async def _judge(stage: Stage, cell: Cell) -> list[str]:
    """Ask for the record and for one that does not exist; return what is not as it should be."""
    expected = cell.expected
    # A refusal is asked for as it is; what would succeed is only checked, so that the state stays.
    is_dry = cell.operation.is_write and expected == OK
    ready = cell.ready
    if cell.identity == "former" and expected == (404, "not_found") and ready.version:
        ready = replace(ready, version=ready.version + 7)  # nor is one told that it has changed
    answer = await stage.call(cell.operation, ready, cell.who, validate_only=is_dry)
    faults = [] if _seen(answer) == expected else [f"{cell}: {_seen(answer)}, not {expected}"]
    if not cell.operation.documents(answer.status_code, validate_only=is_dry):
        faults.append(f"{cell}: {answer.status_code} is not in the description")
    faults += _listed_faults(cell, answer) if cell.ready.listed and answer.is_success else []
    # Without a relation the role decides alone, so one identity asks for all.
    is_asked = cell.granted or cell.identity == "own"
    for name, path in _absent(cell.operation, cell.ready) if is_asked else []:
        absent = await stage.call(cell.operation, replace(cell.ready, path=path), cell.who)
        wanted = (404, "not_found") if cell.granted else (403, "forbidden")
        if expected == (403, "step.not_yours") and name != cell.operation.record_ids[0]:
            wanted = expected  # of the parts of a record nothing is said, there or not
        if _seen(absent) != wanted:
            faults.append(f"{cell}: no such {name}: {_seen(absent)}, not {wanted}")
        if expected == wanted and _trace(answer) != _trace(absent):
            faults.append(f"{cell}: differs from the answer to no such {name}")
    return faults


async def _judge_stranger(stage: Stage, operation: Operation, ready: Ready) -> list[str]:
    """Ask without a token; what is refused says nothing about the record."""
    answer = await stage.call(operation, ready, None, validate_only=operation.is_write)
    expected = OK if is_public(operation) else (401, "unauthorized")
    faults = [] if _seen(answer) == expected else [f"{operation} without a token: {_seen(answer)}"]
    for name, path in [] if is_public(operation) else _absent(operation, ready):
        absent = await stage.call(operation, replace(ready, path=path), None)
        if _trace(answer) != _trace(absent):
            faults.append(f"{operation} without a token: tells that there is no such {name}")
    return faults


def _absent(operation: Operation, ready: Ready) -> Iterable[tuple[str, Mapping[str, str]]]:
    """Return the paths on which one record, at a time, is none that exists."""
    for name in operation.record_ids:
        yield name, {**ready.path, name: str(new_id())}


def _listed_faults(cell: Cell, answer: httpx.Response) -> list[str]:
    """A list shows a record exactly to those to whom the record itself is open."""
    assert cell.ready.relations is not None
    is_open = bool(cell.granted & cell.ready.relations[cell.identity])
    if cell.ready.readers is not None:
        is_open = is_open and cell.role in cell.ready.readers
    shown = [item[cell.ready.listed_by] for item in answer.json()["items"]]
    is_listed = cell.ready.listed in shown
    return [] if is_listed == is_open else [f"{cell}: listed {is_listed}, open {is_open}"]


def _seen(answer: httpx.Response) -> Answer:
    body = answer.json()
    if answer.is_success:
        return OK
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, body["code"]


def _trace(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return all of an answer but what names this one request."""
    headers = sorted((n, v) for n, v in answer.headers.multi_items() if n not in CHANGING)
    trace_id = json.dumps(answer.json().get("trace_id", "")).encode()
    return answer.status_code, headers, answer.content.replace(trace_id, b'""')


async def _all(questions: Iterable[Awaitable[list[str]]]) -> list[str]:
    """Ask at once: SQLite commits the refusals' audit entries together."""
    found = await asyncio.gather(*questions)
    return [fault for faults in found for fault in faults]
