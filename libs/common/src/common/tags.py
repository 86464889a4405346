"""Keyed tags: equality search over sealed data without a clear name in the database.

A tag is an HMAC under a key of its own kind, so that tags of different kinds never match. The
folding of names and scripts happens before; see intake.domain.
"""

from cryptography.hazmat.primitives import hashes, hmac

from common.sealing import MasterKey

TAG_BYTES = 16


class TagKeys:
    """Makes tags; the keys live outside the database, derived from the master key."""

    def __init__(self, master: MasterKey) -> None:
        self._master = master
        self._keys: dict[str, bytes] = {}

    def tag(self, kind: str, *parts: str) -> bytes:
        """Return the tag of `parts` (already folded) under the key of `kind`."""
        key = self._keys.get(kind)
        if key is None:
            key = self._keys[kind] = self._master.derive(f"tag/{kind}")
        mac = hmac.HMAC(key, hashes.SHA256())
        for part in parts:
            raw = part.encode()
            mac.update(len(raw).to_bytes(4, "big") + raw)
        return mac.finalize()[:TAG_BYTES]
