"""Letters that come twice, late, in any order, or not at all (F36)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from common.bus import BusError, LocalBus
from common.consumer import Consumer
from common.db.base import unit_of
from common.federation.envelope import open_envelope
from common.federation.mail import event_of, topic_to
from common.tables import AuditEntry, InboxAggregate, InboxPending, SubjectKey
from common.unit import AnySelect
from referral.models import Letter as Waiting
from referral.worker import courier_of, forget_words, postbox_of
from tests.common.things import Around
from tests.federation.countries import directory_of
from tests.kit import handlers_of
from tests.referral.crossing import (
    BOSNIA,
    REFUGE,
    Crossing,
    agreed,
    plan,
)
from tests.referral.forging import on_hub, put_again, state
from tests.referral.story import NOW, now_is

# --- twice, and in any order


@pytest.mark.row("F36")
async def test_letters_that_come_twice_change_nothing(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.handed_over(case)
    before = await state(crossing, referral_id)
    envelopes = [each.value for each in await on_hub(crossing, crossing.r)]

    await put_again(crossing, crossing.r, *envelopes, *reversed(envelopes))
    await crossing.post()

    assert await state(crossing, referral_id) == before
    assert await crossing.r.dead() == []
    assert await crossing.s.status(referral_id) == "HANDED_OVER"


@pytest.mark.row("F36")
async def test_letters_that_come_in_another_order_are_taken_in_theirs(
    crossing: Crossing, tmp_path: Path
) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.packaged(case)
    await crossing.s.do(referral_id, "plan-transfer", plan())
    await crossing.s.do(referral_id, "depart")
    await crossing.s.do(referral_id, "fail", {"reason": "NOT_ADMITTED"})
    hub, crossing.s.hub = crossing.s.hub, LocalBus(tmp_path / "aside.db")
    assert await crossing.s.send() == 3
    envelopes = [each.value for each in await on_hub(crossing, crossing.r)]
    await crossing.s.hub.close()
    crossing.s.hub = hub

    await put_again(crossing, crossing.r, *reversed(envelopes))
    await crossing.r.collect()

    assert await crossing.r.status(referral_id) == "FAILED"
    told = [e.data.get("status") for e in await crossing.r.kit.events(referral_id)]
    assert told[-3:] == ["TRANSFER_PLANNED", "IN_TRANSFER", "FAILED"]
    assert await crossing.r.dead() == []


# --- not at all


async def test_while_the_hub_is_away_letters_wait_and_then_come_in_order(
    crossing: Crossing, tmp_path: Path
) -> None:
    case, _ = await crossing.ready()
    away = tmp_path / "away"
    here = crossing.s.hub
    crossing.s.hub = LocalBus(away / "hub.db")
    referral_id = await crossing.drafted(case)
    await crossing.s.do(referral_id, "submit")
    with pytest.raises(BusError):
        await crossing.s.send()
    now_is(NOW + timedelta(days=1))
    await crossing.s.do(referral_id, "cancel", {"reason": "NEED_ENDED"})
    with pytest.raises(BusError):
        await crossing.s.send()
    await crossing.s.hub.close()
    now_is(NOW + timedelta(days=21))  # longer than a sealed letter would have lived

    crossing.s.hub = here
    await crossing.post()

    assert await crossing.r.status(referral_id) == "CANCELLED"
    assert await crossing.s.status(referral_id) == "CLOSED"
    told = [e.data.get("status") for e in await crossing.r.kit.events(referral_id)]
    assert told == ["SUBMITTED", "CANCELLED"]


class Keys(Around):
    """Counts the keys that are asked for; without its own no letter opens."""

    asked = 0

    async def fetch(
        self, statement: AnySelect, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        self.asked += SubjectKey.__table__ in statement.get_final_froms()
        return await super().fetch(statement, parameters)


async def test_while_the_hub_is_away_no_letter_is_opened(
    crossing: Crossing, tmp_path: Path
) -> None:
    """Seeded: ask for the hub once the letters are sealed: each try opens them, and no entry says so."""
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    await crossing.s.do(referral_id, "submit")
    keys = Keys(crossing.s.kit.runtime.database)
    runtime = replace(crossing.s.kit.runtime, database=keys)
    away = LocalBus(tmp_path / "away" / "hub.db")
    courier = courier_of(runtime, away)
    assert await courier.sign_waiting() == 1

    for _ in range(3):
        with pytest.raises(BusError):
            await courier.send_due()
    await away.close()

    assert keys.asked == 0
    assert await courier_of(runtime, crossing.s.hub).send_due() == 1
    assert keys.asked == 1


async def test_what_was_not_heard_is_sent_again_after_six_hours_then_every_day(
    crossing: Crossing,
) -> None:
    case, _ = await crossing.ready()
    await crossing.sent(case)  # so that the receiver has a position in a log that will be gone
    second = await crossing.drafted(case)
    await crossing.s.do(second, "submit")
    sent = NOW
    assert await crossing.s.send() == 1
    await crossing.lose(crossing.r, crossing.s)
    assert await crossing.s.collect() + await crossing.r.collect() == 0

    for after, count in (
        (timedelta(hours=5, minutes=59), 0),
        (timedelta(hours=6), 1),
        (timedelta(hours=12), 0),
        (timedelta(hours=29, minutes=59), 0),
        (timedelta(hours=30), 1),
        (timedelta(hours=53), 0),
    ):
        now_is(sent + after)
        assert await crossing.s.send() == count, after
        assert await crossing.r.status(second) is None
    await crossing.post()

    assert await crossing.r.status(second) == "SUBMITTED"
    assert all(each.heard_at for each in await crossing.s.letters(second))
    now_is(sent + timedelta(days=30))
    assert await crossing.s.send() == 0


@pytest.mark.parametrize("days", [1, 20, 300])
async def test_what_left_by_a_clock_that_ran_ahead_leaves_again_by_the_right_one(
    crossing: Crossing, days: int
) -> None:
    # Fails when a letter whose peer refused its time is not sent again until that time has come.
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    assert (await crossing.s.step(referral_id, "submit")).status_code == 200
    now_is(NOW + timedelta(days=days))
    assert await crossing.s.send()
    now_is(NOW)

    await crossing.post()

    assert await crossing.r.status(referral_id) == "SUBMITTED"


@pytest.mark.parametrize("days", [1, 20, 300])
async def test_what_was_said_by_a_clock_that_ran_ahead_goes_on_by_the_right_one(
    crossing: Crossing, days: int
) -> None:
    # Fails when a date of tomorrow stands in the way of all that follows it.
    case, _ = await crossing.ready()
    referral_id = await crossing.sent(case)
    now_is(NOW + timedelta(days=days))
    await crossing.s.do(referral_id, "cancel", {"reason": "OTHER"})
    now_is(NOW)

    await crossing.post()

    assert await crossing.r.status(referral_id) == "CANCELLED"


async def test_a_hub_that_was_made_anew_and_filled_past_a_position_is_read_from_its_beginning(
    crossing: Crossing, tmp_path: Path
) -> None:
    """Seeded: go by the numbers alone, or let the position be of the former log: a letter is passed over."""
    case, _ = await crossing.ready()
    await crossing.sent(case)  # one letter, so that the receiver has a position behind it
    for country in (crossing.s, crossing.r):
        await country.hub.close()
        country.hub = LocalBus(tmp_path / "anew.db")
    later = [await crossing.drafted(case) for _ in range(2)]
    for referral_id in later:
        await crossing.s.do(referral_id, "submit")
    assert await crossing.s.send() == 2

    assert [await crossing.r.collect() for _ in range(2)] == [2, 0]

    assert [await crossing.r.status(each) for each in later] == ["SUBMITTED", "SUBMITTED"]
    [moved] = await crossing.r.kit.rows(select(AuditEntry).where(AuditEntry.action == "resume"))
    assert moved.object_ids == [f"{topic_to(crossing.r.code)}/0"]


async def test_a_receipt_that_was_lost_is_sent_again(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    await crossing.s.do(referral_id, "submit")
    await crossing.s.send()
    await crossing.r.collect()
    assert await crossing.r.send() == 1  # the receipt, which nobody will read
    before = await state(crossing, referral_id)
    await crossing.lose(crossing.s)
    assert await crossing.r.send() == 0

    now_is(NOW + timedelta(hours=6))
    await crossing.post()

    [offer] = await crossing.s.letters(referral_id)
    assert (offer.heard_at, offer.body) == (NOW + timedelta(hours=6), None)
    assert await state(crossing, referral_id) == before
    now_is(NOW + timedelta(days=3))
    assert await crossing.s.send() + await crossing.r.send() == 0


async def test_a_country_that_was_removed_waits_and_the_others_do_not(crossing: Crossing) -> None:
    case, _ = await crossing.ready()
    s = crossing.s
    s.land.settle_in(s.kit.runtime, crossing.r.land, BOSNIA)

    await case.tell(s.kit, agreed(case.id, recipient_countries=("BA",)))
    to_kosovo = await crossing.drafted(case)
    to_bosnia = await crossing.drafted(case, peer_country="BA")
    for referral_id in (to_kosovo, to_bosnia):
        await s.do(referral_id, "submit")
    folder = s.kit.runtime.settings.peers_folder
    assert folder is not None
    (folder / "XK.json").unlink()

    assert await s.send() == 1
    sent = {id_: (await s.letters(id_))[0].sent_at for id_ in (to_kosovo, to_bosnia)}
    assert sent == {to_kosovo: None, to_bosnia: NOW}

    (folder / "XK.json").write_bytes(crossing.r.land.descriptor.to_bytes())
    await crossing.post()
    assert await crossing.r.status(to_kosovo) == "SUBMITTED"


async def test_a_peer_s_word_of_what_it_heard_frees_the_words_of_a_letter(
    crossing: Crossing,
) -> None:
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    await crossing.r.do(referral_id, "accept", {"organisation_id": str(REFUGE)})
    await crossing.r.send()

    async def with_words() -> set[str]:
        kept = select(Waiting).where(Waiting.body.is_not(None), Waiting.receipt_of == 0)
        countries = (crossing.s, crossing.r)
        return {row.kind for each in countries for row in await each.kit.rows(kept)}

    await crossing.post()
    heard = await with_words()
    for days in (90, 91):
        now_is(NOW + timedelta(days=days))
        await forget_words(crossing.s.kit.runtime)
        await forget_words(crossing.r.kit.runtime)
        if days == 90:
            assert await with_words() == heard

    # Of the person nothing is left; the rest a peer that was put back may need again.
    assert heard == {"acknowledged", "accepted"}
    assert await with_words() == set()


async def test_the_country_s_own_consumer_leaves_letters_to_the_postbox(crossing: Crossing) -> None:
    """Seeded: let a consumer take up what is parked on any topic: without a handler it is passed over."""
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    await crossing.s.do(referral_id, "submit")
    await crossing.s.send()
    [record] = await on_hub(crossing, crossing.r)
    kit, land = crossing.r.kit, crossing.r.land
    signer = directory_of(crossing.s.land, land).signer
    letter = open_envelope(record.value, country="XK", keys=land.keys, signer=signer)
    event = event_of(letter)
    parked = {"topic": record.topic, "subject": event.subject}
    unit = unit_of(kit.runtime.database, source="/XK/referral", operation="test")
    unit.add(InboxAggregate, **parked, last_seq=0, parked_at=NOW, parked_reason="KeyError")
    unit.add(InboxPending, **parked, seq=1, event_id=event.id, payload=event.to_bytes())
    await kit.runtime.database.write(unit)
    own = Consumer(
        kit.runtime.database, handlers_of(kit.runtime), service="referral", box=kit.runtime.box
    )

    await own.catch_up()
    await own.retry_all_parked()
    assert await crossing.r.row(referral_id) is None
    await postbox_of(kit.runtime).retry_all_parked()

    assert await crossing.r.status(referral_id) == "SUBMITTED"
