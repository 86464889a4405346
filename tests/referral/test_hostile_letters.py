"""One true letter among all that can be made of it: it is taken once, and nobody hears of the rest (T35)."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import select
from structlog.testing import capture_logs

from common.contracts.referral import PackageReceived
from common.events import canonical
from common.federation.custody import Owning, SignedStatement, digest_of
from common.federation.envelope import Letter, open_envelope, seal
from common.federation.mail import reader_of, topic_to
from common.tables import InboxMessage
from referral.worker import courier_of, mail_of, postbox_of
from tests.conftest import fixed_id
from tests.federation.countries import Land, directory_of, land, letter, signed_anew
from tests.referral.crossing import Country, Crossing, known_land, open_crossing, released
from tests.referral.forging import on_hub, put_again, state, statement_to_r, write_as
from tests.referral.story import NOW, Case, now_is

BOSNIA, STRANGER = known_land("BA"), known_land("ME")
ENDED = land("MK", since=NOW - timedelta(days=200), days=90)
OFFER = {
    "age_group": "35+",
    "sex": "MALE",
    "needs": ["SHELTER"],
    "languages": ["sq"],
    "urgency": "LOW",
}


@pytest.fixture
async def crossing(tmp_path: Path) -> AsyncIterator[Crossing]:
    now_is(NOW)
    async with open_crossing(tmp_path) as opened:
        opened.r.land.settle_in(opened.r.kit.runtime, opened.s.land, BOSNIA, ENDED)
        yield opened


# --- what can be made of a letter that was seen on its way


def hostile(whole: bytes, s: Land, r: Land) -> Iterator[bytes]:
    """Yield what a carrier, a former recipient, a stranger and the sender itself can make of it."""
    read = open_envelope(whole, country=r.code, keys=r.keys, signer=directory_of(s, r).signer)
    yield from turned(whole)
    yield from cut(whole)
    yield from other_headers(json.loads(whole), s, r)
    yield from other_hands(read, s, r)
    yield from other_words(read, s, r)


def turned(whole: bytes) -> Iterator[bytes]:
    """Yield it with one bit turned; test_envelope.py does so at every byte."""
    for number, place in enumerate(range(0, len(whole), len(whole) // 400)):
        yield whole[:place] + bytes([whole[place] ^ (1 << number % 8)]) + whole[place + 1 :]


def cut(whole: bytes) -> Iterator[bytes]:
    yield from (whole[:length] for length in (0, 1, 100, 4096, len(whole) // 2, len(whole) - 1))
    yield from (whole + b"\0", whole + whole, b"null", b"[" * 50_000)


def other_headers(outer: dict[str, Any], s: Land, r: Land) -> Iterator[bytes]:
    """Yield it with each member changed: as it is, signed anew by its sender, and by another."""
    changes: list[dict[str, Any]] = [
        {"sender": "BA", "sender_kid": BOSNIA.signing.public.kid},
        {"recipient": "BA"},
        {"recipient": "BA", "recipient_kid": BOSNIA.sealing.public.kid},
        {"sender_kid": BOSNIA.signing.public.kid},
        {"sender_kid": "0" * 32},
        {"recipient_kid": BOSNIA.sealing.public.kid},
        {"recipient_kid": "0" * 32},
        {"id": str(fixed_id(1))},
        {"id": outer["id"].upper()},
        {"v": 2},
        {"v": 0},
        {"suite": "HPKE-X25519-HKDF-SHA256-AES256GCM"},
        {"suite": ""},
        {"sealed": ""},
        {"sealed": "A" * len(outer["sealed"])},
        {"type": "offer"},
        {"sent_at": NOW.isoformat()},
    ]
    for change in changes:
        yield canonical(outer | change)
        yield signed_anew(outer | change, s)
        yield signed_anew(outer | change, BOSNIA)
    for missing in outer:
        yield canonical({name: part for name, part in outer.items() if name != missing})


def other_hands(read: Letter, s: Land, r: Land) -> Iterator[bytes]:
    """Yield what a country that was written to makes of it for a third, and what strangers make."""
    to_bosnia = letter(s, BOSNIA)
    yield seal(to_bosnia, by=s.signing, to=BOSNIA.sealing.public)  # laid into the wrong box
    yield seal(to_bosnia, by=s.signing, to=r.sealing.public)
    for passed_on in (to_bosnia, to_bosnia.model_copy(update={"recipient": r.code})):
        yield seal(passed_on, by=BOSNIA.signing, to=r.sealing.public)
        yield seal(
            passed_on.model_copy(update={"sender": "BA"}), by=BOSNIA.signing, to=r.sealing.public
        )
    for stranger in (BOSNIA, STRANGER, ENDED):
        yield seal(read, by=stranger.signing, to=r.sealing.public)
    for sender in (STRANGER, ENDED):  # no peer; and one whose key ended long ago
        yield seal(letter(sender, r), by=sender.signing, to=r.sealing.public)
    yield seal(read, by=s.signing, to=land(r.code).sealing.public)  # to a key that is not ours


def other_words(read: Letter, s: Land, r: Land) -> Iterator[bytes]:
    """Yield it with other words inside, sealed and signed as by its sender."""
    said = read.said
    statements: list[dict[str, Any]] = [
        {"kind": "cancelled"},
        {"number": said.statement.number + 1},
        {"author": "BA"},
        {"peer": "BA"},
        {"previous": "a" * 64},
        {"heard": 7, "heard_hash": "b" * 64},
        {"digest": digest_of({"reason": "OTHER"})},
        {"referral_id": fixed_id(9)},
        {"said_at": NOW - timedelta(days=1)},
    ]
    changes: list[dict[str, Any]] = [
        {"said": said.model_copy(update={"statement": said.statement.model_copy(update=change)})}
        for change in statements
    ]
    changes += [
        {"sent_at": NOW - timedelta(days=15)},
        {"sent_at": NOW + timedelta(days=1)},
        {"sender": "BA"},
        {"recipient": "BA"},
        {"body": {**(read.body or {}), "note": "x"}},
        {"salt": "0" * 32},
        {"said": SignedStatement.of(said.statement, BOSNIA.signing)},
        {"said": said.model_copy(update={"kid": "0" * 32})},
    ]
    # Signed by its sender, as all else that it says.
    signed: list[dict[str, Any]] = [
        {"number": 0},
        {"number": 0, "kind": "of_later"},
        {"owning": Owning.model_validate({"word": "GIVEN", "epoch": 2, "x": "A" * 2000})},
        {"said_at": datetime.min.replace(tzinfo=UTC)},
        {"said_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-23, minutes=-59)))},
    ]
    changes += [
        {"said": SignedStatement.of(said.statement.model_copy(update=change), s.signing)}
        for change in signed
    ]
    for change in changes:
        yield seal(read.model_copy(update=change), by=s.signing, to=r.sealing.public)


# --- what becomes of it


@asynccontextmanager
async def reading(country: Country) -> AsyncIterator["asyncio.Task[None]"]:
    """Let a country's postbox run as its worker lets it."""
    runtime = country.kit.runtime
    mail = mail_of(runtime, country.hub, courier_of(runtime, country.hub))
    task = asyncio.create_task(postbox_of(runtime).run(mail))
    yield task
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until_known(country: Country, task: "asyncio.Task[None]", referral_id: UUID) -> None:
    async with asyncio.timeout(60):
        while await country.row(referral_id) is None:
            assert not task.done(), "the postbox ended"
            await asyncio.wait([task], timeout=0.02)


