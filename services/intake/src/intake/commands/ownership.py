"""Handing a case to another country and taking one over: what is said, heard and answered (F36, F38)."""

from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from common import put_back
from common.auth import Principal
from common.clock import new_id, utcnow
from common.contracts.intake import CaseOwnershipSaid, CasesPutBack
from common.contracts.referral import OwnershipHeard, OwnershipSaidBefore
from common.errors import ConflictError
from common.federation.peers import Peers, read_peers
from common.runtime import Runtime
from common.unit import Unit
from intake.domain import ownership as domain
from intake.domain.case import require_open
from intake.domain.ownership import ANSWERS, Ownership, Saying, Word
from intake.domain.transfer import ERASING, SENT, require_givable
from intake.models import Case, Standing
from intake.queries import case as cases
from intake.queries import transfer as queries

logger = structlog.get_logger(__name__)


class CaseMissingError(Exception):
    """A case was offered whose data have not come: their event goes before, and was not applied."""


async def give_case(
    unit: Unit,
    case_id: UUID,
    referral_id: UUID,
    epoch: int,
    *,
    principal: Principal,
    peers: Peers,
    expected: int,
) -> Case:
    """Let go of the case and offer it to the country where the person has arrived.

    From now on nobody edits it here, whatever the answer. ConflictError `ownership.stale_epoch`,
    `transfer.not_arrived`, `package.not_released`, `peer.unknown`.
    """
    case = await cases.get_for_step(unit, case_id, principal=principal, expected=expected)
    require_open(case.status)
    view = cases.ownership_of(case)
    domain.require_epoch(view, epoch)
    transfer = await queries.get_sent(unit, case, referral_id, pointer="/referral_id")
    is_released = await queries.is_released(unit, referral_id)
    require_givable(transfer.status, is_released=is_released)
    peers.require(transfer.peer_country)
    given, saying = domain.give(view, is_first=case.given_by is None)
    return _change(unit, case, given, saying, referral_id, given_by=referral_id)


async def recall_case(
    unit: Unit, case_id: UUID, referral_id: UUID, *, principal: Principal, expected: int
) -> Case:
    """Ask back what is on its way; the other country's answer decides whose it is.

    ConflictError `ownership.not_given` where nothing is on its way by this referral.
    """
    case = await cases.get_for_step(
        unit, case_id, principal=principal, expected=expected, wherever=True
    )
    await queries.get_sent(unit, case, referral_id, pointer="/referral_id")
    if case.given_by != referral_id:
        raise ConflictError("ownership.not_given")
    view = cases.ownership_of(case)
    return _change(unit, case, view, domain.recall(view), referral_id)


async def hear_of(unit: Unit, heard: OwnershipHeard) -> None:
    """Take in what the other country of a referral says, and answer it in the same Unit.

    An offer counts only for the case that came by this referral and was not given on since, an
    answer only for the one given away by it last: neither a third country nor a former owner has a
    say. CaseMissingError for an offer of a case that should be here; the referral's later events
    then wait for whoever finds out why.
    """
    if heard.word not in frozenset(Word):
        # Of a later release, which knows that this one cannot answer.
        logger.warning("ownership.unknown_word", subject=str(heard.referral_id))
        return
    saying = Saying(Word(heard.word), heard.epoch)
    transfer = await queries.find_transfer(unit, heard.referral_id)
    came_by = None
    if saying.word in ANSWERS:
        case = await queries.find_given(unit, heard.referral_id)
    else:
        case = await queries.find_received(unit, heard.referral_id)
        came_by = heard.referral_id  # as what is found by it
        if case is None and (transfer is None or transfer.direction != SENT):
            raise CaseMissingError
    if case is None or not domain.has_say(
        saying.word, heard.referral_id, came_by=came_by, given_by=case.given_by
    ):
        logger.warning("ownership.no_say", subject=str(heard.referral_id))
        return
    has_ended = transfer is not None and transfer.status in ERASING
    before = cases.ownership_of(case)
    view, answer = domain.hear(before, saying, refuses=has_ended or case.erased_on is not None)
    if answer is not None or view != before:
        _change(unit, case, view, answer, heard.referral_id)


async def hear_own(unit: Unit, said: OwnershipSaidBefore) -> None:
    """Know again what this register said of a case and has forgotten, for it was put back.

    From then on nobody edits here what was given away. It is told again, so that the others know.
    """
    if said.word not in frozenset(Word):
        logger.warning("ownership.unknown_word", subject=str(said.referral_id))
        return
    saying = Saying(Word(said.word), said.epoch)
    given = {} if saying.word in ANSWERS else {"given_by": said.referral_id}
    case = await cases.load_case(unit, said.case_id) if said.case_id else None
    if case is None:
        logger.error("ownership.case_forgotten", subject=str(said.referral_id))
        return
    before = cases.ownership_of(case)
    view = domain.hear_own(before, saying)
    if view != before:
        _change(unit, case, view, saying, said.referral_id, **given)


async def begin(runtime: Runtime, *, anchor_file: Path | None = None) -> None:
    """Let no case be edited before the peers have answered, if the register was put back.

    A country that exchanges with nobody just goes on.
    """

    async def ask(unit: Unit) -> None:
        if not read_peers(runtime.settings.peers_folder).to_ask:
            return
        asked = new_id()
        unit.update(Standing, {"id": 1}, expect=1, asked=asked)
        unit.tell(asked, CasesPutBack(asked=asked).for_nobody(), first_seq=1)
        unit.audit("put_back", Standing.__tablename__, [str(asked)])

    await put_back.at_start(runtime, Standing, ask, anchor_file=anchor_file)


def end_asking(unit: Unit, asked: UUID) -> None:
    """Let cases be edited again, unless the register was put back once more meanwhile."""
    unit.update(Standing, {"id": 1, "asked": asked}, asked=None)
    unit.audit("peers_heard", Standing.__tablename__, [str(asked)])


def _change(
    unit: Unit,
    case: Case,
    view: Ownership,
    saying: Saying | None,
    referral_id: UUID,
    **columns: Any,
) -> Case:
    said = [
        CaseOwnershipSaid(
            case_id=case.id,
            organisation_id=case.organisation_id,
            referral_id=referral_id,
            word=each.word,
            epoch=each.epoch,
        )
        for each in (saying,)
        if each is not None
    ]
    return unit.change(
        Case,
        case,
        *said,
        about=case.id,
        holding=view.holding,
        epoch=view.epoch,
        refused=view.refused,
        updated_at=utcnow(),
        **columns,
    )
