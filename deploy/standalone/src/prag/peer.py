"""`prag peer`: the keys by which a country is known to others, and the countries it exchanges with.

The root signs the country's keys and nothing else. It belongs on a medium that is plugged in for these
commands and locked away between them; a machine that runs the services has no use of it.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from common.clock import utcnow
from common.federation.directory import (
    GRACE,
    DirectoryError,
    SignedEntry,
    Use,
    next_entry,
)
from common.federation.keys import SealingKey, SigningKey, kid_of
from common.federation.peers import (
    OWN,
    REMOVED,
    Descriptor,
    check_own_keys,
    directory_of,
    read_descriptor,
    read_own_keys,
    seal_own_keys,
)
from common.sealing import MasterKey
from common.settings import SettingError
from prag.files import FOLDER_MODE, is_private, sync_folder, write_private
from prag.folder import one_at_a_time
from prag.keys import check_keys
from prag.manifest import Layout, TroubleError, read_manifest

SEALING_DAYS, SIGNING_DAYS = 100, 400
"""How long a key is used: sealing keys are renewed each quarter, signing keys each year."""
LEAD_DAYS = 14
"""A new key is published so long before it is used, that every peer has it by then."""
WARN_DAYS = 14
_OPENING: dict[str, Use] = {"referral": "seal", "intake": "package"}
"""What each service opens with a key of its own."""
_REFUSALS = {
    "malformed": "it is no descriptor, or was damaged on its way",
    "signature": "an entry is not signed by the root it names",
    "fork": "two entries claim one place in the chain: its root is in two hands",
    "gap": "an entry is missing",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a country keeps its keys for others, and their descriptors."""

    country: str
    master: MasterKey
    keys: Path
    """The folder of `intake.peer` and `referral.peer`: what each service opens and signs with."""
    peers: Path

    def own_keys(self, service: str) -> Path:
        return self.keys / f"{service}.peer"


def place_of(home: Path) -> Place:
    """Return the place of a standalone instance; TroubleError where there is none."""
    manifest = read_manifest(home)
    if manifest is None:
        raise TroubleError(f"{home} holds no instance yet. Start one first: prag up")
    files = Layout(home.absolute())
    return Place(manifest.country, check_keys(files, manifest), files.keys, files.peers)


def place_of_secrets(folder: Path, country: str) -> Place:
    """Return the place of a country in containers: the folder of its secrets, with `master.key`.

    TroubleError for a folder that is another country's.
    """
    folder = folder.absolute()
    try:
        master = MasterKey.from_file(folder / "master.key")
    except OSError as error:
        raise TroubleError(
            f"{folder / 'master.key'} cannot be used: {error.strerror or error}."
        ) from None
    place = Place(country, master, folder, folder / "peers")
    if (place.peers / OWN).exists() and (owner := own_descriptor(place).country) != country:
        raise TroubleError(
            f"The keys in {place.peers} are {owner}'s, and PRAG_COUNTRY says {country}."
        )
    return place


@one_at_a_time
def init(place: Place, root_file: Path) -> Descriptor:
    """Make this country's root, in `root_file`, and its first keys; return its descriptor."""
    if (place.peers / OWN).exists():
        raise TroubleError(f"{place.country} has its keys already. To renew them: prag peer rotate")
    if root_file.exists():
        raise TroubleError(f"{root_file} exists already. Name a new file for the root.")
    if root_file.absolute().is_relative_to(place.peers.parent):
        raise TroubleError(
            "The root must not lie beside the keys it signs: name a file on a medium that is taken "
            "away."
        )
    raw = SigningKey.generate()
    write_private(root_file, base64.b64encode(raw) + b"\n")
    return _issue(place, SigningKey(raw), [], begin=utcnow())


@one_at_a_time
def rotate(place: Place, root_file: Path, *, days: int = LEAD_DAYS) -> Descriptor:
    """Publish new keys that are used in `days`; return the descriptor that the peers must be given.

    Sooner where the old ones end before: what a country says while it has no key is never signed.
    What was sealed to the old ones opens until 30 days after their end; then their private halves are
    destroyed by the next rotation.
    """
    own, root = _own_root(place, root_file)
    require_own_keys(place)  # a lost one would be used on until the new ones begin
    now = utcnow()
    begin = max(now, min(now + timedelta(days=days), ends(own)))
    return _issue(place, root, list(own.entries), begin=begin)


