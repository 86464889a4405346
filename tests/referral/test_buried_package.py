"""A withdrawal reaches a receiver whose register could not read what came: it is answered all the same (F41)."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from common.clock import new_id
from common.contracts.intake import CasePackageReleased, PackageErased
from common.contracts.referral import PackageReceived
from common.db.base import unit_of
from common.events import Event
from common.recovery import replay
from common.tables import OutboxMessage
from intake.models import Case
from tests.intake.bodies import CASE
from tests.referral.crossing import REFUGE
from tests.referral.story import NOW, now_is
from tests.referral.world import World, open_world

pytestmark = pytest.mark.slow


@pytest.fixture
async def world(told: Path, tmp_path: Path) -> AsyncIterator[World]:
    """Both countries once XK has accepted her."""
    now_is(NOW)
    async with open_world(told / "sent", tmp_path) as opened:
        await opened.step(opened.r, "acknowledge")
        await opened.step(opened.r, "accept", {"organisation_id": str(REFUGE)})
        yield opened


async def release(world: World, *, damaged: bool) -> None:
    """Let her data go to XK, whole or with one letter of what was sealed changed."""
    body = {"referral_id": str(world.referral_id)}
    released = await world.s.do(f"/v1/cases/{CASE}", "release", body)
    assert released.status_code == 200, released.text
    if damaged:
        await damage_package(world)
    await world.rest()


async def damage_package(world: World) -> None:
    runtime = world.s.intake.runtime
    of_kind = OutboxMessage.type == CasePackageReleased.type
    unsent = select(OutboxMessage).where(of_kind, OutboxMessage.published_at.is_(None))
    [row] = await world.s.intake.rows(unsent)
    event = Event.from_bytes(row.payload)
    package: str = event.data["package"]
    middle = len(package) // 2
    other = "A" if package[middle] != "A" else "B"
    changed = {"package": package[:middle] + other + package[middle + 1 :]}
    spoilt = event.model_copy(update={"data": event.data | changed})
    unit = unit_of(runtime.database, source="/RS/intake", operation="test")
    unit.update(OutboxMessage, {"id": row.id}, expect=1, payload=spoilt.to_bytes())
    await runtime.database.write(unit)


async def kept(world: World) -> list[str]:
    """Return which packages the archive of the receiver's referral service holds."""
    of_referral = OutboxMessage.subject == world.referral_id
    rows = await world.r.referral.rows(select(OutboxMessage.type).where(of_referral))
    return [row.type for row in rows if row.type == PackageReceived.type]


async def letters_said(world: World) -> int:
    row = await world.r.row(world.referral_id)
    return int(row.said)


@pytest.mark.row("F41")
async def test_a_withdrawal_is_answered_where_the_package_was_buried(world: World) -> None:
    # Fails while the register, which has no case to erase, says nothing of the referral.
    await release(world, damaged=True)
    assert await world.r.dead() == ["package.unreadable"]
    assert await world.r.intake.rows(select(Case)) == []
    assert await kept(world) == [PackageReceived.type]
    before = await letters_said(world)

    await world.withdraw()
    await world.rest()

    mine, theirs = await world.s.row(world.referral_id), await world.r.row(world.referral_id)
    assert (mine.status, theirs.status) == ("CLOSED", "CONSENT_WITHDRAWN")
    assert mine.erased_on == theirs.erased_on is not None
    assert await kept(world) == []
    assert await letters_said(world) == before + 1


@pytest.mark.row("F41")
async def test_what_is_told_again_is_answered_once(world: World) -> None:
    """Seeded: look only whether the word is awaited; each time it comes the sender hears it again."""
    r = world.r
    await release(world, damaged=True)
    await world.withdraw()
    await world.rest()
    said = await letters_said(world)
    [told] = [e for e in await r.intake.events() if e.type == PackageErased.type]

    for kit in (r.intake, r.referral):
        assert await replay(kit.runtime.database, kit.runtime.bus) > 0
    await world.rest()
    later = told.model_copy(
        update={"id": new_id(), "seq": 2}
    )  # as of a register of another release
    assert await r.referral.hear(later) == ["applied"]
    await world.rest()

    assert await letters_said(world) == said
    assert (await world.s.row(world.referral_id)).status == "CLOSED"
    assert await r.dead() == ["package.unreadable"]


@pytest.mark.row("F36", "F41")
async def test_a_receiver_that_was_put_back_holds_no_buried_package_either(world: World) -> None:
    """Seeded: empty nothing where its own statement tells the day before the register does."""
    r = world.r
    await release(world, damaged=True)
    copy = await world.back_up(r)
    await world.withdraw()
    await world.rest()

    now_is(NOW + timedelta(days=1))  # letters go again by their age
    await world.put_back(r, copy)
    with closing(sqlite3.connect(r.log)) as log, log:
        log.execute("DELETE FROM record")
    assert await kept(world) == [PackageReceived.type]
    await world.rest()

    assert await kept(world) == []
    assert (await r.row(world.referral_id)).erased_on is not None
    assert (await world.s.row(world.referral_id)).status == "CLOSED"


async def test_a_second_package_that_is_whole_is_erased_with_its_case(world: World) -> None:
    # Fails when the buried one is answered for by itself, or stays in the archive beside the other.
    await release(world, damaged=True)
    await release(world, damaged=False)
    assert await kept(world) == [PackageReceived.type] * 2

    await world.withdraw()
    await world.rest()

    [case] = await world.r.intake.rows(select(Case))
    assert case.erased_on is not None
    assert (await world.s.row(world.referral_id)).status == "CLOSED"
    assert await kept(world) == []
    assert PackageErased.type not in {e.type for e in await world.r.intake.events()}
