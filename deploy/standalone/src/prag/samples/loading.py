"""Loads the sample cases into a running instance, and goes on where a killed one stopped."""

import asyncio
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any
from uuid import UUID

import structlog
from fastapi import FastAPI
from sqlalchemy import select

from common.runtime import Runtime
from common.settings import ServiceName
from common.tables import InboxAggregate
from prag.instance import Instance
from prag.samples.caller import Caller, SampleError
from prag.samples.directory import Cast
from prag.samples.journal import Journal
from prag.samples.past import history
from prag.samples.story import Story, months_before

logger = structlog.get_logger(__name__)

_AT_ONCE = 3
_PAUSE_SECONDS = 0.01
_PATIENCE_SECONDS = 60.0


async def load(
    instance: Instance,
    apps: Mapping[ServiceName, FastAPI],
    runtimes: Mapping[ServiceName, Runtime],
) -> tuple[int, int]:
    """Tell every case that was not told yet; return how many are told and how many there are."""
    journal = Journal(instance.files.samples)
    cases: list[dict[str, Any]] = json.loads(
        files(__package__).joinpath("cases.json").read_text(encoding="utf-8")
    )
    cast, caller = Cast(instance.country), Caller(dict(apps), instance.issuer)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def known(service: ServiceName, topic: str, subject: UUID, version: int) -> None:
        heard = select(InboxAggregate.last_seq).where(
            InboxAggregate.topic == topic, InboxAggregate.subject == subject
        )
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                rows = await runtimes[service].database.fetch(heard)
                if rows and rows[0].last_seq >= version:
                    return
                await asyncio.sleep(_PAUSE_SECONDS)

    async def tell(facts: dict[str, Any]) -> None:
        async with turns:
            try:
                await Story(facts, cast, caller, known, journal.began).tell()
            except (SampleError, TimeoutError) as error:
                what = getattr(error, "code", type(error).__name__)
                logger.warning("sample.not_told", operation=facts["key"], error=what)
            else:
                journal.note(facts["key"])

    with history():
        await cast.enter(caller, months_before(journal.began, max(c["months"] for c in cases) + 1))
        waiting = [facts for facts in cases if facts["key"] not in journal.told]
        await asyncio.gather(*(tell(facts) for facts in waiting))
    journal.close()
    return len(journal.told), len(cases)
