"""A referral that ends where its package opened no case: the register says so, and once (F41, step 6)."""

import pytest
from sqlalchemy import select

from common.contracts.intake import CaseErased, PackageErased
from common.tables import InboxAggregate
from common.worker import consumer_of
from intake.domain.transfer import AWAITED
from intake.models import Case
from tests.conftest import fixed_id
from tests.intake.crossing import REFERRAL, TODAY, Crossing, Side, changed, crossed, received, step
from tests.intake.test_transfer_received import FACTS, sealed
from tests.kit import handlers_of
from tests.peers import Keeper, keeper


async def bury(side: Side) -> None:
    """Let a package come that was sealed under another referral."""
    assert await side.hear(received(sealed(FACTS, referral_id=fixed_id(901)))) == ["dead"]


@pytest.mark.row("F41")
@pytest.mark.parametrize("status", sorted(AWAITED))
async def test_the_end_of_a_referral_whose_package_was_buried_is_answered(
    small: Crossing, status: str
) -> None:
    """Seeded: say nothing where no case is found; the sender waits for the word for ever."""
    there = small.there
    await there.reach("ACCEPTED")
    await bury(there)
    assert await there.said(PackageErased) == []

    await there.reach(status)

    [told] = await there.said(PackageErased)
    assert (told.subject, told.seq) == (REFERRAL, 1)
    assert told.data == {
        "referral_id": str(REFERRAL),
        "reason": status,
        "erased_on": TODAY.isoformat(),
    }
    assert await there.kit.feed(there.worker) == []


@pytest.mark.parametrize("status", ["DECLINED", "EXPIRED"])
async def test_of_a_referral_before_whose_end_no_package_can_come_nothing_is_said(
    small: Crossing, status: str
) -> None:
    # Fails when each refusal is told once more, with a day on which something was erased.
    await small.there.reach("ACKNOWLEDGED")

    await small.there.reach(status)

    assert await small.there.said(PackageErased) == []


async def test_it_is_said_once_whatever_the_referral_is_told_to_be_later(small: Crossing) -> None:
    # Fails when it is said at each status that ends: the second would take the first one's number.
    there = small.there
    await there.reach("ACCEPTED")
    await bury(there)
    for status in ("FAILED", "FAILED", "CANCELLED", "ACCEPTED", "CONSENT_WITHDRAWN"):
        await there.reach(status)

    assert len(await there.said(PackageErased)) == 1


@pytest.mark.parametrize("first", ["buried", "good"])
async def test_of_two_packages_the_one_that_opened_a_case_is_erased(
    small: Crossing, first: str
) -> None:
    # Fails when what was buried is answered for although there is a case: it would be said before
    # the person's key is gone.
    there = small.there
    await there.reach("ACCEPTED")
    for each in ("buried", "good") if first == "buried" else ("good", "buried"):
        if each == "buried":
            await bury(there)
        else:
            assert await there.hear(received(sealed(FACTS))) == ["applied"]

    for status in ("FAILED", "CONSENT_WITHDRAWN"):
        await there.reach(status)

    assert len(await there.said(CaseErased)) == 1
    assert await there.said(PackageErased) == []


async def test_nothing_is_said_before_a_package_that_waits_for_its_key(small: Crossing) -> None:
    # Fails when the end of the referral overtakes what came before it: a case would be opened, and
    # erased, after the sender has heard that nothing is left.
    there, kosovo = small.there, Keeper("XK")
    for _ in range(2):
        kosovo.new_package_key()
    kosovo.settle_in(there.kit.runtime, keeper("RS"))
    file = there.kit.runtime.settings.own_keys_file
    assert file is not None
    held = file.read_bytes()
    await there.reach("ACCEPTED")
    file.unlink()
    assert await there.hear(received(sealed(FACTS, to=kosovo))) == ["parked"]

    assert await there.hear(changed("CONSENT_WITHDRAWN", "RECEIVED")) == ["pending"]
    assert await there.said(PackageErased) == []

    file.write_bytes(held)
    await consumer_of(there.kit.runtime, handlers_of(there.kit.runtime)).retry_all_parked()

    [waits] = await there.kit.rows(select(InboxAggregate).where(InboxAggregate.subject == REFERRAL))
    assert (waits.parked_at, waits.last_seq) == (None, 3)
    assert len(await there.said(CaseErased)) == 1
    assert await there.said(PackageErased) == []


async def test_nothing_is_said_of_a_case_that_was_taken_or_that_was_sent(
    crossing: Crossing,
) -> None:
    # Fails when it is said whether or not a case is there; or in the sender's country.
    here, there = crossing.here, crossing.there
    await crossed(crossing)
    await step(here, "give", epoch=1)
    await crossing.carry_words()

    for side in (here, there):
        await side.reach("CONSENT_WITHDRAWN")

        assert await side.said(PackageErased) == []
    assert len(await there.kit.rows(select(Case))) == 1
