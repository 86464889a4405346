"""What this country's own events do while a peer has not said what it heard before a backup."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from common.clock import new_id
from common.db.base import unit_of
from common.tables import InboxAggregate
from referral.models import CrossBorderReferral, OwedLetter, PeerToHear
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


async def owed(country: Country) -> list[Any]:
    return list(await country.kit.rows(select(OwedLetter).order_by(OwedLetter.place)))


async def words(crossing: Crossing, referral_id: UUID) -> list[str]:
    """Return what RS has said of who may edit the case, in its order."""
    said = [s.statement for s in await crossing.s.custody(referral_id)]
    return [each.owning.word for each in said if each.author == "RS" and each.owning]


async def set_status(country: Country, referral_id: UUID, status: str) -> None:
    """Let what a peer gave back have made this of a referral."""
    unit = unit_of(country.kit.runtime.database, source="/tests", operation="test")
    unit.update(CrossBorderReferral, {"id": referral_id}, status=status)
    await country.kit.runtime.database.write(unit)


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
    assert [each.kind for each in await owed(crossing.s)] == ["package"]
    await case.tell(crossing.s.kit, withdrawn(more))
    assert [each.kind for each in await owed(crossing.s)] == ["withdrawn"]  # nothing of her is kept
    await peer_is_heard(crossing, crossing.s)
    await take_up_held(crossing.s.kit.runtime)
    assert await kinds(crossing.s, abroad) == ["offer", "withdrawn"]
    assert (await crossing.r.row(abroad)).packaged_at is None


async def test_words_on_owning_wait_in_their_order(crossing: Crossing) -> None:
    # Fails when a word on who may edit the case parks it, or a later word overtakes one that waits.
    case, _ = await crossing.ready()
    abroad = await crossing.arrived(case)
    await wait_for_peer(crossing.s, "XK")
    both = ("GIVEN", "RECALLED")
    await case.tell(crossing.s.kit, *(ownership(case.id, HOME, abroad, word) for word in both))
    assert await parked(crossing.s) == []
    assert [each.place for each in await owed(crossing.s)] == [1, 2]
    before = await kinds(crossing.s, abroad)
    await peer_is_heard(crossing, crossing.s)
    assert await kinds(crossing.s, abroad) == [*before, "ownership", "ownership"]
    assert await words(crossing, abroad) == [*both]


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


async def test_a_later_word_does_not_overtake_one_whose_peer_was_heard(crossing: Crossing) -> None:
    # Fails when only a silent peer makes a word wait: what it is owed is said within seconds, not at once.
    case, _ = await crossing.ready()
    abroad = await crossing.arrived(case)
    await wait_for_peer(crossing.s, "XK")
    await case.tell(crossing.s.kit, ownership(case.id, HOME, abroad, "GIVEN"))
    await go_on_alone(crossing.s.kit.runtime)
    await case.tell(crossing.s.kit, ownership(case.id, HOME, abroad, "RECALLED"))
    for _ in range(2):
        await take_up_held(crossing.s.kit.runtime)
    await crossing.post()
    assert await words(crossing, abroad) == ["GIVEN", "RECALLED"]


async def test_what_was_said_is_not_owed_again(crossing: Crossing) -> None:
    # Fails when a register that was put back, and says it again, makes the peer hear it twice.
    case, _ = await crossing.ready()
    abroad = await crossing.arrived(case)
    for _ in range(2):
        await case.tell(crossing.s.kit, ownership(case.id, HOME, abroad, "GIVEN"))
    await crossing.post()
    assert await words(crossing, abroad) == ["GIVEN"]


async def test_erasure_is_said_once_however_often_the_register_tells_it(crossing: Crossing) -> None:
    # Fails when a register that was put back, and erases it again, makes the peer hear it twice.
    case, consent = await crossing.ready()
    abroad = await crossing.packaged(case)
    await case.tell(crossing.s.kit, withdrawn(consent))
    await crossing.post()
    for _ in range(2):
        await crossing.erase(abroad)
    await crossing.post()
    assert (await kinds(crossing.r, abroad)).count("erased") == 1


@pytest.mark.parametrize("status", ["HANDED_OVER", "DECLINED"])
async def test_what_is_owed_has_no_place_in_what_went_another_way(
    crossing: Crossing, status: str
) -> None:
    # Fails when a country whose case it is by now is told to erase it.
    case, consent = await crossing.ready()
    abroad = await crossing.acknowledged(case)
    await wait_for_peer(crossing.s, "XK")
    await case.tell(crossing.s.kit, withdrawn(consent))
    await set_status(crossing.s, abroad, status)
    await peer_is_heard(crossing, crossing.s)
    assert await kinds(crossing.s, abroad) == ["offer"]
    assert await owed(crossing.s) == []


async def test_erasure_that_is_owed_has_no_place_in_what_went_another_way(
    crossing: Crossing,
) -> None:
    # Fails when the sender hears that a person is erased who was handed over.
    case, consent = await crossing.ready()
    abroad = await crossing.packaged(case)
    await case.tell(crossing.s.kit, withdrawn(consent))
    await crossing.post()
    await wait_for_peer(crossing.r, "RS")
    await crossing.erase(abroad)
    before = await kinds(crossing.r, abroad)
    await set_status(crossing.r, abroad, "HANDED_OVER")
    await peer_is_heard(crossing, crossing.r)
    assert await kinds(crossing.r, abroad) == before
    assert await owed(crossing.r) == []
