"""The calendar days of the country: deadlines and events count them, not UTC days."""

from dataclasses import dataclass
from datetime import date

from common.here import Here


@dataclass(frozen=True, slots=True)
class Calendar(Here):
    """A country with its public holidays."""

    holidays: frozenset[date] = frozenset()
