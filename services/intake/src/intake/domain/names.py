"""The script a name is written in. A name is kept as written, with its script beside it."""

import unicodedata
from collections import Counter
from enum import StrEnum


class Script(StrEnum):
    """ISO 15924 codes; ZYYY for a name without a letter of the scripts we tell apart."""

    LATN = "Latn"
    CYRL = "Cyrl"
    GREK = "Grek"
    ARAB = "Arab"
    ZYYY = "Zyyy"


_BY_UNICODE_NAME = {
    "LATIN": Script.LATN,
    "CYRILLIC": Script.CYRL,
    "GREEK": Script.GREK,
    "ARABIC": Script.ARAB,
}


def script_of(text: str) -> Script:
    """Return the script most letters of `text` are in; the first one met wins a tie."""
    counts: Counter[Script] = Counter()
    for character in text:
        word = unicodedata.name(character, "").partition(" ")[0]
        script = _BY_UNICODE_NAME.get(word)
        if script is not None:
            counts[script] += 1
    return counts.most_common(1)[0][0] if counts else Script.ZYYY
