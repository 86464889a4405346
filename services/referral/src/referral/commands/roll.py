"""How far this country is with each peer, told to it; and what follows from what a peer tells of itself.

A peer remembers what a country said, as it signed it. A roll tells it how far its author is: the answer
gives back what that has forgotten, for it was put back from a backup, and both send again what the
other has not heard.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import structlog

from common.clock import new_id, utcnow
from common.federation.custody import GENESIS, GIVEN_BACK, ROLL, SignedStatement
from common.federation.mail import line_of, topic_to
from common.tables import InboxAggregate, InboxMessage, InboxPending
from common.unit import Unit
from referral.commands.crossing import note
from referral.commands.held import release_held
from referral.domain.cross_border import OF_THE_PERSON
from referral.models import CrossBorderReferral, Custody, Letter, PeerToHear, Slip
from referral.queries import letters
from referral.queries import rejoin as queries
from referral.queries.cross_border import find_cross_border
from referral.schemas.letters import CHUNK, PAGE, Answer, GivenBack, Progress, Roll

logger = structlog.get_logger(__name__)

_MOST = 160 * 1024
"""Bytes of the statements in one letter: with all that is written around them it can be sealed."""
_QUESTIONS = 50
"""So many of the newest questions to a peer may still be answered: weeks of days without a word."""


async def write_roll(unit: Unit, peer: str) -> None:
    """Hand over a roll to a peer, in place of one that has not left yet.

    To one whose answer is waited for it is a question. Earlier ones since this country was put back
    stay: an answer may come when it was asked anew, and always does where the two are never connected
    at the same time. Each has a name of its own, for the letters and parts of two do not fit together.
    """
    rows = sorted(await queries.list_exchanged(unit, peer, utcnow()), key=lambda row: str(row.id))
    pages = [rows[start : start + PAGE] for start in range(0, len(rows), PAGE)] or [[]]
    unit.remove(Slip, peer=peer, kind=ROLL)
    asked, after, lacks = new_id(), None, {}
    for position, page in enumerate(pages):
        upto = page[-1].id if position < len(pages) - 1 else None
        roll = Roll(
            asked=asked,
            after=after,
            upto=upto,
            referrals=tuple(
                Progress(
                    referral_id=row.id, said=row.said, said_hash=row.said_hash, heard=row.heard
                )
                for row in page
            ),
        )
        _write(unit, peer, ROLL, roll.model_dump(mode="json"), position)
        lacks[roll.place] = 0
        after = upto
    waiting = await queries.find_peer_to_hear(unit, peer)
    if waiting is not None:
        asked_before = list(waiting.lacks.items())[1 - _QUESTIONS :]
        unit.update(
            PeerToHear,
            {"country": peer, "asked": waiting.asked},
            expect=1,  # else it was put back once more, or heard, meanwhile
            asked=asked,
            is_written=True,
            lacks=dict(asked_before) | {str(asked): lacks},
        )


async def answer_roll(unit: Unit, roll: Roll, *, peer: str, own: str) -> None:
    """Hand over what follows from a peer's roll: its own words that it forgot, and ours it lacks.

    What was found wrong with its chain of a referral is forgotten where the roll shows it put right.
    """
    named = {each.referral_id: each for each in roll.referrals}
    rows = {
        row.id: row
        for row in await queries.list_exchanged(unit, peer, utcnow())
        if _lies_in(row.id, roll)
    }
    for referral_id in named.keys() - rows.keys():  # long closed here, and not there
        row = await find_cross_border(unit, referral_id)
        if row is not None and row.peer_country == peer:
            rows[referral_id] = row
    answered = []
    for referral_id in sorted(rows, key=str):
        row = rows[referral_id]
        told = named.get(referral_id) or _nothing_of(referral_id)
        await send_again(unit, row, after=told.heard)
        answer = await _compare(unit, row, told, own=own)
        if answer is not None:
            answered.append(answer)
    if roll.after is None:
        unit.remove(Slip, peer=peer, kind=GIVEN_BACK)  # of an older roll
    write_answers(unit, peer, answered, asked=roll.asked, after=roll.after)
    if any(each.heard > max(_known(rows.get(each.referral_id))) for each in roll.referrals):
        await write_roll(unit, peer)  # it has heard more of us than we know


def _known(row: CrossBorderReferral | None) -> tuple[int, int]:
    return (0, 0) if row is None else (row.said, row.given_back)


def _lies_in(referral_id: UUID, roll: Roll) -> bool:
    place = str(referral_id)
    return (roll.after is None or str(roll.after) < place) and (
        roll.upto is None or place <= str(roll.upto)
    )


def _nothing_of(referral_id: UUID) -> Progress:
    return Progress(referral_id=referral_id, said=0, said_hash=GENESIS, heard=0)


async def _compare(
    unit: Unit, row: CrossBorderReferral, told: Progress, *, own: str
) -> GivenBack | None:
    """Return what the peer must hear of a referral; None where it knows all that it said."""
    is_other = told.said == row.heard and told.said_hash != row.heard_hash
    if told.said < row.heard or is_other:
        links = await letters.list_links(unit, row.id, row.peer_country)
        known = {link.number: link.hash for link in links}
        begins_alike = known.get(told.said, GENESIS) == told.said_hash
        first = told.said + 1 if begins_alike else 1
        return give_back(row, [link for link in links if link.number >= first])
    topic, line = topic_to(own), line_of(row.peer_country, row.id)
    passed = await queries.find_line(unit, topic, line)
    if row.forked_at is None and (passed is None or passed.last_seq == row.heard):
        return None
    # What was refused since the last that was taken comes again, from a chain that holds.
    await begin_line_anew(unit, row, topic, line)
    if row.forked_at is not None:
        note(unit, row, forked_at=None)
        release_held(unit)
    return give_back(row, [])


async def begin_line_anew(unit: Unit, row: CrossBorderReferral, topic: str, line: UUID) -> None:
    """Let the letters behind the last that was taken come once more; those that wait go."""
    for passed in await queries.list_passed(unit, topic, line, after=row.heard):
        unit.remove(InboxMessage, event_id=passed.event_id)
    unit.remove(InboxPending, topic=topic, subject=line)
    where = {"topic": topic, "subject": line}
    unit.update(InboxAggregate, where, last_seq=row.heard, parked_at=None, parked_reason=None)


def give_back(row: CrossBorderReferral, links: Sequence[Custody]) -> GivenBack:
    """Return what a peer said, as it signed it, and how far it was heard; of any length."""
    said = tuple(letters.signed_of(link) for link in links)
    return GivenBack.model_construct(referral_id=row.id, heard=row.heard, statements=said)


def write_answers(
    unit: Unit,
    peer: str,
    answered: Sequence[GivenBack],
    *,
    asked: UUID | None,
    after: UUID | None = None,
) -> None:
    """Hand over the answer to a letter of a roll, or of a fork, in as many slips as it takes."""
    parts = list(_parts(answered)) or [[]]
    for position, part in enumerate(parts):
        answer = Answer(
            asked=asked, after=after, part=position, parts=len(parts), referrals=tuple(part)
        )
        _write(unit, peer, GIVEN_BACK, answer.model_dump(mode="json"), position)


def _parts(answered: Sequence[GivenBack]) -> Iterator[list[GivenBack]]:
    """Return the answers in parts of CHUNK statements, _MOST bytes and PAGE referrals at most.

    A statement that is longer by itself is a part of its own, with which no other goes lost.
    """
    part: list[GivenBack] = []
    count = size = 0
    for each in answered:
        for piece, length in _pieces(each):
            more = len(piece.statements)
            if part and (count + more > CHUNK or size + length > _MOST or len(part) == PAGE):
                yield part
                part, count, size = [], 0, 0
            part.append(piece)
            count, size = count + more, size + length
    if part:
        yield part


def _pieces(given: GivenBack) -> Iterator[tuple[GivenBack, int]]:
    """Return what is given back of one referral, cut alike, with the bytes of each piece."""
    piece: list[SignedStatement] = []
    size = 0
    for signed in given.statements:
        length = len(signed.model_dump_json().encode())
        if piece and (len(piece) == CHUNK or size + length > _MOST):
            yield given.model_copy(update={"statements": tuple(piece)}), size
            piece, size = [], 0
        piece.append(signed)
        size += length
    yield given.model_copy(update={"statements": tuple(piece)}), size


def _write(unit: Unit, peer: str, kind: str, body: dict[str, Any], position: int) -> None:
    unit.add(Slip, id=new_id(), peer=peer, kind=kind, body=body, position=position)


async def send_again(unit: Unit, row: CrossBorderReferral, *, after: int) -> None:
    """Let this country's letters go again that the peer has not heard, or does not know it heard.

    Of the person they say nothing any more where they were heard before. One that left in the last
    hours goes when its time comes: a peer may say this as often as it likes. What it had signed to have
    heard, and was sent once, goes at once: it may have been put back.
    """
    recent = utcnow() - letters.AGAIN_AFTER
    for letter in await letters.list_letters(unit, row.id, after=after):
        if letter.body is None and letter.kind not in OF_THE_PERSON:
            logger.error("letter.outworn", subject=str(row.id))
            continue
        was_forgotten = letter.heard_at is not None and letter.times_sent == 1
        if letter.sent_at is not None and (letter.sent_at <= recent or was_forgotten):
            # What was heard stays so: the roll may only be older than the word that said it, and then
            # nobody says it again. A peer that did forget asks again with its next roll.
            unit.update(Letter, {"id": letter.id}, sent_at=None)
