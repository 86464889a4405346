"""Keys asked of an OpenID Connect provider: a real HTTP server here plays the provider."""

import contextlib
import errno
import gzip
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import structlog

from common import auth
from common import issuer as issuer_module
from common.auth import TokenVerifier, read_keys
from common.clock import Telling
from common.errors import UnauthorizedError, UnavailableError
from common.issuer import DISCOVERY, MAX_BYTES, RETRY_SECONDS, IssuerKeys
from prag.issuer import AUDIENCE, LocalIssuer
from tests.common.tokens import Forger
from tests.keycloak import asking, bearer
from tests.system.processes import poll

JWKS = "/jwks"
PATH = "/v1/organisations"
ROUND = [DISCOVERY, JWKS]
"""What is asked of a provider to learn its keys."""


class Provider(ThreadingHTTPServer):
    """Answers what it is told to and counts; an outage while not `is_open`."""

    daemon_threads = True

    def __init__(self, home: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        (home / "keys").mkdir(parents=True)
        self.local = LocalIssuer(home)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[str] = []
        self.own: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.is_open = True
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def key_set(self) -> bytes:
        return self.local.jwks_file.read_bytes()

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(path)
        if not self.is_open:
            return 503, {}, b""
        about = json.dumps({"issuer": self.url, "jwks_uri": self.url + JWKS}).encode()
        good = {DISCOVERY: about, JWKS: self.key_set()}
        return self.own.get(path) or (200, {}, good[path])

    def token(self, **changes: Any) -> str:
        return Forger(self.local).token(iss=self.url, **changes)


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        status, headers, body = self.server.answer(self.path)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # who asked has heard enough
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    with Provider(tmp_path / "provider") as made:
        yield made
        made.shutdown()


@pytest.fixture
def keys(provider: Provider) -> Iterator[IssuerKeys]:
    made = IssuerKeys(provider.url, read_keys).start()
    yield made
    made.close()


@pytest.fixture
def verifier(provider: Provider, keys: IssuerKeys) -> TokenVerifier:
    poll(lambda: keys.generation > 0)
    return TokenVerifier(keys, issuer=provider.url, audience=AUDIENCE)


class Clock:
    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(issuer_module, "monotonic", lambda: made.now)
    return made


def outcome(verifier: TokenVerifier, token: str) -> str:
    try:
        return verifier.verify(token).subject
    except (UnauthorizedError, UnavailableError) as error:
        return error.code


def becomes(verifier: TokenVerifier, token: str, wanted: str) -> None:
    poll(lambda: outcome(verifier, token) == wanted)


# --- the good way


def test_a_token_is_accepted_by_the_keys_the_provider_publishes(
    provider: Provider, verifier: TokenVerifier
) -> None:
    # Fails when keys are asked for with every token, or when none are.
    tokens = [provider.token() for _ in range(50)]

    assert {outcome(verifier, token) for token in tokens} == {"worker-7"}
    assert provider.asked == ROUND


def test_nobody_is_told_apart_before_the_first_answer(provider: Provider) -> None:
    # Fails when a token is called wrong although no key is known yet.
    keys = IssuerKeys(provider.url, read_keys)
    verifier = TokenVerifier(keys, issuer=provider.url, audience=AUDIENCE)

    assert outcome(verifier, provider.token()) == "unavailable"
    assert provider.asked == []


async def test_a_service_answers_503_until_the_provider_is_there(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when the setting is not wired, or a provider that is late is never asked again.
    monkeypatch.setattr(issuer_module, "FIRST_RETRY_SECONDS", 0.01)
    provider.is_open = False
    async with asking(provider.url, "referral", tmp_path / "referral") as client:
        poll(lambda: len(provider.asked) > 0)  # in vain
        answers = [await client.get(PATH, headers=bearer(provider.token()))]
        provider.is_open = True
        poll(lambda: JWKS in provider.asked)
        while answers[-1].status_code == 503:
            answers.append(await client.get(PATH, headers=bearer(provider.token())))

    assert (answers[0].status_code, answers[0].json()["code"]) == (503, "unavailable")
    assert answers[0].headers["Retry-After"]
    assert answers[-1].status_code == 200


def test_a_provider_that_was_never_there_is_asked_again_within_seconds(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when the pause grows to that of a provider whose keys are known: nobody can sign in yet.
    monkeypatch.setattr(issuer_module, "FIRST_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(issuer_module, "UNKNOWN_RETRY_SECONDS", 0.002)
    provider.is_open = False
    keys = IssuerKeys(provider.url, read_keys).start()

    poll(lambda: len(provider.asked) > 20, patience=20)
    keys.close()


# --- rotation


def test_a_new_key_is_asked_for_at_once_and_the_old_one_stays_while_it_is_published(
    provider: Provider, verifier: TokenVerifier
) -> None:
    # Fails when keys are asked for by the clock only, or replaced by the newest.
    before = provider.token()
    verifier.verify(before)
    provider.local.rotate()
    after = provider.token()

    assert outcome(verifier, after) == "unavailable"
    becomes(verifier, after, "worker-7")
    assert outcome(verifier, before) == "worker-7"
    assert provider.asked == ROUND * 2


def test_a_key_that_is_taken_away_stops_working_at_the_next_look(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when verified tokens or old keys outlive what the provider publishes.
    monkeypatch.setattr(issuer_module, "REFRESH_SECONDS", 0.02)
    monkeypatch.setattr(auth, "_CACHE_SECONDS", 3600)
    keys = IssuerKeys(provider.url, read_keys).start()
    verifier = TokenVerifier(keys, issuer=provider.url, audience=AUDIENCE)
    token = provider.token()
    becomes(verifier, token, "worker-7")
    provider.local.rotate()
    content = json.loads(provider.key_set())
    only_new = json.dumps({"keys": content["keys"][-1:]}).encode()

    provider.own[JWKS] = (200, {}, only_new)

    poll(lambda: outcome(verifier, token) != "worker-7")
    becomes(verifier, provider.token(), "worker-7")
    keys.close()


def test_a_storm_of_unknown_keys_asks_the_provider_once_in_thirty_seconds(
    provider: Provider, clock: Clock, verifier: TokenVerifier
) -> None:
    # Fails when whoever sends junk makes the provider work.
    forger = Forger(provider.local)
    storm = [forger.token({"kid": f"unknown-{n}"}, iss=provider.url) for n in range(500)]

    first = [outcome(verifier, token) for token in storm]
    becomes(verifier, storm[0], "unauthorized")
    later = {outcome(verifier, token) for token in storm}

    assert set(first) <= {"unauthorized", "unavailable"}
    assert later == {"unauthorized"}
    assert provider.asked == ROUND * 2
    assert outcome(verifier, provider.token()) == "worker-7"

    clock.now += RETRY_SECONDS
    outcome(verifier, storm[0])
    becomes(verifier, storm[0], "unauthorized")
    assert provider.asked == ROUND * 3


# --- outage


def test_known_keys_stay_good_for_a_day_without_the_provider(
    provider: Provider, clock: Clock, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when an outage of the provider is one of the services, or keys are believed for ever.
    monkeypatch.setattr(issuer_module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(issuer_module, "FIRST_RETRY_SECONDS", 0.01)
    provider.is_open = False
    clock.now += issuer_module.GOOD_SECONDS - 1
    outcome(verifier, Forger(provider.local).token({"kid": "unknown"}, iss=provider.url))
    poll(lambda: len(provider.asked) > len(ROUND) + 3)
    assert outcome(verifier, provider.token()) == "worker-7"

    clock.now += 2
    assert outcome(verifier, provider.token()) == "unavailable"

    provider.is_open = True
    becomes(verifier, provider.token(), "worker-7")


# --- answers not to be believed


Answer = tuple[int, dict[str, str], bytes]


def _bad(url: str = "", good: bytes = b"{}") -> dict[str, tuple[str, Answer]]:
    """Return what is answered under which path; but for one thing each would be right."""
    elsewhere = {"Location": f"{url}/elsewhere"}
    padded = json.dumps(json.loads(good) | {"x": "x" * MAX_BYTES}).encode()
    other = url.replace("127.0.0.1", "localhost") + JWKS

    def about(**changes: Any) -> tuple[str, Answer]:
        right = {"issuer": url, "jwks_uri": url + JWKS}
        return DISCOVERY, (200, {}, json.dumps(right | changes).encode())

    def keys(body: bytes, status: int = 200) -> tuple[str, Answer]:
        return JWKS, (status, {}, body)

    return {
        "an error": keys(good, 500),
        "nothing": keys(b"", 204),
        "a redirect": (JWKS, (302, elsewhere, good)),
        "a redirect of the description": (DISCOVERY, (302, elsewhere, b"")),
        "too long": keys(padded),
        "a description too long": about(x="x" * MAX_BYTES),
        "no JSON": keys(b"<html>"),
        "no UTF-8": keys(b"\xff"),
        "deep JSON": keys(b"[" * 100_000),
        "a list": keys(b"[" + good + b"]"),
        "compressed": (JWKS, (200, {"Content-Encoding": "gzip"}, gzip.compress(good))),
        "no keys": keys(b"{}"),
        "keys of no form": keys(b'{"keys": "abc"}'),
        "a key of no form": keys(b'{"keys": [{"alg": "ES256", "kid": "a"}]}'),
        "a key without id": keys(good.replace(b'"kid"', b'"id"')),
        "no key we may use": keys(good.replace(b'"ES256"', b'"ES512"')),
        "another issuer": about(issuer="https://login.example.org"),
        "the issuer with a slash": about(issuer=f"{url}/"),
        "no address": about(jwks_uri=None),
        "an address of no form": about(jwks_uri=[url + JWKS]),
        "a file": about(jwks_uri="file:///etc/hostname"),
        "in the clear from another machine": about(jwks_uri="http://192.0.2.1/jwks"),
        "another name of this machine": about(jwks_uri=other),
    }


@pytest.mark.parametrize("name", _bad())
def test_an_answer_not_to_be_believed_gives_no_key_and_takes_none_away(
    provider: Provider, name: str
) -> None:
    # Fails when an answer is followed or believed that should not be.
    keys = IssuerKeys(provider.url, read_keys)
    bad = dict([_bad(provider.url, provider.key_set())[name]])

    provider.own = bad
    assert not keys._fetch()
    with pytest.raises(UnavailableError):
        keys.refresh()

    provider.own = {}
    assert keys._fetch()
    verifier = TokenVerifier(keys, issuer=provider.url, audience=AUDIENCE)
    provider.own = bad
    assert not keys._fetch()
    assert outcome(verifier, provider.token()) == "worker-7"
    assert set(provider.asked) <= set(ROUND)


def test_with_which_status_the_provider_refuses_is_told(provider: Provider) -> None:
    # Fails when an operator is not told whether it knows no such realm or is broken, or that nobody
    # can sign in until it answers.
    keys = IssuerKeys(provider.url, read_keys)
    keys._telling = Telling(iter([0.0, 3.0, 3.0]).__next__)
    provider.own = {DISCOVERY: (404, {}, b"{}")}

    with structlog.testing.capture_logs() as told:
        keys._fetch()

    assert [(line["event"], line["type"], line["status"], line["count"]) for line in told] == [
        ("issuer.keys_wait", "status", 404, 0)
    ]


def test_an_answer_that_drips_is_given_up(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when only the single read has a deadline.
    monkeypatch.setattr(issuer_module, "_ANSWER_SECONDS", 0.0)

    assert not IssuerKeys(provider.url, read_keys)._fetch()


def test_nobody_listening_is_an_outage_and_no_fault(provider: Provider) -> None:
    # Fails when a refused connection ends the thread that asks.
    provider.server_close()

    assert not IssuerKeys(provider.url, read_keys)._fetch()


class FullDisk(io.StringIO):
    """A log of which no line can be written."""

    refused = 0

    def write(self, _: str) -> int:
        self.refused += 1
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_the_log_does_not_take_ends_no_asking(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when the thread dies of the line that tells of a wait, or of the one of keys that were
    # taken: nobody who signs in with a newer key is let in until a restart.
    monkeypatch.setattr(issuer_module, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(issuer_module, "UNKNOWN_RETRY_SECONDS", 0.01)
    before, disk = structlog.get_config(), FullDisk()
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=disk))
    keys = IssuerKeys(provider.url, read_keys)
    keys._telling = Telling(count(0, 20).__next__)  # at each try there is something to tell
    verifier = TokenVerifier(keys, issuer=provider.url, audience=AUDIENCE)
    provider.is_open = False
    try:
        keys.start()
        poll(lambda: disk.refused > 1)
        waits, provider.is_open = disk.refused, True
        becomes(verifier, provider.token(), "worker-7")
        poll(lambda: disk.refused > waits)

        provider.local.rotate()
        becomes(verifier, provider.token(), "worker-7")
        keys.close()
    finally:
        structlog.configure(**before)
