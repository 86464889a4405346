"""The background process: `python -m referral.worker`."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast

import structlog

import common.garbage  # noqa: F401  first of all: it hastens the imports
from common import worker
from common.bus import Bus, BusRefusedError, LocalBus, Record, open_bus
from common.clock import has_passed, utcnow
from common.consumer import Consumer
from common.db import OUTAGE
from common.db.base import unit_of
from common.dead_letters import Graveyard
from common.events import Event
from common.federation.keys import VerifyBy
from common.federation.mail import Mail, reader_of
from common.federation.peers import read_own_keys, read_peers
from common.process import run_forever
from common.recovery import resume
from common.runtime import Runtime
from common.telemetry import EXCHANGE_BEGUN_ANEW
from referral.commands import held
from referral.commands.crossing_news import expire_cross_border, pay_owed
from referral.commands.ending import expire_referral
from referral.consumers import HANDLERS, handlers_of
from referral.courier import Courier
from referral.domain.calendar import Calendar
from referral.letters import Letters
from referral.models import Letter
from referral.queries.cross_border import list_cross_border_overdue, list_emptied
from referral.queries.letters import list_outworn, list_payable
from referral.queries.referral import list_overdue
from referral.queries.rejoin import LONG_CLOSED
from referral.settings import Settings
from referral.turns import setting_of_hub, told_of_hub

logger = structlog.get_logger(__name__)

SWEEP_SECONDS = 60.0
_AGAIN_SECONDS = 30.0
_LATELY, _MOST_COUNTED = timedelta(minutes=15), 100
MOST_EARLY = 2_000
"""So many letters wait for earlier ones; more are not taken, and their senders send them again."""
_HELD_SECONDS = 5.0
_OUTWORN = 500
_DAY = 24 * 3600.0
_KEYS_END_SOON = timedelta(days=14)


async def run(runtime: Runtime, *, anchor_file: Path | None = None) -> None:
    jobs = {
        "expire": (SWEEP_SECONDS, expire_overdue),
        "forget_words": (SWEEP_SECONDS, forget_words),
        "take_up_held": (_HELD_SECONDS, take_up_held),
        "empty_log": (SWEEP_SECONDS, empty_log),
        "warn_of_keys": (_DAY, warn_of_keys),
        "tell_of_no_hub": (_DAY, held.tell_of_no_hub),
    }
    async with asyncio.TaskGroup() as tasks:
        own = worker.run_worker(runtime, handlers_of(runtime), jobs=jobs, anchor_file=anchor_file)
        tasks.create_task(worker.steadily(own))
        if runtime.settings.hub:
            tasks.create_task(worker.steadily(exchange(runtime)), name="referral-exchange")


async def expire_overdue(runtime: Runtime) -> None:
    """Expire every referral nobody has decided on in time."""
    here, now = runtime.settings.here, utcnow()
    overdue = await list_overdue(runtime.database, now)
    act = partial(expire_referral, here=here)
    await worker.sweep(runtime, overdue, act, operation="expire_referral")
    abroad = await list_cross_border_overdue(runtime.database, now)
    act = partial(expire_cross_border, here=here)
    await worker.sweep(runtime, abroad, act, operation="expire_cross_border_referral")


async def forget_words(runtime: Runtime) -> None:
    """Let the words go of letters that were heard long ago."""
    rows = await list_outworn(runtime.database, utcnow(), _OUTWORN)
    unit = unit_of(runtime.database, source=runtime.source, operation="forget_words")
    for letter_id in rows:
        unit.update(Letter, {"id": letter_id}, body=None)
    await runtime.database.write(unit)


async def empty_log(runtime: Runtime) -> None:
    """Take what came of persons who were erased out of the embedded log too; Kafka's goes by its age."""
    if not isinstance(runtime.bus, LocalBus):
        return
    since = runtime.settings.here.today - LONG_CLOSED
    for row in await list_emptied(runtime.database, since):
        event_id = Event.from_bytes(row.payload).id
        await runtime.bus.replace(Record(row.topic, str(row.subject), row.payload), event_id)


async def warn_of_keys(runtime: Runtime) -> None:
    """Name in the log the keys that end soon, this country's own and its peers', and those that have."""
    peers, now = read_peers(runtime.settings.peers_folder), utcnow()
    for country in sorted({runtime.settings.country, *peers.countries}):
        for use, end in sorted(peers.directory.ends(country).items()):
            if end - now < _KEYS_END_SOON:
                day = end.date().isoformat()
                logger.warning("peers.keys_end", country=country, use=use, end=day)


# --- put back from a backup


async def take_up_held(runtime: Runtime) -> None:
    """Take up what waited for a peer's answer: what it is to hear, and what came meanwhile."""
    act = partial(pay_owed, own=runtime.settings.country)
    payable = await list_payable(runtime.database)
    await worker.sweep(runtime, payable, act, operation="pay_owed_letter")
    for consumer in (postbox_of(runtime), worker.consumer_of(runtime, handlers_of(runtime))):
        await consumer.catch_up()