async def offered_by_bosnia(crossing: Crossing) -> UUID:
    referral_id = fixed_id(4713)
    said = await statement_to_r(
        crossing, referral_id, BOSNIA, kind="offer", digest=digest_of(OFFER)
    )
    await write_as(crossing, BOSNIA, said, OFFER)
    return referral_id


async def on_its_way(crossing: Crossing, kind: str) -> tuple[Case, UUID, bytes]:
    """Let S send a letter of this kind; return its case and referral, and it, not yet read."""
    case, _ = await crossing.ready()
    if kind == "offer":
        referral_id = await crossing.drafted(case)
        await crossing.s.do(referral_id, "submit")
    else:
        referral_id = await crossing.accepted(case)
        await case.tell(crossing.s.kit, released(case, referral_id))
    assert await crossing.s.send() == 1
    whole = (await on_hub(crossing, crossing.r))[-1].value
    return case, referral_id, whole


def duplicates(country: Country) -> int:
    labels = {"service": reader_of(country.code), "outcome": "duplicate"}
    return int(REGISTRY.get_sample_value("prag_inbox_total", labels) or 0)


@pytest.mark.parametrize("kind", ["offer", "package"])
async def test_of_all_that_is_made_of_a_letter_only_the_letter_is_taken(
    crossing: Crossing, kind: str
) -> None:
    """T35. Seeded: leave out the outer signature, the statement's, or one of the comparisons inside."""
    case, referral_id, whole = await on_its_way(crossing, kind)
    s, r = crossing.s, crossing.r
    before = await r.kit.rows(select(InboxMessage))
    told_before = len(await r.told(referral_id, PackageReceived))
    forged = list(hostile(whole, s.land, r.land))
    assert whole not in forged
    # The true one lies in front of all this; behind it, another referral of its sender, and one of a
    # third country.
    await put_again(crossing, r, *forged)
    other = await crossing.drafted(case)
    await s.do(other, "submit")
    await s.send()
    third = await offered_by_bosnia(crossing)

    with capture_logs() as lines:
        async with reading(r) as task:
            await until_known(r, task, third)

    applied = len(await r.kit.rows(select(InboxMessage))) - len(before)
    assert applied == 3
    assert await r.status(other) == await r.status(third) == "SUBMITTED"
    assert await r.status(referral_id) == ("SUBMITTED" if kind == "offer" else "ACCEPTED")
    is_package = kind == "package"
    assert len(await r.told(referral_id, PackageReceived)) - told_before == is_package
    # All others end alike, and nobody is told: what goes out are the receipts of the three.
    assert await r.dead() == ["malformed"] * len(forged)
    assert {(line["event"], line["error"]) for line in lines if line["log_level"] == "error"} == {
        ("consumer.dead_letter", "malformed")
    }
    assert await r.send() == 3
    assert len(forged) > 450


async def test_a_letter_that_comes_a_hundred_times_is_taken_once(crossing: Crossing) -> None:
    """T35. Seeded: give a letter a new event id each time it is opened."""
    _, referral_id, whole = await on_its_way(crossing, "offer")
    r = crossing.r
    await r.collect()
    assert await r.send() == 1
    before, count = await state(crossing, referral_id), duplicates(r)

    await put_again(crossing, r, *[whole] * 100)
    third = await offered_by_bosnia(crossing)
    async with reading(r) as task:
        await until_known(r, task, third)

    assert await state(crossing, referral_id) == before
    assert duplicates(r) - count == 100
    assert await r.dead() == []
    # Its own sender may have lost the receipt: that one goes again, once for all hundred.
    assert await r.send() == 2
    assert [d.topic for d in await on_hub(crossing, crossing.s)] == [topic_to("RS")] * 2
