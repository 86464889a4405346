"""A real Kafka broker for tests, started from the files that are shipped."""

import os
import secrets
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection

import psutil  # type: ignore[import-untyped]  # it ships no types
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from common.bus.base import PARTITIONS
from common.clock import monotonic
from common.federation.mail import reader_of
from prag.kafka import ADMIN, BROKER, admin, password_file, provision
from prag.kafka_wanted import hub_rights
from prag.manifest import TIME_ZONES
from tests.system.processes import PATIENCE, free_ports, poll

FOLDER = Path(__file__).parent.parent / "deploy" / "kafka"
JARS = Path(__file__).parent.parent / "build" / "kafka"
CLASSES = JARS.with_name("kafka.jsa")
"""What a broker loads at its start, for Java to map at once; passed over where it is of other jars."""
SHORT_LIVED = "-XX:TieredStopAtLevel=1"
"""For Java that lives for a minute of a test: what pays off within months would be most of it."""


def missing() -> str | None:
    """Return what this machine lacks to run a broker, None if nothing."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None and not (program == "mvn" and JARS.is_dir()):
            return f"{program} is not installed"
    return None


def fetch_jars() -> Path:
    """Return the folder with the broker's jars, fetched at the first call."""
    if not JARS.is_dir():
        half = JARS.with_name("kafka-half")
        subprocess.run(  # noqa: S603
            [
                *("mvn", "--batch-mode", "--quiet", "--file", str(FOLDER / "pom.xml")),
                *("dependency:copy-dependencies", f"-DoutputDirectory={half}"),
            ],
            check=True,
        )
        half.rename(JARS)
    return JARS


def keep_classes() -> None:
    """Let a broker live once and keep what it loaded: the next start with a third of the work."""
    half = CLASSES.with_name("kafka-half.jsa")
    with tempfile.TemporaryDirectory() as home:
        broker = Broker(Path(home) / "kafka")
        broker.start(java=f"-XX:ArchiveClassesAtExit={half} -Xlog:disable")
        broker.provision()
        broker.process.terminate()
        broker.process.wait(PATIENCE)
    half.rename(CLASSES)


