"""No operation edits a case that another country owns: all of them, found by walking the service."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from common.clock import new_id
from common.db.base import unit_of
from intake.domain.ownership import Holding
from intake.models import Case
from tests.kit import open_service
from tests.surface.operations import Operation, operations
from tests.surface.stage import Stage, builder_of, time_stands_still

ELSEWHERE = ("ownership.not_here", "ownership.not_given")
"""What an edit is answered; and a recall, which is for cases that are on their way."""

ANYWHERE = {
    "withdraw_consent": "the person's right, wherever her case is (GDPR art. 7(3))",
    "withdraw_declaration": "the same, of what she said of herself and never left the country",
}
"""Operations that change something of a case whoever owns it."""

NO_CASE = {
    "create_notice": "a report: there is no case yet",
    "create_notices": "the same, many at once",
    "create_case": "opens another one",
}
"""Operations that write and change no case there is."""

EDITS = [
    pytest.param(operation, example, id=f"{operation.name}-{number}")
    for operation in operations("intake")
    if operation.is_write and operation.name not in NO_CASE
    for number, example in enumerate(operation.examples or [None], 1)
    if not isinstance(example, dict) or example.get("decision") not in {"OPEN_CASE", "REJECT"}
]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    time_stands_still()
    async with open_service("intake", tmp_path) as kit:
        yield Stage(kit)


async def hold(stage: Stage, holding: Holding) -> None:
    """Let every case be held so, as after a handover."""
    runtime = stage.kit.runtime
    unit = unit_of(runtime.database, source=runtime.source, operation="test")
    unit.update(Case, {}, holding=holding, epoch=2)
    await runtime.database.write(unit)


async def called(
    stage: Stage, operation: Operation, example: object, holding: Holding
) -> httpx.Response:
    body = (
        {**example, "id": str(new_id())}
        if isinstance(example, dict) and "id" in example
        else example
    )
    ready = await builder_of(operation)(stage, body)
    await hold(stage, holding)
    before = len(await stage.kit.events())
    response = await stage.call(operation, ready, ready.by)
    if not response.is_success:
        assert len(await stage.kit.events()) == before
    return response


@pytest.mark.row("F38", "C1")
@pytest.mark.parametrize("holding", [Holding.NONE, Holding.GIVING])
@pytest.mark.parametrize(("operation", "example"), EDITS)
async def test_a_case_of_another_country_is_not_edited(
    stage: Stage, operation: Operation, example: object, holding: Holding
) -> None:
    """Seeded: read the case for a step with `get_case`; pass `wherever` in an edit.

    A new operation fails here until it refuses, or stands above with its reason.
    """
    response = await called(stage, operation, example, holding)

    if operation.name in ANYWHERE or (
        operation.name == "recall_case" and holding is Holding.GIVING
    ):
        assert response.is_success, response.text
    else:
        assert response.status_code == 409, f"{operation}: {response.text}"
        assert response.json()["code"] in ELSEWHERE


@pytest.mark.parametrize("operation", operations("intake"), ids=str)
async def test_a_case_of_another_country_can_be_read_as_before(
    stage: Stage, operation: Operation
) -> None:
    """Seeded: refuse in `see_case`."""
    if operation.is_write or operation.name == "get_origin":
        return
    assert (await called(stage, operation, None, Holding.NONE)).is_success


def test_the_exceptions_are_operations_that_are_there() -> None:
    names = {operation.name for operation in operations("intake")}

    assert {*ANYWHERE, *NO_CASE} <= names
    assert len(EDITS) > len(ANYWHERE) + len(NO_CASE)
