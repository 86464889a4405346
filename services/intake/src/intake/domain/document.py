"""Check digits of the national numbers of the region, by the code list id_formats.

A wrong one is told and never refused: people arrive with mistyped or forged documents. Nothing else
is read out of a number: no region, no sex, no birth date.
"""

import re
from collections.abc import Callable, Mapping

_JMBG = (7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
_XK = (4, 3, 2, 7, 6, 5, 4, 3, 2)
_CNP = (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)
_EGN = (2, 4, 8, 5, 10, 9, 7, 3, 6)
_NID = (1, 1, 2, 3, 4, 5, 6, 7, 8)
_NID_ALPHABET = "WABCDEFGHIJKLMNOPQRSTUV"  # pragma: allowlist secret


def is_likely(number: str, country: str) -> bool:
    """Tell whether a national number of a country (alpha-2, XK) has its form and check digit.

    True for a country whose numbers are not known here, and for what that country does not check.
    """
    check = _CHECKS.get(country)
    return check is None or check(number)


def _is_jmbg(number: str) -> bool:
    rest = _sum(number, _JMBG, r"[0-9]{13}")
    return rest is not None and int(number[-1]) == (11 - rest % 11) % 11 % 10


def _is_kosovo(number: str) -> bool:
    rest = _sum(number, _XK, r"[0-9]{10}")
    if rest is None:
        return False
    return number[0] == "9" or int(number[-1]) == (11 - rest % 11) % 11 % 10


def _is_cnp(number: str) -> bool:
    rest = _sum(number, _CNP, r"[1-9][0-9]{12}")
    return rest is not None and number[-1] == "01234567891"[rest % 11]  # 10 becomes 1


def _is_egn(number: str) -> bool:
    rest = _sum(number, _EGN, r"[0-9]{10}")
    return rest is not None and int(number[-1]) == rest % 11 % 10


def _is_nid(number: str) -> bool:
    if not re.fullmatch(r"[0-9A-T][0-9]{8}[A-W]", number):
        return False
    values = [_NID_ALPHABET.index(c) if c.isalpha() else int(c) for c in number[:-1]]
    total = sum(weight * value for weight, value in zip(_NID, values, strict=True))
    return _NID_ALPHABET[total % 23] == number[-1]


def _sum(number: str, weights: tuple[int, ...], form: str) -> int | None:
    """Return the weighted sum of all digits but the last; None for another form."""
    if not re.fullmatch(form, number):
        return None
    return sum(weight * int(digit) for weight, digit in zip(weights, number, strict=False))


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "RS": _is_jmbg,
    "BA": _is_jmbg,
    "ME": _is_jmbg,
    "MK": _is_jmbg,
    "AL": _is_nid,
    "XK": _is_kosovo,
    "RO": _is_cnp,
    "BG": _is_egn,
}
