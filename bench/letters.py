"""Between countries: sealing and signing a letter of 4 KB, opening and verifying it, in one process.

Beside it the same cryptography called with ready keys and ready bytes: HPKE over 4 KB, and the
Ed25519 signatures (two are made, three verified). What ours adds is JSON in its canonical form, the
letter's model, and the looking up of keys. No disk and no network.
"""

from collections.abc import Callable
from time import perf_counter

from bench.table import Row, Series
from common.federation.envelope import SIZES, Letter, open_envelope, seal
from common.federation.keys import SealingKey, SealTo, SigningKey, VerifyBy
from tests.federation.countries import directory_of, land, letter

_TIMES = 200
"""Per round; the value of a round is the p95 of so many."""
_NOTE = "Pronađena na granici bez dokumenata, traži da pozove sestru. " * 50


def measure(rounds: int) -> list[Row]:
    sender, recipient = land("RS"), land("XK")
    directory = directory_of(sender, recipient)
    written = letter(sender, recipient, body={"age_group": "12-17", "note": _NOTE})
    envelope = seal(written, by=sender.signing, to=recipient.sealing.public)
    bare = _Bare(sender.signing, recipient.sealing)

    def seal_ours() -> bytes:
        return seal(written, by=sender.signing, to=recipient.sealing.public)

    def open_ours() -> Letter:
        return open_envelope(envelope, country="XK", keys=recipient.keys, signer=directory.signer)

    contestants: dict[Series, Callable[[], object]] = {
        Series("seal and sign a letter of 4 KB, p95", "ms"): seal_ours,
        Series("bare HPKE and two signatures, p95", "ms"): bare.seal,
        Series("open and verify a letter of 4 KB, p95", "ms"): open_ours,
        Series("bare HPKE and three verifications, p95", "ms"): bare.open,
    }
    for number in range(rounds):
        for series, act in [*contestants.items()][:: -1 if number % 2 else 1]:
            series.values.append(_p95_ms(act))
        told = ", ".join(f"{series.name} {series.values[-1]:.2f} ms" for series in contestants)
        print(f"round {number + 1}  {told}", flush=True)
    sealed, bare_sealed, opened, bare_opened = contestants
    return [
        sealed.against(bare_sealed, value_at_most=2.0),
        opened.against(bare_opened, value_at_most=2.0),
    ]


class _Bare:
    """The cryptography alone, over as many bytes."""

    def __init__(self, signing: SigningKey, sealing: SealingKey) -> None:
        self._signing, self._sealing = signing, sealing
        self._verify: VerifyBy = signing.public
        self._to: SealTo = sealing.public
        self._plaintext = bytes(SIZES[0])
        self._sealed = self._to.encrypt(self._plaintext, info=b"bench")
        self._signature = signing.sign(self._plaintext)

    def seal(self) -> bytes:
        self._signing.sign(self._plaintext)
        sealed = self._to.encrypt(self._plaintext, info=b"bench")
        self._signing.sign(sealed)
        return sealed

    def open(self) -> bytes:
        for _ in range(3):
            if not self._verify.holds(self._signature, self._plaintext):
                raise RuntimeError("a signature of this run does not hold")
        return self._sealing.decrypt(self._sealed, info=b"bench")


def _p95_ms(act: Callable[[], object]) -> float:
    delays = []
    for _ in range(_TIMES):
        began = perf_counter()
        act()
        delays.append(perf_counter() - began)
    return sorted(delays)[_TIMES * 95 // 100] * 1000
