"""The country whose register this is, and how days are counted there."""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from common.clock import local_date


@dataclass(frozen=True, slots=True)
class Here:
    country: str
    time_zone: str

    @property
    def today(self) -> date:
        return local_date(self.time_zone)

    def day_of(self, at: datetime) -> date:
        """Return the calendar day on which `at` fell here."""
        return at.astimezone(ZoneInfo(self.time_zone)).date()
