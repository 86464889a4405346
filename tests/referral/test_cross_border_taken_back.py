"""What was called off before it was heard does not leave the country any more (C1, F36)."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from common.bus import BusError, LocalBus, Log
from common.contracts.intake import ConsentGranted
from common.contracts.referral import PackageReceived
from common.federation.custody import SignedStatement, verify
from common.federation.envelope import Letter, open_envelope, seal
from common.tables import InboxPending
from common.unit import StaleError
from referral.worker import expire_overdue
from tests.federation.countries import directory_of
from tests.referral.crossing import Crossing, open_crossing, plan, released
from tests.referral.forging import on_hub, put_again, state, statement_to_r
from tests.referral.story import NOW, Case, now_is, withdrawn


@pytest.fixture
async def crossing(tmp_path: Path) -> AsyncIterator[Crossing]:
    now_is(NOW)
    async with open_crossing(tmp_path) as opened:
        yield opened


async def letters_of_s(crossing: Crossing) -> list[Letter]:
    """Open what lies on the hub for the receiver."""
    land = crossing.r.land
    signer = directory_of(crossing.s.land, land).signer
    return [
        open_envelope(each.value, country=land.code, keys=land.keys, signer=signer)
        for each in await on_hub(crossing, crossing.r)
    ]


async def assert_nothing_left(crossing: Crossing, referral_id: UUID, statuses: Any) -> None:
    """See that both have ended, that no package came, and that the chain holds on both sides."""
    assert await crossing.s.status(referral_id) == statuses[0]
    assert await crossing.r.status(referral_id) == statuses[1]
    assert await crossing.r.told(referral_id, PackageReceived) == []
    assert (await crossing.s.dead(), await crossing.r.dead()) == ([], [])
    sent = [each for each in await letters_of_s(crossing) if each.said.statement.kind == "package"]
    assert [each.body for each in sent] == [None]
    assert (await crossing.r.row(referral_id)).packaged_at is None
    signer = directory_of(crossing.s.land, crossing.r.land).signer
    for country in (crossing.s, crossing.r):
        verify(await country.custody(referral_id), signer)


async def call_off(crossing: Crossing, how: str, case: Case, consent: ConsentGranted) -> None:
    [referral_id] = crossing.cases
    if how == "withdrawn":
        await case.tell(crossing.s.kit, withdrawn(consent))
        return
    if how == "failed":
        await crossing.s.do(referral_id, "plan-transfer", plan())
        await crossing.s.do(referral_id, "depart")
        await crossing.s.do(referral_id, "fail", {"reason": "NOT_ADMITTED"})
    else:
        await crossing.s.do(referral_id, "cancel", {"reason": "PERSON_DECLINED"})


ENDS: dict[str, tuple[str, str]] = {
    "withdrawn": ("CLOSED", "CONSENT_WITHDRAWN"),
    "cancelled": ("CLOSED", "CANCELLED"),
    "failed": ("FAILED", "FAILED"),
}


@pytest.mark.row("C1")
@pytest.mark.parametrize("how", [*ENDS])
async def test_what_was_called_off_while_the_hub_was_away_does_not_leave(
    crossing: Crossing, tmp_path: Path, how: str
) -> None:
    """Seeded: leave the words in the letter's row when the referral is called off."""
    case, consent = await crossing.ready()
    referral_id = await crossing.accepted(case)
    crossing.cases[referral_id] = Case()
    hub, crossing.s.hub = crossing.s.hub, LocalBus(tmp_path / "away" / "hub.db")
    await case.tell(crossing.s.kit, released(case, referral_id))
    with pytest.raises(BusError):
        await crossing.s.send()

    await call_off(crossing, how, case, consent)
    kept = {each.kind: each.body for each in await crossing.s.letters(referral_id)}
    assert kept["package"] is None
    await crossing.s.hub.close()
    crossing.s.hub = hub
    await crossing.post()

    await assert_nothing_left(crossing, referral_id, ENDS[how])


@pytest.mark.row("C1")
async def test_what_was_sent_once_and_lost_is_not_sent_again(crossing: Crossing) -> None:
    """Seeded: send it again with its words; or never, so that nothing that follows it is taken."""
    case, consent = await crossing.ready()
    referral_id = await crossing.accepted(case)
    await case.tell(crossing.s.kit, released(case, referral_id))
    assert await crossing.s.send() == 1
    await crossing.lose(crossing.r)

    await case.tell(crossing.s.kit, withdrawn(consent))
    await crossing.post()
    assert await crossing.r.status(referral_id) == "ACCEPTED"  # the withdrawal waits for its place
    now_is(NOW + timedelta(hours=6))
    await crossing.post()

    await assert_nothing_left(crossing, referral_id, ENDS["withdrawn"])


