"""Where audit trails lie and how they are read: a data folder on SQLite, or a country on PostgreSQL.

Part of the verifier (`prag.verify_audit`): like it, it only reads, and shares no code with what
writes. PostgreSQL is asked for every value in the form in which SQLite keeps it, so that one
verifier judges both.
"""

import fcntl
import json
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import psycopg
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from prag.manifest import SERVICES, TroubleError, missing, no_folder  # how trouble is told, no more

CHAIN = """
SELECT l.seq, l.entry_id, l.hash, e.id, e.at, e.actor, e.client_id, e.organisation_id, e.role,
       e.action, e.operation, e.object_type, e.object_ids, e.subject, e.data_groups, e.purpose,
       e.legal_basis, e.decision, e.trace_id
FROM audit_link l LEFT JOIN audit_entry e ON e.id = l.entry_id
WHERE l.seq > ? ORDER BY l.seq LIMIT ?
"""
_WAITING = """
SELECT id FROM audit_entry e WHERE NOT EXISTS (SELECT 1 FROM audit_link WHERE entry_id = e.id)
AND (id < (SELECT max(entry_id) FROM audit_link)
     OR julianday(at) IS NULL
     OR julianday(at) < (SELECT max(julianday(t)) FROM (
         SELECT max(at) AS t FROM audit_entry JOIN audit_link ON entry_id = audit_entry.id
         UNION ALL SELECT max(sealed_at) FROM audit_head)) - ? / 86400.0)
ORDER BY id LIMIT 1000
"""
# Here entries are committed in any order: one with a lower id than a linked one may be on its way.
_WAITING_POSTGRES = """
SELECT id FROM audit_entry e WHERE NOT EXISTS (SELECT 1 FROM audit_link WHERE entry_id = e.id)
AND at < (SELECT max(t) FROM (
    SELECT max(at) AS t FROM audit_entry JOIN audit_link ON entry_id = audit_entry.id
    UNION ALL SELECT max(sealed_at) FROM audit_head) AS seen) - make_interval(secs => %s)
ORDER BY id LIMIT 1000
"""
_UNLINKED = """
SELECT count(*), CAST(min(at) AS text) FROM audit_entry e WHERE NOT EXISTS (SELECT 1 FROM audit_link WHERE entry_id = e.id)
"""
_UNLINKED_POSTGRES = _UNLINKED.replace("min(at)", "min(at AT TIME ZONE 'UTC')")
_AS_KEPT = {
    "e.at": "to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
    **{f"e.{name}": f"replace(e.{name}::text, '-', '')" for name in ("organisation_id", "subject")},
    **{f"e.{name}": f"e.{name}::text" for name in ("object_ids", "data_groups")},
}

Rows = list[tuple[Any, ...]]


class Trail(Protocol):
    """One service's database, open for reading."""

    def rows(self, query: str, *parameters: object) -> Rows:
        """Read in one short transaction, so that a running country never waits long for us."""

    def links(self, after: int, limit: int) -> Rows:
        """Return links of the chain behind a position, each with its entry or with nothing."""

    def waiting(self, seconds: int) -> set[int]:
        """Return the ids of entries without a link that are older, by so much, than one that has one."""

    def unlinked(self) -> tuple[int, str]:
        """Return how many entries have no link, and since when by the oldest of them."""

    def close(self) -> None: ...


class Place(Protocol):
    """A country's four trails."""

    @property
    def anchors(self) -> Path | None:
        """The folder of the anchor files, where the country keeps some."""

    def keys(self) -> Mapping[str, Ed25519PublicKey]:
        """Return the public keys under which the services seal their heads."""

    def open(self, service: str) -> Trail: ...

    def may_run(self) -> bool:
        """Tell whether entries may be written while we read."""


