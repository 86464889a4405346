"""The commands of docs/operating.md on a real broker: one folder of secrets, from its making to a new password."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.bus.base import BusError
from common.bus.kafka import KafkaBus
from common.bus.kafka_login import KafkaLogin
from common.federation.mail import reader_of, topic_to
from prag.kafka_wanted import rights
from prag.serve import environment
from tests.house import ROOT
from tests.kafka import Broker, missing
from tests.system.processes import PATIENCE, SERVICES, poll, prag

pytestmark = [pytest.mark.system, pytest.mark.kafka]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker whose secrets are to be made, and that is not started yet."""
    if lacking := missing():
        pytest.skip(f"no Kafka: {lacking}")
    made = Broker(tmp_path / "kafka")
    made.passwords = tmp_path / "secrets"
    yield made
    made.end()


def make_secrets(broker: Broker, *options: str) -> str:
    command = [str(ROOT / "deploy" / "docker" / "secrets"), *options, str(broker.passwords)]
    made = subprocess.run(  # noqa: S603
        command, check=True, capture_output=True, text=True, timeout=PATIENCE
    )
    return made.stdout


def provision(broker: Broker, folder: Path, *options: str) -> str:
    bootstrap = ("--bootstrap", broker.address, "--passwords", str(folder))
    done = prag("kafka", *bootstrap, *options, home=broker.home)
    return done.stdout if done.returncode == 0 else done.stderr


def is_let_in(login: KafkaLogin, reads: tuple[str, ...]) -> bool:
    async def check() -> None:
        await KafkaBus(login).check(reads=reads, writes=())

    try:
        asyncio.run(check())
    except BusError:
        return False
    return True


def of_the_file(broker: Broker, service: str) -> KafkaLogin:
    """Return the login that deploy/country.ini has for a service; its folder is ours here."""
    own = environment(ROOT / "deploy" / "country.ini", service, "worker")
    file = Path(own["PRAG_KAFKA_PASSWORD_FILE"])
    assert str(file.parent) == "/etc/prag/secrets"
    return KafkaLogin(broker.address, own["PRAG_KAFKA_USER"], broker.passwords / file.name)


def test_one_folder_of_secrets_serves_the_broker_its_provisioning_and_the_services(
    broker: Broker,
) -> None:
    # Fails when one of the four calls a password otherwise than the others, or when a provisioning
    # gives who has a password another one.
    make_secrets(broker)
    before = {file: file.read_bytes() for file in broker.passwords.glob("kafka_*")}
    broker.start()

    assert provision(broker, broker.passwords).endswith("ready\n")

    assert {file: file.read_bytes() for file in broker.passwords.glob("kafka_*")} == before
    for service in SERVICES:
        assert is_let_in(of_the_file(broker, service), rights()[service].reads)

    told = provision(broker, broker.passwords, "--hub", "RS,XK")
    assert "holds the passwords of a country's services" in told
    assert {file: file.read_bytes() for file in broker.passwords.glob("kafka_*")} == before

    # A new password, as docs/operating.md says.
    old = broker.home / "old"
    broker.password_file("intake").rename(old)
    told = provision(broker, broker.passwords)
    assert "The cluster knows the user intake" in told
    assert make_secrets(broker) == "made kafka_intake\n"
    assert provision(broker, broker.passwords) == "ready\n"

    reads = rights()["intake"].reads
    assert is_let_in(of_the_file(broker, "intake"), reads)
    poll(lambda: not is_let_in(KafkaLogin(broker.address, "intake", old), reads))


def refusal(broker: Broker, **wrong: str) -> str:
    """Start the broker's script with wrong settings; return what it says as it refuses them."""
    command, settings = [str(ROOT / "deploy" / "kafka" / "run")], broker.settings() | wrong
    done = subprocess.run(  # noqa: S603
        command, env=settings, check=False, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout) == (78, "")
    return done.stderr


def test_one_that_is_started_beside_it_by_mistake_changes_nothing(broker: Broker) -> None:
    # Fails when the settings of a running broker are written anew, with which it starts next.
    make_secrets(broker)
    broker.start()
    settings = broker.data / "server.properties"
    before = settings.read_bytes()

    refused = refusal(broker, KAFKA_LISTEN="127.0.0.1:1", KAFKA_CONTROLLER="127.0.0.1:2")

    assert refused == f"kafka: a broker runs on {broker.data} already; nothing was changed\n"
    assert settings.read_bytes() == before
    broker.kill()
    broker.start()


@pytest.mark.parametrize("name", ["KAFKA_JARS", "KAFKA_PASSWORDS"])
def test_a_folder_that_is_not_the_one_meant_is_named(broker: Broker, name: str) -> None:
    # Fails when an operator has to read it out of what Java or cat says, or something was made.
    make_secrets(broker)

    assert refusal(broker, **{name: str(broker.home)}).startswith(f"kafka: {name} has no ")
    assert not broker.data.exists()


def test_a_hub_outside_of_containers_is_made_by_its_three_commands(broker: Broker) -> None:
    # Fails when the broker does not find what is made for it, or a country its password.
    make_secrets(broker, "--hub", "localhost")
    users, ca = broker.passwords / "users", broker.passwords / "ca.pem"
    broker.ca_file, broker.wire = ca, f"localhost:{broker.port}"
    broker.start()

    done = provision(broker, users, "--ca-file", str(ca), "--hub", "RS,XK")

    assert done.endswith("ready\n"), done
    before = {path.name for path in users.iterdir()}
    told = provision(broker, users, "--ca-file", str(ca), "--remove", "XK")
    assert "name those that stay after --hub" in told
    told = provision(broker, users, "--ca-file", str(ca), "--hub", "RS,XK", "--remove", "XK")
    assert "XK cannot stay (--hub) and leave (--remove)" in told
    told = provision(broker, users, "--ca-file", str(ca))
    assert "holds the passwords of the countries of a hub" in told
    assert {path.name for path in users.iterdir()} == before
    user = reader_of("RS")
    login = KafkaLogin(broker.address, user, users / f"kafka_{user}", ca)
    assert is_let_in(login, (topic_to("RS"),))
    assert not is_let_in(login, (topic_to("XK"),))
