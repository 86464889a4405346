"""`prag verify-audit FILE` on a country as production runs it: PostgreSQL, and the application's logins."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from common.clock import new_id
from prag.issuer import LocalIssuer, organisation_id
from tests.conftest import PostgresUrls
from tests.intake.bodies import notice
from tests.postgres import Logins, copy, provision
from tests.system.parts import Parts, is_drained
from tests.system.processes import PATIENCE, SERVICES, poll, prag
from tests.system.serving import write_settings

pytestmark = [pytest.mark.system, pytest.mark.postgres]

SLIPPED_IN = """
INSERT INTO audit_entry (id, at, actor, action, operation, object_type, object_ids, data_groups,
  decision, trace_id)
SELECT 900, at - interval '1 hour', actor, action, operation, object_type, object_ids, data_groups,
  decision, trace_id FROM audit_entry WHERE id = 3
"""
SEALED_SECONDS = 180.0
"""A head is sealed each minute; the siblings hear of it then."""
TABLES = ("audit_entry", "audit_link", "audit_shown", "audit_head")


@pytest.fixture(scope="module")
def country(
    tmp_path_factory: pytest.TempPathFactory, postgres_urls: PostgresUrls
) -> Iterator[Parts]:
    """A country that worked for a while and was ended, every head known to its siblings."""
    parts = Parts(tmp_path_factory.mktemp("country"), postgres_urls)
    try:
        parts.start_all()
        for number in range(12):
            answer = report(parts, f"notice-{number}")
            assert answer.is_success, answer.text
        assert len(look(parts)) > 1  # an entry that names several
        poll(lambda: is_told(parts), patience=SEALED_SECONDS)
        parts.end()
        yield parts
    finally:
        parts.close()


def report(parts: Parts, key: str) -> httpx.Response:
    return httpx.post(
        parts.url("intake", "/v1/notices"),
        json=notice(id=str(new_id())),
        headers=authority(parts) | {"Idempotency-Key": key},
        timeout=PATIENCE,
    )


def look(parts: Parts) -> list[object]:
    url = parts.url("intake", "/v1/notices")
    items: list[object] = httpx.get(url, headers=authority(parts), timeout=PATIENCE).json()["items"]
    return items


def authority(parts: Parts) -> dict[str, str]:
    office = organisation_id("csr-beograd", "RS")
    token = LocalIssuer(parts.home).token("SOCIAL_WORKER", office, "worker")
    return {"Authorization": f"Bearer {token}"}


def is_told(parts: Parts) -> bool:
    """Tell whether each entry is under a head, and the siblings have all of intake's."""
    [(entries, sealed)] = parts.rows(
        "intake",
        "SELECT (SELECT count(*) FROM audit_entry), (SELECT max(last_seq) FROM audit_head)",
    )
    known = "SELECT max(last_seq) FROM known_audit_head WHERE source = 'intake'"
    heads = {parts.rows(sibling, known)[0][0] for sibling in SERVICES[1:]}
    return entries >= 12 and heads == {entries} == {sealed} and is_drained(parts)


def tamper(login: Logins, *statements: str) -> None:
    """Do what a superuser of the server can: the trail only grows until somebody turns that off."""
    with psycopg.connect(login.root.replace("+asyncpg", "")) as root:
        for table in TABLES:
            root.execute(f"ALTER TABLE {table} DISABLE TRIGGER only_grows".encode())
        for statement in statements:
            assert root.execute(statement.encode()).rowcount > 0


def verify(parts: Parts) -> tuple[int, str]:
    ended = prag("verify-audit", str(write_settings(parts)), home=parts.home / "nowhere")
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.row("F65")
def test_the_trail_of_a_country_in_production_is_confirmed(country: Parts) -> None:
    # Fails when a value is read in another form than it was hashed in, or a witness is passed over.
    count = sum(country.rows(s, "SELECT count(*) FROM audit_entry")[0][0] for s in SERVICES)

    code, said = verify(country)

    assert code == 0, said
    assert said.splitlines()[0] == f"{count} entries verified"


@pytest.mark.row("F65")
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE audit_entry SET actor = 'Worker' WHERE id = 7", "entry 7 (position 7"),
        (
            "UPDATE audit_entry SET at = at + interval '1 microsecond' WHERE id = 7",
            "entry 7 (position 7",
        ),
        (
            "UPDATE audit_entry SET object_ids = '[ ]' WHERE id = 7",
            "it is not in the form in which entries are written",
        ),
        ("DELETE FROM audit_entry WHERE id = 9", "entry 9 (position 9 of the chain) was deleted"),
        ("DELETE FROM audit_link WHERE seq = 9", "position 9 of the chain is missing"),
        ("UPDATE audit_head SET hash = sha256(hash)", "is forged"),
        (
            SLIPPED_IN,
            "entry 900 was left out of the chain",
        ),
    ],
)
def test_each_kind_of_tampering_is_found_on_postgresql(
    country: Parts, monkeypatch: pytest.MonkeyPatch, statement: str, told: str
) -> None:
    # Fails when the verifier believes what the database says of itself.
    monkeypatch.setitem(country.logins, "intake", copy(country.logins["intake"]))
    tamper(country.logins["intake"], statement)

    code, said = verify(country)

    assert code == 1
    assert said.startswith("intake: ")
    assert told in said