@one_at_a_time
def revoke(place: Place, root_file: Path) -> Descriptor:
    """End all keys that count, for a machine that fell into other hands, and issue new ones at once.

    Also those that ended within GRACE: they would count on for the rest of it.

    What was signed with the old ones from now on counts as nobody's, as soon as a peer has the new
    descriptor: it must be brought there today. What was sealed to them still opens here.
    """
    own, root = _own_root(place, root_file)
    chain, now = list(own.entries), utcnow()
    ended = {each.entry.kid for each in chain if each.entry.use == "revoke"}
    for entry in [each.entry for each in own.entries]:
        counts = entry.use != "revoke" and entry.not_after + GRACE > now
        if counts and entry.kid not in ended:
            end = next_entry(
                chain,
                place.country,
                "revoke",
                entry.kid,
                public=None,
                not_before=now,
                not_after=now,
            )
            chain.append(SignedEntry.of(end, root))
    return _issue(place, root, chain, begin=now)


@one_at_a_time
def add(place: Place, file: Path, fingerprint: str | None) -> Descriptor:
    """Take a country's descriptor in, or its newer one; `fingerprint` is what it said in person.

    TroubleError, and nothing changed, for one that does not hold, that another root signed, or that
    is older than what is known.
    """
    descriptor = read_given(file)
    country = descriptor.country
    if country == place.country:
        raise TroubleError(f"{file} is this country's own descriptor.")
    known, removed = _known(place, country), place.peers / _removed_of(country)
    if known is None or known.root != descriptor.root:
        _require_fingerprint(descriptor, fingerprint, is_known=known is not None)
    seen = _read(removed) if known is None and removed.exists() else known
    is_same = seen is not None and seen.root == descriptor.root
    if seen and is_same and descriptor.entries[: len(seen.entries)] != seen.entries:
        raise TroubleError(
            f"{file} is older than what is known of {country}, or another chain. Nothing was changed. "
            f"Where {country} put an older backup of its keys back, it needs what is known here: "
            f"prag peer show {country}, and there prag peer restore"
        )
    write_descriptor(place, _file_of(country), descriptor)
    removed.unlink(missing_ok=True)
    return descriptor


@one_at_a_time
def remove(place: Place, country: str) -> None:
    """Exchange no more with a country; what it sends is not opened and what is for it waits.

    Nothing is lost: taken in again, it sends what was not heard, and is sent what waited. What was seen
    of its keys stays known: an older descriptor, in which a key that it revoked counts, is not taken.
    """
    path = place.peers / _file_of(country)
    if not path.exists():
        raise TroubleError(f"{country} is no peer of this country.")
    path.replace(place.peers / _removed_of(country))
    sync_folder(place.peers)


def own_descriptor(place: Place) -> Descriptor:
    """Return this country's own; TroubleError before `init`."""
    if not (place.peers / OWN).exists():
        raise TroubleError("This country has no keys for others yet. Make them: prag peer init")
    return _read(place.peers / OWN)


def peer_descriptor(place: Place, country: str) -> Descriptor:
    """Return what is known of a peer, for it too, should it have lost its own."""
    known = _known(place, country)
    if known is None:
        raise TroubleError(f"{country} is no peer of this country.")
    return known


def list_peers(place: Place) -> list[Descriptor]:
    """Return the peers by country; this one's own is not among them."""
    return [_read(path) for path in sorted(place.peers.glob("*.json")) if path.name != OWN]


def ends(descriptor: Descriptor) -> datetime:
    """Return until when a country can be written to with the keys of its descriptor."""
    last = directory_of([descriptor]).ends(descriptor.country)
    return min(last[use] for use in ("seal", "package", "sign"))


def warnings(peers: Path) -> list[str]:
    """Return what the operator must be told at a start: keys that end soon, ours and the peers'."""
    soon = utcnow() + timedelta(days=WARN_DAYS)
    lines = []
    for path in sorted(peers.glob("*.json")) if peers.is_dir() else ():
        descriptor = _read(path)
        if ends(descriptor) < soon:
            is_own = path.name == OWN
            mend = "Run: prag peer rotate" if is_own else "Ask it for its new descriptor"
            lines.append(
                f"The keys of {descriptor.country} end on {ends(descriptor):%Y-%m-%d}. {mend}."
            )
    return lines


def require_own_keys(place: Place) -> None:
    """TroubleError where a service could not open what is sealed to this country."""
    if not (place.peers / OWN).exists():
        return
    for service in _OPENING:
        file = place.own_keys(service)
        try:
            check_own_keys(place.peers, file, place.master, service)
        except SettingError as error:
            raise TroubleError(f"{file} cannot be used: {error}.") from None
        except OSError as error:
            either = f"{file} or {place.peers / OWN}"
            raise TroubleError(f"{either} cannot be read: {error.strerror}.") from None


# --- pieces


