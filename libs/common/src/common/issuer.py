"""The public keys of an OpenID Connect provider, asked of it over HTTPS and kept in memory.

A thread of its own asks; whoever verifies a token only looks at what is held. So a provider that
is slow or away slows nobody down, and its known keys stay good for a day.
"""

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import structlog

from common.clock import Telling, monotonic
from common.errors import UnavailableError
from common.settings import may_be_asked

if TYPE_CHECKING:
    import httpx

logger = structlog.get_logger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
REFRESH_SECONDS = 300.0
RETRY_SECONDS = 30.0
"""While the provider is away; and how long after an unknown key id the next may ask again."""
FIRST_RETRY_SECONDS = 1.0
UNKNOWN_RETRY_SECONDS = 5.0
"""At most, as long as it has never answered: nobody can sign in."""
GOOD_SECONDS = 24 * 3600.0
"""How long keys are believed after the provider last confirmed them."""
MAX_BYTES = 256 * 1024
_ANSWER_SECONDS = 10.0
_STEP_SECONDS = 5.0

Read = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class IssuerError(Exception):
    """The provider's answer is not one to be believed; the text is one of a fixed few."""

    def __init__(self, what: str, status: int | None = None) -> None:
        """`status` is that of an answer which was none of success."""
        super().__init__(what)
        self.status = status


def fetch_key_set(issuer: str, client: "httpx.Client") -> dict[str, Any]:
    """Return the JWK set of the provider; IssuerError or httpx.HTTPError without one."""
    if not may_be_asked(issuer):
        raise IssuerError("address")
    about = _get(client, issuer.removesuffix("/") + DISCOVERY)
    if about.get("issuer") != issuer:
        raise IssuerError("issuer")
    address = about.get("jwks_uri")
    if not isinstance(address, str) or not may_be_asked(address):
        raise IssuerError("jwks_uri")
    keys, home = urlsplit(address), urlsplit(issuer)
    if keys.scheme != "https" and _origin(keys) != _origin(home):
        raise IssuerError("jwks_uri")
    return _get(client, address)


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port


def _get(client: "httpx.Client", address: str) -> dict[str, Any]:
    """Return a JSON object; an answer that is long, late, compressed or elsewhere is refused."""
    deadline, raw = monotonic() + _ANSWER_SECONDS, b""
    with client.stream("GET", address) as answer:
        if answer.status_code != HTTPStatus.OK:
            raise IssuerError("status", answer.status_code)
        for chunk in answer.iter_raw():
            raw += chunk
            if len(raw) > MAX_BYTES or monotonic() > deadline:
                raise IssuerError("size")
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        raise IssuerError("json") from None
    if not isinstance(content, dict):
        raise IssuerError("json")
    return content


@dataclass(frozen=True, slots=True)
class _Held:
    """What the provider last said; replaced as a whole, so that a reader needs no lock."""

    published: Any
    keys: Mapping[str, Any]
    confirmed_at: float


class IssuerKeys:
    """The provider's present keys. Asks at once, every few minutes, and when a key is unknown."""

    def __init__(self, issuer: str, read: Read) -> None:
        """`read` turns a JWK set into keys by their id, ValueError if it is none."""
        self.generation = 0
        self._issuer = issuer
        self._read = read
        self._held: _Held | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._is_asked = False
        self._next_ask = 0.0
        self._telling: Telling | None = None
        """Of the wait that is under way."""
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="issuer-keys", daemon=True)

    def start(self) -> "IssuerKeys":
        """Begin to ask; before the first answer nobody can be told apart."""
        self._thread.start()
        return self

    def close(self) -> None:
        self._is_closed = True
        self._wake.set()
        self._thread.join()

    def refresh(self) -> None:
        """Raise UnavailableError if no keys are held, or none the provider confirmed of late."""
        held = self._held
        if held is None or monotonic() > held.confirmed_at + GOOD_SECONDS:
            raise UnavailableError("unavailable")

    def key(self, kid: str) -> Any:  # noqa: ANN401  python-jose's key type is private
        """Return the key, None if there is none; UnavailableError while the provider is asked."""
        held = self._held
        key = held.keys.get(kid) if held else None
        if key is None and self._ask():
            raise UnavailableError("unavailable")
        return key

    def is_revoked(self, token_id: str) -> bool:  # noqa: ARG002
        """Return False: providers publish no list, and their tokens live for minutes."""
        return False

    def age(self) -> float | None:
        held = self._held
        return None if held is None else monotonic() - held.confirmed_at

    def _ask(self) -> bool:
        """Have the provider asked, unless that was done just now; tell whether an answer is due."""
        with self._lock:
            if not self._is_asked and monotonic() >= self._next_ask:
                self._is_asked = True
                self._next_ask = monotonic() + RETRY_SECONDS
                self._wake.set()
            return self._is_asked

    def _run(self) -> None:
        wait = FIRST_RETRY_SECONDS
        while True:
            self._wake.clear()
            if self._is_closed:  # looked at after the clearing, which may have undone the waking
                return
            is_known = False
            # Whatever a round ends with, another follows; of a line that the log does not take nothing
            # can be told.
            with suppress(Exception):
                is_known = self._fetch()
            if is_known:
                rest, wait = REFRESH_SECONDS, FIRST_RETRY_SECONDS
            else:
                most = RETRY_SECONDS if self._held else UNKNOWN_RETRY_SECONDS
                rest, wait = wait, min(wait * 2, most)
            with self._lock:
                # Asked for while the provider was already answering: that answer may be too old.
                self._is_asked = self._wake.is_set()
            self._wake.wait(rest)

    def _fetch(self) -> bool:
        try:
            content = fetch_key_set(self._issuer, self._client)
            keys = self._read(content)
            if not keys:
                raise IssuerError("keys")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001  whatever was answered, the known keys stay
            reason = str(error) if isinstance(error, IssuerError) else type(error).__name__
            self._telling = self._telling or Telling()
            if self._telling.is_due():
                told = getattr(error, "status", None)
                logger.warning(
                    "issuer.keys_wait",
                    error=type(error).__name__,
                    type=reason,
                    **({"status": told} if told else {}),
                    count=len(self._held.keys) if self._held else 0,
                    server=self._issuer,
                    setting="PRAG_OIDC_ISSUER",
                )
            return False
        self._telling = None
        self._take(_Held(content["keys"], keys, monotonic()))
        return True

    @cached_property
    def _client(self) -> "httpx.Client":
        """Made once, for reading the machine's certificates takes longer than all the rest."""
        import httpx  # noqa: PLC0415  where the keys are in a file nobody needs it

        return httpx.Client(
            timeout=_STEP_SECONDS,
            follow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            limits=httpx.Limits(max_keepalive_connections=0),
            mounts={"http://": None},  # it never leaves this machine, so it goes through no proxy
        )

    def _take(self, new: _Held) -> None:
        old, self._held = self._held, new
        if old is None or old.published != new.published:
            self.generation += 1
            logger.info("issuer.keys_taken", count=len(new.keys))
