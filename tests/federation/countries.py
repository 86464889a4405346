"""Two countries and a stranger, each with keys of its own, as letters between them need."""

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from common.clock import utcnow
from common.events import canonical
from common.federation.custody import GENESIS, SignedStatement, Statement, digest_of
from common.federation.directory import Directory, SignedEntry, next_entry
from common.federation.envelope import Letter
from common.federation.keys import SealingKey, SigningKey, VerifyBy
from common.federation.peers import OWN, Descriptor, OwnKeys, seal_own_keys
from common.runtime import Runtime
from tests.conftest import fixed_id


@dataclass(frozen=True)
class Land:
    """A country with its offline root, one key to be sealed to and one to sign with."""

    code: str
    root: SigningKey
    sealing: SealingKey
    signing: SigningKey
    chain: list[SignedEntry]
    private: tuple[bytes, bytes] = (b"", b"")
    """The private halves of sealing and signing, as a country keeps them."""

    @property
    def own_keys(self) -> OwnKeys:
        return OwnKeys(self.keys, {self.signing.public.kid: self.signing})

    @property
    def descriptor(self) -> Descriptor:
        root = base64.b64encode(self.root.public.raw).decode()
        return Descriptor(country=self.code, root=root, entries=tuple(self.chain))

    def settle_in(self, runtime: Runtime, *peers: "Land", also: bytes | None = None) -> None:
        """Give this country's referral service its keys, and the descriptors of its peers.

        `also` is the private half of a second signing key.
        """
        settings = runtime.settings
        assert settings.peers_folder is not None
        assert settings.own_keys_file is not None
        settings.peers_folder.mkdir(exist_ok=True)
        (settings.peers_folder / OWN).write_bytes(self.descriptor.to_bytes())
        for each in peers:
            path = settings.peers_folder / f"{each.code}.json"
            path.write_bytes(each.descriptor.to_bytes())
        opening, signing = self.private
        sealed = seal_own_keys(
            runtime.master,
            runtime.name,
            opening=[opening],
            signing=[signing] if also is None else [signing, also],
        )
        settings.own_keys_file.write_bytes(sealed)

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


def land(code: str, *, since: datetime | None = None, days: int = 90) -> Land:
    """Return a country whose keys are valid from a day ago, or from `since`, for so many days."""
    opening, signing = SealingKey.generate(), SigningKey.generate()
    made = Land(
        code,
        SigningKey(SigningKey.generate()),
        SealingKey(opening),
        SigningKey(signing),
        [],
        (opening, signing),
    )
    begin = since or utcnow() - timedelta(days=1)
    times = {"not_before": begin, "not_after": begin + timedelta(days=days)}
    made.extend("seal", made.sealing.public.kid, made.sealing.public.raw, **times)
    made.extend("sign", made.signing.public.kid, made.signing.public.raw, **times)
    return made


def directory_of(*lands: Land) -> Directory:
    roots: dict[str, VerifyBy] = {each.code: each.root.public for each in lands}
    directory = Directory(roots)
    for each in lands:
        directory.add_all(entry.to_bytes() for entry in each.chain)
    return directory


def statement(sender: Land, recipient: Land, **fields: Any) -> Statement:
    """Return the first thing a country says of a referral, unless told otherwise."""
    content: dict[str, Any] = {
        "referral_id": REFERRAL,
        "author": sender.code,
        "peer": recipient.code,
        "number": 1,
        "kind": "offer",
        "digest": digest_of(WORDS),
        "previous": GENESIS,
    }
    return Statement(**(content | fields))


def letter(
    sender: Land, recipient: Land, body: dict[str, Any] | None = None, **fields: Any
) -> Letter:
    """Return a letter with these words, around a statement that is true of them."""
    words = WORDS if body is None else body
    said = SignedStatement.of(statement(sender, recipient, digest=digest_of(words)), sender.signing)
    return Letter.of(said, words).model_copy(update=fields)


def signed_anew(outer: dict[str, Any], by: Land) -> bytes:
    """Sign what is written on an envelope as the country `by` can, whatever it says."""
    unsigned = {name: part for name, part in outer.items() if name != "signature"}
    signature = by.signing.sign(b"prag-outer-v1|" + canonical(unsigned))
    return canonical({**unsigned, "signature": base64.b64encode(signature).decode()})


WORDS: dict[str, Any] = {
    "age_group": "12-17",
    "sex": "FEMALE",
    "note": "Ana Marković, Ulica lipa 7",
}
REFERRAL: UUID = fixed_id(77)
