"""A person's data open for the register they were sealed to, whole and for their referral only."""

from contextlib import suppress

import pytest
from pydantic import TypeAdapter, ValidationError

from common.contracts.types import SealedPackage
from common.federation.keys import SealingKey
from common.federation.package import SIZES, PackageError, open_package, seal_package
from tests.conftest import fixed_id
from tests.federation.countries import REFERRAL

KEY, OTHER = SealingKey(SealingKey.generate()), SealingKey(SealingKey.generate())
KEYS = {each.public.kid: each for each in (KEY, OTHER)}
PERSON = {"given_names": "Ана", "family_name": "Marković"}


def sealed(**words: str) -> str:
    document = PERSON | words
    return seal_package(document, to=KEY.public, sender="RS", recipient="XK", referral_id=REFERRAL)


def opened(package: str, **named: object) -> object:
    place = {"keys": KEYS, "sender": "RS", "recipient": "XK", "referral_id": REFERRAL} | named
    return open_package(package, **place)  # type: ignore[arg-type]


def test_it_opens_for_the_register_it_was_sealed_to() -> None:
    assert opened(sealed()) == PERSON


@pytest.mark.parametrize(
    "named",
    [
        {"keys": {OTHER.public.kid: OTHER}},
        {"keys": {KEY.public.kid: OTHER}},
        {"sender": "BA"},
        {"recipient": "BA"},
        {"referral_id": fixed_id(5)},
    ],
)
def test_it_opens_for_nobody_and_nothing_else(named: dict[str, object]) -> None:
    # Fails when the sealing is not bound to the referral: a package could be put into another's.
    with pytest.raises(PackageError):
        opened(sealed(), **named)


def test_a_package_that_was_changed_or_is_none_does_not_open() -> None:
    package = sealed()
    kid, _, rest = package.partition(".")

    for bad in ("", kid, f"{kid}.", f"{kid}.%%%", f"{kid}.AAAA{rest[4:]}", rest, package[:-8]):
        with pytest.raises(PackageError):
            opened(bad)


def test_a_package_with_a_bit_turned_at_any_character_does_not_open() -> None:
    """T35. Seeded: seal without authenticating; read base64 that skips what is no part of it."""
    package = sealed()
    taken = []
    for place, character in enumerate(package):
        for bit in sorted({place % 7, 5}):
            with suppress(PackageError):
                opened(package[:place] + chr(ord(character) ^ (1 << bit)) + package[place + 1 :])
                taken.append((place, bit))

    assert len(package) > SIZES[0]
    assert taken == []


@pytest.mark.parametrize("size", SIZES)
def test_a_package_cut_short_does_not_open(size: int) -> None:
    package = sealed(note="x" * (size - 500))

    for cut in (1, 32, 33, len(sealed()), size, len(package) // 2, len(package) - 4):
        assert len(package) == cut or opened_not(package[:cut])


def opened_not(package: str) -> bool:
    with pytest.raises(PackageError):
        opened(package)
    return True


def test_it_shows_neither_words_nor_length_and_fits_an_event() -> None:
    short, long = sealed(), sealed(note="x" * 2000)

    assert len(short) == len(long)
    assert "Marković" not in short
    event_field = TypeAdapter(SealedPackage)
    assert event_field.validate_python(short) == short
    assert event_field.validate_python(sealed(note="x" * 60_000))
    with pytest.raises(ValidationError):
        event_field.validate_python("Ana Marković, Ulica lipa 7")


def test_what_is_too_long_is_said() -> None:
    with pytest.raises(ValueError, match="too long"):
        sealed(note="x" * SIZES[-1])
