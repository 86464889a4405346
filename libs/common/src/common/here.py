"""The country whose instance this is, and how days are counted there."""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from common.clock import utcnow


@dataclass(frozen=True, slots=True)
class Here:
    country: str
    time_zone: str

    @property
    def today(self) -> date:
        """The calendar day where the person lives; months and terms count local days."""
        return self.day_of(utcnow())

    def day_of(self, at: datetime) -> date:
        """Return the calendar day on which `at` fell here."""
        return at.astimezone(ZoneInfo(self.time_zone)).date()
