"""On PostgreSQL: a page of 50 of a list among a million cases, at its beginning and at 90 % of it.

Through HTTP, by the cursor a client would hold. The rows are made by SQL, which can seal nothing, so
neither page opens a birth date; both are entered in the audit trail with every id they show.
"""

import json
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.creating import ORGANISATION, Caller
from bench.load import LoadProcess
from bench.postgres import Intake
from bench.processes import Server
from bench.table import Row, Series
from tests.conftest import PostgresUrls

ROWS = 1_000_000
_TENANTS = 5
"""Organisations the cases are of in turn; the one that asks is one of them."""
_DEEP = 0.9
_PAGE = "/v1/cases?limit=50"

_FILL = """
INSERT INTO case_file (
  id, version, organisation_id, country, status, beneficiary_kind, identification_status, sex,
  is_minor, age_group, age_basis, urgency, legal_basis, citizenships, languages, has_identity,
  contact_on, opened_at, recorded_at, updated_at)
SELECT gen_random_uuid(), 1, uuid('{stem}' || lpad(to_hex({first} + n % {tenants}), 12, '0')), 'RS', 'ACTIVE',
  'PRESUMED', 'PRESUMED', 'FEMALE', false, '18-24', 'UNKNOWN', 'NORMAL', 'PUBLIC_TASK', '["RS"]',
  '["sr"]', false, '2025-01-01', recorded_at, recorded_at, recorded_at
FROM generate_series({begin}, {end}) AS n,
  LATERAL (SELECT timestamptz '2020-01-01Z' + n * interval '1 minute') AS made (recorded_at)
"""


def measure(load: LoadProcess, folder: Path, urls: PostgresUrls, rounds: int) -> list[Row]:
    """Let the two pages take turns, one second each."""
    ours = Intake(urls, folder)
    first = Series(f"intake on PostgreSQL: first page of 50 of {ROWS} cases, p50", "ms")
    deep = Series(f"intake on PostgreSQL: page of 50 at 90 % of {ROWS} cases, p50", "ms")
    with ours.api() as server:
        caller = Caller(load, folder)
        paths = {first.name: _PAGE, deep.name: _fill(ours, server, caller)}
        for path in paths.values():
            caller.list(server, path)
        for number in range(rounds):
            for series in (deep, first) if number % 2 else (first, deep):
                found = caller.list(server, paths[series.name])
                series.values.append(found.p50_ms)
                print(f"round {number + 1}  {series.name} {found.p50_ms:.1f} ms", flush=True)
    return [deep.against(first, ratio_at_most=1.2)]


def _fill(ours: Intake, server: Server, caller: Caller) -> str:
    """Fill the list and return the path of the page at 90 % of it.

    The oldest tenth comes first: the cursor of what is then the second page leads to 90 % of the
    list once the rest, all of it newer, is there.
    """
    began = perf_counter()
    before = round(ROWS * (1 - _DEEP))
    ours.run(_filling(1, before))
    deep = f"{_PAGE}&cursor={_page(server, caller, _PAGE)['next']}"
    ours.run(_filling(before + 1, ROWS), "VACUUM ANALYZE case_file", "CHECKPOINT")
    shown = _page(server, caller, deep)["items"][0]["opened_at"]
    [(depth,)] = ours.rows(f"SELECT count(*) FROM case_file WHERE opened_at > '{shown}'")  # noqa: S608  ours
    if not _DEEP <= depth / ROWS < _DEEP + 0.01:
        raise RuntimeError(f"the page lies behind {depth} of {ROWS} cases")
    print(f"{ROWS} cases made in {perf_counter() - began:.0f} s", flush=True)
    return deep


def _filling(begin: int, end: int) -> str:
    stem, first = str(ORGANISATION)[:-12], ORGANISATION.node
    return _FILL.format(stem=stem, first=first, tenants=_TENANTS, begin=begin, end=end)


def _page(server: Server, caller: Caller, path: str) -> dict[str, Any]:
    connection = HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", path, headers=caller.headers)
    page: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return page
