"""A roll, or an answer to one, that comes late: what was heard stays heard, what was asked is asked."""

from pathlib import Path
from uuid import UUID

from sqlalchemy import select

from common.db.base import unit_of
from common.put_back import COPY
from referral.commands.held import ask_peers, begin, hear_part
from referral.models import Letter, PeerToHear, Standing
from referral.schemas.letters import Answer
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


async def test_the_answer_to_a_question_of_before_it_was_put_back_is_none(tmp_path: Path) -> None:
    """Seeded: hear whoever answers, whatever it was asked: what was said since would be said again."""
    now_is(NOW)
    async with open_crossing(tmp_path) as crossing:
        s, r = crossing.s, crossing.r
        await ask(s)
        here, there = courier_of(s.kit.runtime, s.hub), courier_of(r.kit.runtime, r.hub)
        await here.write_rolls()
        assert await here.send_slips() == 1
        await r.collect()
        assert await there.send_slips() == 1
        await ask(s)  # it was put back once more before that came
        await here.write_rolls()
        later = await asked(s)

        await s.collect()
        assert (len(later), await asked(s)) == (1, later)
        await here.send_slips()
        await r.collect()
        await there.send_slips()
        await s.collect()
        assert await asked(s) == []


async def test_an_answer_counts_that_came_after_the_peer_was_asked_anew(tmp_path: Path) -> None:
    """Seeded: let a roll forget the questions before it.

    Of two countries whose hours at the hub never meet, each start would ask anew before it hears the
    answer: it edits nothing for good.
    """
    now_is(NOW)
    async with open_crossing(tmp_path) as crossing:
        s, r = crossing.s, crossing.r
        await ask(s)
        morning = courier_of(s.kit.runtime, s.hub)
        await morning.write_rolls()
        await morning.send_slips()
        await r.collect()
        assert await courier_of(r.kit.runtime, r.hub).send_slips() == 1

        next_morning = courier_of(s.kit.runtime, s.hub)
        assert await next_morning.write_rolls() == 1
        await next_morning.send_slips()
        await s.collect()

        assert await asked(s) == []


async def test_letters_that_answer_two_questions_are_no_answer_to_one(tmp_path: Path) -> None:
    """Seeded: call a question that is asked anew by its old name.

    Its pages and parts are cut elsewhere by then, so what lies between two of them is never heard.
    """
    now_is(NOW)
    async with open_crossing(tmp_path) as crossing:
        s = crossing.s
        await ask(s)
        for _ in range(2):
            await courier_of(s.kit.runtime, s.hub).write_rolls()
        [waiting] = await s.kit.rows(select(PeerToHear))
        first, second = waiting.lacks

        await hear(s, first, part=0)
        await hear(s, second, part=1)
        assert await asked(s) == [waiting.asked]

        await hear(s, first, part=1)
        assert await asked(s) == []


async def test_a_peer_that_is_silent_for_long_is_remembered_no_more_questions(
    tmp_path: Path,
) -> None:
    # Fails when each outage of the hub leaves its question for good, or any but the oldest are let go.
    now_is(NOW)
    async with open_crossing(tmp_path) as crossing:
        s = crossing.s
        await ask(s)
        questions = []
        for _ in range(60):
            await courier_of(s.kit.runtime, s.hub).write_rolls()
            questions += [str(question) for question in await asked(s)]

        [waiting] = await s.kit.rows(select(PeerToHear))
        assert [*waiting.lacks] == questions[-50:]


async def hear(country: Country, question: str, *, part: int) -> None:
    """Let a country hear one of the two parts of a peer's answer."""
    runtime = country.kit.runtime
    unit = unit_of(runtime.database, source=runtime.source, operation="test")
    answer = Answer(asked=UUID(question), after=None, part=part, parts=2, referrals=())
    await hear_part(unit, "XK", answer)
    if unit.steps:
        await runtime.database.write(unit)


async def ask(country: Country) -> None:
    """Let a country wait for its peer's answer to a new question."""
    runtime = country.kit.runtime
    unit = unit_of(runtime.database, source=runtime.source, operation="test")
    await ask_peers(unit, ["XK"])
    await runtime.database.write(unit)


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
