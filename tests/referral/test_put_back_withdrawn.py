"""A person's word that her data may no longer be used, around a backup that is put back (T23, T36)."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from referral.models import OwedLetter
from tests.referral.story import NOW, now_is
from tests.referral.world import World, open_world

pytestmark = pytest.mark.slow

DAYS = 3
"""Of daily questions: what two countries miss of each other they hear in one."""


async def days_go_by(world: World) -> None:
    for day in range(DAYS):
        now_is(NOW + timedelta(days=day))
        await world.rest()


async def assert_over(world: World) -> None:
    """See that both know that the consent is withdrawn, and that nothing is left over there."""
    s, r = [await each.row(world.referral_id) for each in (world.s, world.r)]
    assert (s.status, r.status) == ("CLOSED", "CONSENT_WITHDRAWN")
    assert r.erased_on is not None
    assert await world.s.links(world.referral_id) == await world.r.links(world.referral_id)
    assert await world.s.verify(world.referral_id) == 0
    kinds = [said.statement.kind for said in await world.custody()]
    assert (kinds.count("withdrawn"), kinds.count("erased")) == (1, 1)
    assert (await world.s.dead(), await world.r.dead()) == ([], [])


@pytest.mark.row("C1")
@pytest.mark.parametrize("is_alone", [True, False])
@pytest.mark.parametrize("was_said", [True, False])
async def test_a_withdrawal_that_gave_way_is_told_again(
    told: Path, tmp_path: Path, *, is_alone: bool, was_said: bool
) -> None:
    """Seeded: let it go with the words that people say again: nobody can withdraw it twice."""
    now_is(NOW)
    async with open_world(told / "sent", tmp_path) as world:
        copy = world.back_up_by_command(world.s) if is_alone else await world.back_up(world.s)
        await world.go_on_to_arrival()
        if was_said:
            await world.withdraw()
            await world.rest()
        await world.put_back(world.s, copy)
        if is_alone:
            await world.go_on_alone(world.s)

        await world.withdraw()
        await world.s.hear()
        await days_go_by(world)

        await assert_over(world)


@pytest.mark.row("C1")
@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("was_said", [True, False])
async def test_a_receiver_that_was_put_back_says_once_that_it_erased(
    told: Path, tmp_path: Path, *, is_known: bool, was_said: bool
) -> None:
    """Seeded: owe what is given back as well; let the steps before it reopen the referral."""
    now_is(NOW)
    async with open_world(told / "sent", tmp_path) as world:
        copy = world.back_up_by_command(world.r) if is_known else await world.back_up(world.r)
        await world.go_on_to_arrival()
        await world.withdraw()
        await world.s.hear()
        if was_said:
            await world.rest()

        await world.put_back(world.r, copy)
        await days_go_by(world)

        await assert_over(world)


async def test_a_word_that_all_was_erased_is_not_owed_where_it_is_given_back(
    told: Path, tmp_path: Path
) -> None:
    """Seeded: leave it owed; it is said twice."""
    now_is(NOW)
    async with open_world(told / "arrived", tmp_path) as world:
        await world.withdraw()
        await world.s.hear()
        await world.s.send()
        await world.r.collect()  # its register has not heard of it
        copy = world.back_up_by_command(world.r)
        await world.rest()

        await world.put_back(world.r, copy)
        await world.rest(world.r)
        owed = await world.r.referral.rows(select(OwedLetter.kind))
        await days_go_by(world)

        assert [each.kind for each in owed] == ["erased"]
        await assert_over(world)


async def test_a_word_that_all_was_erased_is_said_again_where_it_gave_way(
    told: Path, tmp_path: Path
) -> None:
    """Seeded: let it go with the words that people say again: the sender waits for it for ever."""
    now_is(NOW)
    async with open_world(told / "sent", tmp_path) as world:
        copy = await world.back_up(world.r)
        await world.r.do(world.path, "acknowledge")
        await world.r.send()  # and before RS reads it:
        await world.withdraw()
        await world.s.hear()
        await world.s.send()
        await world.s.collect()
        await world.put_back(world.r, copy)

        await world.r.collect()
        kinds = [said.statement.kind for said in await world.custody()]
        await days_go_by(world)

        assert "acknowledged" in kinds
        await assert_over(world)


@pytest.mark.row("C1")
@pytest.mark.parametrize("is_alone", [True, False])
async def test_what_a_receiver_erased_stays_so_where_its_word_gives_way(
    told: Path, tmp_path: Path, *, is_alone: bool
) -> None:
    """Seeded: let a step that was said before the withdrawal reopen the referral; say it no more."""
    now_is(NOW)
    async with open_world(told / "sent", tmp_path) as world:
        copy = world.back_up_by_command(world.r) if is_alone else await world.back_up(world.r)
        await world.step(world.r, "acknowledge")
        await world.rest()
        await world.put_back(world.r, copy)
        if is_alone:
            await world.go_on_alone(world.r)

        await world.withdraw()
        await world.s.hear()
        await days_go_by(world)

        await assert_over(world)


async def test_who_had_called_it_off_before_owes_no_withdrawal(told: Path, tmp_path: Path) -> None:
    """Seeded: take a withdrawal alone for what makes a withdrawal needless."""
    now_is(NOW)
    async with open_world(told / "sent", tmp_path) as world:
        copy = world.back_up_by_command(world.s)
        await world.step(world.s, "cancel", {"reason": "OTHER"})
        await world.put_back(world.s, copy)

        await world.withdraw()
        await world.s.hear()
        await days_go_by(world)

        kinds = [said.statement.kind for said in await world.custody()]
        assert (kinds.count("cancelled"), kinds.count("withdrawn")) == (1, 0)
        assert (await world.s.dead(), await world.r.dead()) == ([], [])
