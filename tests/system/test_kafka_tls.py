"""How Kafka is spoken to: what cannot be verified, and what is in the clear, is refused."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.bus.base import Bus, BusRefusedError, Log, Position, Record
from common.bus.kafka import KafkaBus
from common.bus.kafka_login import KafkaLogin
from common.settings import EX_CONFIG
from prag.kafka import ADMIN
from prag.manifest import TroubleError
from tests.conftest import PostgresUrls
from tests.kafka import Broker, missing
from tests.system.parts import Parts
from tests.system.processes import poll
from tests.system.wires import certificates

pytestmark = [pytest.mark.system, pytest.mark.postgres, pytest.mark.kafka]

SERVICE = "analytics"
ELSEWHERE = "192.0.2.1"
"""An address of nobody: it is for examples alone."""
OLD_JAVA = "jdk.tls.disabledAlgorithms=TLSv1.3\n"


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("secrets"))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, secrets: Path) -> Iterator[Broker]:
    """A broker that speaks TLS; skips every test of this file where none can run."""
    if lacking := missing():
        pytest.skip(f"no Kafka: {lacking}")
    made = Broker(tmp_path_factory.mktemp("sealed") / "kafka", secrets)
    made.start()
    made.provision()
    yield made
    made.end()


@pytest.fixture(scope="module")
def migrated(
    sealed: Broker, tmp_path_factory: pytest.TempPathFactory, postgres_urls: PostgresUrls
) -> Iterator[Parts]:
    parts = Parts(tmp_path_factory.mktemp("tls"), postgres_urls, sealed, services=[SERVICE])
    assert parts.migrate(SERVICE) == 0
    yield parts
    parts.close()


@pytest.fixture
def country(migrated: Parts) -> Iterator[Parts]:
    """A migrated country whose settings are undone."""
    yield migrated
    migrated.more = {}


def go_by(country: Parts, ca: Path | None, bootstrap: str = "") -> None:
    """Have its worker verify the broker by this file, and find it there."""
    country.more = {"PRAG_KAFKA_CA_FILE": str(ca)} if ca else {}
    if bootstrap:
        country.more["PRAG_KAFKA_BOOTSTRAP"] = bootstrap


def refusal(country: Parts) -> str:
    """Start a worker that must end with 78; return the one line that is for people."""
    log = country.home / f"{SERVICE}-worker.log"
    before = log.read_text() if log.exists() else ""
    country.start(SERVICE, "worker")
    assert country.wait(SERVICE, "worker") == EX_CONFIG
    said = log.read_text().removeprefix(before).splitlines()
    [line] = [line for line in said if not line.startswith("{")]
    return line


def test_a_certificate_that_verifies_is_spoken_to(country: Parts, secrets: Path) -> None:
    # What is refused below is refused for what differs from this.
    go_by(country, secrets / "ca.pem")

    country.start(SERVICE, "worker")
    poll(lambda: "worker.started" in country.log(SERVICE, "worker"))
    country.end_one(SERVICE, "worker")


def test_a_certificate_of_another_authority_is_refused(country: Parts, tmp_path: Path) -> None:
    # Fails when the context verifies nothing, or what it refused is waited for.
    go_by(country, certificates(tmp_path / "other") / "ca.pem")

    line = refusal(country)

    assert "PRAG_KAFKA_CA_FILE did not issue the broker's certificate" in line
    assert str(tmp_path) not in line


def test_a_certificate_for_another_host_is_refused(
    country: Parts, secrets: Path, sealed: Broker
) -> None:
    # Fails when whoever has a certificate of the same authority may stand in for a broker.
    go_by(country, secrets / "ca.pem", f"127.0.0.1:{sealed.port}")

    assert "that is for another host" in refusal(country)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read"),
        ("", "holds no readable certificate"),
        ("no certificate", "holds no readable certificate"),
    ],
)
def test_a_file_that_verifies_nothing_is_named(
    content: str | None, why: str, country: Parts, tmp_path: Path
) -> None:
    # Fails when a file that is not there ends in a traceback, or in the clear.
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    go_by(country, path)

    line = refusal(country)

    assert line == f"{SERVICE}: PRAG_KAFKA_CA_FILE {why}"


@pytest.mark.parametrize("host", ["kafka.example", ELSEWHERE, "0.0.0.0"])  # noqa: S104  no listener
def test_a_broker_elsewhere_is_not_spoken_to_in_the_clear(
    host: str, country: Parts, sealed: Broker
) -> None:
    # Fails when the password and every event go over the network for whoever listens.
    go_by(country, None, f"{sealed.address},{host}:9092")

    assert "PRAG_KAFKA_CA_FILE is needed" in refusal(country)


async def test_an_older_tls_is_refused(tmp_path: Path, secrets: Path, sealed: Broker) -> None:
    # Fails without a minimum: 1.2 shows a listener the certificates.
    (tmp_path / "old.security").write_text(OLD_JAVA)
    broker = Broker(tmp_path / "kafka", secrets)
    try:
        broker.start(java=f"-Djava.security.properties={tmp_path}/old.security")
        login = KafkaLogin(broker.address, ADMIN, broker.password_file(ADMIN), broker.ca_file)

        with pytest.raises(BusRefusedError, match=r"PRAG_KAFKA_BOOTSTRAP .* speak TLS 1\.3"):
            await KafkaBus(login).check(reads=(), writes=())
    finally:
        broker.end()


async def test_a_cluster_that_leads_to_another_machine_is_not_followed_in_the_clear(
    tmp_path: Path, country: Parts
) -> None:
    # Fails when the first address is looked at alone: a client goes where the cluster sends it.
    async def nowhere(_: str, __: int, ___: Log) -> Position:
        return Position(0)

    broker = Broker(tmp_path / "kafka")
    broker.advertised = f"{ELSEWHERE}:9092"
    bus: Bus = KafkaBus(KafkaLogin(broker.address, ADMIN, broker.password_file(ADMIN)))
    needed = "PRAG_KAFKA_CA_FILE is needed: the cluster leads to a broker on another machine"
    try:
        broker.start()
        go_by(country, None, broker.address)
        country.more["PRAG_KAFKA_USER"] = ADMIN
        country.more["PRAG_KAFKA_PASSWORD_FILE"] = str(broker.password_file(ADMIN))

        assert refusal(country) == f"{SERVICE}: {needed}"
        with pytest.raises(BusRefusedError, match=needed):
            await bus.publish([Record("intake.case", "a", b"{}")])
        with pytest.raises(BusRefusedError, match=needed):
            await bus.waiting(["intake.case"], position_of=nowhere)
        with pytest.raises(BusRefusedError, match=needed):
            await bus.subscribe(["intake.case"], group="nobody", position_of=nowhere)
        # In a thread: it has a loop of its own, as the command has.
        with pytest.raises(TroubleError, match="--ca-file is needed: the cluster leads"):
            await asyncio.to_thread(broker.provision)
    finally:
        await bus.close()
        broker.end()
