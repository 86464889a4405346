"""Made-up persons whose every trait is found again in any spelling and encoding (T31).

A canary is a text that stands nowhere else in the world of a test. It is sent where a person would
be; a scanner then looks for it, and for what could be made of it, where no person may be.
"""

import base64
import hashlib
import html
import json
import random
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import quote

SHORTEST = 8
"""Bytes of a trace that could not stand there by chance."""

_NOTHING = re.compile(rb"\0{64,}")
"""Room that nobody has written to, of which the files of servers have much."""

LATIN = "abcdefghijkmnopqrstuvwxyz"  # pragma: allowlist secret
ALPHABETS: Mapping[str, str] = {
    "Latin": "abcdefghijklmnoprstuvzčćđšž",
    "Cyrillic": "абвгдђежзијклљмнњопрстћуфхцчџш",
    "Macedonian": "абвгдѓежзѕијклљмнњопрстќуфхцчџш",
    "Albanian": "abcçdeëfghijklmnopqrstuvxyz",
    "Bulgarian": "абвгдежзийклмнопрстуфхцчшщъьюя",
    "Romanian": "aăâbcdefghiîjlmnoprsștțuvz",
}

_SERBIAN = dict(
    zip(
        "абвгдђежзијклљмнњопрстћуфхцчџш",
        [
            "a",
            "b",
            "v",
            "g",
            "d",
            "đ",
            "e",
            "ž",
            "z",
            "i",
            "j",
            "k",
            "l",
            "lj",
            "m",
            "n",
            "nj",
            "o",
            "p",
            "r",
            "s",
            "t",
            "ć",
            "u",
            "f",
            "h",
            "c",
            "č",
            "dž",
            "š",
        ],
        strict=True,
    )
)
_LATIN = _SERBIAN | dict(
    zip("ѓќѕйщъьюя", ["gj", "kj", "dz", "y", "sht", "a", "y", "yu", "ya"], strict=True)
)
_CYRILLIC = {latin: cyrillic for cyrillic, latin in _SERBIAN.items()}
_PLAIN = str.maketrans({"đ": "dj", "Đ": "Dj", "ë": "e", "ç": "c"})


@dataclass(frozen=True, slots=True)
class Person:
    """Traits of nobody, one of each kind."""

    name: str
    surname: str
    address: str
    phone: str
    document: str
    email: str
    place_code: str
    birth_date: str

    @property
    def story(self) -> str:
        """Return what a worker would write, with every trait in it."""
        return (
            f"{self.name} {self.surname}, {self.birth_date}, {self.document}\n"
            f"{self.address} ({self.place_code}); {self.phone}, {self.email}"
        )

    @property
    def traits(self) -> tuple[str, ...]:
        return (
            self.name,
            self.surname,
            self.address,
            self.phone,
            self.document,
            self.email,
            self.place_code,
            self.birth_date,
        )


def persons(seed: int) -> Iterator[Person]:
    """Yield persons without end, each of one alphabet, never two with a trait in common."""
    chance = random.Random(seed)  # noqa: S311  the same persons in every run
    day = date(1931, 3, 19)
    while True:
        for letters in ALPHABETS.values():
            digits = "".join(chance.choices("0123456789", k=9))
            word = "".join(chance.choices(LATIN, k=12))
            day += timedelta(days=37)
            yield Person(
                name=_word(chance, letters),
                surname=_word(chance, letters),
                address=f"{_word(chance, letters)} {chance.randrange(100, 999)}",
                phone=f"+3816{digits}",
                document=f"P{digits[::-1]}X",
                email=f"{word}@example.org",
                place_code=f"{word[::-1]}.{digits[:4]}",
                birth_date=day.isoformat(),
            )


def _word(chance: random.Random, letters: str) -> str:
    return "".join(chance.choices(letters, k=11)).capitalize()


# --- what a canary may turn into


