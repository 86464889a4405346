"""Somebody who took a folder away and tries on sealed letters every key that may be in it."""

import base64
import binascii
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from common.federation.custody import FindSigner
from common.federation.envelope import EnvelopeError, open_envelope
from common.federation.keys import SealingKey
from common.federation.peers import read_own_keys
from common.sealing import MasterKey

_MASTER, _PRIVATE = 32, 96
_WORD = re.compile(rb"(?<![\w+/=-])[\w+/=-]{43,192}(?![\w+/=-])", re.ASCII)
"""What a key of either length would look like, written in base64 or hex."""


def letters_in(log: Path) -> list[bytes]:
    """Return the letters that lie in a hub's log."""
    with closing(sqlite3.connect(log)) as database:
        return [value for (value,) in database.execute("SELECT value FROM record")]


def opened(letters: list[bytes], folder: Path, signer: FindSigner) -> int:
    """Return how many letters open by a key of this folder: one that lies open, or sealed under another."""
    keys = _sealing_keys(folder)
    return sum(any(_opens(letter, key, signer) for key in keys) for letter in letters)


def _opens(letter: bytes, key: SealingKey, signer: FindSigner) -> bool:
    outer = json.loads(letter)
    # Under the name that it asks for: what a key is called keeps nobody from trying it.
    named = {outer["recipient_kid"]: key}
    try:
        open_envelope(letter, country=outer["recipient"], keys=named, signer=signer)
    except EnvelopeError:
        return False
    return True


def _sealing_keys(folder: Path) -> list[SealingKey]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    found = {secret for path in paths for secret in _secrets(path.read_bytes())}
    keys = [SealingKey(secret) for secret in found if len(secret) == _PRIVATE]
    for master in (MasterKey(secret) for secret in found if len(secret) == _MASTER):
        for path in paths:
            for service in ("referral", "intake"):
                with suppress(ValueError):
                    keys += read_own_keys(path, master, service).opening.values()
    return keys


def _secrets(content: bytes) -> Iterator[bytes]:
    """Give whatever in a file is as long as a key, as it is or written in letters."""
    words = [content]
    for word in _WORD.findall(content):
        for decode in (base64.b64decode, base64.urlsafe_b64decode, binascii.unhexlify):
            with suppress(ValueError):
                words.append(decode(word))
    return (word for word in words if len(word) in {_MASTER, _PRIVATE})
