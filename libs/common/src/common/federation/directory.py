"""The directory of keys: each country's offline root signs a chain of entries; the hub only carries it.

Roots are exchanged in person and pinned. Every entry names the one before it by its hash, so whoever
carries the chain can hold entries back, but can neither change one nor put another in its place: two
entries in one place are a fork, and a chain that has grown shorter is not taken.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from common.clock import utcnow
from common.contracts.types import Country
from common.events import canonical
from common.federation.custody import GENESIS, Hash, Kid
from common.federation.keys import SealTo, SigningKey, VerifyBy, kid_of

GRACE = timedelta(days=30)
"""For so long after its end a sealing key still opens what was sealed to it before."""
_BEHIND = timedelta(days=1)
"""A clock may be so far behind when a country's first key begins."""
_LONGEST = timedelta(days=3 * 366)
_EARLIEST, _LATEST = 2020, 2200
"""Beyond these a date is a mistake, or meant to make whoever counts with it fall."""
Use = Literal["seal", "package", "sign", "revoke"]
"""What a key is for: letters, the person's data inside them, signatures; or the end of one."""


class DirectoryError(Exception):
    """An entry is not taken. `reason` is a code for the operator; nothing of the entry is in it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ForkError(DirectoryError):
    """Two entries claim one place in a country's chain: the root key is in two hands, or copied."""

    def __init__(self) -> None:
        super().__init__("fork")


class Entry(BaseModel):
    """A key of a country, or the end of one.

    A `revoke` entry names in `kid` a key that fell into other hands, and in `not_after` since when:
    what was signed with it from then on counts as nobody's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    country: Country
    seq: int = Field(ge=1)
    previous: Hash
    use: Use
    kid: Kid
    public: str | None = None
    not_before: AwareDatetime
    not_after: AwareDatetime

    def message(self) -> bytes:
        return b"prag-directory-v1|" + canonical(self.model_dump(mode="json"))

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.message()).hexdigest()


class SignedEntry(BaseModel):
    """An entry as it travels: with its root's signature over the canonical bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry: Entry
    signature: str

    @classmethod
    def of(cls, entry: Entry, root: SigningKey) -> "SignedEntry":
        return cls(entry=entry, signature=base64.b64encode(root.sign(entry.message())).decode())

    def to_bytes(self) -> bytes:
        return canonical(self.model_dump(mode="json"))


