"""Row-level security and the audit trail's triggers are looked at before a service works."""

from collections.abc import Sequence
from importlib import import_module

import psycopg
import pytest
from sqlalchemy import make_url

from common.columns import SealedColumn
from common.db import guards
from common.db.checks import DatabaseRefusedError, check_postgres
from common.db.head import head_of
from common.settings import ServiceName
from tests.conftest import PostgresUrls
from tests.guards import fresh, there
from tests.house import SERVICES
from tests.postgres import Logins, copy, migrate, set_up

pytestmark = pytest.mark.postgres

SHUT_BY_THE_KEY = {
    "intake": {"declaration", "identification_decision"},
    "referral": {"referral"},
    "reintegration": {"agreement", "plan_step"},
}
"""Tables with sealed columns that have no policy of their own, as decision 0010 has it."""
_NOTHING = "FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
_LOOSE = (
    "CREATE SCHEMA loose; GRANT USAGE ON SCHEMA loose TO PUBLIC",
    "CREATE FUNCTION loose.prag_reach() RETURNS text LANGUAGE sql RETURN 'service'",
)
"""A function of the name of one of ours, in another schema."""


@pytest.fixture(scope="module")
def migrated(
    postgres_urls: PostgresUrls, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Logins]:
    logins = set_up(postgres_urls, tmp_path_factory.mktemp("guards"))
    for service in ("intake", "referral"):
        migrate(service, logins[service])
    return logins


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url.replace("+asyncpg", "")) as connection:
        for statement in statements:
            connection.execute(statement.encode())


async def check(service: ServiceName, login: Logins) -> None:
    await check_postgres(login.application, service=service, head=head_of(service))


async def refusal(service: ServiceName, login: Logins) -> str:
    with pytest.raises(DatabaseRefusedError) as refused:
        await check(service, login)
    return str(refused.value)


def made_by(service: str, name: str) -> str:
    return guards.wanted(service)[name]


@pytest.mark.parametrize("service", SERVICES)
def test_what_must_be_there_is_what_the_migrations_make(
    service: str, postgres_urls: PostgresUrls
) -> None:
    # Fails when a migration makes or drops a policy, a trigger or a function of ours, and
    # guards.json was not written anew: `python -m tests.guards`.
    found = fresh(service, postgres_urls.new())

    assert [*guards.differing(found, guards.wanted(service))] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_table_with_sealed_columns_knows_its_readers(service: str) -> None:
    # Fails when a table is made whose sealed columns only the key shuts, without a decision.
    tables = import_module(f"{service}.models").Base.metadata.sorted_tables
    sealed = {
        table.name
        for table in tables
        if any(isinstance(column.type, SealedColumn) for column in table.columns)
    }

    open_ = {
        name for name in sealed if f"row-level security on {name}" not in guards.wanted(service)
    }
    assert open_ == SHUT_BY_THE_KEY.get(service, set())


@pytest.mark.parametrize(
    ("service", "done", "names"),
    [
        # As a copy that was restored without them, or a debugging that was left behind.
        (
            "intake",
            [
                f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY; DROP POLICY callers ON {table}"
                for table in ("case_file", "case_identity", "notice", "subject_key")
            ],
            [
                "policy callers on case_file (missing)",
                "policy callers on case_identity (missing)",
                "policy callers on notice (missing)",
                "policy callers on subject_key (missing)",
                "row-level security on case_file (missing)",
                "row-level security on case_identity (missing)",
                "row-level security on notice (missing)",
                "row-level security on subject_key (missing)",
            ],
        ),
        (
            "intake",
            ["ALTER POLICY callers ON case_identity USING (true)"],
            ["policy callers on case_identity (changed)"],
        ),
        (
            "intake",
            ["ALTER POLICY callers ON notice WITH CHECK (true)"],
            ["policy callers on notice (changed)"],
        ),
        (
            "intake",
            ["ALTER POLICY erasers ON subject_key USING (true)"],
            ["policy erasers on subject_key (changed)"],
        ),
        (
            "intake",
            ["CREATE POLICY debugging ON case_file USING (true)"],
            ["policy debugging on case_file (not of this release)"],
        ),
        (
            "intake",
            ["CREATE OR REPLACE FUNCTION prag_reach() RETURNS text LANGUAGE sql RETURN 'service'"],
            ["function prag_reach() (changed)"],
        ),
        (
            "referral",
            ["DROP POLICY callers ON letter", "CREATE POLICY callers ON letter USING (true)"],
            ["policy callers on letter (changed)"],
        ),
        (
            "referral",
            ["ALTER TABLE letter DISABLE ROW LEVEL SECURITY"],
            ["row-level security on letter (missing)"],
        ),
        (
            "referral",
            ["ALTER POLICY callers ON subject_key TO postgres"],
            ["policy callers on subject_key (changed)"],
        ),
        (
            "referral",
            ["DROP POLICY makers ON subject_key"],
            ["policy makers on subject_key (missing)"],
        ),
        (
            "referral",
            ["ALTER TABLE subject_key FORCE ROW LEVEL SECURITY"],
            ["row-level security on subject_key (changed)"],
        ),
        (
            "referral",
            [
                f"CREATE OR REPLACE {_NOTHING.format('prag_refuse')}",
            ],
            ["function prag_refuse() (changed)"],
        ),
        (
            "referral",
            ["ALTER TABLE outbox_message DISABLE TRIGGER only_emptied"],
            ["trigger only_emptied on outbox_message (changed)"],
        ),
        (
            "referral",
            [
                f"CREATE {_NOTHING.format('nothing')}",
                "CREATE OR REPLACE TRIGGER only_grows BEFORE UPDATE ON audit_link EXECUTE FUNCTION nothing()",
            ],
            ["trigger only_grows on audit_link (missing)"],
        ),
    ],
)
async def test_what_is_not_as_the_migrations_made_it_is_named(
    service: ServiceName, done: Sequence[str], names: Sequence[str], migrated: dict[str, Logins]
) -> None:
    # Fails when a table without policies is not asked for them, or only that there is one: not for
    # which command, to whom, and by what it shows a row. The same for a trigger and its function.
    login = copy(migrated[service])
    await check(service, login)

    run(login.root, *done)

    assert f"make it: {', '.join(names)}. " in await refusal(service, login)