async def test_what_came_before_the_withdrawal_is_erased_although_it_comes_again(
    crossing: Crossing,
) -> None:
    case, consent = await crossing.ready()
    referral_id = await crossing.packaged(case)
    await crossing.lose(crossing.s)

    await case.tell(crossing.s.kit, withdrawn(consent))
    now_is(NOW + timedelta(hours=6))
    await crossing.post()
    assert await crossing.r.status(referral_id) == "CONSENT_WITHDRAWN"
    assert len(await crossing.r.told(referral_id, PackageReceived)) == 1
    await crossing.erase(referral_id)

    assert await crossing.s.status(referral_id) == "CLOSED"
    assert await crossing.r.told(referral_id, PackageReceived) == []


class _Meanwhile(LocalBus):
    """The hub, and a withdrawal that is committed after the courier has read what is due."""

    def __init__(self, path: Path, case: Case, crossing: Crossing, consent: ConsentGranted) -> None:
        super().__init__(path)
        self._story = (case, crossing, consent)
        self._is_over = False

    async def logs(self, topics: Any) -> Mapping[tuple[str, int], Log]:
        found = await super().logs(topics)
        if not self._is_over:
            self._is_over = True
            case, crossing, consent = self._story
            await case.tell(crossing.s.kit, withdrawn(consent))
        return found


async def test_a_withdrawal_that_meets_the_courier_is_seen(crossing: Crossing) -> None:
    """Seeded: publish what was read without looking whether it is still there."""
    case, consent = await crossing.ready()
    referral_id = await crossing.accepted(case)
    await case.tell(crossing.s.kit, released(case, referral_id))
    hub, crossing.s.hub = crossing.s.hub, _Meanwhile(crossing.log, case, crossing, consent)

    with pytest.raises(StaleError):
        await crossing.s.send()
    await crossing.s.hub.close()
    crossing.s.hub = hub
    await crossing.post()

    await assert_nothing_left(crossing, referral_id, ENDS["withdrawn"])


@pytest.mark.row("F37")
@pytest.mark.parametrize("how", ["withdrawn", "expired"])
async def test_an_offer_that_was_never_heard_says_nothing_once_it_is_called_off(
    crossing: Crossing, tmp_path: Path, how: str
) -> None:
    case, consent = await crossing.ready()
    hub, crossing.s.hub = crossing.s.hub, LocalBus(tmp_path / "away" / "hub.db")
    referral_id = await crossing.drafted(case)
    await crossing.s.do(referral_id, "submit")
    with pytest.raises(BusError):
        await crossing.s.send()

    if how == "withdrawn":
        await case.tell(crossing.s.kit, withdrawn(consent))
    else:
        now_is(NOW + timedelta(hours=48))
        await expire_overdue(crossing.s.kit.runtime)
    await crossing.s.hub.close()
    crossing.s.hub = hub
    await crossing.post()

    ends = {"withdrawn": ENDS["withdrawn"], "expired": ("EXPIRED", "EXPIRED")}[how]
    assert (await crossing.s.status(referral_id), await crossing.r.status(referral_id)) == ends
    sent = {each.said.statement.kind: each.body for each in await letters_of_s(crossing)}
    assert sent.pop("offer") is None
    assert all(body == {} for body in sent.values())
    assert (await crossing.s.dead(), await crossing.r.dead()) == ([], [])


async def test_only_words_about_the_person_may_be_taken_back(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    before = await state(crossing, referral_id)
    land = crossing.s.land
    said = SignedStatement.of(await statement_to_r(crossing, referral_id, land), land.signing)
    to = crossing.r.land.sealing.public

    await put_again(crossing, crossing.r, seal(Letter.of(said, None), by=land.signing, to=to))
    await crossing.r.collect()

    assert await state(crossing, referral_id) == before
    assert await crossing.r.dead() == []  # it waits: a later release may know more such words
    [held] = await crossing.r.kit.rows(select(InboxPending.seq))
    assert held.seq == 2
