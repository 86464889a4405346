from datetime import date

from common.settings import ServiceSettings


class Settings(ServiceSettings):
    """`public_holidays` count as no working day in deadlines: a JSON list of dates."""

    public_holidays: frozenset[date] = frozenset()
