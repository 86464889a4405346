"""Names that stand for organisations: those of the sample cases, and two that are in no directory."""

from uuid import UUID

CAPITALS = {
    "AL": "tirana",
    "BA": "sarajevo",
    "BG": "sofia",
    "ME": "podgorica",
    "MK": "skopje",
    "RO": "bucuresti",
    "RS": "beograd",
    "XK": "prishtina",
}

_IN_EVERY_COUNTRY = ("lipa", "breza", "identification-centre", "ministry")
_IN_NO_DIRECTORY = ("hotline", "ombudsman")
"""Who reports or watches, and is referred nobody."""


def office(country: str) -> str:
    """Return the name of the office in whose name the first call is made."""
    return f"csr-{CAPITALS[country]}"


def sample_names(country: str) -> tuple[str, ...]:
    """Return the names of the organisations which the country's sample cases know."""
    return (office(country), *_IN_EVERY_COUNTRY)


def is_known(text: str, country: str) -> bool:
    """Tell whether it is an id or a name by which somebody is meant, and no slip of the keyboard."""
    try:
        UUID(text)
    except ValueError:
        return text.strip().lower() in {*sample_names(country), *_IN_NO_DIRECTORY}
    return True