def read_given(file: Path) -> Descriptor:
    """Return the descriptor in a file somebody brought; TroubleError says why it is not taken."""
    try:
        return read_descriptor(file.read_bytes())
    except OSError as error:
        raise TroubleError(f"{file} cannot be read: {error.strerror}.") from None
    except DirectoryError as error:
        words = _REFUSALS.get(error.reason, error.reason)
        raise TroubleError(f"{file} is not taken: {words}.") from None


def _issue(
    place: Place, root: SigningKey, chain: list[SignedEntry], *, begin: datetime
) -> Descriptor:
    """Make and sign new keys; the private halves are on the disk before anybody hears of them."""
    country = place.country
    for service, use in _OPENING.items():
        raw = SealingKey.generate()
        public = SealingKey(raw).public.raw
        signing = [SigningKey.generate()] if use == "seal" else []
        _keep(place, service, chain, opening=raw, signing=signing)
        _append(chain, root, country, use, public=public, begin=begin)
        for each in signing:
            public = SigningKey(each).public.raw
            _append(chain, root, country, "sign", public=public, begin=begin)
    descriptor = Descriptor(
        country=country,
        root=base64.b64encode(root.public.raw).decode(),
        entries=tuple(chain),
    )
    write_descriptor(place, OWN, descriptor)
    return descriptor


def _append(
    chain: list[SignedEntry],
    root: SigningKey,
    country: str,
    use: Use,
    *,
    public: bytes,
    begin: datetime,
) -> None:
    entry = next_entry(
        chain,
        country,
        use,
        kid_of(public),
        public=public,
        not_before=begin,
        not_after=begin + timedelta(days=SIGNING_DAYS if use == "sign" else SEALING_DAYS),
    )
    chain.append(SignedEntry.of(entry, root))


def _keep(
    place: Place,
    service: str,
    chain: Sequence[SignedEntry],
    *,
    opening: bytes,
    signing: list[bytes],
) -> None:
    """Add new private halves to a service's file, and leave out those whose time is over."""
    path = place.own_keys(service)
    now = utcnow()
    over = {each.entry.kid for each in chain if each.entry.not_after + GRACE < now}
    try:
        held = read_own_keys(path, place.master, service)
    except ValueError as error:
        raise TroubleError(f"{error}. Put it back from the backup of the keys.") from None
    sealed = seal_own_keys(
        place.master,
        service,
        opening=[key.raw for kid, key in held.opening.items() if kid not in over] + [opening],
        signing=[key.raw for kid, key in held.signing.items() if kid not in over] + signing,
    )
    write_private(path, sealed)


def _own_root(place: Place, root_file: Path) -> tuple[Descriptor, SigningKey]:
    own, root = own_descriptor(place), read_root(root_file)
    if base64.b64encode(root.public.raw).decode() != own.root:
        raise TroubleError(f"{root_file} is not the root of this country.")
    return own, root


def read_root(file: Path) -> SigningKey:
    """Return the root that a file holds; TroubleError where there is none, or others may read it."""
    try:
        if not is_private(file):
            raise TroubleError(f"Others may read {file}. Run: chmod 600 {file}")
        return SigningKey(base64.b64decode(file.read_text().strip(), validate=True))
    except OSError as error:
        raise TroubleError(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, binascii.Error):
        raise TroubleError(f"{file} holds no root.") from None


def _known(place: Place, country: str) -> Descriptor | None:
    path = place.peers / _file_of(country)
    return _read(path) if path.exists() else None


def _read(path: Path) -> Descriptor:
    try:
        return read_descriptor(path.read_bytes())
    except DirectoryError as error:
        raise TroubleError(
            f"{path} does not hold ({error.reason}). Put it back from a backup."
        ) from None


def _require_fingerprint(descriptor: Descriptor, said: str | None, *, is_known: bool) -> None:
    if said is not None and _plain(said) == _plain(descriptor.fingerprint):
        return
    begin = f"The root of {descriptor.country} is not the one known so far. " if is_known else ""
    wrong = "That is not its fingerprint. " if said is not None else ""
    # Not the one in the file: who reads it here copies it, and nobody has asked anybody.
    raise TroubleError(
        f"{begin}{wrong}Ask {descriptor.country} in person for its fingerprint, and type it as "
        'you hear it: the same command with --fingerprint "…"'
    )


def _plain(fingerprint: str) -> str:
    return "".join(fingerprint.split()).lower()


def write_descriptor(place: Place, name: str, descriptor: Descriptor) -> None:
    """Put a descriptor into the folder of them under this name, whole or not at all."""
    place.peers.mkdir(mode=FOLDER_MODE, exist_ok=True)
    write_private(place.peers / name, descriptor.to_bytes() + b"\n")


def _file_of(country: str) -> str:
    return f"{country}.json"


def _removed_of(country: str) -> str:
    return f"{country}{REMOVED}"
