"""The identity provider of a standalone instance: one signing key, short tokens, a public key file.

Production uses an OpenID Connect provider instead, by its issuer address (common.issuer).
"""

import base64
import hashlib
import json
import re
from datetime import timedelta
from pathlib import Path
from shlex import quote
from typing import Any
from uuid import UUID, uuid5

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from common.clock import new_id, utcnow
from common.codelists import codes
from prag.files import is_private, write_private
from prag.manifest import TroubleError

ISSUER = "urn:prag:local-issuer"
AUDIENCE = "prag"
MAX_MINUTES = 15

# What the services' verifier demands (RFC 9068). Said here again and not taken from common.auth:
# the verifier brings the database layer with it, and `prag token` shall answer at once.
_ALGORITHM = "ES256"
_TOKEN_TYPE = "at+jwt"  # noqa: S105
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ORGANISATIONS = UUID("6f1b3a0e-5d0c-5c0e-9c39-7c1d1f4f3b52")
_COORDINATE_BYTES = 32


def organisation_id(text: str, country: str) -> UUID:
    """Return the id of an organisation: a UUID as it is, any other name by a fixed rule.

    The same name in the same country always gives the same id, whatever its case. ValueError for
    no name at all.
    """
    if not text.strip():
        raise ValueError("an organisation has an id or a name; an empty one stands for nobody")
    try:
        return UUID(text)
    except ValueError:
        return uuid5(_ORGANISATIONS, f"{country.upper()}|{text.strip().lower()}")


def role_code(text: str) -> str:
    """Return the code of a role written in any case; ValueError names those there are."""
    code = text.strip().upper().replace("-", "_")
    if code not in codes("actor_roles"):
        raise ValueError(
            f"there is no such role; roles are {', '.join(sorted(codes('actor_roles')))}"
        )
    return code


class LocalIssuer:
    """Signs access tokens with a key under `<home>/keys`, made at first use (PEM, mode 0600)."""

    issuer = ISSUER
    audience = AUDIENCE

    def __init__(self, home: Path) -> None:
        self._key_file, self.jwks_file = _files(home)
        if not self._key_file.exists():
            self._new_key()
        elif not self.jwks_file.exists():
            self._publish(self._key())

    def token(
        self,
        role: str,
        organisation_id: UUID,
        subject: str,
        minutes: int = MAX_MINUTES,
        client_id: str | None = None,
    ) -> str:
        """Return an access token (RFC 9068) that all services of this instance accept.

        ValueError for an unknown role, a subject that is no plain identifier, or a life that is not
        1 to 15 minutes.
        """
        if not 1 <= minutes <= MAX_MINUTES:
            raise ValueError(f"a token lives for 1 to {MAX_MINUTES} minutes")
        for name in (subject, client_id):
            if name is not None and not _SUBJECT.fullmatch(name):
                raise ValueError("a user or client is named by up to 64 of a-z A-Z 0-9 . _ -")
        now = utcnow()
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=minutes)).timestamp()),
            "jti": new_id().hex,
            "sub": subject,
            "org": str(organisation_id),
            "role": role_code(role),
        }
        if client_id is not None:
            claims["client_id"] = client_id
        key = self._key()
        public = _public(key.public_key())
        if public["kid"] not in {
            known.get("kid") for known in _read_published(self.jwks_file)["keys"]
        }:
            self._publish(key)  # one of the two files was put back without the other
        header = {"alg": _ALGORITHM, "typ": _TOKEN_TYPE, "kid": public["kid"]}
        signed = f"{_base64(_compact(header))}.{_base64(_compact(claims))}"
        r, s = decode_dss_signature(key.sign(signed.encode(), ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")
        return f"{signed}.{_base64(signature)}"

    def rotate(self) -> None:
        """Sign with a new key from now on; tokens of the old one stay valid until they expire."""
        self._new_key()

    def revoke(self, token_id: str) -> None:
        """Refuse the token with this `jti` from now on; services notice at the next request."""
        content = _read_published(self.jwks_file)
        revoked = {*content.get("revoked", []), token_id}
        write_private(self.jwks_file, _compact({**content, "revoked": sorted(revoked)}))

    def _key(self) -> EllipticCurvePrivateKey:
        if not is_private(self._key_file):
            raise PermissionError(
                f"others may read {self._key_file}; run: chmod 600 {self._key_file}"
            )
        return _read_key(self._key_file)

    def _new_key(self) -> None:
        key = generate_private_key(SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        # Published before it is used: no service ever meets a token whose key it cannot find.
        self._publish(key)
        write_private(self._key_file, pem)

    def _publish(self, key: EllipticCurvePrivateKey) -> None:
        content = _read_published(self.jwks_file)
        public = _public(key.public_key())
        others = [known for known in content.get("keys", []) if known["kid"] != public["kid"]]
        write_private(self.jwks_file, _compact({**content, "keys": [*others, public]}))


def check_issuer(home: Path) -> None:
    """Raise TroubleError if a file of the issuer is damaged. One that is missing is made at need."""
    key_file, jwks_file = _files(home)
    if key_file.exists():
        _read_key(key_file)
    _read_published(jwks_file)


def _files(home: Path) -> tuple[Path, Path]:
    return home / "keys" / "issuer.pem", home / "keys" / "jwks.json"


def _read_key(file: Path) -> EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _damaged(file) from None
    except OSError as error:
        raise TroubleError(f"{file} cannot be read: {error.strerror}.") from None
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise _damaged(file)
    return key


def _read_published(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text())
        for known in content["keys"]:
            if known.get("alg") == _ALGORITHM:
                _check_public(known)
        frozenset(content.get("revoked", []))
    except FileNotFoundError:
        return {"keys": []}
    except OSError as error:
        raise TroubleError(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _damaged(file) from None
    return content


def _damaged(file: Path) -> TroubleError:
    both = " ".join(quote(str(path)) for path in _files(file.parent.parent))
    return TroubleError(
        f"{file} is damaged. Put it back from the backup of the keys, or delete it by: rm -f {both} "
        "(both, for they belong together). Then a new key is made, and tokens given before stop working."
    )


def _check_public(known: dict[str, Any]) -> None:
    """Raise ValueError, KeyError or TypeError for a key no service could load."""
    x, y = (base64.urlsafe_b64decode(known[name] + "==") for name in ("x", "y"))
    numbers = (int.from_bytes(x, "big"), int.from_bytes(y, "big"), SECP256R1())
    if _public(EllipticCurvePublicNumbers(*numbers).public_key())["kid"] != known["kid"]:
        raise ValueError("kid")


def _public(key: EllipticCurvePublicKey) -> dict[str, str]:
    """Return the key as a JWK; its id is the thumbprint of RFC 7638."""
    numbers = key.public_numbers()
    x, y = (_base64(n.to_bytes(_COORDINATE_BYTES, "big")) for n in (numbers.x, numbers.y))
    required = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
    kid = _base64(hashlib.sha256(_compact(required)).digest())
    return {**required, "alg": _ALGORITHM, "use": "sig", "kid": kid}


def _compact(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