async def go_on_alone(runtime: Runtime) -> list[str]:
    """Wait for no peer's answer any more; return whose was missing. For an operator."""
    unit = unit_of(runtime.database, source=runtime.source, operation="go_on_alone")
    countries = await held.go_on_alone(unit)
    await runtime.database.write(unit)
    return countries


# --- the exchange with other countries


async def exchange(runtime: Runtime) -> None:
    """Send and take letters for ever. What goes wrong here never ends the country's own worker.

    Nor does what goes wrong with taking them keep this country's own from going, or the other way.
    """

    async def send(hub: Bus) -> None:
        await courier_of(runtime, hub).run()

    async def take(hub: Bus) -> None:
        postbox = postbox_of(runtime)
        await hub.check(reads=postbox.topics, writes=())
        await postbox.run(mail_of(runtime, hub, courier_of(runtime, hub)))

    begun_at: deque[datetime] = deque(maxlen=_MOST_COUNTED)
    EXCHANGE_BEGUN_ANEW.labels(runtime.name).set_function(partial(_count_lately, begun_at))
    try:
        async with asyncio.TaskGroup() as tasks:
            for name, act in (("courier", send), ("postbox", take)):
                work = _for_ever(runtime, act, begun_at)
                tasks.create_task(worker.steadily(work), name=f"referral-{name}")
    finally:
        EXCHANGE_BEGUN_ANEW.clear()  # of one that is over nothing is told


def _count_lately(times: Collection[datetime]) -> int:
    return sum(not has_passed(_LATELY, at) for at in tuple(times))


async def _for_ever(
    runtime: Runtime, act: Callable[[Bus], Awaitable[None]], begun_at: deque[datetime]
) -> None:
    while True:
        try:
            await worker.steadily(_once(runtime, act))  # the closing of the hub, too
        except BusRefusedError as refused:
            words, setting = told_of_hub(refused), setting_of_hub(refused)
            logger.error("exchange.refused", error=words, seconds=_AGAIN_SECONDS, **setting)  # noqa: TRY400
        except Exception as error:  # noqa: BLE001  the country goes on without the others
            logger.error("exchange.begins_anew", error=type(error).__name__)  # noqa: TRY400  its text may hold values
        begun_at.append(utcnow())
        await asyncio.sleep(_AGAIN_SECONDS)


async def _once(runtime: Runtime, act: Callable[[Bus], Awaitable[None]]) -> None:
    hub = open_bus(runtime.settings.hub)
    try:
        await act(hub)
    finally:
        with suppress(*OUTAGE):
            await hub.close()


async def read_on(runtime: Runtime, hub: Bus, topics: Collection[str]) -> None:
    """Begin anew where the hub lost what it held: its senders send again what was not heard."""
    for topic, _ in await resume(runtime.database, hub, topics, service=runtime.name):
        logger.warning("exchange.log_was_lost", topic=topic)


def courier_of(runtime: Runtime, hub: Bus) -> Courier:
    settings = runtime.settings
    return Courier(
        runtime.database,
        hub,
        country=settings.country,
        keys=partial(read_own_keys, settings.own_keys_file, runtime.master, runtime.name),
        peers=partial(read_peers, settings.peers_folder),
        graveyard=Graveyard(runtime.box),
    )


def mail_of(runtime: Runtime, hub: Bus, courier: Courier) -> Mail:
    """Return the hub as this country reads it: what is sealed to it, opened."""
    settings = runtime.settings
    return Mail(
        hub,
        settings.country,
        partial(read_own_keys, settings.own_keys_file, runtime.master, runtime.name),
        partial(read_peers, settings.peers_folder),
        courier.look_at,
        partial(read_on, runtime, hub),
    )


def postbox_of(
    runtime: Runtime, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> Consumer:
    """Return the consumer of letters: the same inbox, parking and dead letters as for events."""
    return Consumer(
        runtime.database,
        letters_of(runtime),
        service=reader_of(runtime.settings.country),
        box=runtime.box,
        source=runtime.source,
        most_early=MOST_EARLY,
        pause=pause,
    )


async def _alone(runtime: Runtime) -> None:
    countries = await go_on_alone(runtime)
    print(" ".join(countries) or "nobody is waited for")  # noqa: T201


def letters_of(runtime: Runtime) -> Letters:
    """Return what is done with letters; keys of this country and its peers are asked anew each time."""
    settings = cast(Settings, runtime.settings)
    calendar = Calendar(settings.country, settings.time_zone, settings.public_holidays)

    def find_signer(country: str, kid: str, at: datetime) -> VerifyBy | None:
        return read_peers(settings.peers_folder).directory.signer(country, kid, at)

    return Letters(calendar, find_signer, Graveyard(runtime.box))


if __name__ == "__main__":
    acts = {"--alone": ("wait for no peer's answer after a backup was put back, and end", _alone)}
    run_forever("referral", Settings, run, handlers=HANDLERS, begin=held.begin, acts=acts)
