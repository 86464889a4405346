"""A roll, or an answer to one, that comes late: what was heard stays heard, what was asked is asked."""

from pathlib import Path
from uuid import UUID

from sqlalchemy import select

from common.db.base import unit_of
from common.put_back import COPY
from referral.commands.held import ask_peers, begin
from referral.models import Letter, PeerToHear, Standing
from referral.worker import courier_of
from tests.referral.crossing import Country, open_crossing
from tests.referral.story import NOW, now_is


async def test_a_roll_older_than_what_was_heard_since_lets_no_letter_wait_for_ever(
    tmp_path: Path,
) -> None:
    """Seeded: let `send_again` forget that a letter was heard; nobody says so a second time.

    The hub keeps the order of one referral's letters, and a roll is none of them.
    """
    now_is(NOW)
    async with open_crossing(tmp_path) as crossing:
        s, r = crossing.s, crossing.r
        case, _ = await crossing.ready()
        referral_id = await crossing.sent(case)
        late = courier_of(r.kit.runtime, r.hub)
        assert await late.write_rolls() == 1
        await s.do(referral_id, "cancel", {"reason": "NEED_ENDED"})
        await crossing.post()
        assert await s.status(referral_id) == "CLOSED"

        assert await late.send_slips() == 1
        assert await s.collect() == 1
        assert await s.send() == 1  # what the roll did not know of, once more
        await crossing.post()

        waiting = select(Letter.kind).where(Letter.receipt_of == 0, Letter.heard_at.is_(None))
        assert [*await s.kit.rows(waiting), *await r.kit.rows(waiting)] == []


async def test_the_answer_to_an_earlier_question_is_none_to_a_later_one(tmp_path: Path) -> None:
    """Seeded: hear whoever answers, whatever it was asked: what was said since would be said again."""
    now_is(NOW)
    async with open_crossing(tmp_path) as crossing:
        s, r = crossing.s, crossing.r
        await ask(s)
        here, there = courier_of(s.kit.runtime, s.hub), courier_of(r.kit.runtime, r.hub)
        await here.write_rolls()
        assert await here.send_slips() == 1
        await r.collect()
        earlier = await there.send_slips()
        later = await ask(s)  # it was put back once more before that came

        await s.collect()
        still = await asked(s)
        await here.write_rolls()
        await here.send_slips()
        await r.collect()
        await there.send_slips()
        await s.collect()

        assert (earlier, still, await asked(s)) == (1, [later], [])


async def ask(country: Country) -> UUID:
    """Let a country wait for its peer's answer to a new question, and return that."""
    runtime = country.kit.runtime
    unit = unit_of(runtime.database, source=runtime.source, operation="test")
    await ask_peers(unit, ["XK"])
    await runtime.database.write(unit)
    [question] = await asked(country)
    return question


async def asked(country: Country) -> list[UUID]:
    return [row.asked for row in await country.kit.rows(select(PeerToHear))]


async def test_a_peer_whose_file_is_damaged_is_asked_too_after_it_was_put_back(
    tmp_path: Path,
) -> None:
    # Fails when a damaged file counts as no peer: a case that is edited there by now is edited here.
    now_is(NOW)
    async with open_crossing(tmp_path) as crossing:
        runtime = crossing.s.kit.runtime
        await begin(runtime)
        assert runtime.settings.peers_folder is not None
        (runtime.settings.peers_folder / "XK.json").write_bytes(b"{")
        unit = unit_of(runtime.database, source=runtime.source, operation="test")
        unit.update(Standing, {"id": 1}, expect=1, sign=COPY)
        await runtime.database.write(unit)

        await begin(runtime)

        assert [row.country for row in await crossing.s.kit.rows(select(PeerToHear))] == ["XK"]