class Folder:
    """The data folder of `prag up`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.anchors: Path | None = home / "audit"

    def keys(self) -> Mapping[str, Ed25519PublicKey]:
        home = self._home
        try:
            keys = json.loads((home / "instance.json").read_text())["audit_keys"]
            return {
                service: Ed25519PublicKey.from_public_bytes(bytes.fromhex(keys[service]))
                for service in SERVICES
            }
        except FileNotFoundError:
            raise TroubleError(f"{home} is no data folder of Prag: start it with prag up") from None
        except NotADirectoryError:
            raise no_folder(home) from None
        except (OSError, ValueError, KeyError, TypeError):
            raise TroubleError(f"{home / 'instance.json'} cannot be read") from None

    def open(self, service: str) -> "Trail":
        return _SqliteTrail(_open(self._home / "data" / f"{service}.db"))

    def may_run(self) -> bool:
        with suppress(FileNotFoundError), (self._home / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


class Production:
    """A country of `prag serve` or of containers: each service's database by its own login."""

    anchors: Path | None = None

    def __init__(self, environments: Mapping[str, Mapping[str, str]]) -> None:
        """`environments` are those of the APIs: where the database is, how to get in, the master key."""
        self._environments = environments

    def keys(self) -> Mapping[str, Ed25519PublicKey]:
        return {service: _public_key(service, self._environments[service]) for service in SERVICES}

    def open(self, service: str) -> "Trail":
        own = self._environments[service]
        scheme, _, place = own.get("PRAG_DATABASE_URL", "").partition("://")
        if scheme not in {"postgresql", "postgresql+asyncpg"}:
            raise TroubleError(f"PRAG_DATABASE_URL of {service} names no PostgreSQL database")
        variables = {each.keyword.decode(): each.envvar for each in Conninfo.get_defaults()}
        login: dict[str, Any] = {
            keyword: own[name.decode()]
            for keyword, name in variables.items()
            if name is not None and name.decode() in own
        }
        login["options"] = "-c default_transaction_read_only=on"
        try:
            login |= conninfo_to_dict(f"postgresql://{place}")  # goes before the variables
            database = psycopg.connect(**login, autocommit=True)
        except psycopg.Error as error:
            raise _unreadable(service, error) from None
        return _PostgresTrail(service, database)

    def may_run(self) -> bool:
        return True


class _SqliteTrail:
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def rows(self, query: str, *parameters: object) -> Rows:
        database = self._database
        try:
            return database.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            if type(error) is not sqlite3.OperationalError or database.text_factory is not str:
                raise TroubleError(f"a database cannot be read ({_name(error)})") from None
        # Perhaps some text is no UTF-8 any more. Read on, so that it is named as changed.
        database.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        return self.rows(query, *parameters)

    def links(self, after: int, limit: int) -> Rows:
        return self.rows(CHAIN, after, limit)

    def waiting(self, seconds: int) -> set[int]:
        return {entry for (entry,) in self.rows(_WAITING, seconds)}

    def unlinked(self) -> tuple[int, str]:
        [(count, since)] = self.rows(_UNLINKED)
        return count, (since or "")[:16]

    def close(self) -> None:
        self._database.close()


class _PostgresTrail:
    def __init__(self, service: str, database: "psycopg.Connection[tuple[Any, ...]]") -> None:
        self._service = service
        self._database = database
        self._chain = CHAIN
        for column, kept in _AS_KEPT.items():
            self._chain = self._chain.replace(f"{column},", f"{kept},")

    def rows(self, query: str, *parameters: object) -> Rows:
        try:
            asked = query.replace("?", "%s").encode()
            return self._database.execute(asked, parameters).fetchall()
        except psycopg.Error as error:
            raise _unreadable(self._service, error) from None

    def links(self, after: int, limit: int) -> Rows:
        return self.rows(self._chain, after, limit)

    def waiting(self, seconds: int) -> set[int]:
        return {entry for (entry,) in self.rows(_WAITING_POSTGRES, seconds)}

    def unlinked(self) -> tuple[int, str]:
        [(count, since)] = self.rows(_UNLINKED_POSTGRES)
        return count, (since or "")[:16]

    def close(self) -> None:
        self._database.close()


def _public_key(service: str, environment: Mapping[str, str]) -> Ed25519PublicKey:
    path = environment.get("PRAG_MASTER_KEY_FILE", "")
    try:
        master = Path(path).read_bytes()
        secret = HKDFExpand(hashes.SHA256(), 32, f"prag/{service}/audit".encode()).derive(master)
        return Ed25519PrivateKey.from_private_bytes(secret).public_key()
    except (OSError, ValueError):
        raise TroubleError(f"PRAG_MASTER_KEY_FILE of {service} cannot be read") from None


def _unreadable(service: str, error: psycopg.Error) -> TroubleError:
    # Its own words may hold a value; who cannot get in at all has no SQLSTATE.
    words = f"the database of {service} cannot be read ({error.sqlstate or 'no connection'})"
    if isinstance(error, psycopg.errors.UndefinedTable):
        words += ": it was never migrated, or tables were taken out of it"
    return TroubleError(words)


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _connect(path, "ro")
    except sqlite3.Error as error:
        if not path.exists():
            raise missing(path) from None
        if _name(error) != "SQLITE_READONLY_ROLLBACK":
            raise TroubleError(f"{path} cannot be read ({_name(error)})") from None
    # A killed process left a transaction half written; SQLite has to roll it back before it reads.
    return _connect(path, "rw")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=30)
    try:
        database.execute("PRAGMA trusted_schema=OFF")
        database.execute("PRAGMA query_only=ON")
        database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.Error:
        database.close()
        raise
    return database


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", None) or type(error).__name__
