"""What a country that was put back from a backup takes back of its own, and the same steps again.

What a peer gives back is news to nobody but its author, whose referral takes the same steps again in
the order in which it took them: each once it has taken what it had heard by then.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from common.clock import utcnow
from common.contracts.referral import CONSENT_WITHDRAWN, CrossBorderChanged, OwnershipSaidBefore
from common.events import EventData
from common.federation.custody import (
    GENESIS,
    OUTSIDE,
    FindSigner,
    SignedStatement,
    Statement,
    mark_of,
)
from common.federation.mail import line_of, topic_to
from common.unit import Unit
from referral.commands.crossing import change, note
from referral.commands.held import hear_part, release_held
from referral.commands.letters import keep, owe, owning_columns
from referral.commands.roll import (
    begin_line_anew,
    give_back,
    send_again,
    write_answers,
    write_roll,
)
from referral.domain.calendar import Calendar
from referral.domain.cross_border import CrossBorderStatus, Direction, Kind
from referral.domain.referral import RESPONSE_POLICY, Urgency, respond_by
from referral.domain.retold import SAID_ONCE, makes_needless, status_again
from referral.models import CrossBorderReferral, Custody, Fork, Letter, OwedLetter
from referral.queries import letters
from referral.queries import rejoin as queries
from referral.queries.cross_border import find_cross_border
from referral.queries.referral import find_case
from referral.schemas.letters import Answer, GivenBack

logger = structlog.get_logger(__name__)


async def take_answer(
    unit: Unit, answer: Answer, *, peer: str, calendar: Calendar, signer: FindSigner
) -> None:
    """Take back what this country said and forgot, and go through the same steps again."""
    is_changed = False
    for given in answer.referrals:
        row = await find_cross_border(unit, given.referral_id)
        if row is not None and row.peer_country != peer:
            continue
        if row is not None:
            await send_again(unit, row, after=given.heard)
        said = _ours(given, peer, calendar.country, signer)
        if said and await _take_again(unit, row, said, calendar):
            is_changed = True
            unit.audit("rejoin", CrossBorderReferral.__tablename__, [str(given.referral_id)])
            logger.warning("rejoin.given_back", subject=str(given.referral_id))
    if is_changed:
        release_held(unit)
        if answer.asked is None:
            await write_roll(unit, peer)  # by which it sees that what it found wrong is put right
    await hear_part(unit, peer, answer)


def _ours(given: GivenBack, peer: str, own: str, signer: FindSigner) -> list[SignedStatement]:
    """Return the statements in their order, without what this country did not sign for this peer.

    The rest of the answer counts all the same; the log names who gave back what is not ours.
    """
    ours = sorted(
        (
            signed
            for signed in given.statements
            if (signed.statement.author, signed.statement.peer) == (own, peer)
            and signed.statement.referral_id == given.referral_id
            and signed.statement.kind not in OUTSIDE
            and signed.statement.number > 0
            and signed.holds(signer)
        ),
        key=lambda signed: signed.statement.number,
    )
    if len(ours) < len(given.statements):
        logger.error("rejoin.not_ours", subject=str(given.referral_id), country=peer)
    return ours


async def _take_again(
    unit: Unit,
    row: CrossBorderReferral | None,
    said: Sequence[SignedStatement],
    calendar: Calendar,
) -> bool:
    """Put the statements into this country's chain; what it said in their place since gives way."""
    own, referral_id = calendar.country, said[0].statement.referral_id
    ours = {link.number: link for link in await letters.list_links(unit, referral_id, own)}
    chain = {number: _statement_of(link) for number, link in ours.items()}
    added = await _put_in(unit, chain, said)
    if not added:
        return False
    gone = [link for number, link in ours.items() if number >= added[0].statement.number]
    for link in gone:
        _give_way(unit, link, stays=link.number in chain)
    for signed in added:
        keep(unit, signed, instead=signed.statement.number in ours)
    first = added[0].statement
    if row is None:
        if first.number > 1 or first.kind != Kind.OFFER:
            return True  # of a referral whose offer will come again
        row = await _make_again(unit, first, calendar)
    await _owe_again(unit, row, gone, chain, calendar)
    until = min(row.said, first.number - 1)
    row = note(
        unit,
        row,
        said=until,
        said_hash=chain[until].hash if until else GENESIS,
        given_back=max(chain),
    )
    take_steps_again(unit, row, chain, calendar)
    return True


