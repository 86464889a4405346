"""What was said under a clock that was far ahead, dated anew once the clock is right."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import structlog

from common.clock import utcnow
from common.federation.custody import Statement
from common.federation.envelope import MAX_AHEAD
from common.unit import Unit
from referral.commands.letters import text_of
from referral.models import CrossBorderReferral, Custody, Letter
from referral.queries import letters as queries
from referral.queries.cross_border import find_cross_border
from referral.queries.rejoin import find_peer_to_hear

logger = structlog.get_logger(__name__)


def is_ahead(said_at: datetime) -> bool:
    """Tell whether what is dated so was said under a clock that was ahead of the one here."""
    return said_at - utcnow() > MAX_AHEAD


async def date_anew(
    unit: Unit, referral_id: UUID, own: str, *, is_signable: Callable[[datetime], bool]
) -> int:
    """Hand over what this country said of a referral, is not signed and lies ahead, as said now.

    Never before the link it follows; what waits behind it names the new hashes. Return how many
    statements change: none where they could not be signed then either, and none while this country
    must hear from the peer what it said before it was put back, maybe the same under another date.
    """
    row = await find_cross_border(unit, referral_id)
    if row is None or await find_peer_to_hear(unit, row.peer_country) is not None:
        return 0
    now, last = utcnow(), None
    hashes: dict[str, str] = {}
    changed: list[tuple[Custody, Statement]] = []
    for link in await queries.list_said(unit, referral_id, own):
        said = Statement.model_validate_json(link.statement)
        if link.kid is None:
            at = max(now, last or now) if is_ahead(said.said_at) else said.said_at
            previous = hashes.get(said.previous, said.previous)
            anew = said.model_copy(update={"said_at": at, "previous": previous})
            if anew != said:
                hashes[link.hash] = anew.hash
                changed.append((link, anew))
                said = anew
        elif said.previous in hashes:
            return 0  # what was signed stays, and with it what it follows
        if link.receipt_of == 0:
            last = said.said_at
    if not changed or not all(is_signable(anew.said_at) for _, anew in changed):
        return 0
    _hand_over(unit, row, changed, hashes)
    return len(changed)


def _hand_over(
    unit: Unit,
    row: CrossBorderReferral,
    changed: Sequence[tuple[Custody, Statement]],
    hashes: Mapping[str, str],
) -> None:
    for link, anew in changed:
        place = {"referral_id": row.id, "number": link.number, "receipt_of": link.receipt_of}
        unit.update(
            Custody,
            {"author": link.author, **place, "hash": link.hash, "kid": None},
            expect=1,
            statement=text_of(anew),
            hash=anew.hash,
        )
        # Letters go in the order of this time.
        unit.update(Letter, place, written_at=anew.said_at)
    # Whoever says more, or takes a letter, changes one of these.
    seen = {"id": row.id, "version": row.version, "said": row.said, "heard": row.heard}
    said_hash = hashes.get(row.said_hash, row.said_hash)
    unit.update(CrossBorderReferral, seen, expect=1, said_hash=said_hash)
    logger.warning("custody.dated_anew", subject=str(row.id))
