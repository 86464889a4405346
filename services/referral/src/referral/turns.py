"""Each peer's turn at the hub: whom it serves, and how long the letters to the others rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from common.bus import Bus, BusError, BusRefusedError, Record
from common.clock import has_passed, utcnow
from common.federation.mail import topic_to

logger = structlog.get_logger(__name__)

_FIRST_REST = 1.0
_LONGEST_REST = 300.0


@dataclass(frozen=True, slots=True)
class _Rest:
    since: datetime
    seconds: float


class Turns:
    """The hub of one country, as it takes letters to each of its peers."""

    def __init__(self, hub: Bus, country: str) -> None:
        self._hub = hub
        self._country = country
        self._served: set[str] = set()
        """Peers whose letters the hub took when it was last asked to."""
        self._rests: dict[str, _Rest] = {}

    def rests(self, country: str) -> bool:
        """Tell whether letters to a peer are not to be tried now."""
        rest = self._rests.get(country)
        return rest is not None and not has_passed(timedelta(seconds=rest.seconds), rest.since)

    def was_refused(self, country: str) -> bool:
        """Tell whether the hub took none when letters to a peer were last tried."""
        return country in self._rests

    async def let_rest(self, country: str, error: BusError) -> None:
        """Try the letters to a peer again later, and say what kept them; BusError if the hub is away."""
        await self._require_hub()
        rest = self._rests.get(country)
        seconds = min(rest.seconds * 2, _LONGEST_REST) if rest else _FIRST_REST
        self._rests[country] = _Rest(utcnow(), seconds)
        self._served.discard(country)
        is_refused = isinstance(error, BusRefusedError)
        words = told_of_hub(error) if is_refused else type(error).__name__
        logger.error(
            "courier.letters_rest",
            topic=topic_to(country),
            seconds=seconds,
            error=words,
            **setting_of_hub(error),
        )

    async def require_served(self, country: str) -> None:
        """Return if the hub would take letters to a peer; BusRefusedError says what it lacks.

        Found out before a letter is opened for it, and not between the last look at the rows and
        the sending.
        """
        await self._require_hub()
        if country not in self._served:
            await self._hub.check(reads=(), writes=[topic_to(country)])

    async def publish(self, country: str, records: Sequence[Record]) -> None:
        await self._hub.publish(records)
        self._served.add(country)
        self._rests.pop(country, None)

    async def _require_hub(self) -> None:
        """Return if the hub lets us in, whatever it does not let us do; else BusError.

        That is a BusRefusedError where a setting keeps us out.
        """
        try:
            await self._hub.logs([topic_to(self._country)])
        except BusError as error:
            # A login that will never do looks like an outage to who asks for a topic.
            await self._hub.check(reads=(), writes=())
            if not isinstance(error, BusRefusedError):
                raise


def setting_of_hub(error: BaseException) -> dict[str, str]:
    """Return what a line of the log says of the setting that keeps us from the hub, if one does."""
    if not isinstance(error, BusRefusedError):
        return {}
    return {"setting": error.setting.replace("PRAG_KAFKA_", "PRAG_HUB_")}


def told_of_hub(refused: BusError) -> str:
    """Return what the hub refused, by the settings as they are called for the hub."""
    return str(refused).replace("PRAG_KAFKA_", "PRAG_HUB_")
