"""Letters to another country and the chain of custody they are links of."""

import json
from datetime import date, datetime
from typing import Any

import structlog

from common.clock import new_id, utcnow
from common.errors import ConflictError, NotYetError
from common.events import EventData, canonical
from common.federation.custody import (
    RECEIPT,
    CustodyError,
    Owning,
    SignedStatement,
    Statement,
    digest_of,
    mark_of,
    new_salt,
    require_next,
)
from common.sealing import SubjectBox
from common.unit import Unit
from referral.domain.cross_border import OF_THE_PERSON, Kind
from referral.models import CrossBorderReferral, Custody, Letter, OwedLetter
from referral.queries import letters as queries
from referral.queries.rejoin import find_peer_to_hear
from referral.schemas.letters import Accepted, Body, Fact, OwnershipWord

logger = structlog.get_logger(__name__)

UNCONFIRMED = "cross_border.unconfirmed"
Columns = dict[str, Any]
"""What a letter changes in the row of its referral, to be handed over with the rest of the change."""


async def write_letter(
    unit: Unit,
    row: CrossBorderReferral,
    kind: Kind,
    body: Body | None = None,
    *,
    own: str,
    heard: Statement | None = None,
) -> Columns:
    """Hand over a letter of this country, `own`, and the link it adds to the chain.

    `heard` is the other country's statement that is taken in the same Unit. The link's place is
    fixed here: whoever takes it at the same time meets the key of its row, and is done again.
    NotYetError `cross_border.unconfirmed` where this country was put back from a backup and may have
    said something in that place before.
    """
    if row.said < row.given_back:
        raise NotYetError(UNCONFIRMED)
    await require_peer_heard(unit, row.peer_country)
    owning = Owning(word=body.word, epoch=body.epoch) if isinstance(body, OwnershipWord) else None
    words, salt = (body or Fact()).model_dump(mode="json"), new_salt()
    statement = Statement(
        referral_id=row.id,
        author=own,
        peer=row.peer_country,
        number=row.said + 1,
        kind=kind,
        digest=digest_of(words, salt),
        previous=row.said_hash,
        owning=owning,
        about=mark_of(row.id, row.case_id) if kind is Kind.OFFER and row.case_id else None,
        organisation_id=body.organisation_id if isinstance(body, Accepted) else None,
        said_at=await _now(unit, row, own),
        **_heard_of(row, heard),
    )
    await _add(unit, row, statement, words, salt)
    return {"said": statement.number, "said_hash": statement.hash} | owning_columns(statement)


async def must_wait(unit: Unit, row: CrossBorderReferral) -> bool:
    """Say whether a letter has to wait until the peer has said what it heard before.

    Also behind another that waits: the peer hears them in their order.
    """
    return (
        row.said < row.given_back
        or await find_peer_to_hear(unit, row.peer_country) is not None
        or bool(await queries.list_owed(unit, row.id))
    )


async def owe(
    unit: Unit, row: CrossBorderReferral, kind: Kind, event: EventData | None = None, *, on: date
) -> None:
    """Hand over that the peer is to hear a letter later, of an event that takes effect here now."""
    id_, content = new_id(), None
    if event is not None:
        box = await _box(unit, row)
        text = event.model_dump_json()
        content = box.seal(text, table=OwedLetter.__tablename__, row=id_, column="content")
    owed = await queries.list_owed(unit, row.id)
    unit.add(
        OwedLetter,
        id=id_,
        referral_id=row.id,
        place=owed[-1].place + 1 if owed else 1,
        kind=kind,
        content=content,
        said_on=on,
    )
    logger.info("letter.owed", type=kind, subject=str(row.id))


async def open_owed(unit: Unit, row: CrossBorderReferral, owed: OwedLetter) -> str:
    """Return the event, as JSON, that an owed letter tells of."""
    if owed.content is None:
        raise LookupError("a letter of this kind is owed with its event")
    box = await _box(unit, row)
    return box.open(owed.content, table=OwedLetter.__tablename__, row=owed.id, column="content")


def owning_columns(statement: Statement) -> Columns:
    """Return what a referral remembers of a statement of this country on who may edit the case."""
    if statement.owning is None:
        return {}
    return {"owning_word": statement.owning.word, "owning_epoch": statement.owning.epoch}


async def require_peer_heard(unit: Unit, peer: str) -> None:
    """Refuse what depends on what this country said to a peer, while it must ask that for it.

    NotYetError `cross_border.unconfirmed`.
    """
    if await find_peer_to_hear(unit, peer) is not None:
        raise NotYetError(UNCONFIRMED)


async def take(unit: Unit, row: CrossBorderReferral, signed: SignedStatement) -> Columns:
    """Keep the other country's next statement, and mark as heard what it says it has taken.

    ConflictError `custody.broken` for one that does not follow what this country has of it,
    NotYetError `custody.ahead` for one that names a statement which this country does not know that
    it made: it was put back from a backup and will hear of it, or the other says what is not true.
    """
    statement = signed.statement
    try:
        require_next(statement, number=row.heard, previous=row.heard_hash)
    except CustodyError:
        raise ConflictError("custody.broken") from None
    if not await mark_heard(unit, row, statement):
        raise NotYetError("custody.ahead")
    keep(unit, signed)
    return {"heard": statement.number, "heard_hash": statement.hash}


