"""The keys of a data folder: made once, never made again, refused when they are not the right ones."""

import os

from common.audit import public_key
from common.sealing import MasterKey
from prag.files import FOLDER_MODE, write_private
from prag.issuer import LocalIssuer, check_issuer
from prag.manifest import SERVICES, Layout, Manifest, TroubleError

_MASTER_KEY_BYTES = 32


def make_keys(files: Layout) -> None:
    """Make what a new folder lacks; TroubleError if its master key was lost after data were sealed."""
    files.home.chmod(FOLDER_MODE)
    for folder in (files.keys, files.data, files.anchors, files.log.parent):
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    if not files.master_key.exists():
        if any(files.data.iterdir()):
            raise _missing(files)
        write_private(files.master_key, os.urandom(_MASTER_KEY_BYTES))
    LocalIssuer(files.home)


def check_keys(files: Layout, manifest: Manifest | None) -> MasterKey:
    """Return the master key, when the issuer's can be read too. A wrong one would seal new data beside old that it cannot open."""
    if not files.master_key.exists():
        raise _missing(files)
    try:
        master = MasterKey.from_file(files.master_key)
    except ValueError:
        raise TroubleError(
            f"{files.master_key} is damaged. Put it back from the backup of the keys."
        ) from None
    except OSError as error:
        raise TroubleError(
            f"{files.master_key} cannot be read: {error.strerror or error}."
        ) from None
    if manifest is not None and manifest.audit_keys != audit_keys(master):
        raise TroubleError(
            f"{files.master_key} is not the key of this country: it would open nothing. "
            "Put it back from the backup of the keys."
        )
    check_issuer(files.home)
    return master


def audit_keys(master: MasterKey) -> dict[str, str]:
    """Return the public keys by which the services' audit heads can be verified, in hex."""
    return {service: public_key(master, service).hex() for service in SERVICES}


def _missing(files: Layout) -> TroubleError:
    return TroubleError(
        f"{files.master_key} is missing, and without it no sealed data can be opened. "
        "Put it back from the backup of the keys; no new one was made."
    )
