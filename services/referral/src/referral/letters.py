"""One function for what each kind of letter from another country does here."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import structlog
from pydantic import ValidationError

from common.bus import Delivery
from common.contracts.referral import (
    CrossBorderChanged,
)
from common.dead_letters import Graveyard
from common.errors import ConflictError, NotYetError
from common.events import Event, topic_of
from common.federation.custody import (
    GENESIS,
    GIVEN_BACK,
    RECEIPT,
    ROLL,
    CustodyError,
    FindSigner,
    SignedStatement,
    Statement,
    require_next,
)
from common.federation.mail import AGAIN, FORK, topic_to, type_of
from common.inbox import Handler
from common.unit import Unit
from referral.commands.crossing import answer_receipt, change
from referral.commands.effect import effect_of
from referral.commands.letters import (
    keep,
    require_peer_heard,
    take,
    take_receipt,
    write_letter,
    write_receipt,
)
from referral.commands.rejoin import go_on, see_fork, take_answer
from referral.commands.roll import answer_roll
from referral.domain.calendar import Calendar
from referral.domain.cross_border import (
    OF_THE_PERSON,
    OWNING_WORDS,
    REFUSED,
    TAKEN,
    CrossBorderStatus,
    Direction,
    Kind,
    status_after,
)
from referral.domain.referral import RESPONSE_POLICY, Urgency, respond_by
from referral.models import CrossBorderReferral, KnownCase
from referral.queries.cross_border import find_cross_border
from referral.queries.letters import list_links
from referral.schemas.letters import (
    BODIES,
    Answer,
    Body,
    Offer,
    OwnershipWord,
    Roll,
)

logger = structlog.get_logger(__name__)

UNREADABLE = "letter.unreadable"
"""Of a form that a later release may read: it waits for that one, with all that follow it, and is
confirmed to nobody. What breaks a rule of today, or of who has a say, is refused for good."""
UNKNOWN_KIND = "letter.unknown_kind"


class Letters(Mapping[str, Handler]):
    """The handlers of the letters to one country, also of kinds that a newer release may write."""

    def __init__(self, calendar: Calendar, signer: FindSigner, graveyard: Graveyard) -> None:
        """`signer` finds the key by which a country signed, this one too.

        `graveyard` keeps the words of letters that nobody here can read yet.
        """
        country = calendar.country
        self._topic = topic_to(country)
        self._unknown = partial(on_unknown_letter, calendar=calendar, graveyard=graveyard)
        self._known: dict[str, Handler] = {
            type_of(RECEIPT, country): on_receipt,
            type_of(AGAIN, country): on_letter_again,
            type_of(FORK, country): on_fork,
            type_of(ROLL, country): partial(on_roll, own=country),
            type_of(GIVEN_BACK, country): partial(on_answer, calendar=calendar, signer=signer),
        }
        for kind in Kind:
            handler = partial(_take_letter, kind=kind, calendar=calendar)
            self._known[type_of(kind, country)] = handler

    def __getitem__(self, event_type: str) -> Handler:
        if topic_of(event_type) != self._topic:
            raise KeyError(event_type)
        return self._known.get(event_type, self._unknown)

    def __contains__(self, event_type: object) -> bool:
        """Tell whether this release knows the kind: another is its teller's word."""
        return event_type in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


async def on_unknown_letter(
    unit: Unit, event: Event, *, calendar: Calendar, graveyard: Graveyard
) -> None:
    """Take a letter of a kind that this release does not know: it changes nothing but the chain.

    Its sender sends what is confirmed never again, so its words are kept with the dead letters, or,
    where these have no room, it waits. It waits, too, where a referral begins with it.
    """
    signed = SignedStatement.model_validate(event.data["said"])
    if await find_cross_border(unit, signed.statement.referral_id) is None:
        await require_peer_heard(unit, signed.statement.author)
        _require_first(signed.statement)
        raise NotYetError(UNREADABLE)
    row = await _known(unit, signed.statement)
    await _require_takeable(unit, row, signed.statement)
    columns = await take(unit, row, signed)
    words = Delivery(topic_of(event.type), -1, -1, event.to_bytes())
    if not await graveyard.bury(unit, words, UNKNOWN_KIND):
        raise NotYetError(UNREADABLE)
    logger.error(UNKNOWN_KIND, subject=str(row.id))
    row = await answer_receipt(unit, row, signed.statement, own=calendar.country, columns=columns)
    await go_on(unit, row, calendar)