async def take_receipt(unit: Unit, row: CrossBorderReferral, signed: SignedStatement) -> None:
    """Keep a receipt of the other country; one that comes again changes nothing.

    Nor does one of a statement that this country does not know it made. ConflictError
    `custody.broken` for one that names none.
    """
    statement = signed.statement
    if statement.heard == 0:
        raise ConflictError("custody.broken")
    if not await mark_heard(unit, row, statement):
        logger.warning("custody.receipt_of_unknown", subject=str(row.id))
        return
    kept = await queries.find_statement(
        unit,
        row.id,
        author=statement.author,
        number=statement.number,
        receipt_of=_receipt_of(statement),
    )
    if kept is None:
        keep(unit, signed)


def keep(unit: Unit, signed: SignedStatement, *, instead: bool = False) -> None:
    """Keep a statement as it was signed, for good: none takes another's place.

    `instead` of one of this country's own that no peer has heard in that place.
    """
    statement = signed.statement
    hand_over = unit.put if instead else unit.add
    hand_over(
        Custody,
        referral_id=statement.referral_id,
        author=statement.author,
        number=statement.number,
        receipt_of=_receipt_of(statement),
        statement=text_of(statement),
        hash=statement.hash,
        kid=signed.kid,
        signature=signed.signature,
    )


async def mark_heard(unit: Unit, row: CrossBorderReferral, statement: Statement) -> bool:
    """Mark this country's letters up to the one that `statement` says was taken.

    What they say of the person goes. False, and nothing is marked, where this country knows of no
    such statement of its own.
    """
    if statement.heard == 0:
        return True
    own = await queries.find_statement(unit, row.id, author=statement.peer, number=statement.heard)
    if own is None or own.hash != statement.heard_hash:
        return False
    for letter in await queries.list_unheard(unit, row.id, upto=statement.heard):
        gone = {"body": None} if letter.kind in OF_THE_PERSON else {}
        unit.update(Letter, {"id": letter.id}, heard_at=utcnow(), **gone)
    return True


def take_back(unit: Unit, row: CrossBorderReferral) -> None:
    """Hand over that the words about the person go from the letters of a referral that is called off.

    What nobody has heard is sent, or sent again, without them: its statement keeps its place in the
    chain, so that the receiver takes what follows.
    """
    for kind in OF_THE_PERSON:
        unit.remove(OwedLetter, referral_id=row.id, kind=kind)
        unit.update(Letter, {"referral_id": row.id, "kind": kind}, body=None)


async def write_receipt(
    unit: Unit, row: CrossBorderReferral, heard: Statement, *, own: str
) -> None:
    """Hand over the word that a letter was taken, where no letter of ours says so.

    It repeats this country's newest number and adds no link.
    """
    statement = Statement(
        referral_id=row.id,
        author=own,
        peer=row.peer_country,
        number=row.said,
        kind=RECEIPT,
        digest=digest_of({}),
        previous=row.said_hash,
        said_at=await _now(unit, row, own),
        **_heard_of(row, heard),
    )
    await _add(unit, row, statement, {}, "")


async def _now(unit: Unit, row: CrossBorderReferral, own: str) -> datetime:
    """Return the time; while the clock stands before it, that of what was there before.

    What is said under a clock that fell back has no key of that time, and would never be signed:
    a withdrawal would not be heard after the clock was put right. What was there before must still be
    so when the Unit is written: while it is not signed it may be dated anew, and have another hash.
    """
    last = await queries.find_statement(unit, row.id, author=own, number=row.said)
    if last is not None and (last.kid is None or last.hash != row.said_hash):
        place = {"referral_id": row.id, "author": own, "number": row.said, "receipt_of": 0}
        unit.require_unchanged(Custody, hash=row.said_hash, **place)
    said_at = Statement.model_validate_json(last.statement).said_at if last else row.recorded_at
    return max(utcnow(), row.recorded_at, said_at)


async def _add(
    unit: Unit, row: CrossBorderReferral, statement: Statement, words: dict[str, Any], salt: str
) -> None:
    id_ = new_id()
    box = await _box(unit, row)
    text = canonical({"words": words, "salt": salt}).decode()
    body = box.seal(text, table=Letter.__tablename__, row=id_, column="body")
    unit.add(
        Custody,
        referral_id=row.id,
        author=statement.author,
        number=statement.number,
        receipt_of=_receipt_of(statement),
        statement=text_of(statement),
        hash=statement.hash,
    )
    unit.add(
        Letter,
        id=id_,
        referral_id=row.id,
        number=statement.number,
        receipt_of=_receipt_of(statement),
        kind=statement.kind,
        recipient=statement.peer,
        body=body,
    )


async def _box(unit: Unit, row: CrossBorderReferral) -> SubjectBox:
    box = await unit.box(row.id)
    if box is None:
        raise LookupError("the key of a referral is made with it")
    return box


def open_words(box: SubjectBox, letter: Letter) -> tuple[dict[str, Any], str]:
    """Return the words of a letter that is about to leave, and the salt of their digest."""
    if letter.body is None:
        raise LookupError("what was heard long ago is not sent again")
    text = box.open(letter.body, table=Letter.__tablename__, row=letter.id, column="body")
    content: dict[str, Any] = json.loads(text)
    return content["words"], content["salt"]


def _heard_of(row: CrossBorderReferral, heard: Statement | None) -> dict[str, Any]:
    if heard is None:
        return {"heard": row.heard, "heard_hash": row.heard_hash}
    return {"heard": heard.number, "heard_hash": heard.hash}


def _receipt_of(statement: Statement) -> int:
    return statement.heard if statement.kind == RECEIPT else 0


def text_of(statement: Statement) -> str:
    """Return a statement as it is kept."""
    return canonical(statement.model_dump(mode="json")).decode()
