"""Sealing fields: AES-256-GCM under one key per subject, wrapped by the master key.

A box is bound to its table, row and column: moved elsewhere it does not open. Opening is an
explicit call; whoever calls it writes an audit entry (Unit.disclose).
"""

import hashlib
import os
from collections import OrderedDict
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from common.clock import monotonic
from common.columns import Sealed

_NONCE = 12
_CACHE_SECONDS = 60
_CACHE_SIZE = 4096


class SealError(Exception):
    """A box does not open: wrong key, wrong place, or changed. Says nothing more on purpose."""


class MasterKey:
    """The key that wraps all others. Keys for other uses are derived from it by label."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != 32:  # noqa: PLR2004
            raise ValueError("the master key must have 32 bytes")
        self._secret = secret

    @classmethod
    def from_file(cls, path: Path) -> "MasterKey":
        if path.stat().st_mode & 0o077:
            raise PermissionError(f"{path} must be readable by its owner only (chmod 600)")
        return cls(path.read_bytes())

    def derive(self, label: str) -> bytes:
        return HKDFExpand(hashes.SHA256(), 32, b"prag/" + label.encode()).derive(self._secret)


class SubjectKeyRing:
    """Wraps, unwraps and remembers (for a minute) the keys of subjects of one service."""

    def __init__(self, master: MasterKey, service: str) -> None:
        self._kek = master.derive(f"{service}/wrap")
        self._open: OrderedDict[UUID, tuple[float, SubjectBox]] = OrderedDict()

    def create(self, key_id: UUID) -> tuple[bytes, "SubjectBox"]:
        """Make a new key; return it wrapped (to be stored) and ready to use."""
        key = AESGCM.generate_key(256)
        box = SubjectBox(key_id, key)
        self._remember(key_id, box)
        return aes_key_wrap(self._kek, key), box

    def unwrap(self, key_id: UUID, wrapped: bytes) -> "SubjectBox":
        cached = self._open.get(key_id)
        if cached and cached[0] > monotonic():
            return cached[1]
        try:
            box = SubjectBox(key_id, aes_key_unwrap(self._kek, wrapped))
        except (InvalidUnwrap, ValueError):
            raise SealError from None
        self._remember(key_id, box)
        return box

    def forget(self, key_id: UUID) -> None:
        self._open.pop(key_id, None)

    def _remember(self, key_id: UUID, box: "SubjectBox") -> None:
        now = monotonic()
        self._open[key_id] = (now + _CACHE_SECONDS, box)
        self._open.move_to_end(key_id)
        # What nobody asks for again shall not stay in memory longer than what somebody does.
        while len(self._open) > _CACHE_SIZE or next(iter(self._open.values()))[0] <= now:
            self._open.popitem(last=False)


class SubjectBox:
    """Seals and opens the fields of one subject."""

    def __init__(self, key_id: UUID, key: bytes) -> None:
        self.key_id = key_id
        self._aead = AESGCM(key)

    def seal(self, text: str, *, table: str, row: UUID, column: str) -> Sealed:
        nonce = os.urandom(_NONCE)
        place = _place(table, row, column, self.key_id)
        return Sealed(nonce + self._aead.encrypt(nonce, text.encode(), place))

    def open(self, sealed: Sealed, *, table: str, row: UUID, column: str) -> str:
        place = _place(table, row, column, self.key_id)
        try:
            return self._aead.decrypt(sealed.box[:_NONCE], sealed.box[_NONCE:], place).decode()
        except (InvalidTag, ValueError):
            raise SealError from None


class ServiceBox:
    """Seals what belongs to no person for long: stored answers, dead letters, places in a feed."""

    def __init__(self, master: MasterKey, service: str) -> None:
        self._aead = AESGCM(master.derive(f"{service}/box"))
        self._siv = AESSIV(master.derive(f"{service}/siv-mac") + master.derive(f"{service}/siv"))
        self._mac = master.derive(f"{service}/mac")

    def seal(self, value: bytes, *, place: bytes) -> Sealed:
        nonce = os.urandom(_NONCE)
        return Sealed(nonce + self._aead.encrypt(nonce, value, place))

    def open(self, sealed: Sealed, *, place: bytes) -> bytes:
        try:
            return self._aead.decrypt(sealed.box[:_NONCE], sealed.box[_NONCE:], place)
        except (InvalidTag, ValueError):
            raise SealError from None

    def veil(self, value: bytes, *, place: bytes) -> bytes:
        """Return what hides `value` and is the same each time (AES-256-SIV, RFC 5297).

        For tokens that others keep: whoever holds two learns only whether they are equal.
        """
        return self._siv.encrypt(value, [place])

    def unveil(self, token: bytes, *, place: bytes) -> bytes:
        """Return what `veil` hid; SealError for a token of another place, or made by anyone else."""
        try:
            return self._siv.decrypt(token, [place])
        except (InvalidTag, ValueError):
            raise SealError from None

    def digest(self, *parts: bytes) -> bytes:
        """Keyed hash of length-prefixed parts; cannot be guessed without the master key."""
        framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hashlib.blake2b(framed, key=self._mac, digest_size=32).digest()


def _place(table: str, row: UUID, column: str, key_id: UUID) -> bytes:
    return f"prag-field-v1|{table}|{row}|{column}|{key_id}".encode()