async def _put_in(
    unit: Unit, chain: dict[int, Statement], said: Sequence[SignedStatement]
) -> list[SignedStatement]:
    """Put into `chain` what follows there, in the place of whatever else stood there; return it."""
    added = []
    for signed in said:
        statement = signed.statement
        there, before = chain.get(statement.number), chain.get(statement.number - 1)
        if there is not None and there.hash == statement.hash:
            continue
        follows = (before.number, before.hash) if before else (0, GENESIS)
        if (statement.number - 1, statement.previous) != follows:
            break
        if await queries.find_fork(unit, statement.referral_id, statement.author, statement.hash):
            break  # it gave way before
        for number in [number for number in chain if number >= statement.number]:
            del chain[number]
        chain[statement.number] = statement
        added.append(signed)
    return added


def _give_way(unit: Unit, link: Custody, *, stays: bool) -> None:
    """Take a statement of ours out of the chain; `stays` where another is in its place."""
    place: dict[str, Any] = {
        "referral_id": link.referral_id,
        "number": link.number,
        "receipt_of": 0,
    }
    unit.remove(Letter, **place)
    if not stays:
        unit.remove(Custody, author=link.author, **place)
    if link.kid is not None:  # else nobody has it
        keep_fork(unit, letters.signed_of(link))
        logger.error("custody.gave_way", subject=str(link.referral_id))


async def _owe_again(
    unit: Unit,
    row: CrossBorderReferral,
    gone: Sequence[Custody],
    chain: Mapping[int, Statement],
    calendar: Calendar,
) -> None:
    """Owe the peer what gave way and nobody can say again, unless it was said before as well."""
    needless = {kind for said in chain.values() for kind in makes_needless(said.kind)}
    for said in map(_statement_of, gone):
        if said.kind in SAID_ONCE and said.kind not in needless:
            await owe(unit, row, Kind(said.kind), on=calendar.day_of(said.said_at))


def keep_fork(unit: Unit, signed: SignedStatement) -> None:
    """Keep a statement that stands in no chain, with its signature: for good, as proof."""
    said = signed.statement
    unit.add(
        Fork,
        referral_id=said.referral_id,
        author=said.author,
        number=said.number,
        hash=said.hash,
        signed=signed.model_dump_json(),
    )


def _statement_of(link: Custody) -> Statement:
    return Statement.model_validate_json(link.statement)


async def _make_again(unit: Unit, offer: Statement, calendar: Calendar) -> CrossBorderReferral:
    """Make the row of a referral that this country sent and knows nothing of but that it did."""
    case = None
    for case_id in await queries.list_case_ids(unit):
        if mark_of(offer.referral_id, case_id) == offer.about:
            case = await find_case(unit, case_id)
    if case is None:
        logger.error("rejoin.case_unknown", subject=str(offer.referral_id))
    await unit.new_box(offer.referral_id)
    columns: dict[str, Any] = {
        "direction": Direction.SENT,
        "peer_country": offer.peer,
        "case_id": case.case_id if case else None,
        "organisation_id": case.organisation_id if case else None,
        "urgency": case.urgency if case else Urgency.NORMAL,
        "status": CrossBorderStatus.DRAFT,
        "data_groups": [],
    }
    told = CrossBorderChanged(referral_id=offer.referral_id, on=calendar.today, **columns)
    row = unit.create(
        CrossBorderReferral,
        told,
        about=columns["case_id"],
        id=offer.referral_id,
        **columns,
        needs=[],
        languages=[],
        consent_ids=[],
    )
    # Its letters may have come before it was known again.
    line = line_of(row.peer_country, row.id)
    await begin_line_anew(unit, row, topic_to(calendar.country), line)
    return row


