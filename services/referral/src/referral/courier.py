"""The courier: signs what this country says to others, seals its letters and sends them by the hub.

A letter is sealed when it is sent, so one that waited for days is fresh; the statement in it is signed
once and stays the same at each sending. An outage of the hub waits and touches nothing else. Each peer
has its turn, and one whose topic the hub refuses keeps none of the others waiting; nor does a word that
cannot be sealed. Words that were taken back do not leave: they are looked for again once the hub has
answered.

At its start, and then daily, each peer is told how far this country is with it: see commands.roll.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from common.bus import Bus, BusError, Delivery, Record
from common.clock import has_passed, utcnow
from common.crash import crash
from common.db.base import OUTAGE, Database, unit_of
from common.dead_letters import Graveyard
from common.federation.custody import (
    GENESIS,
    OUTSIDE,
    RECEIPT,
    SignedStatement,
    Statement,
    digest_of,
    new_salt,
)
from common.federation.envelope import Letter as Sealable
from common.federation.envelope import seal
from common.federation.keys import SealTo, SigningKey
from common.federation.mail import AGAIN, FORK, event_of, line_of, topic_to
from common.federation.peers import OwnKeys, Peers
from common.unit import StaleError, Unit
from referral.commands.dating import date_anew, is_ahead
from referral.commands.letters import open_words
from referral.commands.roll import write_roll
from referral.domain.cross_border import OF_THE_PERSON
from referral.models import Custody, Letter, Slip
from referral.queries import letters as queries
from referral.queries import rejoin
from referral.turns import Turns, setting_of_hub

logger = structlog.get_logger(__name__)

BATCH = 50
IDLE_SECONDS = 1.0
_MOST_SECONDS = 30.0
CALL_EVERY = timedelta(hours=24)
_ASIDE = timedelta(minutes=5)
"""So long a letter rests that could not be sealed; each time it is opened has its audit entry."""
_SLIPS = UUID(int=0)


class Courier:
    """Carries the letters of one country. Two at a time do no harm: a letter may come twice."""

    def __init__(
        self,
        database: Database,
        hub: Bus,
        *,
        country: str,
        keys: Callable[[], OwnKeys],
        peers: Callable[[], Peers],
        graveyard: Graveyard,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._country = country
        self._keys = keys
        self._peers = peers
        self._graveyard = graveyard
        self._pause = pause
        self._called_at: datetime | None = None
        self._turns = Turns(hub, country)
        self._aside: dict[UUID, datetime] = {}
        """Since when a letter rests that could not be sealed."""
        self._unsigned: set[UUID] = set()
        """Referrals named in the log, of which something was said that no key signs."""
        self._signed_upto: queries.Place | None = None
        """Behind which place the next look at what waits to be signed begins."""

    async def run(self) -> None:
        """Sign and send for ever; an outage of the database or of the hub is waited out."""
        seconds, was_cut = IDLE_SECONDS, False
        while True:
            try:
                await self.write_rolls()
                await self.sign_waiting()
                sent = await self.send_slips() + await self.send_due()
            except (*OUTAGE, StaleError, TimeoutError) as error:
                logger.warning(
                    "courier.waits",
                    error=type(error).__name__,
                    seconds=seconds,
                    **setting_of_hub(error),
                )
                await self._pause(seconds)
                seconds, was_cut = min(seconds * 2, _MOST_SECONDS), True
                continue
            if was_cut:  # the other side of what was cut may be another than before
                self._called_at = None
            seconds, was_cut = IDLE_SECONDS, False
            if sent == 0:
                await self._pause(IDLE_SECONDS)

    async def sign_waiting(self) -> int:
        """Sign this country's statements; return how many, with those dated anew, signed at the next look.

        At once and not when they are sent: by the key the directory named when they were made, which
        another may have replaced before the hub is back. What was said while there was none waits for
        the next one; what lies ahead, where none may ever be, is dated anew. At most BATCH are looked at.
        """
        waiting = await queries.list_unsigned(
            self._database, self._country, BATCH, after=self._signed_upto
        )
        # What cannot be signed now has its turn again, and keeps nobody waiting who is behind it.
        is_whole = len(waiting) < BATCH
        self._signed_upto = None if is_whole else queries.place_of(waiting[-1])
        directory = self._peers().directory
        unit = self._unit("sign")
        signed, ahead = 0, set()
        for row in waiting:
            statement = Statement.model_validate_json(row.statement)
            key = self._keys().signing_of(directory, self._country, statement.said_at)
            if key is None:
                if is_ahead(statement.said_at):
                    ahead.add(row.referral_id)
                self._name_unsigned(statement.referral_id)
                continue
            made = SignedStatement.of(statement, key)
            place = {
                "referral_id": row.referral_id,
                "author": row.author,
                "number": row.number,
                "receipt_of": row.receipt_of,
            }
            unit.update(
                Custody,
                {**place, "hash": row.hash, "kid": None},
                expect=1,
                kid=made.kid,
                signature=made.signature,
            )
            signed += 1
        if signed:
            await self._database.write(unit)
        return signed + sum([await self._date_anew(referral_id) for referral_id in ahead])

    async def _date_anew(self, referral_id: UUID) -> int:
        def is_signable(at: datetime) -> bool:
            keys, directory = self._keys(), self._peers().directory
            return keys.signing_of(directory, self._country, at) is not None

        unit = self._unit("date_anew")
        count = await date_anew(unit, referral_id, self._country, is_signable=is_signable)
        try:
            await self._database.write(unit)
        except StaleError:  # more was said meanwhile: the next time
            return 0
        return count

    def _name_unsigned(self, referral_id: UUID) -> None:
        if referral_id not in self._unsigned:  # once, and not each second
            self._unsigned.add(referral_id)
            logger.error("courier.no_signing_key", subject=str(referral_id))

    async def write_rolls(self) -> int:
        """Write a roll to each peer whose turn it is; return to how many."""
        unit = self._unit("roll")
        is_due = self._called_at is None or has_passed(CALL_EVERY, self._called_at)
        waiting = {each.country: each for each in await rejoin.list_peers_to_hear(unit)}
        peers = [
            country
            for country in sorted(self._peers().countries)
            if is_due or (country in waiting and not waiting[country].is_written)
        ]
        for country in peers:
            await write_roll(unit, country)
        if peers:
            await self._database.write(unit)
        if is_due:
            self._called_at = utcnow()
        return len(peers)

    async def send_slips(self) -> int:
        """Sign, seal and publish the words outside the chains, in their order; return how many."""
        return await self._to_each(self._send_slips_to)

    async def send_due(self) -> int:
        """Seal and publish the letters whose turn it is, and mark them as sent; return how many.

        At most BATCH to a peer. Those to a country that was removed, has no key just now, or is not
        served by the hub, wait, and the others go on. BusError where the hub does not answer.
        StaleError where words were taken back meanwhile; none was sent to that peer then.
        """
        return await self._to_each(self._send_due_to)

    async def _to_each(self, send: Callable[[str, SigningKey, SealTo], Awaitable[int]]) -> int:
        sent = 0
        own, keys = self._keys_now(utcnow())
        if own is None:
            return 0
        for country, key in keys.items():
            if self._turns.rests(country):
                continue
            try:
                sent += await send(country, own, key)
            except BusError as error:
                await self._turns.let_rest(country, error)
        return sent

    async def _send_slips_to(self, country: str, own: SigningKey, key: SealTo) -> int:
        rows = await rejoin.list_slips(self._database, country, BATCH)
        if not rows:
            return 0
        await self._turns.require_served(country)
        records, unit = [], self._unit("send_slips")
        for row in rows:
            unit.remove(Slip, id=row.id)
            try:
                value = self._sealed_slip(row, own, key)
            except Exception as error:  # noqa: BLE001  whatever is wrong with one, the others go on
                await self._bury(unit, row, error)
                continue
            # Under one name for all of them: the parts of a roll and of its answer come in order.
            name = str(line_of(self._country, _SLIPS))
            records.append(Record(topic_to(country), name, value))
        if records:
            await self._turns.publish(country, records)
        await self._database.write(unit)
        return len(records)

    def _sealed_slip(self, row: Any, own: SigningKey, key: SealTo) -> bytes:  # noqa: ANN401  a row
        salt = new_salt()
        said = Statement(
            referral_id=row.id,
            author=self._country,
            peer=row.peer,
            number=0,
            kind=row.kind,
            digest=digest_of(row.body, salt),
            previous=GENESIS,
        )
        letter = Sealable.of(SignedStatement.of(said, own), row.body, salt)
        return seal(letter, by=own, to=key)

    async def _bury(self, unit: Unit, row: Any, error: Exception) -> None:  # noqa: ANN401  a row
        """Keep a slip that cannot be sealed with the dead letters.

        A roll is written anew each day, and an answer that is not whole is asked for again.
        """
        kind, place = type(error).__name__, topic_to(row.peer)
        logger.error("courier.slip_buried", country=row.peer, subject=str(row.id), error=kind)
        words = Delivery(place, -1, -1, json.dumps(row.body).encode())
        await self._graveyard.bury(unit, words, "slip.cannot_seal")

    async def _send_due_to(self, country: str, own: SigningKey, key: SealTo) -> int:
        # To one that was refused a single letter is tried: each that is opened has its audit entry.
        most = 1 if self._turns.was_refused(country) else BATCH
        now = utcnow()
        self._aside = {id_: at for id_, at in self._aside.items() if not has_passed(_ASIDE, at)}
        rows = await queries.list_due(self._database, country, now, most + len(self._aside))
        due = [row for row in rows if row.id not in self._aside][:most]
        if not due:
            return 0
        await self._turns.require_served(country)
        unit = self._unit("open")
        sealed: list[tuple[Any, Record]] = []
        for row in due:
            try:
                letter = await self._open(unit, row)
                value = seal(letter, by=own, to=key)
            except OUTAGE:
                raise
            except Exception as error:  # noqa: BLE001  whatever is wrong with one, the others go on
                kind, of = type(error).__name__, str(row.referral_id)
                logger.error("courier.cannot_seal", country=country, subject=of, error=kind)  # noqa: TRY400
                self._aside[row.id] = now
                continue
            # Under the name that the letters of this referral have between the two countries.
            name = str(event_of(letter).subject)
            sealed.append((row, Record(topic_to(country), name, value)))
        for row, _ in sealed:
            if row.kind in OF_THE_PERSON and row.body is not None:
                unit.require_unchanged(Letter, id=row.id, body=row.body)
        if unit.steps:  # no entry, no data
            await self._database.write(unit)
        crash("courier.before_send")
        await self._turns.publish(country, [record for _, record in sealed])
        crash("courier.after_send")
        await self._mark([row for row, _ in sealed])
        crash("courier.after_mark")
        return len(sealed)

    def _keys_now(self, now: datetime) -> tuple[SigningKey | None, dict[str, SealTo]]:
        """Return the key to sign with, if there is one, and those of the peers to seal to."""
        peers = self._peers()
        keys = {
            country: key
            for country in sorted(peers.countries)
            if (key := peers.directory.sealing_key(country, now)) is not None
        }
        return self._keys().signing_now(peers.directory, self._country, now), keys

    async def look_at(self, letter: Sealable) -> str | None:
        """Tell whether a letter is none of those that follow what was taken: AGAIN or FORK.

        A receipt is sent again whose letter comes again: it seems that it was lost.
        """
        said = letter.said.statement
        if said.kind in OUTSIDE:
            return None
        unit = self._unit("receipt_again")
        known = await queries.find_statement(
            unit, said.referral_id, author=said.author, number=said.number
        )
        if known is None:
            line = line_of(letter.sender, said.referral_id)
            waits = letter.body is None and await rejoin.is_waiting(
                unit, topic_to(self._country), line, said.number
            )
            return AGAIN if waits else None  # with its words, until it can be taken
        if known.hash != said.hash:
            return FORK
        receipt = await queries.find_sent_receipt(unit, said.referral_id, said.number)
        if receipt is not None and receipt.recipient == letter.sender:
            unit.update(Letter, {"id": receipt.id}, expect=1, sent_at=None)
            with suppress(*OUTAGE, StaleError):  # then the next time it comes
                await self._database.write(unit)
        return AGAIN if letter.body is None else None

    async def _open(self, unit: Unit, row: Any) -> Sealable:  # noqa: ANN401  a joined row
        said = queries.signed_of(row)
        if row.kind == RECEIPT:
            return Sealable.of(said, {})
        if row.body is None and row.kind in OF_THE_PERSON:
            return Sealable.of(said, None)
        box = await unit.box(row.referral_id)
        if box is None:
            raise LookupError("the key of a referral is made with it")
        unit.audit(
            "send",
            Letter.__tablename__,
            [str(row.id)],
            about=row.case_id or row.referral_id,
            purpose=row.purpose,
        )
        words, salt = open_words(box, row)
        return Sealable.of(said, words, salt)

    async def _mark(self, sent: Sequence[Any]) -> None:
        unit, now = self._unit("mark_sent"), utcnow()
        for row in sent:
            times = row.times_sent + 1
            unit.update(Letter, {"id": row.id}, expect=1, sent_at=now, times_sent=times)
        await self._database.write(unit)

    def _unit(self, operation: str) -> Unit:
        source = f"/{self._country}/referral"
        return unit_of(self._database, source=source, operation=operation)
