"""Letters as a consumer reads them: opened and verified, and each as an event of its referral.

What does not open is handed on so that the inbox buries it. So order, doubles, waiting, parking and
position are the inbox's, as for every other event.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

import structlog

from common.bus import Bus, Delivery, Log, Position, Record, Subscription, Waiting
from common.bus.base import PositionOf
from common.events import Event
from common.federation.custody import OUTSIDE
from common.federation.envelope import EnvelopeError, Letter, open_envelope
from common.federation.peers import OwnKeys, Peers

logger = structlog.get_logger(__name__)

_IDS = UUID("6f8f3c1e-0d1b-5c44-9a55-2f6a1e1d9c77")
"""Names that are made of what a letter says about itself, the same at each time it is sent."""


def topic_to(country: str) -> str:
    """Return the topic on which a country is written to."""
    return f"region.referral.{country.lower()}"


def reader_of(country: str) -> str:
    """Return as whom a country's referral service speaks to the hub; its consumer group, too."""
    return f"{country.lower()}-referral"


def type_of(kind: str, recipient: str) -> str:
    """Return the type under which a letter of a kind reaches its recipient's handlers."""
    return f"{topic_to(recipient)}.{kind}.v1"


def line_of(sender: str, referral_id: UUID) -> UUID:
    """Return the aggregate that a country's letters of one referral are to their recipient."""
    return uuid5(_IDS, f"{sender}/{referral_id}")


AGAIN = "again"
"""As what a letter is handed on that was taken before and comes again without its words."""
FORK = "fork"
"""As what a letter is handed on whose number its author has given to another statement before."""


def event_of(letter: Letter, *, aside: str | None = None) -> Event:
    """Return the letter as an event; sent again it is the same event.

    Its letters of one referral are an aggregate of their sender's, numbered by it, so that nobody
    else can take a place in that order. What is no link of the chain, or is handed on as something
    else (`aside`: AGAIN or FORK), stands alone.
    """
    said = letter.said.statement
    stands_alone = aside is not None or said.kind in OUTSIDE
    line = f"{letter.sender}/{said.referral_id}/{said.number}"
    return Event(
        id=letter.id if stands_alone else uuid5(_IDS, line),
        source=f"/{letter.sender}/referral",
        type=type_of(aside or said.kind, letter.recipient),
        subject=uuid5(_IDS, f"{letter.id}")
        if stands_alone
        else line_of(letter.sender, said.referral_id),
        time=said.said_at,
        seq=1 if stands_alone else said.number,
        # Without nulls: a sender that was updated writes one more, and it is the same letter.
        data={
            "said": letter.said.model_dump(mode="json", exclude_none=True),
            "body": letter.body,
        },
    )


OnLetter = Callable[[Letter], Awaitable[str | None]]
"""Told of each letter that opens, before it is handed on; returns AGAIN or FORK for what is not new."""


_LONGEST = 400 * 1024
"""No envelope is longer: 256 KiB sealed, in base64, and what is written on it."""


@dataclass(frozen=True, slots=True)
class Mail:
    """The hub's bus as one country reads it. `keys` and `peers` are asked anew for every letter.

    `read_on` moves the positions that lie outside the hub's log, before it is read.
    `on_letter` is told of each letter that opens before it is handed on, first time or not, and may
    say that it is none of those that follow: see OnLetter.
    """

    bus: Bus
    country: str
    keys: Callable[[], OwnKeys]
    peers: Callable[[], Peers]
    on_letter: OnLetter
    read_on: Callable[[Collection[str]], Awaitable[None]]

    async def publish(self, records: Sequence[Record]) -> None:
        await self.bus.publish(records)

    async def subscribe(
        self,
        topics: Sequence[str],
        *,
        group: str,  # noqa: ARG002  at home this country's services are told apart, here countries are
        position_of: PositionOf,
    ) -> "Opened":
        """Read on, as the reader that this country is to the hub.

        A hub that lost its log, or the part of it that follows, is read from the beginning of what it
        has: senders send again what was not heard.
        """
        await self.read_on(topics)

        async def within(topic: str, partition: int, log: Log) -> Position:
            position = await position_of(topic, partition, log)
            return position if log.holds(position) else Position(log.begin, log.id)

        mine = reader_of(self.country)
        inner = await self.bus.subscribe(topics, group=mine, position_of=within)
        return Opened(inner, self)

    async def waiting(
        self, topics: Collection[str], *, position_of: PositionOf
    ) -> Sequence[Waiting]:
        return await self.bus.waiting(topics, position_of=position_of)

    async def logs(self, topics: Collection[str]) -> Mapping[tuple[str, int], Log]:
        return await self.bus.logs(topics)

    async def check(self, *, reads: Collection[str], writes: Collection[str]) -> None:
        await self.bus.check(reads=reads, writes=writes)

    async def close(self) -> None:
        await self.bus.close()


@dataclass(frozen=True, slots=True)
class Opened:
    """A subscription whose envelopes are opened."""

    inner: Subscription
    mail: Mail

    async def poll(self, *, limit: int = 100, seconds: float = 1.0) -> Sequence[Delivery]:
        found = await self.inner.poll(limit=limit, seconds=seconds)
        hashes: dict[tuple[str, UUID, int], str] = {}
        return [await self._open(delivery, hashes) for delivery in found]

    async def close(self) -> None:
        await self.inner.close()

    async def _open(self, delivery: Delivery, hashes: dict[tuple[str, UUID, int], str]) -> Delivery:
        mail = self.mail
        keys, signer = mail.keys().opening, mail.peers().directory.signer
        try:
            letter = open_envelope(delivery.value, country=mail.country, keys=keys, signer=signer)
        except EnvelopeError:
            return _unopened(delivery)
        try:
            aside = await mail.on_letter(letter)
        except Exception as error:
            _name("mail.stands_at", delivery, letter, error)
            raise
        said = letter.said.statement
        if said.kind not in OUTSIDE:
            # Two under one number may come in one look, before either was taken.
            first = hashes.setdefault((said.author, said.referral_id, said.number), said.hash)
            aside = aside if first == said.hash else FORK
        try:
            value = event_of(letter, aside=aside).to_bytes()
        except Exception as error:  # noqa: BLE001  one letter, whatever it says, stops no other
            _name("mail.no_event", delivery, letter, error)
            return _unopened(delivery)
        return Delivery(delivery.topic, delivery.partition, delivery.offset, value)


def _unopened(delivery: Delivery) -> Delivery:
    """Return it as what the inbox buries as malformed.

    Behind a byte with which no event begins: an event that nobody sealed is none here. Of what is
    longer than any envelope its beginning will do.
    """
    value = b"\0" + delivery.value[:_LONGEST]
    return Delivery(delivery.topic, delivery.partition, delivery.offset, value)


def _name(event: str, delivery: Delivery, letter: Letter, error: Exception) -> None:
    """Say in the log at which letter something went wrong; an error's text may hold its words."""
    logger.error(
        event,
        topic=delivery.topic,
        partition=delivery.partition,
        offset=delivery.offset,
        country=letter.sender,
        error=type(error).__name__,
    )
