"""What the application's role may do in a database made and migrated as production's is."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import psycopg
import pytest
from psycopg import errors, sql
from sqlalchemy import make_url

from common.migrations import rights
from common.settings import SettingError
from tests.conftest import PostgresUrls
from tests.house import SERVICES
from tests.postgres import Logins, migrate, set_up

pytestmark = pytest.mark.postgres

AUDIT = ("audit_entry", "audit_link", "audit_shown", "audit_head")


def plain(url: str) -> str:
    return url.replace("+asyncpg", "")


@pytest.fixture(scope="module")
def logins(
    postgres_urls: PostgresUrls, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Logins]:
    found = set_up(postgres_urls, tmp_path_factory.mktemp("roles"))
    for service, login in found.items():
        migrate(service, login)
    return found


@pytest.fixture(params=SERVICES)
def login(request: pytest.FixtureRequest, logins: dict[str, Logins]) -> Logins:
    return logins[request.param]


@pytest.fixture
def application(login: Logins) -> Iterator[psycopg.Connection]:
    with psycopg.connect(plain(login.application), autocommit=True) as connection:
        yield connection


def run(connection: psycopg.Connection, statement: str, table: str) -> None:
    connection.execute(sql.SQL(statement).format(sql.Identifier(table)))


@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("table", AUDIT)
def test_the_audit_trail_is_only_added_to(
    table: str, statement: str, login: Logins, application: psycopg.Connection
) -> None:
    """Seeded: DELETE granted on audit_entry; the trigger made BEFORE UPDATE OR DELETE only."""
    with pytest.raises(errors.InsufficientPrivilege, match="permission denied"):
        run(application, statement, table)

    for url in (login.owner, login.root):
        with (
            psycopg.connect(plain(url)) as other,
            pytest.raises(errors.InsufficientPrivilege, match="only grows"),
        ):
            run(other, statement, table)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET actor = 'nobody'",
        "UPDATE audit_link SET hash = ''",
        "UPDATE audit_shown SET object_id = ''",
        "UPDATE audit_head SET hash = ''",
    ],
)
def test_no_entry_is_changed_not_even_by_the_owner(
    statement: str, login: Logins, application: psycopg.Connection
) -> None:
    """Seeded: READ_WRITE for the audit tables; ENABLE ALWAYS left out."""
    with pytest.raises(errors.InsufficientPrivilege, match="permission denied"):
        application.execute(statement.encode())

    for url in (login.owner, login.root):
        with psycopg.connect(plain(url)) as other:
            if url == login.root:
                other.execute("SET session_replication_role = replica")
            with pytest.raises(errors.InsufficientPrivilege, match="only grows"):
                other.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE outbox_message SET seq = 0",
        "DELETE FROM outbox_message",
        "UPDATE subject_key SET wrapped = ''",
        "DELETE FROM inbox_aggregate",
        "UPDATE dead_letter SET reason = ''",
        "UPDATE idempotency_answer SET answer = ''",
        "UPDATE alembic_version SET version_num = '9999'",
        "TRUNCATE relay_lease",
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "ALTER TABLE subject_key DISABLE ROW LEVEL SECURITY",
        "DROP POLICY callers ON subject_key",
        "ALTER TABLE audit_entry DISABLE TRIGGER only_grows",
        "CREATE OR REPLACE FUNCTION prag_reach() RETURNS text LANGUAGE sql RETURN 'service'",
        "SET session_replication_role = replica",
        "SET log_error_verbosity = 'verbose'",
    ],
)
def test_what_no_code_does_is_not_granted(statement: str, application: psycopg.Connection) -> None:
    """Seeded: UPDATE on outbox_message as a whole; PUBLIC left its rights on the database."""
    refused = (errors.InsufficientPrivilege, errors.UndefinedObject)
    with pytest.raises(refused):
        application.execute(statement.encode())


@pytest.mark.parametrize(
    "change",
    [
        "payload = 'x'",
        "type = 'referral.referral.emptied.v1', payload = 'x'",
        "type = 'intake.case.opened.v1'",
    ],
)
def test_what_was_told_stays_as_it_was_told(change: str, application: psycopg.Connection) -> None:
    """Seeded: the trigger left out: the referral service may empty what holds a person's data."""
    with application.transaction(force_rollback=True):
        application.execute(
            "INSERT INTO outbox_message (event_id, subject, seq, type, topic, payload, created_at) "
            "VALUES (gen_random_uuid(), gen_random_uuid(), 1, 'referral.referral.sent.v1', "
            "'referral.referral', 'told', now())"
        )
        with pytest.raises(errors.InsufficientPrivilege), application.transaction():
            application.execute(b"UPDATE outbox_message SET " + change.encode())


