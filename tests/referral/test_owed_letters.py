"""What this country's own events do while a peer has not said what it heard before a backup."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select

from common.clock import new_id
from common.db.base import unit_of
from common.tables import InboxAggregate
from referral.models import CrossBorderReferral, PeerToHear
from referral.worker import go_on_alone, take_up_held
from tests.kit import HOME
from tests.referral import story
from tests.referral.crossing import REFUGE, Country, Crossing, open_crossing, ownership, released
from tests.referral.story import NOW, TODAY, now_is, withdrawn


@pytest.fixture
async def crossing(tmp_path: Path) -> AsyncIterator[Crossing]:
    now_is(NOW)
    async with open_crossing(tmp_path) as opened:
        yield opened


async def wait_for_peer(country: Country, peer: str) -> None:
    """Let a country have been put back from a backup, and its peer be silent."""
    unit = unit_of(country.kit.runtime.database, source="/tests", operation="test")
    unit.put(PeerToHear, country=peer, asked=new_id(), is_written=False, lacks={})
    await country.kit.runtime.database.write(unit)


async def peer_is_heard(crossing: Crossing, country: Country) -> None:
    await go_on_alone(country.kit.runtime)
    await take_up_held(country.kit.runtime)
    await crossing.post()


async def parked(country: Country) -> list[str | None]:
    rows = select(InboxAggregate).where(InboxAggregate.parked_at.is_not(None))
    return [row.parked_reason for row in await country.kit.rows(rows)]


async def kinds(country: Country, referral_id: UUID) -> list[str]:
    return [letter.kind for letter in await country.letters(referral_id)]


async def test_withdrawal_takes_effect_here_while_a_peer_is_silent(crossing: Crossing) -> None:
    # Fails when the letter to a silent peer holds the whole case: the shelter reads on.
    kit = crossing.s.kit
    await story.register(kit)
    case, consent = await crossing.ready()
    home = story.granted(case.id)
    await case.tell(kit, home)
    domestic = await story.acknowledged(kit, case)
    abroad = await crossing.acknowledged(case)
    await wait_for_peer(crossing.s, "XK")
    await case.tell(kit, withdrawn(consent), withdrawn(home))
    assert await parked(crossing.s) == []
    assert "case_id" not in (await story.receiver(kit).get(f"/v1/referrals/{domestic}")).json()
    row = await crossing.s.row(abroad)
    assert (row.status, row.consent_withdrawn_on) == ("CONSENT_WITHDRAWN", TODAY)
    # Nothing is said before the peer was heard, and then once.
    await take_up_held(kit.runtime)
    assert await kinds(crossing.s, abroad) == ["offer"]
    await peer_is_heard(crossing, crossing.s)
    await take_up_held(kit.runtime)
    assert await kinds(crossing.s, abroad) == ["offer", "withdrawn"]
    assert await crossing.r.status(abroad) == "CONSENT_WITHDRAWN"
    assert await crossing.s.status(abroad) == "CLOSED"


async def test_chain_that_stays_open_holds_no_withdrawal_here(crossing: Crossing) -> None:
    # Fails when a peer that gave back what it never completes keeps a consent alive inside the country.
    kit = crossing.s.kit
    await story.register(kit)
    case, consent = await crossing.ready()
    home = story.granted(case.id)
    await case.tell(kit, home)
    domestic = await story.acknowledged(kit, case)
    abroad = await crossing.acknowledged(case)
    unit = unit_of(kit.runtime.database, source="/tests", operation="test")
    unit.update(CrossBorderReferral, {"id": abroad}, given_back=9)
    await kit.runtime.database.write(unit)
    await case.tell(kit, withdrawn(consent), withdrawn(home))
    await peer_is_heard(crossing, crossing.s)
    assert "case_id" not in (await story.receiver(kit).get(f"/v1/referrals/{domestic}")).json()
    assert await crossing.s.status(abroad) == "CONSENT_WITHDRAWN"
    assert await kinds(crossing.s, abroad) == ["offer"]


async def test_package_waits_and_the_case_goes_on(crossing: Crossing) -> None:
    # Fails when a package for a silent peer parks its case, or is lost, or leaves too early.
    case, _ = await crossing.ready()
    abroad = await crossing.accepted(case)
    await wait_for_peer(crossing.s, "XK")
    sent = released(case, abroad)
    await case.tell(crossing.s.kit, sent)
    assert await parked(crossing.s) == []
    await crossing.post()
    assert (await crossing.r.row(abroad)).packaged_at is None
    await peer_is_heard(crossing, crossing.s)
    assert await kinds(crossing.s, abroad) == ["offer", "package"]
    assert (await crossing.r.row(abroad)).packaged_at == NOW


async def test_package_that_waits_never_leaves_after_a_withdrawal(crossing: Crossing) -> None:
    # Fails when a withdrawal passes over a package that waits, of a consent on which it rests and
    # the offer did not.
    case, _ = await crossing.ready()
    abroad = await crossing.accepted(case)
    more = story.granted(case.id, REFUGE, scope="SHARE_CROSS_BORDER", recipient_countries=("XK",))
    await case.tell(crossing.s.kit, more)
    await wait_for_peer(crossing.s, "XK")
    await case.tell(crossing.s.kit, released(case, abroad))
    await case.tell(crossing.s.kit, withdrawn(more))
    await peer_is_heard(crossing, crossing.s)
    await take_up_held(crossing.s.kit.runtime)
    assert await kinds(crossing.s, abroad) == ["offer", "withdrawn"]
    assert (await crossing.r.row(abroad)).packaged_at is None


async def test_words_on_owning_wait_in_their_order(crossing: Crossing) -> None:
    # Fails when a word on who may edit the case parks it, or a later word overtakes one that waits.
    case, _ = await crossing.ready()
    abroad = await crossing.arrived(case)
    await wait_for_peer(crossing.s, "XK")
    words = ("GIVEN", "RECALLED")
    await case.tell(crossing.s.kit, *(ownership(case.id, HOME, abroad, word) for word in words))
    assert await parked(crossing.s) == []
    before = await kinds(crossing.s, abroad)
    await peer_is_heard(crossing, crossing.s)
    assert await kinds(crossing.s, abroad) == [*before, "ownership", "ownership"]
    said = [s.statement for s in await crossing.s.custody(abroad) if s.statement.author == "RS"]
    assert [s.owning.word for s in said if s.owning] == [*words]


async def test_erasure_is_noted_here_while_a_peer_is_silent(crossing: Crossing) -> None:
    # Fails when the word that nothing is left keeps the package in the archive, or is never said.
    case, consent = await crossing.ready()
    abroad = await crossing.packaged(case)
    await case.tell(crossing.s.kit, withdrawn(consent))
    await crossing.post()
    await wait_for_peer(crossing.r, "RS")
    await crossing.erase(abroad)
    assert await parked(crossing.r) == []
    assert (await crossing.r.row(abroad)).erased_on == TODAY
    assert await crossing.s.status(abroad) == "CONSENT_WITHDRAWN"
    await peer_is_heard(crossing, crossing.r)
    assert await crossing.s.status(abroad) == "CLOSED"