class Broker:
    """One broker of one cluster; it can be killed and started again on its data."""

    def __init__(self, home: Path, certificates: Path | None = None) -> None:
        """With a folder as `deploy/docker/secrets --hub localhost` makes it, it speaks TLS."""
        self.home = home
        self.port = free_ports()
        self.wire = ""
        """By which address it is found where that is not its own: of what stands before it."""
        self.advertised = ""
        """Where it says that it is found, if that is not where it is found."""
        self.ca_file: Path | None = None
        self.passwords = home / "passwords"
        self.passwords.mkdir(parents=True)
        for user in (BROKER, ADMIN):
            self.password_file(user).write_text(secrets.token_urlsafe(16))
        if certificates is not None:
            self.ca_file = Path(shutil.copy(certificates / "ca.pem", self.passwords))
            shutil.copy(certificates / "kafka.pem", self.passwords)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        # A certificate is for a name.
        return self.wire or f"{'localhost' if self.ca_file else '127.0.0.1'}:{self.port}"

    @property
    def data(self) -> Path:
        return self.home / "data"

    def password_file(self, user: str) -> Path:
        return password_file(self.passwords, user)

    def url(self, user: str = ADMIN) -> str:
        """Return the URL by which `common.bus.open_bus` finds it as this user."""
        return f"kafka://{user}@{self.address}/?password_file={self.password_file(user)}"

    def settings(self, java: str = "") -> dict[str, str]:
        """Return the environment in which it is started; `java` are options besides the usual."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("KAFKA_")}  # noqa: TID251  the parent's
        mine = {
            "JDK_JAVA_OPTIONS": f"{SHORT_LIVED} -XX:+UseSerialGC {java}",
            "KAFKA_JARS": str(fetch_jars()),
            "KAFKA_DATA": str(self.data),
            "KAFKA_LISTEN": f"127.0.0.1:{self.port}",
            "KAFKA_ADVERTISED": self.advertised or self.address,
            "KAFKA_CONTROLLER": f"127.0.0.1:{self.port + 1}",
            "KAFKA_PROTOCOL": "SASL_SSL" if self.ca_file else "SASL_PLAINTEXT",
            "KAFKA_PASSWORDS": str(self.passwords),
        }
        return kept | mine

    def start(self, *, java: str = f"-XX:SharedArchiveFile={CLASSES}") -> None:
        """Start it on its data and wait until it answers."""
        with (self.home / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [str(FOLDER / "run")], env=self.settings(java), stdout=log, stderr=log
            )
        self._wait_until_up()

    def provision(self, hub_of: Iterable[str] = (), *, leaving: Iterable[str] = TIME_ZONES) -> None:
        """Make it ready for a country's services, or as the hub of these countries."""
        provision(
            self.address,
            self.passwords,
            wanted=hub_rights(hub_of) if hub_of else None,
            leaving=[*map(reader_of, leaving)],
            ca_file=self.ca_file,
        )

    @property
    def process(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        if self._process is not None and self.is_running:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        return (self.home / "broker.log").read_text()

    def _wait_until_up(self) -> None:
        assert self._process is not None
        deadline, pause = monotonic() + 3 * PATIENCE, threading.Event()
        while True:
            try:
                create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self._process.poll() is None, f"the broker ended: {self.log()}"
                assert monotonic() < deadline, f"the broker does not come up: {self.log()}"
                pause.wait(0.1)
            else:
                return


@contextmanager
def running(home: Path) -> Iterator[Broker]:
    broker = Broker(home)
    broker.start()
    try:
        yield broker
    finally:
        broker.end()


def make_topic(broker: Broker, name: str) -> None:
    """Make a topic of a test's own, as `prag kafka` makes those of the product; return once it is told."""
    client = admin(broker.address, broker.password_file(ADMIN).read_text())
    for made in client.create_topics([NewTopic(name, PARTITIONS, 1)]).values():
        made.result()
    poll(lambda: name in client.list_topics(timeout=PATIENCE).topics)


def delete_topic(broker: Broker, name: str) -> None:
    """Take a topic away with all that is in it; return once nobody is told of it any more."""
    client = admin(broker.address, broker.password_file(ADMIN).read_text())
    for deleted in client.delete_topics([name]).values():
        deleted.result()
    poll(lambda: name not in client.list_topics(timeout=PATIENCE).topics)


def fill(broker: Broker, topic: str, values: Iterable[bytes], *, partition: int = 0) -> None:
    """Append to a partition and return when it is done; of what else waits here nothing goes on meanwhile."""
    producer = Producer(_login(broker))
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(PATIENCE) == 0


def ends_of(broker: Broker, topic: str) -> dict[int, int]:
    """Return where each partition of a topic ends."""
    reader = Consumer({**_login(broker), "group.id": "nobody"})
    try:
        return {n: _end(reader, TopicPartition(topic, n, 0)) for n in range(PARTITIONS)}
    finally:
        reader.close()


def read_log(broker: Broker, topic: str) -> list[bytes]:
    """Return what lies in a topic, each partition's records in their order."""
    reader, values = Consumer({**_login(broker), "group.id": "nobody"}), list[bytes]()
    try:
        for number in range(PARTITIONS):
            part = TopicPartition(topic, number, 0)
            reader.assign([part])
            for _ in range(_end(reader, part)):
                record = reader.poll(PATIENCE)
                assert record is not None
                assert record.error() is None
                values.append(record.value() or b"")
    finally:
        reader.close()
    return values


def _login(broker: Broker) -> dict[str, str]:
    return {
        "bootstrap.servers": broker.address,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": ADMIN,
        "sasl.password": broker.password_file(ADMIN).read_text(),
    }


def _end(reader: Consumer, part: TopicPartition) -> int:
    """Return where a partition ends; one that was made a moment ago has no leader to say so yet."""
    found: list[int] = []

    def is_told() -> bool:
        try:
            found.append(reader.get_watermark_offsets(part, PATIENCE)[1])
        except KafkaException as error:
            if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                raise
        return found != []

    poll(is_told)
    return found[0]