@pytest.mark.parametrize("table", ["dead_letter", "idempotency_answer"])
def test_what_the_worker_forgets_it_may_delete(table: str, application: psycopg.Connection) -> None:
    # Fails when the right is missing: nothing would be deleted, and only a log line would tell.
    run(application, "DELETE FROM {}", table)


def test_keys_are_ended_by_intake_alone(login: Logins, application: psycopg.Connection) -> None:
    """Who may do it there is shown in tests/intake/test_erasure_rights.py."""
    delete = "DELETE FROM subject_key"
    if login.role.endswith("_intake"):
        application.execute(delete)
    else:
        with pytest.raises(errors.InsufficientPrivilege):
            application.execute(delete)


def test_every_table_has_its_rights_named_and_holds_no_others(login: Logins) -> None:
    """Seeded: a table left out of RIGHTS; the REVOKE before the grants left out."""
    service = login.role.rpartition("_")[2]
    named = {**rights.SHARED, **import_module(f"{service}.migrate").RIGHTS}
    with psycopg.connect(plain(login.root)) as root:
        tables = {
            n
            for (n,) in root.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        }
        by_hand = sql.SQL("GRANT ALL ON subject_key, audit_entry TO {}")
        root.execute(by_hand.format(sql.Identifier(login.role)))
        root.commit()
        rights.grant(
            login.owner.replace("+asyncpg", "+psycopg"),
            login.role,
            import_module(f"{service}.migrate").RIGHTS,
        )
        held: dict[str, set[str]] = {}
        for name, privilege in root.execute(
            "SELECT table_name, privilege_type FROM information_schema.table_privileges "
            "WHERE grantee = %s",
            [login.role],
        ):
            held.setdefault(name, set()).add(privilege)

    assert set(named) == tables
    whole = {name: {p for p in given if "(" not in p} for name, given in named.items()}
    assert held == whole


def test_only_one_service_may_enter_its_database(logins: dict[str, Logins]) -> None:
    """Seeded: CONNECT left to PUBLIC."""
    for service, login in logins.items():
        urls = make_url(login.application)
        for other in SERVICES:
            url = plain(urls.set(database=logins[other].role).render_as_string(hide_password=False))
            if other == service:
                psycopg.connect(url).close()
            else:
                with pytest.raises(psycopg.OperationalError, match="permission denied"):
                    psycopg.connect(url)


def test_passwords_are_kept_by_scram(login: Logins) -> None:
    """Seeded: password_encryption = md5 in databases.sql."""
    with psycopg.connect(plain(login.root)) as root:
        kept = root.execute(
            "SELECT rolpassword FROM pg_authid WHERE starts_with(rolname, %s)", [login.role]
        ).fetchall()

    assert len(kept) == 2
    assert all(secret.startswith("SCRAM-SHA-256$") for (secret,) in kept)


@pytest.mark.parametrize("role", ["nobody_there", "owner"])
def test_rights_go_to_a_role_that_is_there_and_not_to_the_owner(
    role: str, logins: dict[str, Logins]
) -> None:
    """Seeded: `is_owner is not False` made `is_owner`."""
    login = logins["analytics"]
    name = f"{login.role}_owner" if role == "owner" else role

    with pytest.raises(SettingError, match="PRAG_DATABASE_APP_ROLE"):
        rights.grant(login.owner.replace("+asyncpg", "+psycopg"), name, {})


def test_no_value_of_a_row_reaches_the_log(logins: dict[str, Logins]) -> None:
    """Seeded: log_error_verbosity or log_min_error_statement left out of prag.conf."""
    login = logins["analytics"]
    with psycopg.connect(plain(login.application), autocommit=True) as application:
        for _ in range(2):
            try:
                application.execute(
                    "INSERT INTO relay_lease (id, epoch, feed_position) VALUES (987654321, 1, 1)"
                )
            except errors.UniqueViolation as error:
                assert error.diag.message_detail is not None  # noqa: PT017
                assert "987654321" in error.diag.message_detail  # noqa: PT017
    with psycopg.connect(plain(login.root)) as root:
        [(folder, logfile)] = root.execute(
            "SELECT current_setting('data_directory'), pg_current_logfile()"
        )
    text = (Path(folder) / (logfile or "log")).read_text()

    assert "uq_" in text or "pk_relay_lease" in text
    assert "987654321" not in text
