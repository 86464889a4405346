"""The countries this one exchanges referrals with: their descriptors in a folder, and our own keys.

A descriptor says which root a country signs with and carries its chain of keys. It comes from the
country itself, and whoever takes it in compares the root's fingerprint with what was said in person.
"""

import base64
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ConfigDict, ValidationError

from common.clock import utcnow
from common.contracts.types import Country
from common.errors import ConflictError
from common.events import canonical
from common.federation.directory import Directory, DirectoryError, Entry, SignedEntry, Use
from common.federation.keys import SealingKey, SigningKey, VerifyBy, kid_of
from common.sealing import MasterKey
from common.settings import SettingError

logger = structlog.get_logger(__name__)

_NONCE = 12
OWN = "own.json"
"""The file of a folder of descriptors that holds this country's own."""
REMOVED = ".removed"
"""What follows a country in the name of the file that keeps what was seen of one that was removed."""
_NO_FILE = (FileNotFoundError, NotADirectoryError)
_OF_THE_FILE = (*_NO_FILE, IsADirectoryError, PermissionError)
"""Errors of reading that last until somebody changes the file, by whose time that is seen.

Any other may be over the next moment: of the disk, the network, or of the process's open files.
"""
HELD: Final[Mapping[str, frozenset[Use]]] = {
    "intake": frozenset({"package"}),
    "referral": frozenset({"seal", "sign"}),
}
"""Of which keys of its country a service holds the private halves."""


class Descriptor(BaseModel):
    """A country as its peers know it. The root's signature is in every entry of the chain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    country: Country
    root: str
    entries: tuple[SignedEntry, ...]

    @property
    def fingerprint(self) -> str:
        """What two people read to each other: 128 bits of the root's hash, in groups of four."""
        kid = kid_of(base64.b64decode(self.root))
        return " ".join(kid[start : start + 4] for start in range(0, len(kid), 4))

    def to_bytes(self) -> bytes:
        return canonical(self.model_dump(mode="json"))


def read_descriptor(raw: bytes) -> Descriptor:
    """Return a descriptor whose chain holds; DirectoryError says why not."""
    try:
        descriptor = Descriptor.model_validate_json(raw)
        directory_of([descriptor])
    except (ValidationError, ValueError):
        raise DirectoryError("malformed") from None
    return descriptor


def directory_of(descriptors: list[Descriptor]) -> Directory:
    roots = {each.country: VerifyBy(base64.b64decode(each.root)) for each in descriptors}
    directory = Directory(roots)
    for each in descriptors:
        directory.add_all(entry.to_bytes() for entry in each.entries)
    return directory


@dataclass(frozen=True, slots=True)
class Peers:
    """Who may be written to. `countries` does not hold our own, whose keys the directory knows too."""

    countries: frozenset[str]
    directory: Directory
    resting: frozenset[str] = frozenset()
    """Peers, by the names of their files, that are none until their damaged file is replaced."""
    removed: frozenset[str] = frozenset()
    """Countries that were peers: nothing is exchanged with them, and what they heard they still know."""

    @property
    def to_ask(self) -> list[str]:
        """Who may know what this country said and has forgotten, in the order of their codes."""
        return sorted(self.countries | self.resting | self.removed)

    def require(self, country: str) -> None:
        """ConflictError `peer.unknown` where nothing is exchanged with this country."""
        if country not in self.countries:
            raise ConflictError("peer.unknown")


def read_peers(folder: Path | None) -> Peers:
    """Return the peers of a folder of descriptors; nobody where there is none.

    It is read again when a file was added, replaced or removed. One that is damaged, or may not be
    read, is named in the log, and its country rests: the others go on. OSError, to be waited out,
    while it is not known who is a peer: a country that was taken for none would not be heard.
    """
    if folder is None:
        return _NOBODY
    try:
        # Our own first, for no file of a peer may speak for us.
        paths = sorted(folder.iterdir(), key=lambda path: (path.name != OWN, path.name))
    except _NO_FILE:
        return _NOBODY
    peers = _read(tuple((path, *_state_of(path)) for path in paths if path.suffix == ".json"))
    removed = frozenset(path.stem for path in paths if path.suffix == REMOVED)
    return replace(peers, removed=removed - peers.countries) if removed else peers


def _state_of(path: Path) -> tuple[int, int]:
    """Return what changes with a file: the time of any change, also of its rights, and its size."""
    try:
        state = path.stat()
    except _OF_THE_FILE:  # a link that leads nowhere; it will be named as what cannot be read
        return 0, 0
    return state.st_ctime_ns, state.st_size


@lru_cache(maxsize=16)
def _read(files: tuple[tuple[Path, int, int], ...]) -> Peers:
    found: dict[str, Descriptor] = {}
    own, resting = "", set[str]()
    for path, _, _ in files:
        try:
            descriptor = _read_one(path, besides=found)
        except (DirectoryError, *_OF_THE_FILE) as error:
            reason = error.reason if isinstance(error, DirectoryError) else type(error).__name__
            logger.error("peers.file_rests", file=path.name, error=reason)  # noqa: TRY400  its text may hold a path
            resting |= {path.stem} - {Path(OWN).stem}
            continue
        except OSError as error:
            logger.warning("peers.file_waits", file=path.name, error=type(error).__name__)
            raise
        found[descriptor.country] = descriptor
        own = descriptor.country if path.name == OWN else own
    return Peers(
        frozenset(found.keys() - {own}), directory_of([*found.values()]), frozenset(resting)
    )


