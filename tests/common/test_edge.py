"""The edge's smaller manners: what is asked twice, what is only checked, what is refused."""

import asyncio

import pytest
from fastapi import BackgroundTasks, Request, Response
from sqlalchemy import select

from common.clock import new_id
from common.db import Database
from common.http import router
from common.runtime import Runtime
from common.tables import AuditEntry
from common.worker import run_worker
from tests.common.tiny import ThingCreate, ThingRead, Tiny

THINGS = "/v1/things"
BODY = {"label": "a thing"}


async def test_a_repeated_query_parameter_is_refused(tiny: Tiny) -> None:
    # Fails when the last one wins in silence.
    response = await tiny.get(f"{THINGS}?limit=1&limit=200")

    assert (response.status_code, response.json()["code"]) == (400, "query.invalid")


async def test_a_replayed_answer_keeps_the_headers_that_protect_it(tiny: Tiny) -> None:
    # Fails when a kept answer is sent with its own headers only.
    first, again = [await tiny.post(THINGS, BODY, key="k") for _ in range(2)]

    assert first.headers["cache-control"] == again.headers["cache-control"] == "no-store"
    assert set(first.headers) == set(again.headers)


async def test_a_denial_names_the_record_it_was_about(tiny: Tiny, database: Database) -> None:
    # Fails when the entry is written without a subject: whose record it was could not be told.
    wanted = new_id()

    await tiny.get(f"{THINGS}/{wanted}")

    [entry] = await database.fetch(select(AuditEntry).where(AuditEntry.decision == "deny"))
    assert (entry.subject, entry.object_ids) == (wanted, [str(wanted)])


async def test_a_job_that_fails_ends_nothing(tiny: Tiny) -> None:
    # Fails when an error of a job reaches the task group: relay and consumer would end with it.
    ran = asyncio.Event()

    async def broken(_: Runtime) -> None:
        ran.set()
        raise KeyError("bug")

    worker = asyncio.create_task(run_worker(tiny.runtime, {}, jobs={"broken": (0, broken)}))
    async with asyncio.timeout(5):
        await ran.wait()
        ran.clear()
        await ran.wait()

    assert not worker.done()
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker


async def test_the_documentation_page_loads_nothing_from_elsewhere(tiny: Tiny) -> None:
    # Fails when the page names another host, or without a policy that would refuse one.
    page = await tiny.client.get("/docs")
    script = await tiny.client.get("/docs/static/swagger-ui-bundle.js")

    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert "https://" not in page.text
    assert script.status_code == 200


def test_an_operation_of_another_form_is_refused_where_it_is_declared() -> None:
    # Fails when one is taken that the edge would call wrongly: not awaited, or without its second body.
    things = router(prefix="/v1/things", tags=["things"])

    def plain() -> ThingRead:
        raise NotImplementedError

    async def two(one: ThingCreate, other: ThingCreate) -> ThingRead:
        raise NotImplementedError

    async def open_ended(request: Request) -> Response:
        raise NotImplementedError

    async def later(tasks: BackgroundTasks) -> ThingRead:
        raise NotImplementedError

    for operation in (plain, two, open_ended, later):
        with pytest.raises(TypeError):
            things.post("")(operation)
