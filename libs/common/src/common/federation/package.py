"""A person's data on their way from one country's register to another's, inside a sealed letter.

Sealed by the one intake service to the other's own key: neither the hub nor the two referral services
that carry it can open it, and what stands in archives and logs on the way is this.
"""

import base64
import binascii
import json
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag

from common.events import canonical
from common.federation.keys import SealingKey, SealTo

SIZES = tuple(kib * 1024 for kib in (4, 16, 64))
_LENGTH = 4


class PackageError(Exception):
    """A package does not open: not ours, not for this referral, or changed. Says no more on purpose."""


class UnknownKeyError(PackageError):
    """A package names a key that is not at hand; with it, it may open."""

    def __init__(self, kid: str) -> None:
        super().__init__()
        self.kid = kid


def seal_package(
    document: dict[str, Any], *, to: SealTo, sender: str, recipient: str, referral_id: UUID
) -> str:
    """Return the sealed document; ValueError when it is longer than the largest size, 64 KiB."""
    plain = canonical(document)
    framed = len(plain).to_bytes(_LENGTH, "big") + plain
    size = next((size for size in SIZES if size >= len(framed)), None)
    if size is None:
        raise ValueError("the package is too long")
    info = _info(sender, recipient, to.kid, referral_id)
    sealed = to.encrypt(framed.ljust(size, b"\0"), info=info)
    return f"{to.kid}.{base64.b64encode(sealed).decode()}"


def open_package(
    package: str,
    *,
    keys: dict[str, SealingKey],
    sender: str,
    recipient: str,
    referral_id: UUID,
) -> dict[str, Any]:
    """Return the document; PackageError for whatever is not whole, ours and of this referral.

    UnknownKeyError where `keys` holds none of the name the package was sealed to.
    """
    kid, _, sealed = package.partition(".")
    try:
        ciphertext = base64.b64decode(sealed, validate=True)
        if kid not in keys:
            raise UnknownKeyError(kid)
        framed = keys[kid].decrypt(ciphertext, info=_info(sender, recipient, kid, referral_id))
        length = int.from_bytes(framed[:_LENGTH], "big")
        document = json.loads(framed[_LENGTH : _LENGTH + length])
    except (ValueError, binascii.Error, InvalidTag, RecursionError):
        raise PackageError from None
    if not isinstance(document, dict):
        raise PackageError
    return document


def _info(sender: str, recipient: str, kid: str, referral_id: UUID) -> bytes:
    parts = (sender, recipient, kid, str(referral_id))
    return b"prag-package-v1" + b"".join(
        len(part).to_bytes(2, "big") + part.encode() for part in parts
    )