class Directory:
    """The chains of all peers as this country knows them; every entry in it was verified."""

    def __init__(self, roots: dict[str, VerifyBy]) -> None:
        """`roots` are the pinned public roots, by country. A country without one is no peer."""
        self._roots = roots
        self._chains: dict[str, list[SignedEntry]] = {}

    def add(self, raw: bytes) -> SignedEntry | None:
        """Take the next entry of a chain; None for one that is known. DirectoryError says why not."""
        try:
            signed = SignedEntry.model_validate_json(raw)
        except ValidationError:
            raise DirectoryError("malformed") from None
        entry = signed.entry
        root = self._roots.get(entry.country)
        if root is None:
            raise DirectoryError("unknown_country")
        if not root.holds(_decoded(signed.signature), entry.message()):
            raise DirectoryError("signature")
        chain = self._chains.setdefault(entry.country, [])
        if entry.seq <= len(chain):
            if chain[entry.seq - 1].entry.hash != entry.hash:
                raise ForkError
            return None
        if entry.seq > len(chain) + 1:
            raise DirectoryError("gap")
        if entry.previous != (chain[-1].entry.hash if chain else GENESIS):
            raise ForkError
        _check(entry)
        chain.append(signed)
        return signed

    def add_all(self, entries: Iterable[bytes]) -> None:
        for raw in entries:
            self.add(raw)

    def height(self, country: str) -> int:
        """Return how many entries of a country's chain are known; what is shorter is a roll-back."""
        return len(self._chains.get(country, ()))

    def sealing_key(self, country: str, at: datetime, *, use: Use = "seal") -> SealTo | None:
        """Return the newest key to seal to a country with; None if it has none just now."""
        entry = self._newest(country, use, at)
        return None if entry is None else SealTo(_decoded(entry.public or ""))

    def signing_kid(self, country: str, at: datetime) -> str | None:
        """Return the id of the key a country signs with now; None if it has none just now."""
        entry = self._newest(country, "sign", at)
        return None if entry is None else entry.kid

    def signing_kid_of(self, country: str, said_at: datetime) -> str | None:
        """Return the id of the key that signs what was said then: the one the country had.

        Where it had none, the first it has had since: what is said in such a gap must be signed by
        somebody. So no key vouches further back than to the end of the one before it, and a country's
        very first only for a clock that was a little behind. None while there is none.
        """
        kid = self.signing_kid(country, said_at)
        return kid if kid is not None else self._next_signing_kid(country, said_at)

    def signing_kids_of(self, country: str, said_at: datetime) -> list[str]:
        """Return the ids of the keys that may sign what was said then, the one to be taken first ahead.

        A key that was revoked may be lost: then the one that took its place when it ended signs for
        its time, and so on where that one was revoked too. No other does.
        """
        kids: list[str] = []
        at, now = said_at, utcnow()
        while (kid := self.signing_kid_of(country, at)) is not None:
            kids.append(kid)
            since = min(self._revocations(country, kid), default=None)
            if since is None or since > now:
                break
            at = since  # always later than before, for no key counts from its revocation on
        return kids

    def _next_signing_kid(self, country: str, said_at: datetime) -> str | None:
        """Return the id of the key that ended the gap in which something was said."""
        keys = [s.entry for s in self._chains.get(country, ()) if s.entry.use == "sign"]
        now = utcnow()
        since = [
            entry
            for entry in reversed(keys)  # of two that begin at once the newer counts
            if said_at < entry.not_before <= now
            and not self._revoked(country, entry.kid, entry.not_before)
        ]
        if not since:
            return None
        first = min(since, key=lambda entry: entry.not_before)
        is_gap = any(entry.not_before <= said_at for entry in keys)
        return first.kid if is_gap or first.not_before - said_at < _BEHIND else None

    def signer(self, country: str, kid: str, at: datetime) -> VerifyBy | None:
        """Return the key of this id if it signed for the country what was said at that time."""
        for signed in self._chains.get(country, ()):
            entry = signed.entry
            if entry.use != "sign" or entry.kid != kid:
                continue
            if entry.not_before <= at or kid in self.signing_kids_of(country, at):
                is_over = self.is_over(country, kid, at)
                return None if is_over else VerifyBy(_decoded(entry.public or ""))
        return None

    def ends(self, country: str) -> dict[Use, datetime]:
        """Return until when a country has keys, by what they are for; nothing of what it never had."""
        last: dict[Use, datetime] = {}
        for signed in self._chains.get(country, ()):
            entry = signed.entry
            if entry.use != "revoke":
                end = min([entry.not_after, *self._revocations(country, entry.kid)])
                last[entry.use] = max(end, last.get(entry.use, end))
        return last

    def is_over(self, country: str, kid: str, at: datetime) -> bool:
        """Tell whether a key of the chain counts no more: a month past its end, or revoked."""
        return self._revoked(country, kid, at) or any(
            signed.entry.kid == kid and signed.entry.not_after + GRACE <= at
            for signed in self._chains.get(country, ())
        )

    def _newest(self, country: str, use: Use, at: datetime) -> Entry | None:
        found = [
            signed.entry
            for signed in self._chains.get(country, ())
            if signed.entry.use == use
            and signed.entry.not_before <= at < signed.entry.not_after
            and not self._revoked(country, signed.entry.kid, at)
        ]
        return found[-1] if found else None

    def _revoked(self, country: str, kid: str, at: datetime) -> bool:
        return any(since <= at for since in self._revocations(country, kid))

    def _revocations(self, country: str, kid: str) -> list[datetime]:
        return [
            signed.entry.not_after
            for signed in self._chains.get(country, ())
            if signed.entry.use == "revoke" and signed.entry.kid == kid
        ]


def _check(entry: Entry) -> None:
    if entry.use == "revoke":
        if entry.public is not None:
            raise DirectoryError("revoke_with_key")
        return
    public = _decoded(entry.public or "")
    if kid_of(public) != entry.kid:
        raise DirectoryError("kid")
    if len(public) != (32 if entry.use == "sign" else 1184 + 32):
        raise DirectoryError("key_length")
    if not timedelta(0) < entry.not_after - entry.not_before <= _LONGEST:
        raise DirectoryError("validity")
    if not _EARLIEST <= entry.not_before.year <= _LATEST:
        raise DirectoryError("validity")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise DirectoryError("encoding") from None


def next_entry(
    chain: list[SignedEntry],
    country: str,
    use: Use,
    kid: str,
    *,
    public: bytes | None,
    not_before: datetime,
    not_after: datetime,
) -> Entry:
    """Return the entry that follows a country's own chain, to be signed by its root."""
    return Entry(
        country=country,
        seq=len(chain) + 1,
        previous=chain[-1].entry.hash if chain else GENESIS,
        use=use,
        kid=kid,
        public=None if public is None else base64.b64encode(public).decode(),
        not_before=not_before,
        not_after=not_after,
    )
