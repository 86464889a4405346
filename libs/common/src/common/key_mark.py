"""Whether the master key is the one a database was made with.

With another one nothing that is sealed would open, and what is written would be lost to the right one.
"""

from contextlib import suppress

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select

from common.audit import head_message, public_key
from common.db.base import unit_of
from common.runtime import Runtime
from common.sealing import SealError
from common.settings import SettingError
from common.tables import AuditHead, KeyMark, SubjectKey
from common.unit import DuplicateError, Unit

_ANOTHER = (
    "PRAG_MASTER_KEY_FILE holds another key than the one this database was made with: put that one "
    "back from the backup of the keys."
)
_MARK = select(KeyMark).where(KeyMark.id == 1)
_A_KEY = select(SubjectKey).limit(1)
_FIRST_HEAD = select(AuditHead).order_by(AuditHead.last_seq).limit(1)


async def check_master_key(runtime: Runtime) -> None:
    """Return if the key is this database's; SettingError if not. As the service itself.

    Whoever comes first leaves the key's mark, if the key opens what the database holds already: of
    several that start at once, with different keys too, one does. Raises one of OUTAGE.
    """
    mark = runtime.master.derive(f"{runtime.name}/mark")
    unit = _unit(runtime)
    while (known := await unit.find(_MARK)) is None:
        if not await _opens_what_is_there(runtime, unit):
            raise SettingError(_ANOTHER)
        unit.add(KeyMark, id=1, mark=mark)
        with suppress(DuplicateError):  # who was faster has left the mark that counts
            await runtime.database.write(unit)
        unit = _unit(runtime)
    if known.mark != mark:
        raise SettingError(_ANOTHER)


def _unit(runtime: Runtime) -> Unit:
    return unit_of(runtime.database, source=runtime.source, operation="start")


async def _opens_what_is_there(runtime: Runtime, unit: Unit) -> bool:
    """Tell by the first head of the audit trail and a subject's key; an empty database opens."""
    key, head = await unit.find(_A_KEY), await unit.find(_FIRST_HEAD)
    try:
        if key is not None:
            runtime.database.keys.unwrap(key.id, key.wrapped)
        if head is not None:
            verifier = Ed25519PublicKey.from_public_bytes(public_key(runtime.master, runtime.name))
            verifier.verify(head.signature, head_message(runtime.name, head.last_seq, head.hash))
    except (SealError, InvalidSignature):
        return False
    return True
