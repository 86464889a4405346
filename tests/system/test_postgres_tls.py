"""How PostgreSQL is spoken to: what cannot be verified, and what is in the clear, is refused."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.conftest import PostgresUrls
from tests.postgres import TlsServer, tls_server
from tests.system.parts import Parts
from tests.system.proxy import Proxy
from tests.system.wires import certificates, outer_address

pytestmark = [pytest.mark.system, pytest.mark.postgres]

SERVICE = "analytics"
PARTS = ("api", "migrate")
HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("secrets"))


@pytest.fixture(scope="module")
def server(secrets: Path) -> Iterator[TlsServer]:
    with tls_server((secrets / "kafka.pem").read_text(), _addresses()) as running:
        yield running


@pytest.fixture(scope="module")
def migrated(server: TlsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    parts = Parts(tmp_path_factory.mktemp("tls"), PostgresUrls(server.url(HERE)))
    assert parts.migrate(SERVICE) == 0
    yield parts
    parts.close()


@pytest.fixture
def country(migrated: Parts) -> Iterator[Parts]:
    """A migrated country; where a test says that its database is, is undone."""
    before = migrated.logins[SERVICE]
    yield migrated
    migrated.logins[SERVICE] = before
    migrated.more = {}


def go_by(country: Parts, host: str, mode: str, ca: Path | None = None) -> None:
    """Have its processes find the database by this name, and verify it so."""
    login = country.logins[SERVICE]
    owner, application = (
        make_url(url).set(host=host).render_as_string(hide_password=False)
        for url in (login.owner, login.application)
    )
    country.logins[SERVICE] = replace(login, owner=owner, application=application)
    country.more = {"PGSSLMODE": mode, "HOME": str(country.home)}
    if ca is not None:
        country.more["PGSSLROOTCERT"] = str(ca)


def _addresses() -> list[str]:
    return [HERE, *filter(None, [outer_address()])]


def test_a_certificate_that_verifies_is_spoken_to(country: Parts, secrets: Path) -> None:
    # What is refused below is refused for what differs from this.
    go_by(country, "localhost", "verify-full", secrets / "ca.pem")

    assert country.migrate(SERVICE) == 0
    country.start(SERVICE, "api")
    assert country.is_ready(SERVICE)
    country.end_one(SERVICE, "api")


@pytest.mark.parametrize("part", PARTS)
def test_a_certificate_of_another_authority_is_refused(
    part: str, country: Parts, tmp_path: Path
) -> None:
    # Fails when it is waited for: "SSLCertVerificationError" is a kind of OSError.
    go_by(country, "localhost", "verify-full", certificates(tmp_path / "other") / "ca.pem")

    line = country.refusal(SERVICE, part)

    assert "PGSSLROOTCERT did not issue the server's certificate" in line
    assert str(tmp_path) not in line


@pytest.mark.parametrize("part", PARTS)
def test_a_certificate_for_another_host_is_refused(
    part: str, country: Parts, secrets: Path
) -> None:
    # Fails when a name that does not fit is an outage.
    go_by(country, HERE, "verify-full", secrets / "ca.pem")

    assert "that is for another host" in country.refusal(SERVICE, part)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "PGSSLROOTCERT cannot be read"),
        ("no certificate", "PGSSLROOTCERT cannot be read, or holds no certificate"),
        ("", "PGSSLROOTCERT is not set"),
    ],
)
def test_a_file_that_verifies_nothing_is_named(
    content: str | None, words: str, part: str, country: Parts, tmp_path: Path
) -> None:
    # Fails when a file that is not there is taken for a server that is not there.
    if content:
        (tmp_path / "ca.pem").write_text(content)
    go_by(country, "localhost", "verify-full", None if content == "" else tmp_path / "ca.pem")

    line = country.refusal(SERVICE, part)

    assert words in line
    assert str(tmp_path) not in line


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("mode", "words"),
    [(None, "PGPASSFILE cannot be read"), (0o644, "PGPASSFILE may be read by others")],
)
def test_a_file_of_passwords_that_is_passed_over_is_named(
    mode: int | None, words: str, part: str, country: Parts, tmp_path: Path
) -> None:
    # Fails when all that is said is that the server refused the login.
    if mode is not None:
        (tmp_path / "passwords").touch(mode)
        (tmp_path / "passwords").chmod(mode)
    country.more |= {"PGPASSFILE": str(tmp_path / "passwords")}

    line = country.refusal(SERVICE, part)

    assert words in line
    assert str(tmp_path) not in line


@pytest.mark.parametrize("part", PARTS)
def test_a_mode_that_there_is_not_is_named(part: str, country: Parts) -> None:
    # Fails when the driver's own error, a ValueError, ends the process.
    go_by(country, "localhost", "verify_full")

    assert country.refusal(SERVICE, part) == "PGSSLMODE is not valid"


@pytest.fixture(scope="module")
def address() -> str:
    """An address by which this machine is found as another would be."""
    found = outer_address()
    if found is None:
        pytest.skip("this machine has no address but its own loopback")
    return found


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("mode", ["disable", "prefer", "require", "verify-ca"])
def test_a_server_on_another_machine_is_verified_in_full_or_not_spoken_to(
    mode: str, part: str, address: str, country: Parts, secrets: Path
) -> None:
    # Fails when TLS alone is enough: whoever stands on the wire has a certificate of his own.
    go_by(country, address, mode, secrets / "ca.pem")

    assert country.refusal(SERVICE, part) == (
        f"{SERVICE}: PGSSLMODE must be verify-full, and PGSSLROOTCERT name who issued the server's "
        "certificate: only a server on this machine is spoken to without."
    )


def test_what_names_the_server_or_its_mode_past_the_settings_is_refused(
    address: str, country: Parts, secrets: Path
) -> None:
    # Fails when one of the drivers' own ways leads past what was checked.
    go_by(country, "localhost", "prefer", secrets / "ca.pem")
    login = country.logins[SERVICE]
    nowhere = make_url(login.application)._replace(host=None, port=None)
    for query, words in (
        ({"host": address}, "PGSSLMODE must be verify-full"),
        ({"host": ["localhost:1", f"{address}:1"]}, "PGSSLMODE must be verify-full"),
        ({"host": "localhost", "ssl": "require"}, "PRAG_DATABASE_URL says more"),
        ({"host": "localhost", "service": "x"}, "PRAG_DATABASE_URL says more"),
    ):
        url = nowhere.set(query=query).render_as_string(hide_password=False)
        country.logins[SERVICE] = replace(login, application=url)
        assert words in country.refusal(SERVICE)

    country.logins[SERVICE] = replace(
        login, application=nowhere.render_as_string(hide_password=False)
    )
    for name, words in (
        ("PGHOST", "PGSSLMODE must be verify-full"),
        ("PGHOSTADDR", "PGHOSTADDR must not be set"),
        ("PGSERVICE", "PGSERVICE must not be set"),
    ):
        country.more = {name: address}
        assert words in country.refusal(SERVICE)


def test_a_loopback_address_that_leads_to_another_machine_in_the_clear_is_refused(
    address: str, country: Parts
) -> None:
    # Fails when nobody asks the server whether what it hears comes from its own machine.
    port = make_url(country.logins[SERVICE].application).port
    assert port is not None
    with Proxy((address, port)) as wire:
        login = country.logins[SERVICE]
        url = make_url(login.application).set(host=HERE, port=wire.port)
        country.logins[SERVICE] = replace(
            login, application=url.render_as_string(hide_password=False)
        )
        country.more = {"PGSSLMODE": "disable"}

        assert "the connection to PostgreSQL be in the clear" in country.refusal(SERVICE)


def test_a_server_without_tls_is_refused_where_it_is_asked_for(
    country: Parts, server: TlsServer, secrets: Path
) -> None:
    # Fails when "rejected SSL upgrade" is an outage. Within the machine it may be in the clear.
    server.stop()
    server.start(_addresses(), tls=False)
    try:
        go_by(country, "localhost", "verify-full", secrets / "ca.pem")
        assert "PGSSLMODE asks for TLS" in country.refusal(SERVICE)
        assert "PGSSLMODE asks for TLS" in country.refusal(SERVICE, "migrate")

        go_by(country, HERE, "prefer")
        country.start(SERVICE, "api")
        assert country.is_ready(SERVICE)
        country.end_one(SERVICE, "api")
    finally:
        server.stop()
        server.start(_addresses())
