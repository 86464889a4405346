"""How far this country and its peers are with each other, and whom it waits to hear."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import and_, func, or_, select

from common.clock import utcnow
from common.db.base import Store
from common.federation.peers import read_peers
from common.runtime import Runtime
from common.tables import InboxAggregate, InboxMessage, InboxPending
from common.telemetry import (
    CUSTODY_FORKS,
    LETTERS_UNHEARD_SECONDS,
    LETTERS_WAIT_SECONDS,
    OWN_KEY_DAYS,
    PEERS_TO_HEAR,
)
from common.unit import Unit
from referral.domain.cross_border import CrossBorderStatus
from referral.models import (
    STILL_DUE,
    CrossBorderReferral,
    Fork,
    KnownCase,
    Letter,
    PeerToHear,
    Slip,
    Standing,
)

LONG_CLOSED: Final = timedelta(days=180)
"""After so long a roll names a referral no more that came to nothing; one handed over it always does."""

_ENDED = (
    CrossBorderStatus.DECLINED,
    CrossBorderStatus.EXPIRED,
    CrossBorderStatus.CANCELLED,
    CrossBorderStatus.CONSENT_WITHDRAWN,
    CrossBorderStatus.CLOSED,
)


async def find_peer_to_hear(unit: Unit, country: str) -> PeerToHear | None:
    return await unit.find(select(PeerToHear).where(PeerToHear.country == country))


async def list_peers_to_hear(unit: Unit) -> Sequence[PeerToHear]:
    return await unit.list(select(PeerToHear).order_by(PeerToHear.country))


async def find_standing(unit: Unit) -> Standing | None:
    return await unit.find(select(Standing).where(Standing.id == 1))


async def list_exchanged(unit: Unit, peer: str, now: datetime) -> Sequence[CrossBorderReferral]:
    """Return the referrals with a peer of which something was said, but for those long closed."""
    row = CrossBorderReferral
    is_long_closed = and_(row.status.in_(_ENDED), row.updated_at < now - LONG_CLOSED)
    return await unit.list(
        select(row).where(
            row.peer_country == peer, or_(row.said > 0, row.heard > 0), ~is_long_closed
        )
    )


async def list_owning(unit: Unit) -> Sequence[CrossBorderReferral]:
    """Return the referrals in which this country's register said who may edit the case."""
    return await unit.list(
        select(CrossBorderReferral)
        .where(CrossBorderReferral.owning_word.is_not(None))
        .order_by(CrossBorderReferral.owning_epoch, CrossBorderReferral.id)
    )


async def list_case_ids(unit: Unit) -> list[UUID]:
    return [row.case_id for row in await unit.rows(select(KnownCase.case_id))]


async def find_fork(unit: Unit, referral_id: UUID, author: str, hash_: str) -> Fork | None:
    return await unit.find(
        select(Fork).where(
            Fork.referral_id == referral_id, Fork.author == author, Fork.hash == hash_
        )
    )


_FORKED = (
    select(func.count().label("number"))
    .select_from(CrossBorderReferral)
    .where(CrossBorderReferral.forked_at.is_not(None))
)
_TO_HEAR = select(func.count().label("number")).select_from(PeerToHear)
_UNSENT = (
    select(Letter.recipient.label("country"), func.min(Letter.written_at).label("since"))
    .where(STILL_DUE, Letter.sent_at.is_(None))  # both, for the index to be used
    .group_by(Letter.recipient)
)
_UNHEARD = (
    select(Letter.recipient.label("country"), func.min(Letter.written_at).label("since"))
    # A receipt is confirmed by nobody. STILL_DUE besides, for the index to be used.
    .where(STILL_DUE, Letter.receipt_of == 0, Letter.heard_at.is_(None), Letter.times_sent > 0)
    .group_by(Letter.recipient)
)
_SLIPS = select(Slip.peer.label("country"), func.min(Slip.written_at).label("since")).group_by(
    Slip.peer
)


async def measure(runtime: Runtime) -> None:
    """Set the gauges of the exchange with other countries."""
    database = runtime.database
    CUSTODY_FORKS.labels(runtime.name).set((await database.fetch(_FORKED))[0].number)
    PEERS_TO_HEAR.labels(runtime.name).set((await database.fetch(_TO_HEAR))[0].number)
    waiting = [*await database.fetch(_UNSENT), *await database.fetch(_SLIPS)]
    now = utcnow()
    unheard = await database.fetch(_UNHEARD)
    for gauge, rows in ((LETTERS_WAIT_SECONDS, waiting), (LETTERS_UNHEARD_SECONDS, unheard)):
        gauge.clear()  # of those to whom nothing waits any more nothing is told
        for country, age in _ages(rows, now).items():
            gauge.labels(runtime.name, country).set(age)
    OWN_KEY_DAYS.clear()
    ends = read_peers(runtime.settings.peers_folder).directory.ends(runtime.settings.country)
    for use, end in ends.items():
        OWN_KEY_DAYS.labels(runtime.name, use).set((end - now) / timedelta(days=1))


def _ages(waiting: Iterable[Any], now: datetime) -> dict[str, float]:
    """Return how old the oldest is for each country."""
    ages = dict[str, float]()
    for row in waiting:
        age = max((now - row.since).total_seconds(), 0.0)
        ages[row.country] = max(age, ages.get(row.country, 0.0))
    return ages


async def list_slips(store: Store, peer: str, limit: int) -> Sequence[Any]:
    return await store.fetch(
        select(Slip).where(Slip.peer == peer).order_by(Slip.written_at, Slip.position).limit(limit)
    )


# --- of the inbox


async def find_line(unit: Unit, topic: str, line: UUID) -> InboxAggregate | None:
    """Return how far the letters of one country on one referral were passed through the inbox."""
    return await unit.find(
        select(InboxAggregate).where(InboxAggregate.topic == topic, InboxAggregate.subject == line)
    )


async def is_waiting(unit: Unit, topic: str, line: UUID, number: int) -> bool:
    """Tell whether a letter came and waits to be taken."""
    return bool(
        await unit.rows(
            select(InboxPending.event_id).where(
                InboxPending.topic == topic,
                InboxPending.subject == line,
                InboxPending.seq == number,
            )
        )
    )


async def list_passed(unit: Unit, topic: str, line: UUID, *, after: int) -> Sequence[InboxMessage]:
    return await unit.list(
        select(InboxMessage).where(
            InboxMessage.topic == topic, InboxMessage.subject == line, InboxMessage.seq > after
        )
    )