async def on_receipt(unit: Unit, event: Event) -> None:
    """Mark what the other country says it has taken."""
    signed = SignedStatement.model_validate(event.data["said"])
    row = await _known(unit, signed.statement)
    await take_receipt(unit, row, signed)


async def on_letter_again(unit: Unit, event: Event) -> None:
    """Pass over a letter that was taken and comes again without its words."""


async def on_fork(unit: Unit, event: Event) -> None:
    """Keep what another country said under a number that it had given to another statement.

    It is proof of two that speak as one country: a clone, or one put back from a backup that went on.
    No more is taken of this referral before a roll shows the chain put right.
    """
    signed = SignedStatement.model_validate(event.data["said"])
    row = await _known(unit, signed.statement)
    await see_fork(unit, row, signed)


async def on_roll(unit: Unit, event: Event, *, own: str) -> None:
    """Compare how far a peer says it is with what is known of it here."""
    peer = SignedStatement.model_validate(event.data["said"]).statement.author
    await answer_roll(unit, Roll.model_validate(event.data["body"]), peer=peer, own=own)


async def on_answer(unit: Unit, event: Event, *, calendar: Calendar, signer: FindSigner) -> None:
    """Take back what this country said and has forgotten."""
    peer = SignedStatement.model_validate(event.data["said"]).statement.author
    answer = Answer.model_validate(event.data["body"])
    await take_answer(unit, answer, peer=peer, calendar=calendar, signer=signer)


async def _take_letter(unit: Unit, event: Event, *, kind: Kind, calendar: Calendar) -> None:
    signed = SignedStatement.model_validate(event.data["said"])
    said = signed.statement
    row = await find_cross_border(unit, said.referral_id)
    if row is None and kind is Kind.OFFER:
        _require_first(said)
        await _receive(unit, signed, _words(kind, event.data["body"]), calendar)
        return
    row = await _known(unit, said)
    await _require_takeable(unit, row, said)
    status = status_after(row.direction, kind, row.status)
    columns = await take(unit, row, signed)
    # Its form comes last: what has no place in the chain waits for no later release.
    body = None if status is None else _words(kind, event.data["body"])
    if status is None or body is None:
        row = await answer_receipt(unit, row, said, own=calendar.country, columns=columns)
    else:
        effect = effect_of(row, kind, body, status, calendar)
        if isinstance(body, Offer):
            effect.columns = _offered(body, said, calendar)
        if isinstance(body, OwnershipWord):
            _note_answer(unit, row, body)
        if effect.answer is not None and row.said >= row.given_back:
            columns |= await write_letter(
                unit, row, effect.answer, own=calendar.country, heard=said
            )
        else:  # while what was forgotten is taken again, the answer is among it
            await write_receipt(unit, row, said, own=calendar.country)
        row = change(
            unit,
            row,
            effect.status,
            *effect.told,
            on=calendar.today,
            reason=effect.reason,
            **columns,
            **effect.columns,
        )
    await go_on(unit, row, calendar)


def _words(kind: Kind, body: object) -> Body | None:
    """Return a letter's words, None where its author has taken back what they said of the person.

    NotYetError `letter.unreadable` for a form that this release does not know, and for a word on who
    may edit a case: what follows it means nothing to whoever has passed it over.
    """
    if body is None and kind in OF_THE_PERSON:
        return None
    try:
        words = BODIES[kind].model_validate(body)
    except ValidationError:
        raise NotYetError(UNREADABLE) from None
    if isinstance(words, OwnershipWord) and words.word not in OWNING_WORDS:
        raise NotYetError(UNREADABLE)
    return words


