"""The sweep for those who come of age, where a row is damaged."""

from datetime import UTC, datetime

import pytest

from common import clock
from common.clock import new_id
from common.columns import Sealed
from common.db.base import unit_of
from intake import worker
from intake.models import Case
from intake.queries.case import list_minors
from tests.intake.bodies import opened
from tests.kit import Kit


@pytest.mark.row("F7")
async def test_a_damaged_case_keeps_nobody_else_from_coming_of_age(kit: Kit) -> None:
    """Seeded: let the sweep end with the first case whose age cannot be opened."""
    caller = kit.caller("SOCIAL_WORKER")
    ids = [new_id() for _ in range(3)]
    for id_ in ids:
        await opened(caller, id_, birth_date="2008-12-24")
    damaged = (await list_minors(kit.runtime.database))[1]
    unit = unit_of(kit.runtime.database, source="/RS/intake", operation="test")
    unit.update(Case, {"id": damaged}, birth_date=Sealed(b"\x01" * 40))
    await kit.runtime.database.write(unit)

    clock.set_source(lambda: datetime(2026, 12, 24, 12, tzinfo=UTC))
    await worker.sweep(kit.runtime)

    assert await list_minors(kit.runtime.database) == [damaged]
