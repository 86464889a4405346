"""An id that is taken: refused to everybody alike, and written down (docs/decisions/0006)."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid1, uuid3, uuid5

import pytest
from sqlalchemy import select

from common.clock import new_id
from common.settings import ServiceName
from common.tables import OutboxMessage
from tests.kit import ELSEWHERE, open_service
from tests.surface.operations import Operation, all_operations
from tests.surface.stage import Ready, Stage, Who, builder_of, time_stands_still

CREATING = {
    ("intake", "create_case"): "case_file",
    ("intake", "create_notice"): "notice",
    ("referral", "draft_referral"): "referral",
}
"""Operations whose records other organisations may not know of, with the table of the record."""


def creating() -> list[Operation]:
    found = [o for o in all_operations() if (o.service, o.name) in CREATING]
    assert len(found) == len(CREATING)
    return found


@pytest.fixture(params=creating(), ids=str)
def operation(request: pytest.FixtureRequest) -> Operation:
    found: Operation = request.param
    return found


@pytest.fixture
async def stage(operation: Operation, tmp_path: Path) -> AsyncIterator[Stage]:
    time_stands_still()
    service: ServiceName = operation.service
    async with open_service(service, tmp_path) as kit:
        yield Stage(kit)


async def ready_for(stage: Stage, operation: Operation) -> Ready:
    body = {k: v for k, v in operation.examples[0].items() if k != "notice_id"}
    body |= {"id": str(new_id())}
    return await builder_of(operation)(stage, body)


async def test_who_meets_a_foreign_records_id_is_written_down(
    stage: Stage, operation: Operation
) -> None:
    """Whether the caller writes or only checks, the answer and the entry are the same.

    Seeded: raise the conflict without the entry; let a check answer `valid` for a taken id.
    """
    first = await ready_for(stage, operation)
    created = await stage.call(operation, first, first.by)
    assert created.status_code == 201, created.text
    taken = first.body["id"]
    ready = await ready_for(stage, operation)
    again = replace(ready, body=ready.body | {"id": taken})
    other = Who(
        ready.by.role,
        ELSEWHERE if operation.service == "intake" else ready.by.organisation_id,
        "stranger-1",
    )

    checked = await stage.call(operation, again, other, validate_only=True)
    written = await stage.call(operation, again, other)

    table = CREATING[operation.service, operation.name]
    entries = await stage.kit.audit(decision="deny")
    assert [checked.status_code, checked.json()["code"]] == [409, "already_exists"]
    assert [written.status_code, written.json()["code"]] == [409, "already_exists"]
    assert _bytes(checked) == _bytes(written)
    assert [(e.action, e.object_type, e.object_ids, e.subject, e.actor) for e in entries] == [
        ("deny", table, [taken], UUID(taken), "stranger-1")
    ] * 2
    assert {e.organisation_id for e in entries} == {other.organisation_id}


async def test_an_id_that_could_be_guessed_is_refused(stage: Stage, operation: Operation) -> None:
    """Seeded: take any UUID; whoever knows the person's number can then make it and ask."""
    ready = await ready_for(stage, operation)
    named = uuid5(NAMESPACE_URL, "https://example.org/case/77")

    forgotten = (UUID(int=0), UUID(int=2**128 - 1), UUID("12345678-1234-5678-1234-567812345678"))
    for bad in (uuid1(node=1, clock_seq=1), uuid3(NAMESPACE_URL, "77"), named, *forgotten):
        answer = await stage.call(
            operation, replace(ready, body=ready.body | {"id": str(bad)}), ready.by
        )

        [error] = answer.json()["errors"]
        assert (answer.status_code, error["pointer"]) == (422, "/id"), bad
        assert error["code"] == "field.id_not_random"
    timed = UUID("01932c07-a8a1-7d8e-9b7c-4f2f3e7d1a55")
    answer = await stage.call(
        operation, replace(ready, body=ready.body | {"id": str(timed)}), ready.by
    )
    assert answer.status_code == 201, answer.text


async def test_a_record_cannot_have_the_id_of_one_of_another_kind(
    stage: Stage, operation: Operation
) -> None:
    """Seeded: look for the id in the record's own table only: a check says valid, a write 409."""
    ready = await ready_for(stage, operation)
    other = await another_kind(stage, operation)
    there = replace(ready, body=ready.body | {"id": other})

    checked = await stage.call(operation, there, ready.by, validate_only=True)
    written = await stage.call(operation, there, ready.by)

    for answer in (checked, written):
        assert (answer.status_code, answer.json()["code"]) == (409, "already_exists"), answer.text
    entries = await stage.kit.audit(decision="deny")
    assert [e.object_ids for e in entries] == [[other]] * 2


async def another_kind(stage: Stage, operation: Operation) -> str:
    """Return the id of a record of the same service that is none of the operation's own kind."""
    rows = await stage.kit.runtime.database.fetch(select(OutboxMessage.subject, OutboxMessage.type))
    kind = CREATING[operation.service, operation.name].removesuffix("_file")
    there = [str(row.subject) for row in rows if row.type.split(".")[1] != kind]
    if there:
        return there[0]
    names = {"create_case": "create_notice", "create_notice": "create_case"}
    [made] = [o for o in all_operations() if o.name == names[operation.name]]
    ready = await ready_for(stage, made)
    answer = await stage.call(made, ready, ready.by)
    assert answer.status_code == 201, answer.text
    return str(ready.body["id"])


async def test_a_bulk_call_writes_down_each_id_that_is_taken(tmp_path: Path) -> None:
    # Fails when only the whole call's refusals are kept: a list would be an oracle for thousands.
    time_stands_still()
    [single] = [o for o in creating() if o.name == "create_notice"]
    async with open_service("intake", tmp_path) as kit:
        stage = Stage(kit)
        ready = await ready_for(stage, single)
        assert (await stage.call(single, ready, ready.by)).status_code == 201
        case = await another_kind(stage, single)
        other = Who(ready.by.role, ELSEWHERE, "stranger-1")
        items = [
            {"client_reference": str(n), "notice": ready.body | {"id": id_}}
            for n, id_ in enumerate([ready.body["id"], case, str(new_id())])
        ]

        async def send(query: str) -> Any:
            return await stage.request(
                "POST", f"/v1/notices/bulk{query}", other, json={"items": items}
            )

        checked, written = await send("?validate_only=true"), await send("")

        entries = await kit.audit(decision="deny")
    for answer in (checked, written):
        assert answer.status_code == 207, answer.text
        assert [item["status"] for item in answer.json()["items"]] == [409, 409, 201]
    met = [([id_], "stranger-1") for id_ in (ready.body["id"], case)]
    assert [(e.object_ids, e.actor) for e in entries] == met * 2


def _bytes(answer: Any) -> dict[str, Any]:
    return {k: v for k, v in answer.json().items() if k != "trace_id"}
