"""Two countries and a stranger, each with keys of its own, as letters between them need."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from common.clock import utcnow
from common.federation.directory import Directory, SignedEntry, next_entry
from common.federation.envelope import Letter
from common.federation.keys import SealingKey, SigningKey, VerifyBy
from tests.conftest import fixed_id


@dataclass(frozen=True)
class Land:
    """A country with its offline root, one key to be sealed to and one to sign with."""

    code: str
    root: SigningKey
    sealing: SealingKey
    signing: SigningKey
    chain: list[SignedEntry]

    @property
    def keys(self) -> dict[str, SealingKey]:
        return {self.sealing.public.kid: self.sealing}

    def extend(self, use: Any, kid: str, public: bytes | None, **times: Any) -> SignedEntry:
        """Sign and append the next entry of this country's chain."""
        begin = utcnow() - timedelta(days=1)
        valid = {"not_before": begin, "not_after": begin + timedelta(days=90)} | times
        entry = next_entry(self.chain, self.code, use, kid, public=public, **valid)
        self.chain.append(SignedEntry.of(entry, self.root))
        return self.chain[-1]


def land(code: str) -> Land:
    made = Land(
        code,
        SigningKey(SigningKey.generate()),
        SealingKey(SealingKey.generate()),
        SigningKey(SigningKey.generate()),
        [],
    )
    made.extend("seal", made.sealing.public.kid, made.sealing.public.raw)
    made.extend("sign", made.signing.public.kid, made.signing.public.raw)
    return made


def directory_of(*lands: Land) -> Directory:
    roots: dict[str, VerifyBy] = {each.code: each.root.public for each in lands}
    directory = Directory(roots)
    for each in lands:
        directory.add_all(entry.to_bytes() for entry in each.chain)
    return directory


def letter(sender: Land, recipient: Land, **fields: Any) -> Letter:
    told = {"age_group": "12-17", "sex": "FEMALE", "note": "Ana Marković, Ulica lipa 7"}
    content: dict[str, Any] = {
        "sender": sender.code,
        "recipient": recipient.code,
        "referral_id": REFERRAL,
        "number": 1,
        "kind": "offer",
        "body": told,
    }
    return Letter(**(content | fields))


REFERRAL: UUID = fixed_id(77)
