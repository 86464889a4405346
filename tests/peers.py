"""Countries that know each other: descriptors in each one's folder, and each service's private keys."""

import base64
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from common.clock import utcnow
from common.federation.directory import SignedEntry, Use, next_entry
from common.federation.keys import SealingKey, SigningKey
from common.federation.peers import OWN, Descriptor, seal_own_keys
from common.runtime import Runtime

VALID = timedelta(days=90)


@dataclass
class Keeper:
    """Keeps the offline root of a country and the private halves of the keys in its chain."""

    country: str
    root: SigningKey = field(default_factory=lambda: SigningKey(SigningKey.generate()))
    chain: list[SignedEntry] = field(default_factory=list)
    packages: list[bytes] = field(default_factory=list)
    """Private halves with which intake opens what was sealed to it, the oldest first."""

    def add(self, use: Use, public: bytes, kid: str, *, since: datetime | None = None) -> None:
        begin = since or utcnow() - timedelta(days=1)
        entry = next_entry(
            self.chain,
            self.country,
            use,
            kid,
            public=public,
            not_before=begin,
            not_after=begin + VALID,
        )
        self.chain.append(SignedEntry.of(entry, self.root))

    def new_package_key(self, *, since: datetime | None = None) -> SealingKey:
        """Make and announce a key for packages."""
        raw = SealingKey.generate()
        key = SealingKey(raw)
        self.packages.append(raw)
        self.add("package", key.public.raw, key.public.kid, since=since)
        return key

    def revoke(self, key: SealingKey) -> None:
        """Announce that a key fell into other hands, and hold its private half no more."""
        now, kid = utcnow(), key.public.kid
        entry = next_entry(
            self.chain, self.country, "revoke", kid, public=None, not_before=now, not_after=now
        )
        self.chain.append(SignedEntry.of(entry, self.root))
        self.packages = [raw for raw in self.packages if SealingKey(raw).public.kid != kid]

    @property
    def descriptor(self) -> Descriptor:
        root = base64.b64encode(self.root.public.raw).decode()
        return Descriptor(country=self.country, root=root, entries=tuple(self.chain))

    def settle_in(self, runtime: Runtime, *peers: "Keeper") -> None:
        """Give a service of this country its keys and the descriptors of its peers."""
        settings = runtime.settings
        assert settings.peers_folder is not None
        assert settings.own_keys_file is not None
        settings.peers_folder.mkdir(exist_ok=True)
        for each in (self, *peers):
            name = OWN if each is self else f"{each.country}.json"
            (settings.peers_folder / name).write_bytes(each.descriptor.to_bytes())
        sealed = seal_own_keys(runtime.master, runtime.name, opening=self.packages, signing=[])
        settings.own_keys_file.write_bytes(sealed)


@cache
def keeper(country: str) -> Keeper:
    """Return a country with one key for packages, and one to sign with; drawing keys takes a while."""
    made = Keeper(country)
    made.new_package_key(since=BEGAN)
    signing = SigningKey(SigningKey.generate()).public
    made.add("sign", signing.raw, signing.kid, since=BEGAN)
    return made


BEGAN = datetime.fromisoformat("2026-10-01T00:00:00+00:00")
"""Before the days on which the tests play; the key holds for three months from then."""
