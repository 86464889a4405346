"""Files and values with which an api or a worker can never work: it ends with 78 and names the setting."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from common.federation.peers import OWN
from common.settings import EX_CONFIG
from prag import peer
from prag.files import write_private
from tests.conftest import PostgresUrls
from tests.system.parts import Parts
from tests.system.processes import free_ports, poll
from tests.system.writing import Writer

pytestmark = [pytest.mark.system, pytest.mark.postgres]

OTHER_KEY = "PRAG_MASTER_KEY_FILE holds another key"
_KEY = "PRAG_MASTER_KEY_FILE"


@pytest.fixture
def country(tmp_path: Path, postgres_urls: PostgresUrls) -> Iterator[Parts]:
    parts = Parts(tmp_path, postgres_urls)
    assert parts.migrate("intake") == 0
    yield parts
    parts.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, postgres_urls: PostgresUrls) -> Iterator[Parts]:
    """A country of which nothing but `more` is ever changed."""
    parts = Parts(tmp_path_factory.mktemp("whole"), postgres_urls)
    assert parts.migrate("intake") == 0
    yield parts
    parts.close()


def other_key(country: Parts, mode: int = 0o600, size: int = 32) -> dict[str, str]:
    """Return the setting that names a new key."""
    path = country.home / "other.key"
    write_private(path, os.urandom(size))
    path.chmod(mode)
    return {_KEY: str(path)}


def execute(country: Parts, statement: bytes) -> None:
    url = country.logins["intake"].root.replace("+asyncpg", "")
    with psycopg.connect(url, autocommit=True) as root:
        root.execute(statement)


def marks(country: Parts) -> list[tuple[bytes]]:
    return [
        (bytes(mark),)
        for (mark,) in country.rows("intake", "SELECT mark FROM key_mark WHERE id = 1")
    ]


def test_another_master_key_is_refused_and_the_right_one_goes_on(country: Parts) -> None:
    # Fails when a register is opened by a key that opens nothing in it, or when that leaves a mark.
    country.start("intake", "api")
    country.end_one("intake", "api")
    before = marks(country)
    assert len(before) == 1

    country.more = other_key(country)
    for part in ("api", "worker"):
        assert OTHER_KEY in country.refusal("intake", part)
    assert marks(country) == before

    country.more = {}
    for part in ("api", "worker"):
        country.start("intake", part)
    poll(lambda: "worker.started" in country.log("intake", "worker"))
    assert marks(country) == before


@pytest.mark.parametrize("by", ["a subject's key", "the audit trail"])
def test_a_database_of_an_earlier_release_takes_the_mark_of_the_key_that_opens_it(
    by: str, country: Parts
) -> None:
    # Fails when whichever key comes first after the update counts as the right one.
    country.start("intake", "api")
    with Writer(country) as writer:
        poll(lambda: len(writer.ids) > 0)
    country.end_one("intake", "api")
    if by == "the audit trail":
        country.start("intake", "worker")
        heads = "SELECT count(*) FROM audit_head"
        poll(lambda: country.rows("intake", heads) != [(0,)])
        country.end_one("intake", "worker")
        execute(country, b"DELETE FROM subject_key")
    else:
        assert country.rows("intake", "SELECT count(*) FROM subject_key") != [(0,)]
        assert country.rows("intake", "SELECT count(*) FROM audit_head") == [(0,)]
    execute(country, b"DELETE FROM key_mark")

    country.more = other_key(country)
    assert OTHER_KEY in country.refusal("intake")
    assert marks(country) == []

    country.more = {}
    country.start("intake", "api")
    assert country.is_ready("intake")
    assert len(marks(country)) == 1


def test_of_two_keys_at_the_first_start_one_stays(country: Parts) -> None:
    # Fails when both find no mark and the later writes over the earlier.
    country.start("intake", "worker")
    country.more = other_key(country)
    country.start("intake", "api")

    def ended() -> list[str]:
        return [part for part in ("api", "worker") if not country.is_running("intake", part)]

    poll(lambda: len(ended()) > 0)
    [lost] = ended()
    assert country.wait("intake", lost) == EX_CONFIG
    assert OTHER_KEY in country.log("intake", lost)
    assert len(marks(country)) == 1


@pytest.mark.parametrize("engine", ["postgres", "sqlite"])
def test_another_countrys_database_is_refused_and_the_right_one_goes_on(
    engine: str, country: Parts
) -> None:
    # Fails when one country's cases are written among another's after a letter was mistyped.
    mine = {}
    if engine == "sqlite":
        mine = country.more = {"PRAG_DATABASE_URL": f"sqlite:///{country.home}/intake.db"}
        assert country.migrate("intake") == 0
    country.start("intake", "api")
    country.end_one("intake", "api")

    country.more = mine | {"PRAG_COUNTRY": "AL"}
    for part in ("api", "worker"):
        assert country.refusal("intake", part) == (
            "intake: PRAG_COUNTRY says AL, and the database of PRAG_DATABASE_URL is RS: one of the "
            "two is another country's."
        )

    country.more = mine
    country.start("intake", "worker")
    poll(lambda: "worker.started" in country.log("intake", "worker"))


def test_a_database_of_an_earlier_release_becomes_the_countrys_that_opens_it(
    country: Parts,
) -> None:
    # Fails when the mark of the key alone is taken for both, or what lacks one of them is refused.
    country.start("intake", "api")
    country.end_one("intake", "api")
    execute(country, b"DELETE FROM key_mark WHERE id = 2")

    country.start("intake", "api")
    country.end_one("intake", "api")

    country.more = {"PRAG_COUNTRY": "AL"}
    assert "is RS: one of the two" in country.refusal("intake")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (_KEY, "missing", "cannot be read"),
        (_KEY, "open", "readable by this user and by nobody else"),
        (_KEY, "short", "does not hold 32 bytes"),
        ("PRAG_OIDC_JWKS_FILE", "missing", "cannot be read, or holds no JWK set"),
        ("PRAG_OIDC_JWKS_FILE", "[]", "cannot be read, or holds no JWK set"),
        ("PRAG_OIDC_JWKS_FILE", "{", "cannot be read, or holds no JWK set"),
        (
            "PRAG_TIME_ZONE",
            "Mars/Olympus",
            "must be a zone of the IANA database, as Europe/Belgrade",
        ),
        ("PRAG_TIME_ZONE", "Asia", "intake: PRAG_TIME_ZONE must be a zone"),
        ("PRAG_COUNTRY", "QQ", "is no country"),
        ("PRAG_DATABASE_URL", "mysql://prag@db/prag", "must be postgresql+asyncpg://"),
        ("PRAG_BUS_URL", "redis://db", "must be local:///"),
        ("PRAG_HOST", "203.0.113.1", "is no address of this machine"),
        ("PRAG_TIME_ZONE", "", "must be a zone"),
    ],
)
def test_what_cannot_be_used_is_named_and_its_value_is_not(
    name: str, value: str, words: str, whole: Parts
) -> None:
    # Fails when the process goes on without it, or ends with a traceback.
    if value == "missing":
        whole.more = {name: str(whole.home / "missing")}
    elif name == _KEY:
        wrong = {"open": (0o644, 32), "short": (0o600, 31)}[value]
        whole.more = other_key(whole, *wrong)
    elif name == "PRAG_OIDC_JWKS_FILE":
        (whole.home / "keys.json").write_text(value)
        whole.more = {name: str(whole.home / "keys.json")}
    else:
        whole.more = {name: value}

    line = whole.refusal("intake", "api" if name == "PRAG_HOST" else "worker")

    assert name in line
    assert words in line
    assert not whole.more[name] or whole.more[name] not in line


@pytest.mark.parametrize("setting", ["PRAG_KAFKA", "PRAG_HUB"])
@pytest.mark.parametrize("bootstrap", ["127.0.0.1:9092,192.0.2.2", "192.0.2.2", ","])
def test_a_broker_that_is_not_told_in_full_is_refused(
    setting: str, bootstrap: str, whole: Parts
) -> None:
    # Fails when a client fills in what is missing, and speaks in the clear to who was not looked at.
    login = {f"{setting}_USER": "intake", f"{setting}_PASSWORD_FILE": str(whole.home / "none")}
    bus = {"PRAG_BUS_URL": ""} if setting == "PRAG_KAFKA" else {}
    whole.more = {f"{setting}_BOOTSTRAP": bootstrap, **login, **bus}

    line = whole.refusal("intake", "worker")

    assert line == f"intake: {setting}_BOOTSTRAP must be host:port,host:port"


@pytest.mark.parametrize("service", ["intake", "referral"])
def test_keys_for_other_countries_that_are_not_there_are_named(
    service: str, country: Parts
) -> None:
    # Fails when the process starts without: what comes is buried, and its sender told that it came.
    if service != "intake":
        assert country.migrate(service) == 0
    peer.init(country.place, country.home.parent / f"{country.home.name}.root")
    file = country.place.own_keys(service)
    older = file.read_bytes()
    peer.rotate(country.place, country.home.parent / f"{country.home.name}.root")
    newer = file.read_bytes()

    file.unlink()
    assert "PRAG_OWN_KEYS_FILE cannot be read" in country.refusal(service, "worker")
    write_private(file, older)
    assert "PRAG_OWN_KEYS_FILE lacks a key" in country.refusal(service, "worker")
    country.more = {"PRAG_PEERS_FOLDER": str(country.home / "none")}
    assert "PRAG_PEERS_FOLDER is no folder" in country.refusal(service, "worker")

    country.more = {}
    write_private(file, newer)
    country.start(service, "worker")
    poll(lambda: "worker.started" in country.log(service, "worker"))


def test_a_start_waits_while_a_file_of_the_peers_cannot_be_read(country: Parts) -> None:
    # Fails when the process ends with 78: nothing starts it again, though the disk is well by then.
    peer.init(country.place, country.home.parent / f"{country.home.name}.root")
    own = country.place.peers / OWN
    raw = own.read_bytes()
    own.unlink()
    own.symlink_to("/proc/self/mem")  # whose beginning is read with EIO

    country.start("intake", "worker")
    poll(lambda: '"peers.wait"' in country.log("intake", "worker"))
    assert '"PRAG_PEERS_FOLDER, PRAG_OWN_KEYS_FILE"' in country.log("intake", "worker")
    own.unlink()
    own.write_bytes(raw)

    poll(lambda: "worker.started" in country.log("intake", "worker"))


def test_an_api_names_the_setting_of_a_port_that_is_taken(whole: Parts) -> None:
    # Fails when all it says is a line number of its web server.
    whole.more = {}
    with socket.create_server(("127.0.0.1", whole.port_base)):
        line = whole.refusal("intake")

    assert line == f"intake: PRAG_PORT_BASE: port {whole.port_base} is taken by another program"


@pytest.mark.parametrize("part", ["migrate", "worker"])
def test_whoever_waits_for_the_database_says_where_and_by_which_setting(
    part: str, country: Parts
) -> None:
    # Fails when the wait is silent, or the line has the password in it.
    port = free_ports()
    url = (
        f"postgresql+asyncpg://prag:secret@127.0.0.1:{port}/prag_intake"  # pragma: allowlist secret
    )
    country.more = {"PRAG_DATABASE_URL": url}
    country.start("intake", part)

    poll(lambda: f"127.0.0.1:{port}" in country.log("intake", part))

    said = country.log("intake", part)
    assert "PRAG_DATABASE_URL" in said
    assert "secret" not in said


def test_a_migration_of_an_older_release_leaves_a_newer_database_and_says_so(
    country: Parts,
) -> None:
    # Fails when it ends with 1, after which a supervisor would try it for ever.
    execute(country, b"UPDATE alembic_version SET version_num = '9999'")

    assert "PRAG_DATABASE_URL was written by a newer release" in country.refusal(
        "intake", "migrate"
    )


def test_a_migration_that_fails_says_in_one_line_of_what_kind_it_was(country: Parts) -> None:
    # Fails when it ends with a traceback, or with the code after which nobody tries again.
    owner = country.logins["intake"].role + "_owner"
    execute(country, f"ALTER ROLE {owner} SET default_transaction_read_only = on".encode())
    execute(country, b"UPDATE alembic_version SET version_num = '0010'")

    assert country.migrate("intake") == 1
    assert country.log("intake", "migrate").splitlines() == [
        "intake: not migrated: ReadOnlySqlTransaction 25006"
    ]
