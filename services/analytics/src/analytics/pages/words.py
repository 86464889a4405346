"""Sentences, numbers and dates as the reader's language writes them, safe to stand in HTML."""

from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time
from babel.numbers import format_decimal, format_percent

from common import messages

# English dates and numbers in the region follow British habits: the day stands before the month.
_LOCALES: Final = {"en": "en_GB"}


def say(code: str, language: str, **members: object) -> str:
    """Return a sentence of the message catalogues."""
    return escape(messages.text(code, language, **members))


def number(value: int, language: str) -> str:
    return escape(format_decimal(value, locale=_locale(language)))


def percent(value: Decimal | None, language: str) -> str:
    """Return a share with one decimal; a dash for the share of nobody."""
    if value is None:
        return "–"
    locale = Locale.parse(_locale(language))
    pattern = locale.percent_formats[None].pattern.replace("0", "0.0", 1)
    return escape(format_percent(value / 100, format=pattern, locale=locale))


def time_of(instant: datetime, language: str, zone: str) -> str:
    """Return day, month by name, year and minute of an instant in a time zone."""
    local, locale = instant.astimezone(ZoneInfo(zone)), _locale(language)
    day = format_date(local, "long", locale=locale)
    return escape(f"{day} {format_time(local, 'HH:mm', locale=locale)}")


def _locale(language: str) -> str:
    return _LOCALES.get(language, language.replace("-", "_"))
