"""Tokens (T27): what is not exactly right is refused, and every refusal looks the same."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from common import auth, clock
from common.auth import KeySet, Principal, TokenVerifier
from common.errors import UnauthorizedError, UnavailableError
from prag.issuer import AUDIENCE, ISSUER, LocalIssuer
from tests.common.things import ORGANISATION
from tests.common.tiny import ROLE, Tiny
from tests.common.tokens import Forger, b64, compact, unb64

ENDPOINTS = [
    ("GET", "/v1/things"),
    ("GET", "/v1/things/00000000-0000-0000-0000-000000000001"),
    ("GET", "/v1/changes"),
    ("POST", "/v1/things"),
    ("POST", "/v1/things/00000000-0000-0000-0000-000000000001/move"),
]


@pytest.fixture
def issuer(tmp_path: Path) -> LocalIssuer:
    (tmp_path / "keys").mkdir()
    return LocalIssuer(tmp_path)


@pytest.fixture
def forger(issuer: LocalIssuer) -> Forger:
    return Forger(issuer)


@pytest.fixture
def verifier(issuer: LocalIssuer) -> TokenVerifier:
    return TokenVerifier(KeySet(issuer.jwks_file), issuer=ISSUER, audience=AUDIENCE)


def is_refused(verifier: TokenVerifier, token: str) -> bool:
    try:
        verifier.verify(token)
    except UnauthorizedError as error:
        return (error.code, error.members) == ("unauthorized", {}) and error.__cause__ is None
    return False


class Watch:
    """Counts what this process opens or calls while `seen` is a list. A hook cannot be removed."""

    seen: list[str] | None = None

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.seen is not None and event in {
            "open",
            "socket.connect",
            "socket.getaddrinfo",
            "urllib.Request",
            "subprocess.Popen",
            "sqlite3.connect",
        }:
            self.seen.append(f"{event} {arguments[0]}")


WATCH = Watch()


@contextmanager
def watched() -> Iterator[list[str]]:
    if not getattr(sys, "_prag_watch", False):
        sys.addaudithook(WATCH)
        sys._prag_watch = True  # type: ignore[attr-defined]
    seen: list[str] = []
    WATCH.seen = seen
    try:
        yield seen
    finally:
        WATCH.seen = None


# --- what is right


def test_the_issuers_token_names_its_caller(issuer: LocalIssuer, verifier: TokenVerifier) -> None:
    # Fails when a claim is mixed up with another.
    token = issuer.token("DPO", ORGANISATION, "worker-7", client_id="case-tool")

    assert verifier.verify(token) == Principal("worker-7", ORGANISATION, "DPO", "case-tool")


def test_the_forgers_good_token_is_good(forger: Forger, verifier: TokenVerifier) -> None:
    # Without this the mutants below might all be refused for a reason they share.
    for token in (
        forger.token(),
        forger.token(more="x" * 4000),
        forger.token(iat=int(clock.utcnow().timestamp()) + 29),
        forger.token(nbf=int(clock.utcnow().timestamp()) + 29),
        forger.token(exp=int(clock.utcnow().timestamp()) + 900),
        forger.token(client_id="case-tool"),
    ):
        assert verifier.verify(token).subject == "worker-7"


# --- what is not


def test_every_mutant_is_refused_and_opens_nothing(forger: Forger, verifier: TokenVerifier) -> None:
    # Fails when a member of the header is followed, or a claim is not demanded; the name says which.
    mutants = list(forger.mutants())
    verifier.verify(forger.token())

    with watched() as opened:
        accepted = [name for name, token in mutants if not is_refused(verifier, token)]

    assert accepted == []
    assert opened == []
    assert len(mutants) >= 200


def test_the_watch_sees_what_is_opened(tmp_path: Path) -> None:
    # Without this, "opens nothing" might mean that nobody looked.
    with watched() as opened:
        (tmp_path / "x").write_text("")

    assert opened == [f"open {tmp_path / 'x'}"]


async def test_every_mutant_gets_the_same_answer_over_http(tiny_sqlite: Tiny) -> None:
    # Fails when the reason shows in status, body or header, or a body is read before the caller is known.
    tiny, forger = tiny_sqlite, Forger(tiny_sqlite.issuer)
    headers = {name: f"Bearer {token}" for name, token in forger.mutants() if token.isascii()}
    good = forger.token()
    headers |= {
        "another scheme": f"Basic {good}",
        "no scheme": good,
        "no token": "Bearer",
        "a blank": "Bearer ",
        "two blanks": f"Bearer  {good}",
        "two tokens": f"Bearer {good}, Bearer {good}",
        "a quoted token": f'Bearer "{good}"',
    }
    answers = set()
    await tiny.client.get("/v1/things", headers={"Authorization": f"Bearer {good}"})
    await tiny.client.get("/v1/things")  # reads the catalogue of messages

    with watched() as opened:
        for number, (name, value) in enumerate(headers.items()):
            method, path = ENDPOINTS[number % len(ENDPOINTS)]
            if "\n" in value:
                continue  # no client can send it
            response = await tiny.client.request(
                method, path, headers={"Authorization": value}, content=b"{"
            )
            assert response.status_code == 401, name
            body = response.json()
            assert body.pop("trace_id")
            kept = {k: v for k, v in response.headers.items() if k != "trace-id"}
            answers.add(json.dumps([body, kept], sort_keys=True))
    anonymous = [await tiny.client.request(method, path) for method, path in ENDPOINTS]

    assert len(answers) == 1
    assert '"www-authenticate": "Bearer"' in answers.pop()
    assert opened == []
    assert {r.status_code for r in anonymous} == {401}


async def test_a_token_in_the_url_is_no_token(tiny_sqlite: Tiny) -> None:
    # Fails when the query is looked at: URLs end in logs.
    token = tiny_sqlite.issuer.token(ROLE, ORGANISATION, "worker-7")

    response = await tiny_sqlite.client.get(f"/v1/things?access_token={token}")

    assert response.status_code == 401


def test_the_other_signature_of_a_token_is_the_same_token(
    issuer: LocalIssuer, forger: Forger, verifier: TokenVerifier
) -> None:
    # (r, n - s) is right wherever (r, s) is, and issuers send either. Fails when a revocation or a
    # cached answer goes by the token's bytes.
    token = forger.token(jti="one")
    twin = forger.twin(token)
    assert twin != token
    assert verifier.verify(twin) == verifier.verify(token)

    issuer.revoke("one")

    assert is_refused(verifier, token)
    assert is_refused(verifier, twin)


def test_a_signed_token_with_another_payload_is_refused_though_the_first_was_cached(
    forger: Forger, verifier: TokenVerifier
) -> None:
    # Fails when the cache goes by a part of the token.
    token = forger.token()
    verifier.verify(token)
    header, payload, signature = token.split(".")
    claims = json.loads(unb64(payload)) | {"role": "NATIONAL_COORDINATOR"}

    assert is_refused(verifier, f"{header}.{b64(compact(claims))}.{signature}")


# --- keys, revocation, time


def test_a_new_key_is_known_at_once_and_the_old_one_until_it_is_taken_away(
    issuer: LocalIssuer, verifier: TokenVerifier
) -> None:
    # Fails when keys are read once, or a key that is gone still opens.
    before = issuer.token(ROLE, ORGANISATION, "worker-7")
    verifier.verify(before)
    issuer.rotate()
    after = issuer.token(ROLE, ORGANISATION, "worker-7")
    assert verifier.verify(after) == verifier.verify(before)

    content = json.loads(issuer.jwks_file.read_text())
    content["keys"] = content["keys"][-1:]
    issuer.jwks_file.write_text(json.dumps(content))

    assert is_refused(verifier, before)
    verifier.verify(after)


def test_a_revoked_token_is_refused_at_the_next_request(
    issuer: LocalIssuer, forger: Forger, verifier: TokenVerifier
) -> None:
    # Fails when a verified token is kept beyond its revocation.
    revoked, other = forger.token(jti="gone"), forger.token(jti="stays")
    for token in (revoked, other):
        verifier.verify(token)

    issuer.revoke("gone")

    assert is_refused(verifier, revoked)
    verifier.verify(other)


def test_a_change_within_one_tick_of_the_clock_is_seen(
    issuer: LocalIssuer, forger: Forger, verifier: TokenVerifier
) -> None:
    # Fails when a change is told by the file's time alone.
    status = issuer.jwks_file.stat()
    token = forger.token(jti="gone")
    verifier.verify(token)

    issuer.revoke("gone")
    os.utime(issuer.jwks_file, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert is_refused(verifier, token)


def test_a_cached_token_ends_when_it_expires(forger: Forger, verifier: TokenVerifier) -> None:
    # Fails when the cache outlives the token.
    now = clock.utcnow()
    token = forger.token(exp=int(now.timestamp()) + 30)
    verifier.verify(token)

    clock.set_source(lambda: now + timedelta(seconds=29))
    verifier.verify(token)
    clock.set_source(lambda: now + timedelta(seconds=31))
    assert is_refused(verifier, token)


def test_a_token_is_verified_again_after_a_minute_and_the_cache_is_bounded(
    forger: Forger, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when every token ever seen is kept, or one for ever.
    now = [1000.0]
    monkeypatch.setattr(auth, "monotonic", lambda: now[0])
    monkeypatch.setattr(auth, "_CACHE_SIZE", 5)
    token = forger.token()
    first = verifier.verify(token)
    assert verifier.verify(token) is first

    now[0] += 61
    assert verifier.verify(token) is not first
    for _ in range(20):
        verifier.verify(forger.token())
    assert len(verifier._verified) == 5


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"keys": [{"alg": "ES256"}]}'])
def test_while_the_keys_cannot_be_read_nobody_is_told_that_their_token_is_wrong(
    issuer: LocalIssuer, forger: Forger, verifier: TokenVerifier, content: bytes | None
) -> None:
    # Fails when a file half written looks like a wrong token, or the last keys go on for ever.
    token = forger.token()
    verifier.verify(token)
    kept = issuer.jwks_file.read_bytes()
    issuer.jwks_file.unlink()
    if content is not None:
        issuer.jwks_file.write_bytes(content)

    with pytest.raises(UnavailableError):
        verifier.verify(token)

    issuer.jwks_file.write_bytes(kept)
    verifier.verify(token)


def test_a_key_of_another_algorithm_in_the_set_is_not_used(
    issuer: LocalIssuer, forger: Forger, verifier: TokenVerifier
) -> None:
    # Fails when the set's keys are taken whatever they are for.
    content = json.loads(issuer.jwks_file.read_text())
    content["keys"] = [k | {"alg": "HS256", "kty": "oct", "k": "AAAA"} for k in content["keys"]]
    issuer.jwks_file.write_text(json.dumps(content))

    assert is_refused(verifier, forger.token())
