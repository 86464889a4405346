"""Whether a service's database was put back from a backup since its worker last started.

Cheap signs only: the database is another one than it took itself for (PostgreSQL's system, timeline and
database; a copy that `prag backup` made says so), or the anchor file beside it knows of later heads of
the audit chain than it does. A copy of a whole folder by other means shows neither.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import String, func, literal_column, select

from common.db.base import OUTAGE, Database, OutageError, unit_of
from common.db.opening import is_sqlite
from common.runtime import Runtime
from common.tables import AuditLink
from common.unit import Unit

logger = structlog.get_logger(__name__)

COPY = "copy"
"""The sign in a copy that was made to be put back."""
_FILE = "file"
# The timeline by what is written now: the last checkpoint's is the old one for minutes after a promotion.
_SERVER = (
    "SELECT CASE WHEN NOT pg_is_in_recovery() THEN c.system_identifier || '/' || "
    "CAST(CAST('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8) AS bit(32)) AS int) "
    "|| '/' || d.oid END "
    "FROM pg_control_system() AS c, pg_database AS d WHERE d.datname = current_database()"
)
_TAIL_BYTES = 4096
_MOST_SECONDS = 10.0


async def at_start(
    runtime: Runtime,
    standing: Any,  # noqa: ANN401  each service has a table of its own
    on_put_back: Callable[[Unit], Awaitable[None]],
    *,
    anchor_file: Path | None = None,
) -> None:
    """Remember what the database is; `on_put_back` adds to the Unit what follows if it was another.

    `standing` is the model of a table of one row, with `id`, `sign` and `asked`. To be awaited before
    anything is answered: by the API too, which may start before the worker. Waits out an outage.
    """

    async def look() -> None:
        unit = unit_of(runtime.database, source=runtime.source, operation="start")
        known: Any = await unit.find(select(standing).where(standing.id == 1))
        sign = await sign_of(runtime.database, runtime.settings.database_url)
        is_another = known is not None and known.sign not in {"", sign}
        is_back = is_another or await _is_anchor_ahead(runtime.database, anchor_file)
        if not is_back and known is not None and known.sign == sign:
            return
        unit.put(standing, id=1, sign=sign, asked=known.asked if known else None)
        if is_back:
            logger.warning("database.put_back")
            await on_put_back(unit)
        await runtime.database.write(unit)

    seconds = 0.25
    while True:
        try:
            await look()
        except OUTAGE as error:
            logger.warning("database.waits", error=type(error).__name__)
            await asyncio.sleep(seconds)
            seconds = min(seconds * 2, _MOST_SECONDS)
        else:
            return


async def sign_of(database: Database, url: str) -> str:
    """Return what tells this database from one that was put back in its place.

    OutageError while the server recovers: what it will be is not known before its end.
    """
    if is_sqlite(url):
        return _FILE
    sign = literal_column(f"({_SERVER})", String).label("sign")
    [row] = await database.fetch(select(sign))
    if row.sign is None:
        raise OutageError
    return str(row.sign)


async def _is_anchor_ahead(database: Database, anchor_file: Path | None) -> bool:
    """Tell whether the file was given a head that the database has never come to."""
    anchored = _last_anchor(anchor_file) if anchor_file is not None else 0
    [row] = await database.fetch(select(func.max(AuditLink.seq).label("last")))
    return anchored > (row.last or 0)


def _last_anchor(path: Path) -> int:
    """Return the position of the last whole line's head; 0 where there is none that can be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            whole, _, _ = file.read().rpartition(b"\n")
        return int(json.loads(whole.rpartition(b"\n")[2])["last_seq"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