@pytest.mark.row("F65")
@pytest.mark.parametrize("table", ["audit_head", "known_audit_head"])
def test_a_tail_cut_off_with_its_heads_contradicts_a_sibling(
    country: Parts, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    # Fails when only the service's own word is asked: it says that nothing was ever there.
    monkeypatch.setitem(country.logins, "intake", copy(country.logins["intake"]))
    tamper(
        country.logins["intake"],
        "DELETE FROM audit_link WHERE seq > 5",
        "DELETE FROM audit_entry WHERE id > 5",
        "DELETE FROM audit_head WHERE last_seq > 5",
    )
    if table == "known_audit_head":  # two of the three siblings have lost it too
        for sibling in SERVICES[1:3]:
            monkeypatch.setitem(country.logins, sibling, copy(country.logins[sibling]))
            tamper(country.logins[sibling], "DELETE FROM known_audit_head WHERE source = 'intake'")

    code, said = verify(country)

    assert code == 1
    witness = "referral" if table == "audit_head" else "analytics"
    assert f"the end was cut off; {witness} vouches for" in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("_referral?", "_gone?"), "the database of referral cannot be read (no connection)"),
        (
            ("postgresql+asyncpg", "sqlite"),
            "PRAG_DATABASE_URL of referral names no PostgreSQL database",
        ),
    ],
)
def test_a_trail_that_cannot_be_read_is_told_and_not_passed_over(
    country: Parts, monkeypatch: pytest.MonkeyPatch, changed: tuple[str, str], said: str
) -> None:
    # Fails when it counts as a good one, or when the server's own words are repeated.
    login = country.logins["referral"]
    url = login.application.replace(*changed)
    assert url != login.application
    monkeypatch.setitem(country.logins, "referral", replace(login, application=url))

    assert verify(country) == (1, f"prag: {said}\n")


def test_a_database_without_tables_is_told_from_one_that_nobody_reaches(
    country: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when the operator who forgot a migration has to know PostgreSQL's numbers by heart.
    monkeypatch.setitem(country.logins, "referral", copy(country.logins["referral"]))
    root = country.logins["referral"].root.replace("+asyncpg", "")
    with psycopg.connect(root, autocommit=True) as database:
        database.execute("DROP TABLE audit_link CASCADE")

    code, said = verify(country)

    assert code == 1
    assert "the database of referral cannot be read (42P01): it was never migrated" in said


def test_dumps_put_back_on_a_server_made_anew_are_the_country_again(
    country: Parts, tmp_path: Path
) -> None:
    # As docs/operating.md says. Fails when a dump lacks what the trail, a right or a row needs.
    counted = {s: country.rows(s, "SELECT count(*) FROM audit_entry") for s in SERVICES}
    plain = {s: login.root.replace("+asyncpg", "") for s, login in country.logins.items()}
    for service in SERVICES:
        run(country, "pg_dump", "-Fc", "-d", plain[service], "-f", str(tmp_path / service))
    server = make_url(plain["intake"]).set(database="postgres")
    server_url = server.render_as_string(hide_password=False)
    names = {s: str(make_url(plain[s]).database) for s in SERVICES}
    with psycopg.connect(server_url, autocommit=True) as root:
        for name in names.values():
            root.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))

    provision(server_url, country.home / "passwords", names["intake"].removesuffix("intake"))
    for service in SERVICES:
        run(country, "pg_restore", "--exit-on-error", "-d", plain[service], str(tmp_path / service))

    assert {s: country.rows(s, "SELECT count(*) FROM audit_entry") for s in SERVICES} == counted
    code, said = verify(country)
    assert code == 0, said

    # The log may know of what the databases have lost; it begins anew, with what they have.
    (country.home / "bus.db").unlink()
    assert [country.migrate(service) for service in SERVICES] == [0] * 4
    for option in ("--resume", "--replay"):
        assert [country.once(service, "worker", option) for service in SERVICES] == [0] * 4
    country.start("intake", "api")
    for service in SERVICES:
        country.start(service, "worker")
    assert "database.put_back" in country.log("intake", "api")
    assert report(country, "after").is_success
    poll(lambda: is_told(country), patience=SEALED_SECONDS)
    for service in SERVICES:
        assert country.rows(service, "SELECT count(*) FROM dead_letter") == [(0,)]


def run(country: Parts, program: str, *arguments: str) -> None:
    """Run one of the server's own programs."""
    with psycopg.connect(country.logins["intake"].root.replace("+asyncpg", "")) as connection:
        found = connection.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
        [(folder,)] = found.fetchall()
    ended = subprocess.run(  # noqa: S603
        [f"{folder}/{program}", *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
