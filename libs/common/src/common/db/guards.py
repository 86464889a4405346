"""What in a PostgreSQL database hides rows from strangers and keeps what was written, as migrations make it.

What must be there stands in `guards.json` beside a service's migrations, as a freshly migrated server
tells it: `python -m tests.guards` writes it, and a test compares.
"""

import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files

from common.db.head import folder_of

Guards = Mapping[str, str]
"""What it is, `policy callers on notice` say → the statement that makes it."""

FILE = "guards.json"

FOUND = """
SELECT coalesce(json_object_agg(name, statement), '{}')::text FROM (
  SELECT format('row-level security on %s', relname) AS name,
    concat_ws('; ', format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relname),
      CASE WHEN relforcerowsecurity THEN format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', relname) END
    ) AS statement
  FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relrowsecurity
  UNION ALL SELECT format('policy %s on %s', policyname, tablename),
    format('CREATE POLICY %I ON %I AS %s FOR %s TO %s', policyname, tablename, permissive, cmd,
      array_to_string(roles, ', ')) || coalesce(' USING (' || qual || ')', '')
      || coalesce(' WITH CHECK (' || with_check || ')', '')
  FROM pg_policies WHERE schemaname = 'public'
  UNION ALL SELECT format('trigger %s on %s', tgname, relname),
    format('%s; ALTER TABLE %I %s TRIGGER %I', pg_get_triggerdef(pg_trigger.oid), relname,
      CASE tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA'
        WHEN 'D' THEN 'DISABLE' ELSE 'ENABLE' END, tgname)
  FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_proc ON pg_proc.oid = tgfoid
  WHERE relnamespace = 'public'::regnamespace AND starts_with(proname, 'prag_')
  UNION ALL SELECT format('function %s', oid::regprocedure), pg_get_functiondef(oid)
  FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND starts_with(proname, 'prag_')
    AND prokind = 'f'
) AS guard"""
"""One row of one text: the Guards that are there. Any policy, for one more opens what the others hide."""

SEEN_ALIKE = """
SELECT set_config('search_path', 'public', true), set_config('quote_all_identifiers', 'off', true)"""
"""To be run before FOUND, in its transaction: how a server writes a name depends on these."""

# Read again from what a server wrote into a dump, the cast of a list is a cast of each of its values.
# PostgreSQL 15, 16 and 18 differ in nothing else, neither from each other nor after a dump.
_VALUE = r"('(?:[^']|'')*'::character varying)"
_LIST = re.compile(rf"\(ARRAY\[({_VALUE}(?:, {_VALUE})*)\]\)::text\[\]")
# Words in quotes are values; between others a space is as good as a line.
_SPACE = re.compile(r"('[^']*')|\s+")


def wanted(package: str) -> Guards:
    """Return what this release's migrations of a service make."""
    folder = folder_of(str(files(package) / "__init__.py"))
    found: Guards = json.loads((folder / FILE).read_text())
    return found


def differing(found: Guards, wanted: Guards) -> Iterator[str]:
    """Name each guard that is missing, is another or is one too many."""
    for name in sorted(found.keys() | wanted.keys()):
        if name not in found:
            yield f"{name} (missing)"
        elif name not in wanted:
            yield f"{name} (not of this release)"
        elif plain(found[name]) != plain(wanted[name]):
            yield f"{name} (changed)"


def plain(statement: str) -> str:
    """Return a statement without what servers write differently for one meaning."""
    spaced = _SPACE.sub(lambda match: match[1] or " ", statement)
    return _LIST.sub(_as_put_back, spaced)


def _as_put_back(match: re.Match[str]) -> str:
    values = re.sub(_VALUE, r"(\1)::text", match[1])
    return f"ARRAY[{values}]"
