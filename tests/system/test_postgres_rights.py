"""What an api and a worker on PostgreSQL refuse to start with, and what they say."""

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from tests.conftest import PostgresUrls
from tests.postgres import Logins
from tests.system.parts import Parts
from tests.system.processes import poll

pytestmark = [pytest.mark.system, pytest.mark.postgres]

SERVICE = "analytics"


@pytest.fixture(scope="module")
def country(
    postgres_urls: PostgresUrls, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Parts]:
    parts = Parts(tmp_path_factory.mktemp("rights"), postgres_urls)
    assert parts.migrate(SERVICE) == 0
    yield parts
    parts.close()


@pytest.fixture
def login(country: Parts) -> Iterator[Logins]:
    """The logins of a migrated database; what a test makes of them in `country` is undone."""
    before = country.logins[SERVICE]
    yield before
    country.logins[SERVICE] = before


def as_root(login: Logins, statement: str, **values: str) -> None:
    url = login.root.replace("+asyncpg", "")
    database = sql.Identifier(str(make_url(login.root).database))
    with psycopg.connect(url, autocommit=True) as root:
        filled = sql.SQL(statement).format(
            database=database,
            role=sql.Identifier(login.role),
            **{name: sql.Literal(value) for name, value in values.items()},
        )
        root.execute(filled)


@pytest.mark.parametrize("part", ["api", "worker"])
@pytest.mark.parametrize(
    ("who", "said"), [("root", "a superuser"), ("owner", "for `migrate` only")]
)
def test_a_login_with_more_rights_than_it_needs_is_refused(
    who: str, said: str, part: str, country: Parts, login: Logins
) -> None:
    """Seeded: `_check_login` not called; `is_owner` false."""
    country.logins[SERVICE] = replace(login, application=getattr(login, who))

    assert said in country.refusal(SERVICE, part)


@pytest.mark.parametrize(
    ("done", "undone", "said"),
    [
        (
            "ALTER ROLE {role} BYPASSRLS",
            "ALTER ROLE {role} NOBYPASSRLS",
            "passes by row-level security",
        ),
        (
            "ALTER ROLE {role} REPLICATION",
            "ALTER ROLE {role} NOREPLICATION",
            "a superuser",
        ),
        (
            "GRANT pg_execute_server_program TO {role}",
            "REVOKE pg_execute_server_program FROM {role}",
            "(pg_execute_server_program)",
        ),
        (
            "GRANT pg_read_server_files TO {role}",
            "REVOKE pg_read_server_files FROM {role}",
            "(pg_read_server_files)",
        ),
        (
            "GRANT pg_write_server_files TO {role}",
            "REVOKE pg_write_server_files FROM {role}",
            "(pg_write_server_files)",
        ),
        (
            "CREATE POLICY debugging ON subject_key USING (true)",
            "DROP POLICY debugging ON subject_key",
            "policy debugging on subject_key (not of this release)",
        ),
        *(
            (
                f"ALTER TABLE {table} {change} TRIGGER only_grows",
                f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER only_grows",
                f"trigger only_grows on {table} (changed)",
            )
            for table, change in (
                ("audit_entry", "DISABLE"),
                ("audit_link", "ENABLE REPLICA"),
                ("audit_shown", "ENABLE"),  # not in a session that applies a replica's changes
            )
        ),
        (
            "DROP TRIGGER only_grows ON audit_head",
            (
                "CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_head "
                "FOR EACH STATEMENT EXECUTE FUNCTION prag_refuse(); "
                "ALTER TABLE audit_head ENABLE ALWAYS TRIGGER only_grows"
            ),
            "trigger only_grows on audit_head (missing)",
        ),
        (
            "GRANT CREATE ON SCHEMA public TO {role}",
            "REVOKE CREATE ON SCHEMA public FROM {role}",
            "may make tables",
        ),
        (
            "GRANT UPDATE (actor) ON audit_entry TO {role}",
            "REVOKE UPDATE (actor) ON audit_entry FROM {role}",
            "may change the audit trail",
        ),
        (
            "REVOKE ALL ON alembic_version FROM {role}",
            "GRANT SELECT ON alembic_version TO {role}",
            "prag run country.ini analytics.migrate",
        ),
        (
            "ALTER DATABASE {database} SET log_error_verbosity = 'default'",
            "ALTER DATABASE {database} RESET log_error_verbosity",
            "log_error_verbosity = terse",
        ),
        (
            "ALTER DATABASE {database} SET log_min_error_statement = 'error'",
            "ALTER DATABASE {database} RESET log_min_error_statement",
            "log_min_error_statement = panic",
        ),
        (
            "ALTER ROLE {role} SET log_min_duration_statement = 250",
            "ALTER ROLE {role} RESET log_min_duration_statement",
            "log_min_duration_statement = -1",
        ),
        (
            "ALTER ROLE {role} SET synchronous_commit = off",
            "ALTER ROLE {role} RESET synchronous_commit",
            "or set synchronous_commit = on",
        ),
    ],
)
def test_what_would_leak_or_lose_is_named_at_the_start(
    done: str, undone: str, said: str, country: Parts, login: Logins
) -> None:
    """Seeded: the condition left out of checks.py, or the setting out of QUIET."""
    as_root(login, done)
    try:
        assert said in country.refusal(SERVICE)
    finally:
        as_root(login, undone)


