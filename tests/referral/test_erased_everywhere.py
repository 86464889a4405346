"""Once a person was erased here, nothing that this country holds of her opens any more (T36, C1)."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from common.contracts.referral import PackageReceived
from common.events import Event
from common.federation.envelope import EnvelopeError, open_envelope
from common.federation.mail import topic_to
from common.federation.package import PackageError, open_package
from common.federation.peers import read_own_keys, read_peers
from common.recovery import replay
from common.tables import DeadLetter, OutboxMessage, SubjectKey
from referral.worker import empty_log
from tests.kit import open_service
from tests.referral.story import NOW, now_is
from tests.referral.whole import Whole
from tests.referral.world import REFERRAL, World

pytestmark = pytest.mark.slow

_PACKAGE = re.compile(rb"[0-9a-f]{32}\.[A-Za-z0-9+/]{4000,}={0,2}")
"""A package as it is written wherever it stands: the key's id and the sealed bytes in base64."""


def packages_in(raw: bytes) -> set[str]:
    return {found.decode() for found in _PACKAGE.findall(raw)}


def values_of(file: Path) -> Iterator[bytes]:
    """Return each value of each table of a SQLite file."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (name,) in names.fetchall():
            for row in database.execute(f'SELECT * FROM "{name}"'):  # noqa: S608  its own tables
                for value in row:
                    if isinstance(value, str | bytes):
                        yield value.encode() if isinstance(value, str) else value


async def dead_letters(country: Whole) -> bytes:
    """Return what is kept sealed of what could not be applied, opened."""
    kits = country.kits.values()
    rows = [(kit, row) for kit in kits for row in await kit.rows(select(DeadLetter))]
    return b"\n".join(kit.runtime.box.open(row.value, place=row.id.bytes) for kit, row in rows)


def opens(country: Whole, package: str) -> bool:
    """Tell whether the country's register opens a package with any key it holds."""
    runtime = country.intake.runtime
    keys = read_own_keys(runtime.settings.own_keys_file, runtime.master, "intake").opening
    with suppress(PackageError):
        document = open_package(
            package, keys=keys, sender="RS", recipient=country.code, referral_id=REFERRAL
        )
        return bool(document)
    return False


async def places(country: Whole) -> dict[str, int]:
    """Return how many packages open from each place of a country: files as they are, and their rows."""
    found = {"dead letters": packages_in(await dead_letters(country))}
    for file in sorted(country.home.rglob("*")):
        if not file.is_file():
            continue
        here = packages_in(file.read_bytes())
        if file.suffix == ".db":
            for value in values_of(file):
                here |= packages_in(value)
        found[file.relative_to(country.home).as_posix()] = here
    opened = {place: sum(opens(country, each) for each in here) for place, here in found.items()}
    return {place: count for place, count in opened.items() if count}


async def keys_of_person(country: Whole) -> list[Any]:
    """Return the key of the person's case, as long as there is one."""
    of_case = SubjectKey.subject == await country.case_id()
    return [*await country.intake.rows(select(SubjectKey).where(of_case))]


async def on_hub(country: Whole) -> int:
    """Return how many packages open from the letters that the hub keeps for the country."""
    runtime = country.referral.runtime
    keys = read_own_keys(runtime.settings.own_keys_file, runtime.master, "referral").opening
    signer = read_peers(runtime.settings.peers_folder).directory.signer
    with closing(sqlite3.connect(country.log)) as log:
        query = "SELECT value FROM record WHERE topic = ?"
        values = [row[0] for row in log.execute(query, (topic_to(country.code),))]
    count = 0
    for value in values:
        with suppress(EnvelopeError):
            letter = open_envelope(value, country=country.code, keys=keys, signer=signer)
            count += opens(country, (letter.body or {}).get("package", ""))
    return count


@pytest.mark.row("C1")
async def test_what_came_of_a_person_opens_nowhere_once_she_was_erased(world: World) -> None:
    """Seeded: leave the package in the archive; or in the log; or the key of the case."""
    r = world.r
    before = await places(r)
    # The control: the archive and the log hold the package, and the register's key opens it.
    assert {Path(place).name for place in before} >= {"referral.db", "bus.db"}
    assert await keys_of_person(r)

    await world.withdraw()
    await world.rest()
    await empty_log(r.referral.runtime)
    await r.end()  # what was written is in the files themselves
    await r.start()

    assert (await world.s.row(world.referral_id)).status == "CLOSED"
    assert await keys_of_person(r) == []
    assert await places(r) == {}
    # What the hub still holds goes by its age: docs/reliability.md has the days.
    assert await on_hub(r) == 1


@pytest.mark.row("C1", "F36")
@pytest.mark.parametrize("has_hub_forgotten", [True, False])
async def test_put_back_after_she_was_erased_it_holds_nothing_of_her_either(
    world: World, *, has_hub_forgotten: bool
) -> None:
    """T23. Seeded: empty nothing where its own statement tells the day before the register does."""
    r = world.r
    copy = await world.back_up(r)
    await world.withdraw()
    await world.rest()
    assert await places(r)  # the log, which is older than that

    for day in range(1, 3):
        now_is(NOW + timedelta(days=day))  # letters go again by their age
        await world.put_back(r, copy)
        assert await keys_of_person(r)
        if has_hub_forgotten:
            with closing(sqlite3.connect(r.log)) as log, log:
                log.execute("DELETE FROM record")
        await world.rest()
        await empty_log(r.referral.runtime)
        await r.end()
        await r.start()

        assert await keys_of_person(r) == []
        assert await places(r) == {}
    assert (await r.row(world.referral_id)).erased_on is not None


async def test_what_was_emptied_is_sent_again_without_its_words_and_disturbs_nobody(
    world: World, tmp_path: Path
) -> None:
    """Seeded: send nothing in its place, and who is built anew waits for it for ever; or bury it."""
    r = world.r
    await world.withdraw()
    await world.rest()
    runtime = r.referral.runtime
    archive = await r.referral.rows(
        select(OutboxMessage).where(OutboxMessage.subject == world.referral_id)
    )
    events = [Event.from_bytes(row.payload) for row in archive]
    assert [e.seq for e in events] == [*range(1, len(events) + 1)]
    assert [e.data for e in events if e.is_emptied] == [{}]
    assert PackageReceived.type not in {row.type for row in archive}

    await empty_log(runtime)

    assert await replay(runtime.database, runtime.bus) >= len(events)
    await r.hear()

    assert (await r.dead(), await places(r)) == ([], {})
    async with open_service("analytics", tmp_path, country=r.code) as built_anew:
        assert await built_anew.hear(*events) == ["applied"] * len(events)
