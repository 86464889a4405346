"""A country on PostgreSQL whose databases are put back, as the roles of production (T23)."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from common.db.caller import NOBODY, SERVICE, Caller
from common.put_back import sign_of
from referral.models import OwedLetter
from tests.conftest import PostgresUrls
from tests.kit import ELSEWHERE, HOME
from tests.postgres import Logins, asking, copy, migrate, set_up
from tests.referral.story import NOW, now_is
from tests.referral.whole import SERVICES, Whole
from tests.referral.world import World, make, open_world

pytestmark = pytest.mark.postgres


@pytest.fixture
def logins(postgres_urls: PostgresUrls, tmp_path: Path) -> dict[str, Logins]:
    made = set_up(postgres_urls, tmp_path / "server")
    for service in SERVICES:
        migrate(service, made[service])
    return {service: made[service] for service in SERVICES}


def urls_of(logins: dict[str, Logins]) -> dict[str, str]:
    return {service: login.application for service, login in logins.items()}


@pytest.fixture
async def world(logins: dict[str, Logins], tmp_path: Path) -> AsyncIterator[World]:
    now_is(NOW)
    template = tmp_path / "template"
    template.mkdir()
    make(template, "RS", "XK")
    with asking(SERVICE):
        async with open_world(template, tmp_path, urls=urls_of(logins)) as opened:
            for act in (opened.ready, opened.send, opened.go_on_to_arrival):
                await act()
            yield opened


async def back_up(world: World, logins: dict[str, Logins], folder: Path) -> dict[str, str]:
    """Copy all RS has at rest, its folder to `folder`; return the URLs of its databases' copies."""
    await world.s.end()
    copies = urls_of({service: copy(login) for service, login in logins.items()})
    shutil.copytree(world.s.home, folder)
    await world.s.start()
    return copies


@pytest.mark.row("C1", "F36")
async def test_databases_that_were_put_back_are_known_and_nothing_is_edited_before_peers_answer(
    world: World, logins: dict[str, Logins], tmp_path: Path
) -> None:
    """Seeded: sign a database by its name; give the application no right to take a letter back."""
    copies = await back_up(world, logins, tmp_path / "folder")
    assert (await world.s.edit()).status_code == 200  # no sign of anything
    await world.handed_over()

    world.s.urls = copies
    await world.put_back(world.s, tmp_path / "folder")
    refused = await world.s.edit()
    await world.rest()

    assert (refused.status_code, refused.json()["code"]) == (409, "ownership.unconfirmed")
    assert await world.holdings() == (("NONE", 2), ("OWNER", 2))
    assert (await world.s.edit()).json()["code"] == "ownership.not_here"
    assert await world.s.links(world.referral_id) == await world.r.links(world.referral_id)
    assert [await each.verify(world.referral_id) for each in (world.s, world.r)] == [0, 0]
    assert (await world.s.dead(), await world.r.dead()) == ([], [])


async def test_what_was_said_since_gives_way_by_the_rights_of_production(
    world: World, logins: dict[str, Logins], tmp_path: Path
) -> None:
    """Seeded: leave DELETE out of the rights on custody, letters or the inbox."""
    copies = await back_up(world, logins, tmp_path / "folder")
    await world.handed_over()
    world.s.urls = copies
    await world.put_back(world.s, tmp_path / "folder")
    await world.go_on_alone(world.s)  # against better knowledge

    given = await world.give()
    assert given.status_code == 200, given.text
    await world.s.hear()
    await world.rest()

    assert await world.holdings() == (("NONE", 2), ("OWNER", 2))
    assert await world.s.links(world.referral_id) == await world.r.links(world.referral_id)
    assert [await each.verify(world.referral_id) for each in (world.s, world.r)] == [0, 0]


async def owed_before(country: Whole, caller: Caller) -> int:
    """Count the owed letters that a query without any condition finds."""
    with asking(caller):
        return len(await country.referral.rows(select(OwedLetter.id)))


async def test_a_letter_is_owed_and_paid_by_the_rights_of_production(
    world: World, logins: dict[str, Logins], tmp_path: Path
) -> None:
    """Seeded: leave `owed_letter` out of the rights, or DELETE out of its; drop its policy."""
    copies = await back_up(world, logins, tmp_path / "folder")
    world.s.urls = copies
    await world.put_back(world.s, tmp_path / "folder")

    await world.withdraw()
    await world.s.hear()
    owed = await world.s.referral.rows(select(OwedLetter.kind))
    seen = [await owed_before(world.s, each) for each in (Caller(HOME), Caller(ELSEWHERE), NOBODY)]
    status = (await world.s.row(world.referral_id)).status
    await world.rest()

    assert ([each.kind for each in owed], status) == (["withdrawn"], "CONSENT_WITHDRAWN")
    assert seen == [1, 0, 0]
    assert await world.s.referral.rows(select(OwedLetter.kind)) == []
    assert (await world.r.row(world.referral_id)).status == "CONSENT_WITHDRAWN"
    assert (await world.s.dead(), await world.r.dead()) == ([], [])


async def test_a_database_is_the_same_after_a_restart(
    world: World, logins: dict[str, Logins]
) -> None:
    runtime = world.s.intake.runtime
    url = runtime.settings.database_url
    before = await sign_of(runtime.database, url)
    await world.s.end()
    await world.s.start()

    again = world.s.intake.runtime
    assert await sign_of(again.database, url) == before
    assert before.count("/") == 2