LOUD = {
    "log_error_verbosity": "verbose",
    "log_min_error_statement": "error",
    "log_statement": "all",
    "log_min_duration_statement": "0",
    "log_min_duration_sample": "0",
    "log_transaction_sample_rate": "1",
    "log_parameter_max_length_on_error": "-1",
    "debug_print_parse": "on",
    "debug_print_rewritten": "on",
    "debug_print_plan": "on",
    "auto_explain.log_min_duration": "0",
    "pgaudit.log": "all",
}
"""By hand, so that one that is forgotten shows: each lets the server write values of rows down."""


def test_every_setting_that_would_write_values_into_the_log_is_named(
    country: Parts, login: Logins
) -> None:
    """Seeded: any of them out of QUIET."""
    for name, value in LOUD.items():
        as_root(login, f"ALTER ROLE {{role}} SET {name} = {{value}}", value=value)
    try:
        line = country.refusal(SERVICE)
    finally:
        for name in LOUD:
            as_root(login, f"ALTER ROLE {{role}} RESET {name}")

    assert [name for name in LOUD if f"{name} = " not in line] == []


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_would_lose_what_was_committed_is_refused(
    setting: str, country: Parts, login: Logins
) -> None:
    """Seeded: the setting out of DURABLE."""
    try:
        turn(login, setting, "off")
        assert f"or set {setting} = on" in country.refusal(SERVICE)
        assert f"or set {setting} = on" in country.refusal(SERVICE, "worker")
    finally:
        turn(login, setting, "on")


def turn(login: Logins, setting: str, value: str) -> None:
    """Change a setting of the whole server, and wait until it holds."""
    with psycopg.connect(login.root.replace("+asyncpg", ""), autocommit=True) as root:
        name = sql.Identifier(setting)
        root.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(name, sql.Literal(value)))
        root.execute("SELECT pg_reload_conf()")
        show = sql.SQL("SHOW {}").format(name)
        poll(lambda: root.execute(show).fetchone() == (value,))


@pytest.mark.parametrize("revision", ["0001", "9999"])
def test_a_database_of_another_release_is_left_alone(
    revision: str, country: Parts, login: Logins
) -> None:
    """Seeded: `<` for `!=`, or no look at the revision."""
    [(head,)] = country.rows(SERVICE, "SELECT version_num FROM alembic_version")
    as_root(login, "UPDATE alembic_version SET version_num = {new}", new=revision)
    try:
        line = country.refusal(SERVICE, "worker")
    finally:
        as_root(login, "UPDATE alembic_version SET version_num = {new}", new=head)

    assert f"at migration {revision} and this release needs {head}" in line


def test_a_login_or_database_that_is_not_there_is_named(country: Parts, login: Logins) -> None:
    """Seeded: `_is_refusal` false: a traceback."""
    url = make_url(login.application)
    for wrong in (url.set(username="nobody_of_ours"), url.set(database="none_of_ours")):
        country.logins[SERVICE] = replace(
            login, application=wrong.render_as_string(hide_password=False)
        )
        assert "PRAG_DATABASE_URL" in country.refusal(SERVICE)


def test_a_server_that_is_away_is_waited_for(country: Parts, login: Logins) -> None:
    """Seeded: OUTAGE taken for a refusal, or let through."""
    url = make_url(login.application).set(query={}, host="127.0.0.1", port=1)
    country.logins[SERVICE] = replace(login, application=url.render_as_string(hide_password=False))
    process = country._start(SERVICE, "worker")
    try:
        poll(lambda: country.log(SERVICE, "worker").count("database.waits") >= 2)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_migrate_asks_for_the_role_it_shall_give_rights_to(
    country: Parts, login: Logins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded: the setting made optional."""
    monkeypatch.setattr(Logins, "role", "")

    assert "PRAG_DATABASE_APP_ROLE is not valid" in country.refusal(SERVICE, "migrate")


def test_as_it_should_be_it_starts(country: Parts, login: Logins) -> None:
    country.start(SERVICE, "api")
    country.start(SERVICE, "worker")

    poll(lambda: "worker.started" in country.log(SERVICE, "worker"))
    country.end_one(SERVICE, "api")
    country.end_one(SERVICE, "worker")
