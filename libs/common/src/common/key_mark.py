"""Whether the master key and the country are those a database was made with.

With another key nothing that is sealed would open, and what is written would be lost to the right one.
With another country's settings its cases would lie among those of the country the database belongs to.
"""

from contextlib import suppress

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Select, select

from common.audit import head_message, public_key
from common.codelists import codes
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
_KEY, _COUNTRY = 1, 2
"""The rows of the marks."""
_A_KEY = select(SubjectKey).limit(1)
_FIRST_HEAD = select(AuditHead).order_by(AuditHead.last_seq).limit(1)


async def check_master_key(runtime: Runtime) -> None:
    """Return if the key is this database's; SettingError if not. As the service itself.

    Whoever comes first leaves the key's mark, if the key opens what the database holds already: of
    several that start at once, with different keys too, one does. Raises one of OUTAGE.
    """
    mark = runtime.master.derive(f"{runtime.name}/mark")
    is_new = await _unit(runtime).find(_mark(_KEY)) is None
    if is_new and not await _opens_what_is_there(runtime, _unit(runtime)):
        raise SettingError(_ANOTHER)
    if await _left(runtime, _KEY, mark) != mark:
        raise SettingError(_ANOTHER)


async def check_country(runtime: Runtime) -> None:
    """Return if the database is this country's; SettingError names whose it is. After the key's check.

    A database that is nobody's yet becomes this country's. Raises one of OUTAGE.
    """
    mark = _mark_of(runtime, runtime.settings.country)
    left = await _left(runtime, _COUNTRY, mark)
    if left != mark:
        owner = next((c for c in codes("countries") if _mark_of(runtime, c) == left), "another's")
        raise SettingError(
            f"PRAG_COUNTRY says {runtime.settings.country}, and the database of PRAG_DATABASE_URL is "
            f"{owner}: one of the two is another country's."
        )


def _mark_of(runtime: Runtime, country: str) -> bytes:
    return runtime.master.derive(f"{runtime.name}/country/{country}")


async def _left(runtime: Runtime, number: int, mark: bytes) -> bytes:
    """Return the mark that counts: what somebody left before, or else this one."""
    unit = _unit(runtime)
    while (known := await unit.find(_mark(number))) is None:
        unit.add(KeyMark, id=number, mark=mark)
        with suppress(DuplicateError):  # who was faster has left the mark that counts
            await runtime.database.write(unit)
        unit = _unit(runtime)
    return known.mark


def _mark(number: int) -> Select[KeyMark]:
    return select(KeyMark).where(KeyMark.id == number)


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