async def see_fork(unit: Unit, row: CrossBorderReferral, signed: SignedStatement) -> None:
    """Keep both of two statements that a peer has signed under one number, and tell it of the first.

    Until it has put its chain right nothing more is taken of the referral.
    """
    said = signed.statement
    held = await letters.find_statement(unit, row.id, author=said.author, number=said.number)
    if held is None or held.hash == said.hash:
        return
    if await queries.find_fork(unit, row.id, said.author, said.hash) is not None:
        return
    keep_fork(unit, signed)
    unit.audit("fork", Fork.__tablename__, [str(row.id)], about=row.case_id)
    logger.error("custody.forked", subject=str(row.id), country=said.author)
    if row.forked_at is None:
        note(unit, row, forked_at=utcnow())
    links = await letters.list_links(unit, row.id, said.author)
    first = give_back(row, [link for link in links if link.number >= said.number])
    write_answers(unit, row.peer_country, [first], asked=None)


# --- the same steps again


async def go_on(unit: Unit, row: CrossBorderReferral, calendar: Calendar) -> None:
    """Take again what this country had said once it had heard what was taken just now."""
    if row.said < row.given_back:
        links = await letters.list_links(unit, row.id, calendar.country)
        chain = {link.number: _statement_of(link) for link in links}
        take_steps_again(unit, row, chain, calendar)


def take_steps_again(
    unit: Unit, row: CrossBorderReferral, chain: Mapping[int, Statement], calendar: Calendar
) -> None:
    """Take those steps of `chain`, this country's own, whose turn has come."""
    while (said := chain.get(row.said + 1)) is not None and said.heard <= row.heard:
        row = _take_step_again(unit, row, said, calendar)
    if row.said == row.given_back:
        release_held(unit)


def _take_step_again(
    unit: Unit, row: CrossBorderReferral, said: Statement, calendar: Calendar
) -> CrossBorderReferral:
    word = said.owning.word if said.owning else None
    status = status_again(row.direction, said.kind, row.status, word=word)
    for kind in makes_needless(said.kind):
        unit.remove(OwedLetter, referral_id=row.id, kind=kind)
    told: list[EventData] = []
    if said.owning is not None:
        told.append(
            OwnershipSaidBefore(
                referral_id=row.id,
                case_id=row.case_id,
                organisation_id=row.organisation_id,
                word=said.owning.word,
                epoch=said.owning.epoch,
            )
        )
    return change(
        unit,
        row,
        status,
        *told,
        on=calendar.day_of(said.said_at),
        reason=_reason(row, status),
        said=said.number,
        said_hash=said.hash,
        **owning_columns(said),
        **_facts(row, said, calendar),
    )


def _reason(row: CrossBorderReferral, status: CrossBorderStatus) -> str | None:
    if status is CrossBorderStatus.CONSENT_WITHDRAWN:
        return CONSENT_WITHDRAWN
    return row.reason if status is row.status else None


def _facts(row: CrossBorderReferral, said: Statement, calendar: Calendar) -> dict[str, Any]:
    """Return what the time of a statement tells; the other words are gone."""
    if said.kind == Kind.OFFER:
        urgency = Urgency(row.urgency)
        deadline = respond_by(
            said.said_at, urgency, zone=calendar.time_zone, holidays=calendar.holidays
        )
        return {
            "submitted_at": said.said_at,
            "respond_by": deadline,
            "policy_version": RESPONSE_POLICY.version,
        }
    day = calendar.day_of(said.said_at)
    facts: dict[str, dict[str, Any]] = {
        Kind.ACKNOWLEDGED: {"acknowledged_at": said.said_at},
        Kind.ACCEPTED: {
            "organisation_id": said.organisation_id,
            "recipient_organisation_id": said.organisation_id,
        },
        Kind.PACKAGE: {"packaged_at": said.said_at},
        Kind.ARRIVED: {"arrived_on": day},
        Kind.WITHDRAWN: {"consent_withdrawn_on": day},
        Kind.ERASED: {"erased_on": day},
    }
    return facts.get(said.kind, {})
