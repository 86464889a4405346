"""How a referral between countries ends before the handover, and what is left of the person."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from common.contracts.intake import PackageErased
from common.contracts.referral import CrossBorderChanged, OwnershipHeard
from common.events import Event
from common.federation.custody import verify
from referral.worker import expire_overdue
from tests.federation.countries import directory_of
from tests.referral.crossing import REFUGE, Crossing, agreed, open_crossing, plan, released
from tests.referral.story import NOW, TODAY, now_is, withdrawn


@pytest.fixture
async def crossing(tmp_path: Path) -> AsyncIterator[Crossing]:
    now_is(NOW)
    async with open_crossing(tmp_path) as opened:
        yield opened


async def both(crossing: Crossing, referral_id: UUID) -> tuple[str | None, str | None]:
    return await crossing.s.status(referral_id), await crossing.r.status(referral_id)


async def assert_only_the_fact(crossing: Crossing, referral_id: UUID) -> None:
    """See that the receiver has no code of the person, in its rows, its answers and its feed."""
    row = await crossing.r.row(referral_id)
    assert (row.sex, row.age_group, row.purpose) == (None, None, None)
    assert (row.needs, row.languages, row.data_groups) == ([], [], [])
    read = await crossing.r.see(referral_id)
    shown = {name for name, value in read.items() if value not in (None, [])}
    days = {"submitted_at", "acknowledged_at", "respond_by", "consent_withdrawn_on", "erased_on"}
    fact = {"id", "version", "direction", "peer_country", "status", "urgency", "organisation_id"}
    assert shown <= {*fact, *days, "reason"}
    assert read["reason"] in (None, "NO_CAPACITY")
    feed = await crossing.r.kit.feed(crossing.r.caller("SOCIAL_WORKER", REFUGE))
    told = [event for event in feed if event.subject == referral_id]
    assert len(told) <= 2
    assert all(event.data["case_id"] is None for event in told)
    assert (await crossing.s.dead(), await crossing.r.dead()) == ([], [])
    directory = directory_of(crossing.s.land, crossing.r.land)
    here, there = await crossing.s.custody(referral_id), await crossing.r.custody(referral_id)
    assert verify(here, directory.signer) == verify(there, directory.signer)


async def test_a_declined_referral_is_forgotten_where_it_was_declined(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)

    await crossing.r.do(referral_id, "decline", {"reason": "NO_CAPACITY"})
    await crossing.post()

    assert await both(crossing, referral_id) == ("DECLINED", "DECLINED")
    assert (await crossing.s.see(referral_id))["reason"] == "NO_CAPACITY"
    assert (await crossing.s.see(referral_id))["sex"] == "FEMALE"
    await assert_only_the_fact(crossing, referral_id)


async def test_a_referral_cancelled_before_its_package_is_closed_at_once(
    crossing: Crossing,
) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.accepted(case)

    await crossing.s.do(referral_id, "cancel", {"reason": "PERSON_DECLINED"})
    await crossing.post()

    assert await both(crossing, referral_id) == ("CLOSED", "CANCELLED")
    mine = await crossing.s.see(referral_id)
    assert (mine["reason"], mine["erased_on"]) == ("PERSON_DECLINED", TODAY.isoformat())
    await assert_only_the_fact(crossing, referral_id)


async def test_a_draft_that_is_cancelled_was_never_heard_of(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)

    await crossing.s.do(referral_id, "cancel", {"reason": "SENT_BY_MISTAKE"})
    await crossing.post()

    assert await both(crossing, referral_id) == ("CANCELLED", None)
    assert await crossing.s.letters(referral_id) == []


async def test_who_travels_is_not_called_back_by_a_cancellation(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.departed(case)

    answer = await crossing.s.step(referral_id, "cancel", {"reason": "OTHER"})

    assert (answer.status_code, answer.json()["legal"]) == (409, ["fail"])


@pytest.mark.row("F35")
async def test_what_nobody_decides_in_time_expires_in_both_countries(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)  # HIGH: 48 hours
    now_is(NOW + timedelta(hours=47))
    await expire_overdue(crossing.s.kit.runtime)
    assert await crossing.s.status(referral_id) == "ACKNOWLEDGED"

    now_is(NOW + timedelta(hours=48))
    for country in (crossing.r, crossing.s):  # the sender's clock alone decides
        await expire_overdue(country.kit.runtime)
        if country is crossing.r:
            assert await crossing.r.status(referral_id) == "ACKNOWLEDGED"
    await crossing.post()

    assert await both(crossing, referral_id) == ("EXPIRED", "EXPIRED")
    await assert_only_the_fact(crossing, referral_id)


async def test_an_acceptance_that_met_the_end_of_the_time_is_none(crossing: Crossing) -> None:
    # Two letters that cross: the sender's clock has ended what the receiver accepted meanwhile.
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    now_is(NOW + timedelta(hours=48))
    await expire_overdue(crossing.s.kit.runtime)

    await crossing.r.do(referral_id, "accept", {"organisation_id": str(REFUGE)})
    await crossing.post()

    assert await both(crossing, referral_id) == ("EXPIRED", "EXPIRED")
    await assert_only_the_fact(crossing, referral_id)


# --- withdrawal


async def test_a_withdrawal_is_erased_and_then_closed(crossing: Crossing) -> None:
    """Seeded: answer `erased` before the register has erased what came."""
    case, consent = await crossing.ready()
    referral_id = await crossing.departed(case)

    await case.tell(crossing.s.kit, withdrawn(consent))
    await crossing.post()

    assert await both(crossing, referral_id) == ("CONSENT_WITHDRAWN", "CONSENT_WITHDRAWN")
    assert (await crossing.s.row(referral_id)).erased_on is None
    last = (await crossing.r.told(referral_id, CrossBorderChanged))[-1]
    assert (last.status, last.case_id, last.reason) == (
        "CONSENT_WITHDRAWN",
        None,
        None,
    )

    await crossing.erase(referral_id)

    assert await both(crossing, referral_id) == ("CLOSED", "CONSENT_WITHDRAWN")
    assert (await crossing.s.row(referral_id)).erased_on == TODAY
    await assert_only_the_fact(crossing, referral_id)


async def test_a_withdrawal_before_any_data_came_is_closed_at_once(crossing: Crossing) -> None:
    case, consent = await crossing.ready()
    referral_id = await crossing.acknowledged(case)

    await case.tell(crossing.s.kit, withdrawn(consent))
    await crossing.post()

    assert await both(crossing, referral_id) == ("CLOSED", "CONSENT_WITHDRAWN")
    await assert_only_the_fact(crossing, referral_id)


async def test_the_consent_the_package_rested_on_calls_it_off_too(crossing: Crossing) -> None:
    # Fails when only the consents of the submission are looked at: another one opened the data.
    case, _ = await crossing.ready()
    referral_id = await crossing.accepted(case)
    later = agreed(case.id, recipient_kinds=()).model_copy(
        update={"recipient_organisation_id": REFUGE}
    )
    await case.tell(crossing.s.kit, later, released(case, referral_id))

    await case.tell(crossing.s.kit, withdrawn(later))

    assert await crossing.s.status(referral_id) == "CONSENT_WITHDRAWN"


async def test_a_consent_that_it_does_not_rest_on_changes_nothing(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.accepted(case)
    other = agreed(case.id, recipient_countries=("BA",))
    await case.tell(crossing.s.kit, other)

    await case.tell(crossing.s.kit, withdrawn(other))

    assert await crossing.s.status(referral_id) == "ACCEPTED"


async def test_after_the_handover_a_withdrawal_changes_nothing_abroad(crossing: Crossing) -> None:
    case, consent = await crossing.ready()
    referral_id = await crossing.handed_over(case)

    await case.tell(crossing.s.kit, withdrawn(consent))
    await crossing.post()

    assert await both(crossing, referral_id) == ("HANDED_OVER", "HANDED_OVER")
    assert (await crossing.s.letters(referral_id))[-1].kind == "ownership"


@pytest.mark.row("F38")
async def test_a_withdrawal_that_meets_a_taken_case_does_not_undo_it(crossing: Crossing) -> None:
    # GIVEN is out when the consent is withdrawn, and the register has taken the case before it hears.
    case, consent = await crossing.ready()
    referral_id = await crossing.arrived(case)
    await crossing.give(case, referral_id)

    await case.tell(crossing.s.kit, withdrawn(consent))
    await crossing.post()
    assert await both(crossing, referral_id) == ("CONSENT_WITHDRAWN", "CONSENT_WITHDRAWN")
    await crossing.answer(referral_id, "TAKEN")

    assert await both(crossing, referral_id) == ("HANDED_OVER", "HANDED_OVER")
    assert [h.word for h in await crossing.s.told(referral_id, OwnershipHeard)] == ["TAKEN"]


async def test_a_case_given_after_the_withdrawal_is_refused_and_stays(crossing: Crossing) -> None:
    case, consent = await crossing.ready()
    referral_id = await crossing.arrived(case)
    await case.tell(crossing.s.kit, withdrawn(consent))
    await crossing.give(case, referral_id)  # decided before intake had heard
    await crossing.erase(referral_id)

    await crossing.answer(referral_id, "REFUSED")

    assert await both(crossing, referral_id) == ("CLOSED", "CONSENT_WITHDRAWN")
    assert [h.word for h in await crossing.s.told(referral_id, OwnershipHeard)] == ["REFUSED"]
    assert await crossing.s.dead() == []


# --- the journey


@pytest.mark.parametrize("who", ["s", "r"])
async def test_either_country_may_say_that_the_journey_failed(crossing: Crossing, who: str) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.departed(case)
    country = crossing.s if who == "s" else crossing.r
    by = country.caller("SOCIAL_WORKER", (await country.row(referral_id)).organisation_id)

    answer = await country.step(referral_id, "fail", {"reason": "NOT_ADMITTED"}, by=by)
    await crossing.post()

    assert answer.status_code == 200, answer.text
    assert await both(crossing, referral_id) == ("FAILED", "FAILED")
    assert (await crossing.s.see(referral_id))["reason"] == "NOT_ADMITTED"
    # The feed of who takes her in says no more than a reading.
    refuge = crossing.r.caller("SOCIAL_WORKER", REFUGE)
    shown = await crossing.r.see(referral_id, refuge)
    [told] = [each for each in await crossing.r.kit.feed(refuge) if each.subject == referral_id]
    for name in ("reason", "case_id", "purpose", "recipient_kind", "recipient_organisation_id"):
        assert told.data[name] is None, name
        assert shown[name] is None, name


async def test_who_arrived_has_arrived_although_the_sender_gave_her_up(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.departed(case)
    await crossing.s.do(referral_id, "fail", {"reason": "NOT_ARRIVED"})

    await crossing.r.do(referral_id, "confirm-arrival")
    await crossing.post()

    assert await both(crossing, referral_id) == ("ARRIVED", "ARRIVED")


async def test_after_a_failed_journey_the_data_go_and_it_may_be_called_off(
    crossing: Crossing,
) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.departed(case)
    await crossing.s.do(referral_id, "fail", {"reason": "PERSON_DECLINED"})
    await crossing.post()
    assert (await crossing.s.row(referral_id)).erased_on is None

    await crossing.erase(referral_id)
    assert await both(crossing, referral_id) == ("FAILED", "FAILED")
    assert (await crossing.s.row(referral_id)).erased_on == TODAY
    await crossing.s.do(referral_id, "cancel", {"reason": "PERSON_DECLINED"})
    await crossing.post()

    assert await both(crossing, referral_id) == ("CLOSED", "CANCELLED")
    await assert_only_the_fact(crossing, referral_id)


async def test_a_failed_journey_called_off_before_the_data_went_is_closed_when_they_have(
    crossing: Crossing,
) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.departed(case)
    await crossing.s.do(referral_id, "fail", {"reason": "PERSON_DECLINED"})
    await crossing.s.do(referral_id, "cancel", {"reason": "PERSON_DECLINED"})
    await crossing.post()
    assert await both(crossing, referral_id) == ("CANCELLED", "CANCELLED")

    await crossing.erase(referral_id)

    assert await both(crossing, referral_id) == ("CLOSED", "CANCELLED")
    await assert_only_the_fact(crossing, referral_id)


async def test_of_a_failed_journey_whose_data_came_too_late_the_sender_hears_that_nothing_is_left(
    crossing: Crossing,
) -> None:
    # Fails when the register's word that it has no case goes on only where a package was taken: one
    # that crossed the end is kept nowhere, and its sender would not know.
    case, _ = await crossing.ready()
    referral_id = await crossing.accepted(case)
    await crossing.s.do(referral_id, "plan-transfer", plan())
    await crossing.s.do(referral_id, "depart")
    await crossing.post()
    by = crossing.r.caller("SOCIAL_WORKER", REFUGE)
    await crossing.r.step(referral_id, "fail", {"reason": "PERSON_DECLINED"}, by=by)
    await case.tell(crossing.s.kit, released(case, referral_id))
    await crossing.post()
    assert (await crossing.s.row(referral_id)).packaged_at is not None
    assert (await crossing.r.row(referral_id)).packaged_at is None

    gone = PackageErased(referral_id=referral_id, reason="FAILED", erased_on=TODAY)
    event = Event.of(gone, subject=referral_id, seq=1, source="/XK/intake")
    assert await crossing.r.kit.hear(event) == ["applied"]
    await crossing.post()

    row = await crossing.s.row(referral_id)
    assert (row.status, row.erased_on) == ("FAILED", TODAY)
    await crossing.s.do(referral_id, "cancel", {"reason": "PERSON_DECLINED"})
    await crossing.post()
    assert await both(crossing, referral_id) == ("CLOSED", "CANCELLED")
