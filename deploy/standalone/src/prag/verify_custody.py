"""`prag verify-custody`: whether the chain of custody of a referral holds, on both sides of the border."""

import sys
from pathlib import Path

from pydantic import BaseModel, ValidationError

from common.federation.custody import CustodyError, SignedStatement, verify
from common.federation.peers import OWN, read_peers
from prag.manifest import TroubleError

_WORDS = {
    "signature": "is not signed by a key that country had then",
    "gap": "is missing, or out of its place",
    "fork": "does not follow the one before it",
    "heard": "names a statement of the other country that is not there, or is another",
    "other_referral": "is of another referral",
    "other_country": "is of a country that has no part in this referral",
}


class _Chain(BaseModel):
    statements: list[SignedStatement]


def report(folder: Path, file: Path) -> int:
    """Print how many links each country's chain has, and return 0; or name the first that breaks, 1.

    The keys are those of the descriptors in `folder`: both countries must be known there.
    """
    try:
        chain = _Chain.model_validate_json(file.read_bytes())
    except OSError as error:
        raise TroubleError(f"{file} cannot be read: {error.strerror}.") from None
    except ValidationError:
        raise TroubleError(f"{file} holds no chain of custody.") from None
    # Without them every statement would seem to be forged.
    try:
        is_known = (folder / OWN).is_file()
        peers = read_peers(folder)
    except OSError as error:
        raise TroubleError(f"{folder} cannot be read: {error.strerror}.") from None
    if not is_known:
        raise TroubleError(
            f"{folder} holds no keys of this country: name the folder of its secrets with "
            "--secrets, or its data folder with PRAG_HOME."
        )
    if peers.resting:
        names = ", ".join(sorted(peers.resting))
        raise TroubleError(f"The descriptor of {names} is damaged: prag peer add it anew.")
    try:
        links = verify(chain.statements, peers.directory.signer)
    except CustodyError as error:
        what = _WORDS.get(error.reason, error.reason)
        print(f"statement {error.number} of {error.author} {what}", file=sys.stderr)
        return 1
    print(", ".join(f"{country} {count}" for country, count in links.items()) or "no statement")
    return 0
