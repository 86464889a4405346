"""Tokens nobody should accept: the forger's side, with the issuer's own key in the forger's hand.

Signing is done here by the cipher library, so that no code of the verifier has a part in it.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from common.clock import new_id, utcnow
from prag.issuer import AUDIENCE, ISSUER, LocalIssuer
from tests.common.things import ORGANISATION

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order of the P-256 group."""
DROP = object()


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Forger:
    def __init__(self, issuer: LocalIssuer) -> None:
        home: Path = issuer.jwks_file.parent
        key = load_pem_private_key((home / "issuer.pem").read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.key = key
        self.jwks = issuer.jwks_file.read_bytes()
        self.jwk = json.loads(self.jwks)["keys"][-1]
        self.stranger = ec.generate_private_key(ec.SECP256R1())

    def header(self, **changes: Any) -> dict[str, Any]:
        return _changed({"alg": "ES256", "typ": "at+jwt", "kid": self.jwk["kid"]}, changes)

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(utcnow().timestamp())
        good = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "jti": new_id().hex,
            "sub": "worker-7",
            "org": str(ORGANISATION),
            "role": "SOCIAL_WORKER",
        }
        return _changed(good, changes)

    def signed(
        self, header: bytes, payload: bytes, key: ec.EllipticCurvePrivateKey | None = None
    ) -> str:
        """Return a token with a right ES256 signature over whatever is in it."""
        text = f"{b64(header)}.{b64(payload)}"
        return f"{text}.{b64(_raw((key or self.key).sign(text.encode(), ECDSA)))}"

    def token(
        self,
        header: dict[str, Any] | None = None,
        key: ec.EllipticCurvePrivateKey | None = None,
        **claims: Any,
    ) -> str:
        return self.signed(
            compact(self.header(**header or {})), compact(self.claims(**claims)), key
        )

    def mutants(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong and the token; each differs from a good one in this alone."""
        yield from self._algorithms()
        yield from self._headers()
        yield from self._forms()
        yield from self._signatures()
        yield from self._claims()

    def _algorithms(self) -> Iterator[tuple[str, str]]:
        for alg in ("none", "nOnE", "NONE", "", "es256", "ES256K", None, ["ES256"], 256):
            text = f"{b64(compact(self.header(alg=alg)))}.{b64(compact(self.claims()))}"
            yield f"alg {alg}, unsigned", f"{text}."
            yield f"alg {alg}, signed", self.token({"alg": alg})
        yield "alg missing", self.token({"alg": DROP})
        pem = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        der = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        secrets = {
            "PEM": pem,
            "DER": der,
            "JWK": compact(self.jwk),
            "JWKS": self.jwks,
            "empty": b"",
        }
        for name, secret in secrets.items():
            text = self._unsigned(alg="HS256")
            mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
            yield f"HS256 with the public key as {name}", f"{text}.{b64(mac)}"
        text = self._unsigned(alg="RS256")
        signer = rsa.generate_private_key(65537, 2048)
        signature = signer.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        yield "RS256", f"{text}.{b64(signature)}"
        text = self._unsigned(alg="EdDSA")
        yield "EdDSA", f"{text}.{b64(ed25519.Ed25519PrivateKey.generate().sign(text.encode()))}"
        text = self._unsigned(alg="ES384")
        wide = ec.generate_private_key(ec.SECP384R1()).sign(
            text.encode(), ec.ECDSA(hashes.SHA384())
        )
        yield "ES384", f"{text}.{b64(_raw(wide, 48))}"
        yield "ES256 by a stranger", self.token(key=self.stranger)

    def _headers(self) -> Iterator[tuple[str, str]]:
        for typ in ("JWT", "id+jwt", "AT+JWT", "application/at+jwt", "", None, DROP):
            yield f"typ {'missing' if typ is DROP else typ}", self.token({"typ": typ})
        kids = (
            "../../../../dev/null",
            "/etc/passwd",
            "x' OR '1'='1",
            "x; SELECT pg_sleep(9)",
            "https://keys.test/jwks.json",
            "a" * 65,
            "\0",
            "ключ",
            "unknown",
        )
        for kid in (*kids, "", None, 1, [self.jwk["kid"]], {"kid": 1}, DROP):
            yield f"kid {'missing' if kid is DROP else kid}", self.token({"kid": kid})
        numbers = self.stranger.public_key().public_numbers()
        own = {"kty": "EC", "crv": "P-256", "x": b64(numbers.x.to_bytes(32)), "y": ""}
        own["y"] = b64(numbers.y.to_bytes(32))
        extras: dict[str, Any] = {
            "jku": "https://keys.test/jwks.json",
            "x5u": "file:///etc/passwd",
            "x5c": ["MIIB"],
            "x5t": "AA",
            "jwk": own,
            "crit": ["exp"],
            "b64": False,
            "zip": "DEF",
            "cty": "JWT",
            "enc": "A256GCM",
            "anything": 1,
        }
        for name, value in extras.items():
            yield f"{name} in the header", self.token({name: value})
            yield f"{name} by a stranger", self.token({name: value}, self.stranger)
        yield "crit of nothing", self.token({"crit": []})
        yield "crit of what is not there", self.token({"crit": ["prag"], "prag": 1})
        kid = self.jwk["kid"]
        twice = f'{{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"{kid}"}}'
        yield "alg twice", self.signed(twice.encode(), compact(self.claims()))
        twice = f'{{"alg":"ES256","typ":"at+jwt","kid":"x","kid":"{kid}"}}'
        yield "kid twice", self.signed(twice.encode(), compact(self.claims()))

    def _forms(self) -> Iterator[tuple[str, str]]:
        header, payload = compact(self.header()), compact(self.claims())
        good = self.signed(header, payload)
        first, second, third = good.split(".")
        yield from {
            "nothing": "",
            "dots": "..",
            "one part": first,
            "two parts": f"{first}.{second}",
            "four parts": f"{good}.{third}",
            "five parts": f"{first}.{second}.{third}.{second}.{third}",
            "a dot after": f"{good}.",
            "a dot before": f".{good}",
            "a blank inside": f"{first}.{second} .{third}",
            "a line break after": f"{good}\n",
            "padded": f"{first}=.{second}.{third}",
            "other letters": good.replace(third, third.replace("-", "+").replace("_", "/") + "+"),
            "not ASCII": f"{first}.{second}.{third}č",
            "1 MB": f"{first}.{second}.{third}{'A' * 1_000_000}",
        }.items()
        yield "long claims", self.token(more="x" * 9000)
        if (loose := _loose(third)) != third:
            yield "loose last letter", f"{first}.{second}.{loose}"
        bodies: dict[str, bytes] = {
            "empty": b"",
            "no JSON": b"{",
            "a list": b"[]",
            "a string": b'"x"',
            "null": b"null",
            "no UTF-8": b'{"a":"\xff"}',
            "UTF-16": '{"a":1}'.encode("utf-16"),
            "deep": b'{"a":' * 1100,
            "a BOM": b"\xef\xbb\xbf" + payload,
        }
        for name, body in bodies.items():
            yield f"payload: {name}", self.signed(header, body)
            yield f"header: {name}", self.signed(body if name != "a BOM" else _bom(header), payload)
        for name in ("role", "exp", "aud", "org"):
            twice = payload[:-1] + b"," + compact({name: self.claims()[name]})[1:]
            yield f"{name} twice", self.signed(header, twice)

    def _signatures(self) -> Iterator[tuple[str, str]]:
        good = self.token()
        text, _, last = good.rpartition(".")
        raw = unb64(last)
        swapped = raw[32:] + raw[:32]
        r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
        yield from {
            "no signature": f"{text}.",
            "cut signature": f"{text}.{b64(raw[:-1])}",
            "half signature": f"{text}.{b64(raw[:32])}",
            "longer signature": f"{text}.{b64(raw + bytes(1))}",
            "zero signature": f"{text}.{b64(bytes(64))}",
            "full signature": f"{text}.{b64(_pair(2**256 - 1, 2**256 - 1))}",
            "swapped halves": f"{text}.{b64(swapped)}",
            "r beyond the order": f"{text}.{b64(_pair((r + N) % 2**256, s))}",
            "s beyond the order": f"{text}.{b64(_pair(r, (s + N) % 2**256))}",
            "DER": f"{text}.{b64(self.key.sign(text.encode(), ECDSA))}",
            "signature of another token": f"{text}.{self.token().rpartition('.')[2]}",
        }.items()
        for at in (0, 31, 32, 63):
            bad = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
            yield f"bit of byte {at} of the signature", f"{text}.{b64(bad)}"

    def _claims(self) -> Iterator[tuple[str, str]]:
        for name in self.claims():
            wrong: list[Any] = [DROP, None, "", [], {}, True, [self.claims()[name]]]
            for value in wrong:
                changed: dict[str, Any] = {name: value}
                what = "missing" if value is DROP else repr(value)
                yield f"{name} is {what}", self.token(**changed)
        now = int(utcnow().timestamp())
        times: dict[str, dict[str, Any]] = {
            "expired": {"iat": now - 600, "nbf": now - 600, "exp": now - 1},
            "expires now": {"iat": now - 600, "nbf": now - 600, "exp": now},
            "not yet": {"nbf": now + 60},
            "issued later": {"iat": now + 60, "nbf": now, "exp": now + 660},
            "lives too long": {"exp": now + 901},
            "lives for ever": {"exp": 2**63},
            "no life": {"exp": now, "iat": now},
            "backwards": {"iat": now + 20, "exp": now + 10},
            "exp with a fraction": {"exp": now + 600.5},
            "exp as text": {"exp": str(now + 600)},
            "exp is NaN": {"exp": float("nan")},
            "exp is endless": {"exp": float("inf")},
            "exp of 4000 digits": {"exp": 10**4000},
            "iat as text": {"iat": str(now)},
            "nbf with a fraction": {"nbf": now + 0.5},
        }
        other: dict[str, dict[str, Any]] = {
            "aud of another country": {"aud": f"{AUDIENCE}-me"},
            "aud among others": {"aud": ["x", AUDIENCE]},
            "iss of another country": {"iss": f"{ISSUER}:me"},
            "iss with a slash": {"iss": f"{ISSUER}/"},
            "sub with a line break": {"sub": "worker-7\n"},
            "sub too long": {"sub": "w" * 65},
            "sub with markup": {"sub": "<b>"},
            "role of nobody": {"role": "ROOT"},
            "role in small letters": {"role": "social_worker"},
            "org of no form": {"org": "all"},
            "org of everybody": {"org": "*"},
            "client with a line break": {"client_id": "tool\n"},
            "client as a list": {"client_id": ["tool"]},
        }
        for name, changes in (times | other).items():
            yield name, self.token(**changes)

    def _unsigned(self, **header: Any) -> str:
        return f"{b64(compact(self.header(**header)))}.{b64(compact(self.claims()))}"

    def twin(self, token: str) -> str:
        """Return the token with the other signature that the same key vouches for: (r, n - s)."""
        text, _, last = token.rpartition(".")
        raw = unb64(last)
        s = N - int.from_bytes(raw[32:])
        return f"{text}.{b64(raw[:32] + s.to_bytes(32))}"


ECDSA = ec.ECDSA(hashes.SHA256())


def _changed(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (members | changes).items() if value is not DROP}


def _raw(der: bytes, size: int = 32) -> bytes:
    return _pair(*decode_dss_signature(der), size)


def _pair(r: int, s: int, size: int = 32) -> bytes:
    return r.to_bytes(size) + s.to_bytes(size)


def _loose(part: str) -> str:
    """Return the same bytes in another spelling: the last letter has bits nobody reads."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"  # pragma: allowlist secret
    return part[:-1] + letters[letters.index(part[-1]) ^ 1]


def _bom(raw: bytes) -> bytes:
    return b"\xef\xbb\xbf" + raw
