"""A person's data open for the register they were sealed to, whole and for their referral only."""

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
