"""What somebody puts on the hub by hand, and what a receiver has of a referral before and after."""

from typing import Any
from uuid import UUID

from sqlalchemy import select

from common.bus import Delivery, Log, Position, Record
from common.federation.custody import GENESIS, SignedStatement, Statement, digest_of
from common.federation.envelope import Letter, seal
from common.federation.mail import topic_to
from referral.models import Custody
from tests.conftest import fixed_id
from tests.federation.countries import Land
from tests.referral.crossing import (
    Country,
    Crossing,
)


async def _from_the_start(_topic: str, _partition: int, _log: Log) -> Position:
    return Position(0)


async def on_hub(crossing: Crossing, country: Country) -> list[Delivery]:
    """Return all that lies on the hub for a country."""
    topic = topic_to(country.code)
    reading = await crossing.s.hub.subscribe([topic], group="t", position_of=_from_the_start)
    return [*await reading.poll(seconds=0)]


async def put_again(crossing: Crossing, country: Country, *envelopes: bytes) -> None:
    topic = topic_to(country.code)
    await crossing.s.hub.publish([Record(topic, "k", envelope) for envelope in envelopes])


async def write_as(crossing: Crossing, sender: Land, said: Statement, body: Any = None) -> None:
    """Put a letter to the receiver on the hub, as whoever holds a country's keys can."""
    signed = SignedStatement.of(said, sender.signing)
    letter = Letter.of(signed, {} if body is None else body)
    to = crossing.r.land
    await put_again(crossing, crossing.r, seal(letter, by=sender.signing, to=to.sealing.public))


async def slip_as(crossing: Crossing, sender: Land, kind: str, body: Any) -> None:
    """Put a word outside the chains on the hub for the receiver: a roll, or what answers one."""
    slip = Statement(
        referral_id=fixed_id(4),
        author=sender.code,
        peer=crossing.r.code,
        number=0,
        kind=kind,
        digest=digest_of(body),
        previous=GENESIS,
    )
    await write_as(crossing, sender, slip, body)


async def statement_to_r(
    crossing: Crossing, referral_id: UUID, sender: Land, **fields: Any
) -> Statement:
    """Return the next statement that the sender could make to the receiver, but for `fields`."""
    row = await crossing.r.row(referral_id)
    known = row if row is not None and row.peer_country == sender.code else None
    content: dict[str, Any] = {
        "referral_id": referral_id,
        "author": sender.code,
        "peer": crossing.r.code,
        "number": known.heard + 1 if known else 1,
        "kind": "cancelled",
        "digest": digest_of({"reason": "OTHER"}),
        "previous": known.heard_hash if known else GENESIS,
    }
    return Statement(**(content | fields))


async def state(crossing: Crossing, referral_id: UUID) -> tuple[Any, ...]:
    """Return what the receiver has of a referral: its row, its letters, its chain of custody."""
    rows = await crossing.r.kit.rows(select(Custody).where(Custody.referral_id == referral_id))
    row = await crossing.r.row(referral_id)
    sent = [(w.number, w.kind) for w in await crossing.r.letters(referral_id)]
    events = await crossing.r.kit.events(referral_id)
    return row, sorted(each.hash for each in rows), sent, len(events)
