"""A roll that comes after the words it does not know yet: what was heard stays heard."""

from pathlib import Path

from sqlalchemy import select

from referral.models import Letter
from referral.worker import courier_of
from tests.referral.crossing import open_crossing
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