@pytest.mark.parametrize("command", ["SELECT", "INSERT"])
async def test_a_policy_for_one_command_is_not_that_for_all(
    command: str, migrated: dict[str, Logins]
) -> None:
    # Fails when the command is not compared: what no policy speaks of nobody may do.
    login, name = copy(migrated["intake"]), "policy callers on notice"
    another = made_by("intake", name).replace("FOR ALL", f"FOR {command}")
    if command == "INSERT":
        another = another.replace("USING", "WITH CHECK")
    run(login.root, "DROP POLICY callers ON notice", another)

    assert f"make it: {name} (changed). " in await refusal("intake", login)


@pytest.mark.parametrize("service", ["intake", "referral"])
async def test_by_the_statements_that_are_told_everything_is_made_again(
    service: ServiceName, migrated: dict[str, Logins]
) -> None:
    # Fails when guards.json tells a statement that does not make what it names.
    login = copy(migrated[service])
    every = guards.wanted(service)
    hidden = [name.split()[-1] for name in every if name.startswith("row-level")]
    run(
        login.owner,
        *(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY" for table in hidden),
        *(f"DROP {name}" for name in every if name.startswith(("policy", "trigger"))),
        *(f"DROP {name}" for name in every if name.startswith("function")),
    )
    assert there(login.root) == {}

    run(login.owner, *(every[name] for name in sorted(every)))

    await check(service, login)


async def test_a_trigger_of_the_server_that_is_off_is_told_by_its_table(
    migrated: dict[str, Logins],
) -> None:
    # Fails when only our own triggers are looked at: by these a row's case is there.
    login = copy(migrated["intake"])
    run(login.root, "ALTER TABLE case_origin DISABLE TRIGGER ALL")

    assert "Triggers are off on case_origin," in await refusal("intake", login)


@pytest.mark.parametrize(
    ("service", "name", "written", "instead"),
    [
        # Every row of a country that received one, instead of that one's.
        (
            "referral",
            "policy callers on letter",
            (
                "((x.id = letter.referral_id) AND ((x.organisation_id = ( SELECT prag_organisation() AS "
                "prag_organisation)) OR (((x.direction)::text = 'RECEIVED'::text) AND (( SELECT "
                "prag_reach() AS prag_reach) = 'all'::text))))"
            ),
            (
                "(((x.id = letter.referral_id) AND (x.organisation_id = ( SELECT prag_organisation() AS "
                "prag_organisation))) OR (((x.direction)::text = 'RECEIVED'::text) AND (( SELECT "
                "prag_reach() AS prag_reach) = 'all'::text)))"
            ),
        ),
        # Every identity to whoever was referred any case.
        (
            "intake",
            "policy callers on case_identity",
            "r.case_id = case_identity.case_id",
            "r.case_id = r.case_id",
        ),
        # Whatever the other function says.
        ("intake", "policy callers on notice", "SELECT prag_reach()", "SELECT loose.prag_reach()"),
    ],
)
async def test_a_policy_of_the_same_words_that_shows_other_rows_is_another(
    service: ServiceName, name: str, written: str, instead: str, migrated: dict[str, Logins]
) -> None:
    # Fails when brackets, or the table or schema before a name, are not compared.
    login = copy(migrated[service])
    made = made_by(service, name)
    assert written in made
    run(
        login.root,
        *_LOOSE,
        f"DROP {name}",
        made.replace(written, instead, 1),
    )

    assert f"make it: {name} (changed). " in await refusal(service, login)


async def test_how_names_are_written_depends_on_no_setting_of_the_database(
    migrated: dict[str, Logins],
) -> None:
    # Fails when a setting keeps a country from starting, or makes another schema's function look
    # like ours.
    login = copy(migrated["referral"])
    name = "policy callers on letter"
    database = make_url(login.root).database
    run(
        login.root,
        *_LOOSE,
        f"ALTER DATABASE {database} SET search_path = loose, public",
        f"ALTER DATABASE {database} SET quote_all_identifiers = on",
    )
    await check("referral", login)

    made = made_by("referral", name)
    run(login.root, f"DROP {name}", made.replace("SELECT prag_reach", "SELECT loose.prag_reach"))

    assert f"make it: {name} (changed). " in await refusal("referral", login)


def test_a_list_of_codes_is_the_same_before_a_dump_and_after_it() -> None:
    # PostgreSQL 15, 16 and 18 each write the first from a migration and the second from a dump of
    # that. Fails when they differ, or when another list, or what is said of it, does not.
    made = "((r.status)::text <> ALL ((ARRAY['A'::character varying, 'B C'::character varying])::text[]))"
    put_back = "((r.status)::text <> ALL (ARRAY[('A'::character varying)::text, ('B C'::character varying)::text]))"

    assert guards.plain(made) == guards.plain(put_back)
    for written, instead in (("'B C'", "'BC'"), ("<> ALL", "<> ANY"), ("r.status", "status")):
        assert guards.plain(made) != guards.plain(put_back.replace(written, instead))
