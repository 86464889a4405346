"""The way between two countries on PostgreSQL, as the roles and the row-level security of production."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select

from common.contracts.referral import PackageReceived
from common.db.base import unit_of
from common.db.caller import NOBODY, SERVICE, Caller
from common.db.postgres import RefusedError
from common.federation.custody import verify
from common.http.introducing import Introducing
from common.tables import SubjectKey
from referral.commands.letters import owe
from referral.domain.cross_border import Kind
from referral.models import Letter, OwedLetter
from tests.conftest import PostgresUrls
from tests.federation.countries import directory_of
from tests.kit import ELSEWHERE, HOME
from tests.postgres import Logins, asking, copy, migrate, set_up
from tests.referral.crossing import REFUGE, Country, Crossing, open_crossing, ownership
from tests.referral.story import NOW, now_is, withdrawn

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def migrated(postgres_urls: PostgresUrls, tmp_path_factory: pytest.TempPathFactory) -> Logins:
    login = set_up(postgres_urls, tmp_path_factory.mktemp("crossing"))["referral"]
    migrate("referral", login)
    return login


@pytest.fixture
async def crossing(tmp_path: Path, migrated: Logins) -> AsyncIterator[Crossing]:
    now_is(NOW)
    urls = (copy(migrated).application, copy(migrated).application)
    async with open_crossing(tmp_path, urls=urls) as opened:
        for country in (opened.s, opened.r):
            rows = country.kit.runtime.authorisation
            country.kit.app.add_middleware(Introducing, authorisation=rows)
        with asking(SERVICE):
            yield opened


async def found(country: Country, caller: Caller, referral_id: UUID) -> tuple[bool, bool, bool]:
    """Tell whether a query without any condition finds the referral's key, its letters, and what is owed."""
    with asking(caller):
        keys = await country.kit.rows(select(SubjectKey))
        letters = await country.kit.rows(select(Letter))
        owed = await country.kit.rows(select(OwedLetter))
    return any(k.subject == referral_id for k in keys), bool(letters), bool(owed)


async def owes(country: Country, caller: Caller, referral_id: UUID) -> None:
    """Let a country owe its peer a letter of the referral."""
    runtime, row = country.kit.runtime, await country.row(referral_id)
    with asking(caller):
        unit = unit_of(runtime.database, source=runtime.source, operation="test")
        await owe(unit, row, Kind.ERASED, on=NOW.date())
        await runtime.database.write(unit)


async def test_the_whole_way_and_who_finds_the_keys_of_its_letters(crossing: Crossing) -> None:
    """Seeded: leave the letters' condition out of the policy of the keys, or of what is owed; ENABLE left out."""
    case, _ = await crossing.ready()

    referral_id = await crossing.handed_over(case)

    assert await crossing.s.status(referral_id) == "HANDED_OVER"
    assert await crossing.r.status(referral_id) == "HANDED_OVER"
    assert (await crossing.s.dead(), await crossing.r.dead()) == ([], [])
    directory = directory_of(crossing.s.land, crossing.r.land)
    assert verify(await crossing.r.custody(referral_id), directory.signer) == {"RS": 5, "XK": 4}
    nothing, all_of_it = (False, False, False), (True, True, True)
    s, r = crossing.s, crossing.r
    for country in (s, r):
        with pytest.raises(RefusedError):
            await owes(country, NOBODY, referral_id)
        await owes(country, SERVICE, referral_id)
    for country, caller, expected in (
        (s, Caller(HOME), all_of_it),
        (s, Caller(ELSEWHERE), nothing),
        (s, Caller(ELSEWHERE, "all"), nothing),
        (s, Caller(ELSEWHERE, "facts"), nothing),
        (s, NOBODY, nothing),
        (r, Caller(REFUGE), all_of_it),
        (r, Caller(ELSEWHERE, "all"), all_of_it),
        (r, Caller(ELSEWHERE), nothing),
        (r, NOBODY, nothing),
    ):
        assert await found(country, caller, referral_id) == expected, (country.code, caller)


async def test_a_withdrawal_is_erased_and_closed(crossing: Crossing) -> None:
    # Fails when the application's role may not empty what was told of the person.
    case, consent = await crossing.ready()
    referral_id = await crossing.departed(case)

    await case.tell(crossing.s.kit, withdrawn(consent))
    await crossing.post()
    await crossing.erase(referral_id)

    assert await crossing.s.status(referral_id) == "CLOSED"
    assert (await crossing.r.row(referral_id)).needs == []
    events = await crossing.r.kit.events(referral_id)
    assert PackageReceived.type not in {event.type for event in events}
    assert [event.data for event in events if event.is_emptied] == [{}]


async def test_what_a_clock_far_ahead_dated_is_dated_anew_by_the_rights_of_production(
    crossing: Crossing,
) -> None:
    # Fails when they do not let a statement that is not signed have another date, nor see that the
    # one before it is still so: the withdrawal is never heard.
    case, consent = await crossing.ready()
    referral_id = await crossing.arrived(case)
    now_is(NOW + timedelta(days=4 * 366))
    await case.tell(crossing.s.kit, ownership(case.id, HOME, referral_id, "GIVEN"))

    now_is(NOW + timedelta(days=1))
    await case.tell(crossing.s.kit, withdrawn(consent))
    await crossing.post()

    assert await crossing.r.status(referral_id) == "CONSENT_WITHDRAWN"
    said = await crossing.r.custody(referral_id)
    verify(said, directory_of(crossing.s.land, crossing.r.land).signer)
    assert max(each.statement.said_at for each in said) == NOW + timedelta(days=1)
