"""Letters as the inbox gets them: opened, in their sender's order, and nothing else as an event."""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from common.bus import Delivery, LocalBus, Log, Position, Record
from common.events import Event
from common.federation.custody import RECEIPT, SignedStatement
from common.federation.envelope import Letter, seal
from common.federation.mail import Mail, event_of, reader_of, topic_to, type_of
from common.federation.peers import Peers
from tests.federation.countries import WORDS, directory_of, land, letter, statement

SERBIA, KOSOVO, BOSNIA = land("RS"), land("XK"), land("BA")
PEERS = Peers(frozenset({"RS"}), directory_of(SERBIA, KOSOVO))
TOPIC = topic_to("XK")


async def _position(position: int, _topic: str, _partition: int, _log: Log) -> Position:
    return Position(position)


async def _nothing(_topics: Collection[str]) -> None:
    """There is no row to be moved here."""


class Postbox:
    """What Kosovo reads of the hub."""

    def __init__(self, path: Path) -> None:
        self.bus = LocalBus(path)
        self.heard: list[Letter] = []
        self.groups: list[str] = []

    async def put(self, *envelopes: bytes) -> None:
        await self.bus.publish([Record(TOPIC, "k", envelope) for envelope in envelopes])

    async def read(self, position: int = 0) -> list[Delivery]:
        async def on_letter(letter: Letter) -> None:
            self.heard.append(letter)

        mail = Mail(self.bus, "XK", lambda: KOSOVO.own_keys, lambda: PEERS, on_letter, _nothing)
        reading = await mail.subscribe(
            [TOPIC], group="referral", position_of=partial(_position, position)
        )
        try:
            return [*await reading.poll(seconds=0)]
        finally:
            await reading.close()


def sealed(written: Letter) -> bytes:
    return seal(written, by=SERBIA.signing, to=KOSOVO.sealing.public)


def test_a_country_has_a_topic_a_reader_and_types_of_its_own() -> None:
    assert topic_to("XK") == "region.referral.xk"
    assert type_of("offer", "XK") == "region.referral.xk.offer.v1"
    assert reader_of("XK") != reader_of("RS")


async def test_a_letter_is_read_as_an_event_of_its_referral(tmp_path: Path) -> None:
    box = Postbox(tmp_path / "hub.db")
    written = letter(SERBIA, KOSOVO)
    await box.put(sealed(written))

    [delivery] = await box.read()

    event = Event.model_validate_json(delivery.value)
    assert event == event_of(written)
    assert (event.type, event.seq) == ("region.referral.xk.offer.v1", 1)
    assert event.data["body"] == WORDS
    assert SignedStatement.model_validate(event.data["said"]) == written.said
    assert box.heard == [written]


def test_sent_again_a_letter_is_the_same_event() -> None:
    written = letter(SERBIA, KOSOVO)
    again = Letter.of(written.said, written.body)

    assert again.id != written.id
    assert event_of(again).to_bytes() == event_of(written).to_bytes()


def test_nobody_takes_a_place_in_another_s_order() -> None:
    mine, other = event_of(letter(SERBIA, KOSOVO)), event_of(letter(BOSNIA, KOSOVO))

    assert mine.subject != other.subject
    assert mine.id != other.id


def test_a_receipt_stands_alone() -> None:
    said = statement(SERBIA, KOSOVO, kind=RECEIPT, number=3)
    signed = SignedStatement.of(said, SERBIA.signing)
    first, second = event_of(Letter.of(signed, {})), event_of(Letter.of(signed, {}))

    assert (first.seq, second.seq) == (1, 1)
    assert first.subject != second.subject


@pytest.mark.parametrize(
    "put_there",
    [
        lambda: b"",
        lambda: b"{}",
        lambda: sealed(letter(SERBIA, BOSNIA)),
        lambda: seal(letter(BOSNIA, KOSOVO), by=BOSNIA.signing, to=KOSOVO.sealing.public),
        lambda: event_of(letter(SERBIA, KOSOVO)).to_bytes(),
    ],
    ids=["nothing", "json", "to_another", "of_a_stranger", "an_event"],
)
async def test_what_does_not_open_is_no_event(tmp_path: Path, put_there: Any) -> None:
    """Seeded: hand on what does not open as it came; a plain event on the hub would be applied."""
    box = Postbox(tmp_path / "hub.db")
    put = put_there()
    await box.put(put)

    [delivery] = await box.read()

    with pytest.raises(ValueError):  # noqa: PT011
        Event.model_validate_json(delivery.value)
    assert delivery.value[1:] == put  # so that the dead letter shows what it was
    assert box.heard == []


async def test_a_hub_that_lost_its_log_is_read_from_its_beginning(tmp_path: Path) -> None:
    box = Postbox(tmp_path / "hub.db")
    await box.put(sealed(letter(SERBIA, KOSOVO)))

    assert len(await box.read(position=0)) == 1
    assert await box.read(position=1) == []
    assert len(await box.read(position=7)) == 1


async def test_a_letter_of_which_no_event_can_be_made_is_buried_and_named(tmp_path: Path) -> None:
    """Seeded: let the error out of `poll`; nobody's letters are read any more.

    No letter is known that does so: `on_letter` hands this one on as what is no text.
    """
    bus = LocalBus(tmp_path / "hub.db")
    put = sealed(letter(SERBIA, KOSOVO))
    await bus.publish([Record(TOPIC, "k", put)])

    async def on_letter(_: Letter) -> str:
        return "\ud800"

    mail = Mail(bus, "XK", lambda: KOSOVO.own_keys, lambda: PEERS, on_letter, _nothing)
    reading = await mail.subscribe([TOPIC], group="t", position_of=partial(_position, 0))
    with capture_logs() as lines:
        [delivery] = await reading.poll(seconds=0)
    await reading.close()

    assert delivery.value == b"\0" + put
    [line] = lines
    place = (line["topic"], line["partition"], line["offset"], line["country"])
    assert place == (TOPIC, delivery.partition, delivery.offset, "RS")
    assert line["event"] == "mail.no_event"


async def test_where_it_is_not_told_what_a_letter_is_the_log_names_the_letter(
    tmp_path: Path,
) -> None:
    # Fails when an operator sees that the reading of letters begins anew, and not at which.
    bus = LocalBus(tmp_path / "hub.db")
    await bus.publish([Record(TOPIC, "k", sealed(letter(SERBIA, KOSOVO)))])

    async def on_letter(_: Letter) -> None:
        raise OSError

    mail = Mail(bus, "XK", lambda: KOSOVO.own_keys, lambda: PEERS, on_letter, _nothing)
    reading = await mail.subscribe([TOPIC], group="t", position_of=partial(_position, 0))
    with capture_logs() as lines, pytest.raises(OSError):  # noqa: PT011  it has no words
        await reading.poll(seconds=0)
    await reading.close()

    named = [(line["event"], line["topic"], line["offset"]) for line in lines]
    assert named == [("mail.stands_at", TOPIC, 0)]
