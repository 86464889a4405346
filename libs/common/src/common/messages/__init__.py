"""The sentences the product says: one catalogue per language, and the choice of the language.

A catalogue is a JSON file: key → sentence, with members as `{member}`. Keys are the codes of errors
(`consent.missing`), `title.404` for a status, and `ui.…` for words on pages. Sentences in other
languages than English are drafts; review by native speakers is pending.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType

LANGUAGES = ("en", "sq", "sr-Latn", "sr-Cyrl", "mk", "bs", "ro", "bg")
"""The languages with a catalogue, as BCP 47 tags."""

DEFAULT = "en"

# What has no catalogue of its own is answered in its nearest relative. Serbian without a script is
# answered in Latin: it is read in every country of the region, and Cyrillic is one tag away.
# Croatian and Montenegrin share the ijekavian forms of Bosnian. `me` is no language tag, but some
# systems in Montenegro send it.
_NEAREST = {
    "sr": "sr-Latn",
    "sh": "sr-Latn",
    "sh-cyrl": "sr-Cyrl",
    "hr": "bs",
    "bs-cyrl": "sr-Cyrl",
    "cnr": "bs",
    "cnr-cyrl": "sr-Cyrl",
    "me": "bs",
    "mo": "ro",
    "als": "sq",
    "aln": "sq",
}
_KNOWN = {tag.lower(): tag for tag in LANGUAGES} | _NEAREST

# What a reader of the language understands best when a text lacks it; English is last for all.
_SUBSTITUTES = {"sr-Latn": ("sr-Cyrl", "bs"), "sr-Cyrl": ("sr-Latn",), "bs": ("sr-Latn",)}

_PLACEHOLDER = re.compile(r"\{([a-z][a-z_]*)\}")
_RANGE = re.compile(
    r"(?P<tag>\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)(?:[ \t]*;[ \t]*[qQ]=(?P<q>[01](?:\.[0-9]{0,3})?))?"
)
_MAX_HEADER = 1000
_UNKNOWN_MEMBER = "…"


def negotiate(accept_language: str | None) -> str:
    """Return the language to answer in: the best match of an Accept-Language header.

    The highest quality wins, the first of equals. A tag is shortened from the right until it is
    known (`sr-Cyrl-RS`, `sr-Cyrl`; RFC 4647 lookup). What cannot be read is passed over; English
    when nothing matches or when there is no header.
    """
    refused: set[str] = set()
    best, best_quality = DEFAULT, 0.0
    everything = 0.0
    for tag, quality in _ranges((accept_language or "")[:_MAX_HEADER]):
        if tag == "*":
            everything = max(everything, quality)
            continue
        language = nearest(tag)
        if language is None:
            continue
        if quality == 0:
            refused.add(language)
        elif quality > best_quality:
            best, best_quality = language, quality
    if everything > best_quality or best_quality == 0:
        return next((language for language in LANGUAGES if language not in refused), DEFAULT)
    return best


def nearest(tag: str) -> str | None:
    """Return the language with a catalogue that is nearest to a BCP 47 tag; None if none is near."""
    parts = tag.lower().replace("_", "-").split("-")
    while parts:
        known = _KNOWN.get("-".join(parts))
        if known is not None:
            return known
        parts.pop()
    return None


@lru_cache(maxsize=256)
def fallbacks(language: str) -> tuple[str, ...]:
    """Return the languages in which to look for a text, best first; the last is English."""
    first = nearest(language) or DEFAULT
    return tuple(dict.fromkeys((language, first, *_SUBSTITUTES.get(first, ()), DEFAULT)))


def text(code: str, language: str, /, **members: object) -> str:
    """Return the sentence for `code`, its members filled in; a member not given shows as `…`.

    Members are codes and numbers from closed sets, never what a caller has sent. A list is joined
    with commas. KeyError for a code without a sentence.
    """
    sentence = catalogue(nearest(language) or DEFAULT).get(code)
    if sentence is None:
        sentence = catalogue(DEFAULT)[code]
    return _PLACEHOLDER.sub(lambda match: _render(members.get(match[1])), sentence)


def has(code: str) -> bool:
    """Tell whether there is a sentence for `code`."""
    return code in catalogue(DEFAULT)


@lru_cache(maxsize=len(LANGUAGES))
def catalogue(language: str) -> Mapping[str, str]:
    """Return the sentences of one of LANGUAGES as they stand in its file; read once."""
    source = files(__package__).joinpath(f"{language}.json")
    sentences: dict[str, str] = json.loads(source.read_text(encoding="utf-8"))
    return MappingProxyType(sentences)


def placeholders(sentence: str) -> frozenset[str]:
    """Return the names of the members a sentence takes."""
    return frozenset(_PLACEHOLDER.findall(sentence))


def missing_keys() -> dict[str, frozenset[str]]:
    """Return, for each language that lacks any, the keys other languages have; empty when whole."""
    every = frozenset().union(*(catalogue(language) for language in LANGUAGES))
    missing = {language: every - frozenset(catalogue(language)) for language in LANGUAGES}
    return {language: keys for language, keys in missing.items() if keys}


def _ranges(header: str) -> Iterator[tuple[str, float]]:
    for part in header.split(","):
        match = _RANGE.fullmatch(part.strip(" \t"))
        if match is not None:
            yield match["tag"], min(float(match["q"] or 1), 1.0)


def _render(member: object) -> str:
    if isinstance(member, list | tuple):
        return ", ".join(str(each) for each in member) or "–"
    return _UNKNOWN_MEMBER if member is None else str(member)