def _read_one(path: Path, *, besides: Collection[str]) -> Descriptor:
    """Return the descriptor in a file; DirectoryError also for a country that another file is of."""
    descriptor = read_descriptor(path.read_bytes())
    if descriptor.country in besides:
        raise DirectoryError("country_twice")
    return descriptor


_NOBODY = Peers(frozenset(), Directory({}))


@dataclass(slots=True)
class OwnKeys:
    """The private halves one service holds: what it opens with by key id, and what it signs with."""

    opening: dict[str, SealingKey] = field(default_factory=dict)
    signing: dict[str, SigningKey] = field(default_factory=dict)

    def signing_now(self, directory: Directory, country: str, at: datetime) -> SigningKey | None:
        """Return the key the directory names for this country now, if it is ours."""
        return self.signing.get(directory.signing_kid(country, at) or "")

    def signing_of(
        self, directory: Directory, country: str, said_at: datetime
    ) -> SigningKey | None:
        """Return the key to sign with what was said then: the first that may and is ours, if any."""
        kids = directory.signing_kids_of(country, said_at)
        return next((self.signing[kid] for kid in kids if kid in self.signing), None)


def seal_own_keys(
    master: MasterKey, service: str, *, opening: list[bytes], signing: list[bytes]
) -> bytes:
    """Return the file of a service's private halves, sealed under its master key."""
    words = {
        "opening": [base64.b64encode(raw).decode() for raw in opening],
        "signing": [base64.b64encode(raw).decode() for raw in signing],
    }
    nonce = os.urandom(_NONCE)
    return nonce + _aead(master, service).encrypt(nonce, canonical(words), _PLACE)


def read_own_keys(path: Path | None, master: MasterKey, service: str) -> OwnKeys:
    """Return a service's private halves; none where there is no file. Read again when it changed.

    ValueError names a file that another master key sealed, or that is damaged. OSError, to be waited
    out, while it cannot be read.
    """
    if path is None:
        return OwnKeys()
    try:
        state = path.stat()
    except _NO_FILE:
        return OwnKeys()
    return _read_own(path, state.st_mtime_ns, state.st_ino, master, service)


@lru_cache(maxsize=16)
def _read_own(path: Path, _at: int, _file: int, master: MasterKey, service: str) -> OwnKeys:
    sealed = path.read_bytes()
    try:
        plain = _aead(master, service).decrypt(sealed[:_NONCE], sealed[_NONCE:], _PLACE)
    except (InvalidTag, ValueError):
        raise ValueError(f"{path} is not sealed under this master key") from None
    words = json.loads(plain)
    opening = [SealingKey(base64.b64decode(text)) for text in words["opening"]]
    signing = [SigningKey(base64.b64decode(text)) for text in words["signing"]]
    return OwnKeys(
        {key.public.kid: key for key in opening}, {key.public.kid: key for key in signing}
    )


def check_own_keys(folder: Path | None, file: Path | None, master: MasterKey, service: str) -> None:
    """SettingError where what is set of peers is not there, or lacks a key that others use.

    What others seal to such a key could not be opened. One that was revoked may be lost. OSError,
    to be waited out, while that cannot be read.
    """
    if service not in HELD or (folder is None and file is None):
        return
    if folder is None or not folder.is_dir():
        raise SettingError("PRAG_PEERS_FOLDER is no folder that can be read")
    if file is None:
        return
    try:
        own = read_descriptor((folder / OWN).read_bytes())
    except (DirectoryError, *_OF_THE_FILE):
        raise SettingError(f"PRAG_PEERS_FOLDER holds no {OWN} that can be read") from None
    held = _held(file, master, service)
    if keys_missing(own, held, service):
        raise SettingError(
            f"PRAG_OWN_KEYS_FILE lacks a key that {OWN} names: bring the file of the last rotation, or, "
            "if it is lost, run prag peer revoke"
        )


def keys_missing(own: Descriptor, held: OwnKeys, service: str) -> list[Entry]:
    """Return the keys that others use, now or soon, and whose private halves the service lacks."""
    entries, now = [signed.entry for signed in own.entries], utcnow()
    done = {e.kid for e in entries if e.use == "revoke"} | {*held.opening, *held.signing}
    return [
        e for e in entries if e.use in HELD[service] and e.not_after > now and e.kid not in done
    ]


def _held(file: Path, master: MasterKey, service: str) -> OwnKeys:
    try:
        file.read_bytes()  # read_own_keys takes a missing file for no keys
        return read_own_keys(file, master, service)
    except _OF_THE_FILE:
        raise SettingError("PRAG_OWN_KEYS_FILE cannot be read") from None
    except ValueError:
        raise SettingError(
            "PRAG_OWN_KEYS_FILE was sealed under another PRAG_MASTER_KEY_FILE, or is damaged"
        ) from None


_PLACE = b"prag-own-keys-v1"


def _aead(master: MasterKey, service: str) -> AESGCM:
    return AESGCM(master.derive(f"{service}/federation"))
