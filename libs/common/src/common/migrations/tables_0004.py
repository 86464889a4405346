"""On PostgreSQL: the audit trail only grows, and rows know their readers. History: never edited."""

from alembic import op

_FUNCTIONS = ("prag_reach", "prag_organisation", "prag_refuse")
_AUDIT = ("audit_entry", "audit_link", "audit_shown", "audit_head")

_REFUSE = """
CREATE FUNCTION prag_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit trail only grows' USING ERRCODE = 'insufficient_privilege';
END $$
"""
_ORGANISATION = """
CREATE FUNCTION prag_organisation() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('prag.organisation', true), '')::uuid
"""
_REACH = """
CREATE FUNCTION prag_reach() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(current_setting('prag.reach', true), '')
"""


def create() -> None:
    _execute(_REFUSE, _ORGANISATION, _REACH)
    for table in _AUDIT:
        _execute(
            f"CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION prag_refuse()",
            # In a session that applies a replica's changes too.
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER only_grows",
        )


def drop() -> None:
    _execute(*(f"DROP TRIGGER only_grows ON {table}" for table in _AUDIT))
    _execute(*(f"DROP FUNCTION {name}()" for name in _FUNCTIONS))


def secure(table: str, visible: str) -> None:
    """Hide the rows of a table for which `visible` does not hold; nobody writes what it cannot see."""
    _execute(
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY callers ON {table} USING ({visible})",
    )


def secure_keys(opens: str) -> None:
    """Hide the key of a subject unless `opens` holds; anybody may make one for a new subject."""
    _execute(
        "ALTER TABLE subject_key ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY callers ON subject_key FOR SELECT USING ({opens})",
        "CREATE POLICY makers ON subject_key FOR INSERT WITH CHECK (true)",
    )


def expose(*tables: str) -> None:
    for table in tables:
        _execute(
            f"DROP POLICY callers ON {table}",
            f"DROP POLICY IF EXISTS makers ON {table}",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        )


def _execute(*statements: str) -> None:
    """SQLite has neither roles nor rights; there the file is one process's."""
    if op.get_context().dialect.name == "postgresql":
        for statement in statements:
            op.execute(statement)