def _require_first(said: Statement) -> None:
    """Refuse what no referral can begin with."""
    try:
        require_next(said, number=0, previous=GENESIS)
    except CustodyError:
        raise ConflictError("custody.broken") from None


def _note_answer(unit: Unit, row: CrossBorderReferral, answer: OwnershipWord) -> None:
    """Hand over whether a case that was given by this referral is another country's now."""
    given = {"given_by": row.id, "given_epoch": answer.epoch}
    if answer.word == TAKEN:
        unit.update(KnownCase, given, given_by=None)  # no later answer counts
    elif answer.word == REFUSED:
        unit.update(KnownCase, given, given_by=None, given_epoch=None)


async def _known(unit: Unit, said: Statement) -> CrossBorderReferral:
    """Return the referral a letter is about; ConflictError unless it is one with its author.

    `letter.unknown_referral`, whether nobody has it or another country: the letter is buried without
    a receipt. An offer is answered only under an id that is free, so who knows an id, which cannot be
    guessed, learns by an offer under it that it is in use here, and nothing else.
    """
    row = await find_cross_border(unit, said.referral_id)
    if row is None:
        await require_peer_heard(unit, said.author)  # it may be one that is forgotten
    if row is None or row.peer_country != said.author:
        raise ConflictError("letter.unknown_referral")
    return row


async def _require_takeable(unit: Unit, row: CrossBorderReferral, said: Statement) -> None:
    """Let a letter wait that may not be taken before a peer has answered: NotYetError.

    One that names a statement which this country does not know it made comes after that one, in
    whatever status it left the referral.
    """
    await require_peer_heard(unit, row.peer_country)
    if said.heard > row.said:
        raise NotYetError("custody.ahead")
    if row.forked_at is not None:
        raise NotYetError("custody.forked")


async def _receive(
    unit: Unit, signed: SignedStatement, body: Body | None, calendar: Calendar
) -> None:
    """Make the row of a referral that another country sends; nobody here has it yet.

    Also of one whose words were taken back: the letter that calls it off comes next.
    """
    said = signed.statement
    await unit.new_box(said.referral_id)
    columns = _offered(body if isinstance(body, Offer) else None, said, calendar)
    told = CrossBorderChanged(
        referral_id=said.referral_id,
        direction=Direction.RECEIVED,
        peer_country=said.author,
        urgency=columns["urgency"],
        status=CrossBorderStatus.SUBMITTED,
        on=calendar.today,
    )
    forgotten = await list_links(unit, said.referral_id, calendar.country)
    keep(unit, signed)
    row = unit.create(
        CrossBorderReferral,
        told,
        id=said.referral_id,
        direction=Direction.RECEIVED,
        peer_country=said.author,
        status=CrossBorderStatus.SUBMITTED,
        data_groups=[],
        consent_ids=[],
        heard=said.number,
        heard_hash=said.hash,
        given_back=max((link.number for link in forgotten), default=0),
        **columns,
    )
    await write_receipt(unit, row, said, own=calendar.country)
    await go_on(unit, row, calendar)


def _offered(offer: Offer | None, said: Statement, calendar: Calendar) -> dict[str, Any]:
    """Return the columns of an offer; its time to decide runs from when it was sent."""
    urgency = Urgency.NORMAL if offer is None else offer.urgency
    known = Urgency(urgency) if urgency in set(Urgency) else Urgency.NORMAL
    deadline = respond_by(said.said_at, known, zone=calendar.time_zone, holidays=calendar.holidays)
    return {
        "sex": offer.sex if offer else None,
        "age_group": offer.age_group if offer else None,
        "needs": list(offer.needs) if offer else [],
        "languages": list(offer.languages) if offer else [],
        "urgency": urgency,
        "submitted_at": said.said_at,
        "respond_by": deadline,
        "policy_version": RESPONSE_POLICY.version,
    }
