"""Who is calling: a bearer token becomes a Principal. python-jose is used here and nowhere else.

python-jose checks a signature well and little besides, so this wrapper adds the rest: one
algorithm, header members from a closed list, every claim present and of its type, a short life,
no repeated members, revocation. Every failure looks the same to the caller.
"""

import base64
import hashlib
import json
import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from jose import jwk, jws
from jose.exceptions import JOSEError

from common.clock import monotonic, utcnow
from common.codelists import all_codes, codes
from common.errors import UnauthorizedError, UnavailableError
from common.unit import Actor

ALGORITHM = "ES256"
TOKEN_TYPE = "at+jwt"  # noqa: S105  RFC 9068
MAX_TOKEN_BYTES = 8192
MAX_LIFETIME = 900
LEEWAY = 30
_HEADER_MEMBERS = {"alg", "typ", "kid"}
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CACHE_SECONDS = 60
_CACHE_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller: who, for which organisation, in which role; not yet what they may do."""

    subject: str
    organisation_id: UUID
    role: str
    client_id: str | None = None
    relations: frozenset[str] = frozenset()
    """To which records the present operation is open for this role (see common.authz)."""
    data_groups: frozenset[str] = frozenset()
    """Which groups of personal data this role may know of a record that is open to it."""

    @property
    def may_read_texts(self) -> bool:
        """Whether free texts of a record open to the caller may be opened: if it may know every group.

        What stands in a text nobody knows before reading it.
        """
        return self.data_groups >= all_codes("data_groups")

    @property
    def actor(self) -> Actor:
        return Actor(self.subject, self.organisation_id, self.role, self.client_id)


class Keys(Protocol):
    """The issuer's public keys, wherever they come from."""

    generation: int
    """Moves with every change: what was verified before is verified again."""

    def refresh(self) -> None:
        """Look whether the keys are still good, without waiting; UnavailableError if not."""

    def key(self, kid: str) -> Any:  # noqa: ANN401  python-jose's key type is private
        """Return the key, None if there is none; UnavailableError while that is being asked."""

    def is_revoked(self, token_id: str) -> bool: ...

    def age(self) -> float | None:
        """Return for how many seconds the issuer has not confirmed them; None where nobody is asked."""


def read_keys(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a JWK set that may sign, by their id; ValueError if it is none."""
    try:
        return {
            k["kid"]: jwk.construct(k, ALGORITHM)
            for k in content["keys"]
            if k.get("alg") == ALGORITHM
        }
    except (JOSEError, KeyError, TypeError, AttributeError):
        raise ValueError("not a JWK set") from None


class KeySet:
    """The issuer's public keys and revoked token ids, read from a file and read again on change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = (0, 0, 0)
        self._keys: dict[str, Any] = {}
        self._revoked: frozenset[str] = frozenset()
        self.generation = 0

    def refresh(self) -> None:
        """Read the file again if it has changed; UnavailableError while it cannot be read."""
        try:
            status = os.stat(self._path)  # noqa: PTH116  at each request
            # Not the time alone: two changes can fall into one tick of the file system's clock.
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            content = json.loads(self._path.read_text())
            keys = read_keys(content)
            revoked = frozenset(content.get("revoked", []))
        except (OSError, ValueError, TypeError, AttributeError):
            raise UnavailableError("unavailable") from None
        self._keys, self._revoked, self._stamp = keys, revoked, stamp
        self.generation += 1

    def key(self, kid: str) -> Any:  # noqa: ANN401  python-jose's key type is private
        return self._keys.get(kid)

    def is_revoked(self, token_id: str) -> bool:
        return token_id in self._revoked

    def age(self) -> float | None:
        return None


class TokenVerifier:
    """Verifies access tokens of one issuer for one audience."""

    def __init__(self, keys: Keys, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._verified: OrderedDict[bytes, tuple[float, int, Principal, int]] = OrderedDict()

    def knows_keys(self) -> bool:
        """Tell whether callers can be told apart; not while the issuer's keys cannot be read."""
        try:
            self._keys.refresh()
        except UnavailableError:
            return False
        return True

    def keys_age(self) -> float | None:
        """Return for how many seconds the issuer has not confirmed its keys; None if it never did."""
        return self._keys.age()

    def verify(self, token: str) -> Principal:
        """Return the caller; UnauthorizedError says nothing about what was wrong.

        UnavailableError while the issuer's keys cannot be read: then nobody can be told apart.
        """
        self._keys.refresh()
        generation = self._keys.generation  # of now: keys may change while one is used
        try:
            raw = token.encode("ascii")
            digest = hashlib.sha256(raw).digest()
            cached = self._verified.get(digest)
            now = utcnow().timestamp()
            if cached and cached[1] == generation and monotonic() < cached[0] and now < cached[3]:
                return cached[2]
            claims = self._claims(token, raw)
            principal = self._principal(claims, now)
        except (JOSEError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UnauthorizedError("unauthorized") from None
        self._verified[digest] = (
            monotonic() + _CACHE_SECONDS,
            generation,
            principal,
            claims["exp"],
        )
        if len(self._verified) > _CACHE_SIZE:
            self._verified.popitem(last=False)
        return principal

    def _claims(self, token: str, raw: bytes) -> dict[str, Any]:
        if len(raw) > MAX_TOKEN_BYTES:
            raise ValueError("size")
        parts = token.split(".")
        if len(parts) != 3:  # noqa: PLR2004
            raise ValueError("form")
        header, payload, _ = (_decode(part) for part in parts)
        members = _object(header)
        if (
            set(members) != _HEADER_MEMBERS
            or members["alg"] != ALGORITHM
            or members["typ"] != TOKEN_TYPE
        ):
            raise ValueError("header")
        if not _KID.fullmatch(members["kid"]):
            raise ValueError("kid")
        key = self._keys.key(members["kid"])
        if key is None:
            raise ValueError("kid")
        jws.verify(token, key, algorithms=[ALGORITHM])
        return _object(payload)

    def _principal(self, claims: dict[str, Any], now: float) -> Principal:
        if claims["iss"] != self._issuer or claims["aud"] != self._audience:
            raise ValueError("iss or aud")
        expires, issued, not_before = (_whole(claims[name]) for name in ("exp", "iat", "nbf"))
        if not (issued <= now + LEEWAY and not_before <= now + LEEWAY and now < expires):
            raise ValueError("time")
        if not 0 < expires - issued <= MAX_LIFETIME:
            raise ValueError("lifetime")
        token_id, subject, role = claims["jti"], claims["sub"], claims["role"]
        if not (isinstance(token_id, str) and token_id) or self._keys.is_revoked(token_id):
            raise ValueError("jti")
        if not _SUBJECT.fullmatch(subject) or role not in codes("actor_roles"):
            raise ValueError("sub or role")
        client = claims.get("client_id")
        if client is not None and not _SUBJECT.fullmatch(client):
            raise ValueError("client_id")
        return Principal(subject, UUID(claims["org"]), role, client)


def _decode(part: str) -> bytes:
    decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != part:
        raise ValueError("not canonical")
    return decoded


def _object(raw: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise ValueError("repeated member")
        return members

    # As text: given bytes, json would also read UTF-16 and skip a byte order mark.
    members = json.loads(raw.decode(), object_pairs_hook=once)
    if not isinstance(members, dict):
        raise TypeError("not an object")
    return members


def _whole(value: object) -> int:
    if type(value) is not int:
        raise ValueError("not a whole number")
    return value
