"""What waits for peers to answer a country that was put back from a backup, and the end of it."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from common import put_back
from common.clock import new_id
from common.contracts.referral import OwnershipHeard, OwnershipSaidBefore, PeersHeard
from common.db.base import unit_of
from common.federation.peers import read_peers
from common.runtime import Runtime
from common.tables import InboxAggregate
from common.unit import Unit
from referral.domain.cross_border import TAKEN, CrossBorderStatus, Direction
from referral.models import PeerToHear, Standing
from referral.queries import rejoin as queries
from referral.schemas.letters import Answer

logger = structlog.get_logger(__name__)

WAITS = ("cross_border.unconfirmed", "custody.ahead", "custody.forked")
"""Why something waits in the inbox that is tried again when a peer has answered."""


def release_held(unit: Unit) -> None:
    """Let what waits for a peer's answer be tried again."""
    for reason in WAITS:
        unit.update(InboxAggregate, {"parked_reason": reason}, parked_at=None, parked_reason=None)


async def begin(runtime: Runtime, *, anchor_file: Path | None = None) -> None:
    """Ask every peer what it heard of this country, if the database was put back since the last start.

    Until a peer has answered, nothing new is said to it.
    """

    async def ask(unit: Unit) -> None:
        peers = peers_of(runtime)
        if peers:
            unit.audit("put_back", Standing.__tablename__, peers)
            await ask_peers(unit, peers)

    await put_back.at_start(runtime, Standing, ask, anchor_file=anchor_file)


async def tell_of_no_hub(runtime: Runtime) -> None:
    """Say in the log that peers are waited for which nobody asks. For the process that has the hub."""
    unit = unit_of(runtime.database, source=runtime.source, operation="tell_of_no_hub")
    waiting = await queries.list_peers_to_hear(unit)
    if waiting and not runtime.settings.hub:
        logger.error("rejoin.no_hub", count=len(waiting))
    removed = read_peers(runtime.settings.peers_folder).removed
    for each in waiting:
        if each.country in removed:
            logger.error("rejoin.peer_removed", country=each.country)


def peers_of(runtime: Runtime) -> list[str]:
    """Return the countries that are to be asked, also where no hub is set yet."""
    return read_peers(runtime.settings.peers_folder).to_ask


async def ask_peers(unit: Unit, peers: Sequence[str], *, asked: UUID | None = None) -> None:
    """Let every peer be asked what it heard of this country; until then nothing is said to it.

    `asked` is the question of this country's register, which is answered once they all have.
    """
    for country in peers:
        unit.put(PeerToHear, country=country, asked=new_id(), is_written=False, lacks={})
    if asked is None:
        return
    standing = await queries.find_standing(unit)
    if peers:
        sign = "" if standing is None else standing.sign
        unit.put(Standing, id=1, sign=sign, asked=asked)
    else:
        await _tell_heard(unit, asked)


async def go_on_alone(unit: Unit) -> list[str]:
    """Wait for no peer's answer any more; return for whose this country waited.

    An operator takes it upon himself that no case is edited here that went to one of them since the
    backup. It stands in the audit trail.
    """
    waiting = await queries.list_peers_to_hear(unit)
    for each in waiting:
        unit.remove(PeerToHear, country=each.country)
    await _end_waiting(unit)
    countries = [each.country for each in waiting]
    unit.audit("go_on_alone", PeerToHear.__tablename__, countries)
    return countries


async def hear_part(unit: Unit, peer: str, answer: Answer) -> None:
    """Note that a part of a peer's answer was taken; after the last of all it is waited for no more.

    They count in their order, and whichever question since it was put back they answer: a peer that
    was asked anew meanwhile told all that it holds all the same. One that was lost on the way, or came
    behind a later one, is asked for again with the next roll: until then its case may be the other
    country's.
    """
    waiting = await queries.list_peers_to_hear(unit)
    found = next((each for each in waiting if each.country == peer), None)
    question = str(answer.asked)
    if found is None or found.lacks.get(question, {}).get(answer.place) != answer.part:
        return
    lacks = found.lacks[question] | {answer.place: answer.part + 1}
    if answer.part + 1 >= answer.parts:
        del lacks[answer.place]
    row = {"country": peer, "asked": found.asked}
    if lacks:
        unit.update(PeerToHear, row, expect=1, lacks=found.lacks | {question: lacks})
        return
    unit.remove(PeerToHear, **row, expect=1)
    logger.info("rejoin.heard", count=len(waiting) - 1)
    if len(waiting) == 1:
        await _end_waiting(unit)
    else:
        release_held(unit)


async def _end_waiting(unit: Unit) -> None:
    standing = await queries.find_standing(unit)
    if standing is not None and standing.asked is not None:
        unit.update(Standing, {"id": 1, "asked": standing.asked}, expect=1, asked=None)
        await _tell_heard(unit, standing.asked)
    release_held(unit)


async def _tell_heard(unit: Unit, asked: UUID) -> None:
    """Answer this country's register, which may have been put back alone.

    First what is known of who may edit its cases: under one subject, so that it comes first.
    """
    number = count(1)
    for row in await queries.list_owning(unit):
        if row.owning_word is None or row.owning_epoch is None:
            continue
        content: dict[str, Any] = {
            "referral_id": row.id,
            "organisation_id": row.organisation_id,
            "epoch": row.owning_epoch,
        }
        said = OwnershipSaidBefore(**content, case_id=row.case_id, word=row.owning_word)
        unit.tell(asked, said.for_nobody(), first_seq=next(number))
        is_over = row.status is CrossBorderStatus.HANDED_OVER
        if row.direction is Direction.SENT and is_over and row.organisation_id is not None:
            heard = OwnershipHeard(**content, word=TAKEN)
            unit.tell(asked, heard.for_nobody(), first_seq=next(number))
    unit.tell(asked, PeersHeard(asked=asked).for_nobody(), first_seq=next(number))
