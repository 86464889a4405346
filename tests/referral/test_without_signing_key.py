"""What a country says while it has no key to sign with."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from common.clock import utcnow
from common.db.base import unit_of
from common.federation.custody import SignedStatement, verify
from common.federation.keys import SigningKey
from common.federation.peers import seal_own_keys
from referral.commands.letters import keep
from referral.courier import BATCH
from referral.worker import courier_of
from tests.federation.countries import Land, directory_of, land, statement
from tests.referral.crossing import Crossing, open_crossing
from tests.referral.story import NOW, now_is, withdrawn

END = NOW + timedelta(days=10)
"""When the keys of the sending country end."""


@pytest.fixture
async def crossing(tmp_path: Path) -> AsyncIterator[Crossing]:
    now_is(NOW)
    async with open_crossing(tmp_path) as opened:
        # A country of its own for each test: its chain grows.
        opened.s.land = land("RS", since=NOW - timedelta(days=90), days=100)
        settle(opened, opened.s.land)
        yield opened


def settle(crossing: Crossing, country: Land, also: bytes | None = None) -> None:
    """Give both countries what the sending one knows and holds of its keys now."""
    country.settle_in(crossing.s.kit.runtime, crossing.r.land, also=also)
    crossing.r.land.settle_in(crossing.r.kit.runtime, country)


def rotate(crossing: Crossing) -> None:
    """Let the keys of the sending country hold from now on: a new one to sign with."""
    raw = SigningKey.generate()
    public = SigningKey(raw).public
    crossing.s.land.extend("sign", public.kid, public.raw, **a_while())
    sealing = crossing.s.land.sealing.public
    crossing.s.land.extend("seal", sealing.kid, sealing.raw, **a_while())
    settle(crossing, crossing.s.land, also=raw)


def a_while() -> dict[str, object]:
    return {"not_before": utcnow(), "not_after": utcnow() + timedelta(days=90)}


def lose(crossing: Crossing) -> None:
    """Leave the sending country what it opens with alone, while its directory names a key that signs."""
    runtime, (opening, _) = crossing.s.kit.runtime, crossing.s.land.private
    file = runtime.settings.own_keys_file
    assert file is not None
    file.write_bytes(seal_own_keys(runtime.master, runtime.name, opening=[opening], signing=[]))


def revoke(crossing: Crossing) -> None:
    """Do what the operator does who lost the key: end it now, and begin another, the only one held."""
    lost, raw = crossing.s.land, SigningKey.generate()
    lost.extend("revoke", lost.signing.public.kid, None, not_before=utcnow(), not_after=utcnow())
    key = SigningKey(raw)
    lost.extend("sign", key.public.kid, key.public.raw, **a_while())
    crossing.s.land = replace(lost, signing=key, private=(lost.private[0], raw))
    settle(crossing, crossing.s.land)


async def test_a_withdrawal_that_came_while_the_keys_had_ended_is_heard_after_the_rotation(
    crossing: Crossing,
) -> None:
    # Fails when what is said without a key is never signed: the other country keeps the person's data.
    case, consent = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    now_is(END + timedelta(days=1))
    await case.tell(crossing.s.kit, withdrawn(consent, utcnow().date()))
    assert await crossing.s.status(referral_id) == "CONSENT_WITHDRAWN"
    assert await crossing.s.send() == 0

    now_is(END + timedelta(days=40))
    rotate(crossing)
    now_is(END + timedelta(days=41))
    await crossing.post()

    statuses = [await each.status(referral_id) for each in (crossing.s, crossing.r)]
    assert statuses == ["CLOSED", "CONSENT_WITHDRAWN"]
    assert (await crossing.r.dead(), await crossing.s.dead()) == ([], [])
    directory = directory_of(crossing.s.land, crossing.r.land)
    for country in (crossing.s, crossing.r):
        assert verify(await country.custody(referral_id), directory.signer)["RS"] == 2


@pytest.mark.parametrize("times", [1, 2])
async def test_a_withdrawal_that_came_while_the_key_was_lost_is_heard_after_it_was_revoked(
    crossing: Crossing, times: int
) -> None:
    """Seeded: let the revoked key alone sign what was said in its time, here, or for the peer.

    The other country would keep the person's data. The key that takes its place may be lost too.
    """
    case, consent = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    lose(crossing)
    now_is(NOW + timedelta(hours=1))
    await case.tell(crossing.s.kit, withdrawn(consent, utcnow().date()))
    await crossing.post()
    assert await crossing.r.status(referral_id) == "ACKNOWLEDGED"

    for day in range(times):
        now_is(NOW + timedelta(days=day, hours=2))
        revoke(crossing)
    now_is(NOW + timedelta(days=times))
    await crossing.post()

    statuses = [await each.status(referral_id) for each in (crossing.s, crossing.r)]
    assert statuses == ["CLOSED", "CONSENT_WITHDRAWN"]
    assert (await crossing.r.dead(), await crossing.s.dead()) == ([], [])
    directory = directory_of(crossing.s.land, crossing.r.land)
    for country in (crossing.s, crossing.r):
        assert verify(await country.custody(referral_id), directory.signer)["RS"] == 2


async def test_a_referral_submitted_while_the_key_was_lost_is_heard_after_it_was_revoked(
    crossing: Crossing,
) -> None:
    # Fails when what was answered with 200 stays unsaid: nobody there expects the person.
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    lose(crossing)
    now_is(NOW + timedelta(hours=1))
    await crossing.s.do(referral_id, "submit")
    assert await crossing.s.send() == 0

    now_is(NOW + timedelta(hours=2))
    revoke(crossing)
    await crossing.post()

    assert await crossing.r.status(referral_id) == "SUBMITTED"


async def test_statements_that_nobody_can_sign_keep_no_other_waiting(crossing: Crossing) -> None:
    # Fails when each look begins with the same ones: a few lost ones stop all letters to everybody.
    runtime = crossing.s.kit.runtime
    unit = unit_of(runtime.database, source=runtime.source, operation="test")
    for number in range(2 * BATCH):
        long_ago = statement(
            crossing.s.land,
            crossing.r.land,
            referral_id=UUID(int=number + 1),  # before all that are drawn
            said_at=NOW - timedelta(days=200),
        )
        unsigned = SignedStatement.of(long_ago, crossing.s.land.signing)
        keep(unit, unsigned.model_copy(update={"kid": None, "signature": None}))
    await runtime.database.write(unit)
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    await crossing.s.do(referral_id, "submit")

    at_work = courier_of(runtime, crossing.s.hub)
    signed = [await at_work.sign_waiting() for _ in range(6)]

    assert signed == [0, 0, 1, 0, 0, 0]
    assert await at_work.send_due() == 1


async def test_nobody_takes_a_referral_further_while_the_keys_have_ended(
    crossing: Crossing,
) -> None:
    # Fails when a step is answered with 200 of which the other country cannot hear.
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    now_is(END)

    refused = await crossing.s.step(referral_id, "submit")
    now_is(END + timedelta(hours=1))
    rotate(crossing)
    taken = await crossing.s.step(referral_id, "submit")

    assert (refused.status_code, refused.json()["code"]) == (409, "peer.no_own_key")
    assert taken.status_code == 200
    assert await crossing.s.send() == 1


async def test_a_referral_is_called_off_also_while_the_keys_have_ended(crossing: Crossing) -> None:
    # Fails when somebody in danger must wait for an operator before her words are taken back.
    case, _ = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    now_is(END)

    await crossing.s.do(referral_id, "cancel", {"reason": "NEED_ENDED"})

    assert await crossing.s.status(referral_id) == "CANCELLED"


@pytest.mark.parametrize("days", [1, 900])
async def test_what_was_said_under_a_clock_that_fell_back_is_heard(
    crossing: Crossing, days: int
) -> None:
    # Fails when it is dated before there was a key: it is never signed, and a withdrawal never heard.
    case, consent = await crossing.ready()
    referral_id = await crossing.acknowledged(case)
    now_is(NOW - timedelta(days=days))
    await case.tell(crossing.s.kit, withdrawn(consent, NOW.date()))
    assert await crossing.s.status(referral_id) == "CONSENT_WITHDRAWN"

    now_is(NOW + timedelta(minutes=5))
    await crossing.post()

    statuses = [await each.status(referral_id) for each in (crossing.s, crossing.r)]
    assert statuses == ["CLOSED", "CONSENT_WITHDRAWN"]
    assert (await crossing.r.dead(), await crossing.s.dead()) == ([], [])


async def test_what_waits_for_a_key_is_not_dated_anew_by_a_clock_that_fell_back(
    crossing: Crossing,
) -> None:
    # Fails when it is dated before there was any key: then none signs it after the clock was put right.
    case, _ = await crossing.ready()
    referral_id = await crossing.drafted(case)
    lose(crossing)
    now_is(NOW + timedelta(hours=1))
    await crossing.s.do(referral_id, "submit")
    now_is(NOW - timedelta(days=900))
    assert await crossing.s.send() == 0

    now_is(NOW + timedelta(hours=2))
    revoke(crossing)
    await crossing.post()

    assert await crossing.r.status(referral_id) == "SUBMITTED"
    assert (await crossing.r.row(referral_id)).submitted_at == NOW + timedelta(hours=1)


async def test_nothing_is_dated_before_what_it_follows_however_the_clock_goes(
    crossing: Crossing,
) -> None:
    """Seeded: date a statement by the clock alone, by its referral's beginning, or by the later of both.

    A chain whose times run backwards does not show who knew what when.
    """
    case, consent = await crossing.ready()
    referral_id = await crossing.drafted(case)
    now_is(NOW + timedelta(hours=2))
    await crossing.s.do(referral_id, "submit")
    await crossing.post()
    now_is(NOW + timedelta(hours=1))
    await crossing.r.do(referral_id, "acknowledge")
    await case.tell(crossing.s.kit, withdrawn(consent, NOW.date()))
    await crossing.post()
    now_is(NOW + timedelta(hours=3))
    await crossing.post()

    said = [each.statement for each in await crossing.s.custody(referral_id)]
    times = {(each.author, each.kind): (each.said_at - NOW) / timedelta(hours=1) for each in said}
    assert times["RS", "offer"] == times["RS", "withdrawn"] == times["XK", "acknowledged"] == 2
    assert times.keys() >= {("XK", "receipt"), ("RS", "receipt")}
    assert min(times.values()) == 2
