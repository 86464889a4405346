"""The key pairs of a country: one to be sealed to, one to sign with; and their public halves."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

Suite = Literal["HPKE-MLKEM768-X25519-HKDF-SHA256-AES256GCM"]
SUITE: Suite = "HPKE-MLKEM768-X25519-HKDF-SHA256-AES256GCM"
"""RFC 9180 with a hybrid of ML-KEM-768 and X25519: who records today and has a quantum computer later
reads nothing, and who breaks ML-KEM reads nothing either. Named in every envelope."""

_HPKE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_MLKEM_PRIVATE, _MLKEM_PUBLIC, _X25519 = 64, 1184, 32


@dataclass(frozen=True, slots=True)
class SealTo:
    """The public half of a country's sealing key."""

    raw: bytes

    @property
    def kid(self) -> str:
        return kid_of(self.raw)

    def encrypt(self, plaintext: bytes, *, info: bytes) -> bytes:
        """Seal to whoever holds the private half; ValueError for bytes that are no key."""
        if len(self.raw) != _MLKEM_PUBLIC + _X25519:
            raise ValueError("no sealing key")
        key = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(self.raw[:_MLKEM_PUBLIC]),
            X25519PublicKey.from_public_bytes(self.raw[_MLKEM_PUBLIC:]),
        )
        return _HPKE.encrypt(plaintext, key, info=info)


class SealingKey:
    """The private half; its bytes are stored sealed under the master key and nowhere else."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) != _MLKEM_PRIVATE + _X25519:
            raise ValueError("no sealing key")
        self.raw = raw
        mlkem = MLKEM768PrivateKey.from_seed_bytes(raw[:_MLKEM_PRIVATE])
        x25519 = X25519PrivateKey.from_private_bytes(raw[_MLKEM_PRIVATE:])
        self._key = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = SealTo(
            mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        )

    @staticmethod
    def generate() -> bytes:
        """Return the bytes of a new private half."""
        mlkem, x25519 = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
        return mlkem.private_bytes_raw() + x25519.private_bytes_raw()

    def decrypt(self, sealed: bytes, *, info: bytes) -> bytes:
        """Open what was sealed to the public half with the same `info`; InvalidTag for all else."""
        return _HPKE.decrypt(sealed, self._key, info=info)


@dataclass(frozen=True, slots=True)
class VerifyBy:
    """The public half of a signing key (Ed25519)."""

    raw: bytes

    @property
    def kid(self) -> str:
        return kid_of(self.raw)

    def holds(self, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """The private half of a signing key."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._key = Ed25519PrivateKey.from_private_bytes(raw)
        self.public = VerifyBy(self._key.public_key().public_bytes_raw())

    @staticmethod
    def generate() -> bytes:
        return Ed25519PrivateKey.generate().private_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def kid_of(public: bytes) -> str:
    """Return the id of a public key: the first 128 bits of its SHA-256, in hex."""
    return hashlib.sha256(public).hexdigest()[:32]


def from_base64(text: str) -> bytes:
    """Return the bytes; ValueError for any text but the one that `b64encode` makes of them.

    The last character may have bits that mean nothing: with one of them turned, what was signed and
    sealed would be the same in another form.
    """
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not canonical")
    return raw