def spellings(text: str) -> set[str]:
    """Return a text in other cases, scripts, normal forms and orders, and a date in other forms."""
    found = {text, text.upper(), text.lower(), text.title(), text[::-1]}
    found |= {_transliterated(text), _transliterated(text).upper(), _in_cyrillic(text)}
    found |= {_without_marks(each) for each in set(found)}
    found |= {unicodedata.normalize("NFD", each) for each in set(found)}
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return found
    return found | {day.strftime(form) for form in ("%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")}


def _transliterated(text: str) -> str:
    return "".join(_cased(letter, _LATIN.get(letter.lower(), letter)) for letter in text)


def _in_cyrillic(text: str) -> str:
    for two in ("lj", "nj", "dž"):
        text = text.replace(two, _CYRILLIC[two]).replace(two.title(), _CYRILLIC[two].upper())
    return "".join(_cased(letter, _CYRILLIC.get(letter.lower(), letter)) for letter in text)


def _cased(letter: str, other: str) -> str:
    return other.capitalize() if letter.isupper() else other


def _without_marks(text: str) -> str:
    apart = unicodedata.normalize("NFD", text.translate(_PLAIN))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def traces(text: str) -> set[bytes]:
    """Return every run of bytes that gives the text away."""
    found = {digest(text.encode()) for digest in (_sha256, _sha1, _md5)}
    found |= {digest.hex().encode() for digest in set(found)}
    for spelling in spellings(text):
        found |= set(_encoded(spelling))
    return {trace for trace in found if len(trace) >= SHORTEST}


def _encoded(text: str) -> Iterator[bytes]:
    raw = text.encode()
    yield raw
    yield text.encode("utf-16-le")
    yield text.encode("utf-16-be")
    for word in (raw, text.encode("utf-16-le")):
        yield word.hex().encode()
        yield word.hex().upper().encode()
        yield from _base64(word)
    yield quote(text, safe="").encode()
    yield quote(text, safe="@/:").encode()
    yield quote(text, safe="").lower().encode()
    escaped = json.dumps(text)[1:-1]
    yield escaped.encode()
    yield json.dumps(escaped)[1:-1].encode()  # a JSON text inside another
    yield escaped.upper().replace("\\U", "\\u").encode()
    yield text.encode("ascii", "xmlcharrefreplace")
    yield html.escape(text).encode()
    yield text.encode("unicode_escape")
    for page in ("cp1250", "cp1251", "iso8859-2", "iso8859-16"):
        try:
            yield text.encode(page)
        except UnicodeEncodeError:
            continue


def _base64(raw: bytes) -> Iterator[bytes]:
    """Yield what stays the same of a text's base64 wherever in a longer text it begins."""
    for before in range(3):
        coded = base64.b64encode(bytes(before) + raw)
        first = (before * 8 + 5) // 6
        last = (before + len(raw)) * 8 // 6
        yield coded[first:last]
        yield coded[first:last].replace(b"+", b"-").replace(b"/", b"_")


def _sha256(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def _sha1(raw: bytes) -> bytes:
    return hashlib.sha1(raw, usedforsecurity=False).digest()


def _md5(raw: bytes) -> bytes:
    return hashlib.md5(raw, usedforsecurity=False).digest()


# --- looking for it


class Scanner:
    """Looks for canaries in bytes of any kind."""

    def __init__(self, canaries: Iterable[str]) -> None:
        self._traces: dict[bytes, dict[bytes, str]] = {}
        for canary in canaries:
            for trace in traces(canary):
                self._traces.setdefault(trace[:SHORTEST], {})[trace] = canary

    def found_in(self, content: bytes) -> set[str]:
        """Return the canaries of which there is a trace."""
        starts = self._traces
        return {
            canary
            for part in _NOTHING.split(content)
            for at in range(len(part) - SHORTEST + 1)
            if (possible := starts.get(part[at : at + SHORTEST]))
            for trace, canary in possible.items()
            if part.startswith(trace, at)
        }
