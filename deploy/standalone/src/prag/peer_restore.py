"""`prag peer restore`: what a country said of its keys since the backup that was put back, as its peers hold it."""

import base64
from pathlib import Path

from common.federation.directory import Entry
from common.federation.peers import HELD, OWN, Descriptor, keys_missing, read_own_keys
from prag.folder import one_at_a_time
from prag.manifest import TroubleError
from prag.peer import Place, own_descriptor, read_given, read_root, write_descriptor


@one_at_a_time
def restore(place: Place, file: Path, root_file: Path) -> list[Entry]:
    """Take this country's own descriptor back from a peer; return the keys in use that are lost.

    Their private halves were made after the backup: what was sealed to them cannot be opened, and
    only `revoke` ends their use. TroubleError, and nothing changed, for one that is not this
    country's and its root's, or that does not go on from what is here.
    """
    given, root = read_given(file), read_root(root_file)
    if given.country != place.country:
        raise TroubleError(f"{file} is the descriptor of {given.country}, not of {place.country}.")
    if base64.b64encode(root.public.raw).decode() != given.root:
        raise TroubleError(f"{file} is not signed by the root in {root_file}.")
    # A backup from before `init` has none: the root vouches for all of it.
    if (place.peers / OWN).exists():
        _require_going_on(file, given, own_descriptor(place))
    lost = _lost(place, given)
    write_descriptor(place, OWN, given)
    return lost


def _require_going_on(file: Path, given: Descriptor, own: Descriptor) -> None:
    if given.root != own.root:
        raise TroubleError(f"{file} is signed by another root than the one known here.")
    if given.entries == own.entries[: len(given.entries)]:
        if len(given.entries) == len(own.entries):
            return
        raise TroubleError(f"{file} is older than what is here. Nothing was changed.")
    if own.entries != given.entries[: len(own.entries)]:
        raise TroubleError(
            f"{file} and what is here are two chains: keys were issued here after an older backup "
            "was put back. Nothing was changed. Put that backup back once more, then this first."
        )


def _lost(place: Place, given: Descriptor) -> list[Entry]:
    found = []
    for service in HELD:
        try:
            held = read_own_keys(place.own_keys(service), place.master, service)
        except ValueError as error:
            raise TroubleError(f"{error}. Put it back from the backup of the keys.") from None
        found += keys_missing(given, held, service)
    return found
