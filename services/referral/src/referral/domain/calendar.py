"""The calendar days of the country: deadlines and events count them, not UTC days."""

from dataclasses import dataclass
from datetime import date

from common.clock import local_date


@dataclass(frozen=True, slots=True)
class Calendar:
    """A time zone and the public holidays of the country."""

    zone: str
    holidays: frozenset[date] = frozenset()

    @property
    def today(self) -> date:
        return local_date(self.zone)
