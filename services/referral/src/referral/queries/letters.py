"""Letters on their way, and the chain of custody."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, and_, literal, or_, select, tuple_

from common.db.base import Store
from common.federation.custody import SignedStatement, Statement
from common.federation.envelope import MAX_AHEAD
from common.unit import Unit
from referral.models import (
    STILL_DUE,
    CrossBorderReferral,
    Custody,
    Letter,
    OwedLetter,
    PeerToHear,
)

AGAIN_AFTER: Final = timedelta(hours=6)
"""So long after the first sending a letter that nobody has heard is sent again."""
THEN_EVERY: Final = timedelta(hours=24)
KEPT: Final = timedelta(days=90)
"""So long after it was heard a letter that says nothing of the person can be sent again, to a country
that was put back from a backup."""


async def find_statement(
    unit: Unit, referral_id: UUID, *, author: str, number: int, receipt_of: int = 0
) -> Custody | None:
    """Return a link of the chain, or with `receipt_of` a receipt."""
    return await unit.find(
        select(Custody).where(
            Custody.referral_id == referral_id,
            Custody.author == author,
            Custody.number == number,
            Custody.receipt_of == receipt_of,
        )
    )


async def list_unheard(unit: Unit, referral_id: UUID, *, upto: int) -> Sequence[Letter]:
    """Return the letters of a referral that wait to be heard, up to a number; no receipts."""
    return await unit.list(
        select(Letter).where(
            Letter.referral_id == referral_id,
            Letter.number <= upto,
            Letter.receipt_of == 0,
            Letter.heard_at.is_(None),
        )
    )


async def list_letters(unit: Unit, referral_id: UUID, *, after: int) -> Sequence[Letter]:
    """Return this country's letters of a referral with a higher number; no receipts."""
    return await unit.list(
        select(Letter).where(
            Letter.referral_id == referral_id, Letter.number > after, Letter.receipt_of == 0
        )
    )


async def list_owed(unit: Unit, referral_id: UUID) -> Sequence[OwedLetter]:
    """Return what a peer is still to hear of a referral, in its order."""
    return await unit.list(
        select(OwedLetter).where(OwedLetter.referral_id == referral_id).order_by(OwedLetter.place)
    )


async def list_payable(store: Store) -> list[UUID]:
    """Return the referral of each letter that is owed to a peer for whom this country waits no more."""
    rows = await store.fetch(
        select(OwedLetter.referral_id)
        .join(CrossBorderReferral, CrossBorderReferral.id == OwedLetter.referral_id)
        .where(
            CrossBorderReferral.said >= CrossBorderReferral.given_back,
            CrossBorderReferral.peer_country.not_in(select(PeerToHear.country)),
        )
        .order_by(OwedLetter.place)
    )
    return [row.referral_id for row in rows]


async def list_outworn(store: Store, now: datetime, limit: int) -> list[UUID]:
    """Return letters heard so long ago that their words go."""
    rows = await store.fetch(
        select(Letter.id).where(Letter.heard_at < now - KEPT, Letter.body.is_not(None)).limit(limit)
    )
    return [row.id for row in rows]


async def list_links(unit: Unit, referral_id: UUID, author: str) -> list[Custody]:
    """Return a country's own chain of a referral, without receipts."""
    return [
        *await unit.list(
            select(Custody)
            .where(
                Custody.referral_id == referral_id,
                Custody.author == author,
                Custody.receipt_of == 0,
            )
            .order_by(Custody.number)
        )
    ]


async def list_said(unit: Unit, referral_id: UUID, author: str) -> Sequence[Custody]:
    """Return all that a country has said of a referral, each receipt behind the link it was said after."""
    return await unit.list(
        select(Custody)
        .where(Custody.referral_id == referral_id, Custody.author == author)
        .order_by(Custody.number, Custody.receipt_of)
    )


async def list_custody(unit: Unit, referral_id: UUID) -> list[SignedStatement]:
    """Return what both countries have said of a referral, as it was signed.

    What waits to be signed by the courier is not there yet.
    """
    rows = await unit.list(
        select(Custody)
        .where(Custody.referral_id == referral_id, Custody.kid.is_not(None))
        .order_by(Custody.author, Custody.number, Custody.receipt_of)
    )
    return [signed_of(row) for row in rows]


async def find_sent_receipt(unit: Unit, referral_id: UUID, of: int) -> Letter | None:
    """Return the receipt by which this country said that it has taken a statement, if it was sent."""
    return await unit.find(
        select(Letter)
        .where(
            Letter.referral_id == referral_id,
            Letter.receipt_of == of,
            Letter.sent_at.is_not(None),
        )
        .limit(1)
    )


def signed_of(row: Custody) -> SignedStatement:
    statement = Statement.model_validate_json(row.statement)
    return SignedStatement(statement=statement, kid=row.kid or "", signature=row.signature or "")


# --- for the courier

Place = tuple[UUID, int, int]
"""Of a statement of one author: referral, number, and of a receipt what it is of."""
_PLACE = (Custody.referral_id, Custody.number, Custody.receipt_of)


def place_of(row: Any) -> Place:  # noqa: ANN401  a joined row
    return row.referral_id, row.number, row.receipt_of


async def list_unsigned(
    store: Store, author: str, limit: int, *, after: Place | None = None
) -> Sequence[Any]:
    """Return what a country has not signed yet, in the order of its places, those behind `after`."""
    statement = select(Custody).where(Custody.author == author, Custody.kid.is_(None))
    if after is not None:
        behind = tuple_(*map(literal, after, [each.type for each in _PLACE]))
        statement = statement.where(tuple_(*_PLACE) > behind)
    return await store.fetch(statement.order_by(*_PLACE).limit(limit))


async def list_due(store: Store, recipient: str, now: datetime, limit: int) -> Sequence[Any]:
    """Return (Letter, Custody, CrossBorderReferral) columns of a peer's due letters, oldest first.

    Of one peer at a time, so that none that has a thousand keeps the others waiting.
    """
    return await store.fetch(due_letters(recipient, now).limit(limit))


def due_letters(recipient: str, now: datetime) -> Select[*tuple[Any, ...]]:
    """Return the statement of `list_due`; it is asked every second, however many letters wait."""
    has_come = or_(
        Letter.sent_at.is_(None),
        and_(Letter.times_sent == 1, Letter.sent_at <= now - AGAIN_AFTER),
        Letter.sent_at <= now - THEN_EVERY,
        # Sent by a clock that ran ahead: no peer took it.
        Letter.sent_at > now + MAX_AHEAD,
    )
    return (
        select(
            Letter.id,
            Letter.referral_id,
            Letter.kind,
            Letter.body,
            Letter.sent_at,
            Letter.times_sent,
            Custody.statement,
            Custody.kid,
            Custody.signature,
            CrossBorderReferral.case_id,
            CrossBorderReferral.purpose,
        )
        .join(
            Custody,
            and_(
                Custody.referral_id == Letter.referral_id,
                Custody.number == Letter.number,
                Custody.receipt_of == Letter.receipt_of,
                Custody.author != Letter.recipient,
            ),
        )
        .join(CrossBorderReferral, CrossBorderReferral.id == Letter.referral_id)
        .where(
            Letter.recipient == recipient,
            Custody.kid.is_not(None),
            STILL_DUE,
            has_come,
        )
        .order_by(Letter.written_at, Letter.number)
    )
