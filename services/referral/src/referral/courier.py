"""The courier: signs what this country says to others, seals its letters and sends them by the hub.

A letter is sealed when it is sent, so one that waited for days is fresh; the statement in it is signed
once and stays the same at each sending. An outage of the hub waits and touches nothing else. Words that
were taken back do not leave: they are looked for again once the hub has answered.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog

from common.bus import Bus, Record
from common.clock import utcnow
from common.crash import crash
from common.db.base import OUTAGE, Database, unit_of
from common.federation.custody import RECEIPT, SignedStatement, Statement
from common.federation.envelope import Letter as Sealable
from common.federation.envelope import seal
from common.federation.mail import event_of, topic_to
from common.federation.peers import OwnKeys, Peers
from common.sealing import SealError
from common.unit import StaleError, Unit
from referral.commands.letters import open_words
from referral.domain.cross_border import OF_THE_PERSON
from referral.models import Custody, Letter
from referral.queries import letters as queries

logger = structlog.get_logger(__name__)

BATCH = 50
IDLE_SECONDS = 1.0
_MOST_SECONDS = 30.0


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
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._hub = hub
        self._country = country
        self._keys = keys
        self._peers = peers
        self._pause = pause

    async def run(self) -> None:
        """Sign and send for ever; an outage of the database or of the hub is waited out."""
        seconds = IDLE_SECONDS
        while True:
            try:
                await self.sign_waiting()
                sent = await self.send_due()
            except (*OUTAGE, StaleError, TimeoutError) as error:
                logger.warning("courier.waits", error=type(error).__name__, seconds=seconds)
                await self._pause(seconds)
                seconds = min(seconds * 2, _MOST_SECONDS)
                continue
            seconds = IDLE_SECONDS
            if sent == 0:
                await self._pause(IDLE_SECONDS)

    async def sign_waiting(self) -> int:
        """Sign this country's statements; return how many.

        At once and not when they are sent: by the key the directory named when they were made, which
        another may have replaced before the hub is back.
        """
        waiting = await queries.list_unsigned(self._database, self._country, BATCH)
        directory = self._peers().directory
        unit = self._unit("sign")
        signed = 0
        for row in waiting:
            statement = Statement.model_validate_json(row.statement)
            key = self._keys().signing_now(directory, self._country, statement.said_at)
            if key is None:
                logger.error("courier.no_signing_key", subject=str(statement.referral_id))
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
                {**place, "kid": None},
                expect=1,
                kid=made.kid,
                signature=made.signature,
            )
            signed += 1
        if signed:
            await self._database.write(unit)
        return signed

    async def send_due(self) -> int:
        """Seal and publish the letters whose turn it is, and mark them as sent; return how many.

        Those to a country that was removed, or has no key just now, wait, and the others go on.
        StaleError where words were taken back meanwhile; nothing was sent then.
        """
        now, peers = utcnow(), self._peers()
        keys = {
            country: key
            for country in sorted(peers.countries)
            if (key := peers.directory.sealing_key(country, now)) is not None
        }
        own = self._keys().signing_now(peers.directory, self._country, now)
        if own is None or not keys:
            return 0
        due = await queries.list_due(self._database, [*keys], now, BATCH)
        if not due:
            return 0
        unit = self._unit("open")
        sealed: list[tuple[Any, Record]] = []
        for row in due:
            try:
                letter = await self._open(unit, row)
                value = seal(letter, by=own, to=keys[row.recipient])
            except (LookupError, ValueError, SealError) as error:
                kind = type(error).__name__
                logger.error("courier.cannot_seal", subject=str(row.referral_id), error=kind)  # noqa: TRY400
                continue
            # Under the name that the letters of this referral have between the two countries.
            name = str(event_of(letter).subject)
            sealed.append((row, Record(topic_to(row.recipient), name, value)))
        # A hub that is away is waited for here, not between the look at the rows and the sending.
        await self._hub.bounds([topic_to(self._country)])
        for row, _ in sealed:
            if row.kind in OF_THE_PERSON and row.body is not None:
                unit.require_unchanged(Letter, id=row.id, body=row.body)
        if unit.steps:  # no entry, no data
            await self._database.write(unit)
        crash("courier.before_send")
        await self._hub.publish([record for _, record in sealed])
        crash("courier.after_send")
        await self._mark([row for row, _ in sealed])
        crash("courier.after_mark")
        return len(sealed)

    async def hear_again(self, letter: Sealable) -> None:
        """Send a receipt again whose letter comes again: it seems that it was lost."""
        said = letter.said.statement
        if said.kind == RECEIPT:
            return
        with suppress(*OUTAGE, StaleError):  # then the next time it comes
            unit = self._unit("receipt_again")
            receipt = await queries.find_sent_receipt(unit, said.referral_id, said.number)
            if receipt is not None and receipt.recipient == letter.sender:
                unit.update(Letter, {"id": receipt.id}, expect=1, sent_at=None)
                await self._database.write(unit)

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
