"""`prag kafka`, run again: the cluster becomes what is wanted now, whatever it was before."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

from common.bus.kafka import KafkaBus
from common.bus.kafka_login import KafkaLogin
from common.federation.envelope import MAX_AGE
from common.federation.mail import reader_of, topic_to
from prag import kafka
from prag.kafka import ADMIN, EVERY_RIGHT, admin, all_users
from prag.kafka_wanted import rights, topic_settings
from prag.manifest import TroubleError
from tests.kafka import Broker
from tests.system.processes import PATIENCE, SERVICES, free_ports, poll, prag

pytestmark = [pytest.mark.system, pytest.mark.kafka]


def client_of(hub: Broker) -> AdminClient:
    return admin(hub.address, hub.password_file(ADMIN).read_text())


def rights_of(hub: Broker, user: str) -> set[tuple[str, str]]:
    client = client_of(hub)
    every = client.describe_acls(EVERY_RIGHT).result()
    return {(e.name, e.operation.name) for e in every if e.principal == f"User:{user}"}


def topics_of(hub: Broker) -> set[str]:
    return set(client_of(hub).list_topics(timeout=PATIENCE).topics)


def users_of(hub: Broker) -> set[str]:
    client = client_of(hub)
    return set(all_users(client))


def test_a_country_that_leaves_the_hub_can_do_nothing_there_any_more(cluster: Broker) -> None:
    # Fails when what was allowed once stays allowed: to the country, or to others towards it.
    cluster.provision(hub_of=("RS", "XK", "AL"))
    poll(lambda: (topic_to("XK"), "READ") in rights_of(cluster, reader_of("XK")))
    password = cluster.password_file(reader_of("XK")).read_text()

    cluster.provision(hub_of=("RS", "AL"))

    poll(lambda: rights_of(cluster, reader_of("XK")) == set())
    poll(lambda: reader_of("XK") not in users_of(cluster))
    left = {
        (topic_to("AL"), "WRITE"),
        (topic_to("AL"), "DESCRIBE"),
        (topic_to("RS"), "READ"),
        (topic_to("RS"), "DESCRIBE"),
        (reader_of("RS"), "READ"),
    }
    poll(lambda: rights_of(cluster, reader_of("RS")) == left)

    cluster.provision(hub_of=("RS", "XK", "AL"))

    assert cluster.password_file(reader_of("XK")).read_text() != password
    poll(lambda: (topic_to("XK"), "READ") in rights_of(cluster, reader_of("XK")))


def test_a_country_that_is_forgotten_keeps_its_place_at_the_hub(cluster: Broker) -> None:
    # Fails when a slip in the list of countries shuts one out, or changes anything before it is told.
    cluster.provision(hub_of=("RS", "XK"))
    poll(lambda: (topic_to("XK"), "READ") in rights_of(cluster, reader_of("XK")))
    password, topics = cluster.password_file(reader_of("XK")).read_text(), topics_of(cluster)

    with pytest.raises(TroubleError, match=r"knows xk-referral, .* after --remove"):
        cluster.provision(hub_of=("RS", "MK"), leaving=("AL",))

    assert cluster.password_file(reader_of("XK")).read_text() == password
    assert (topic_to("XK"), "READ") in rights_of(cluster, reader_of("XK"))
    assert reader_of("XK") in users_of(cluster)
    assert topics_of(cluster) == topics
    assert reader_of("MK") not in users_of(cluster)


def test_the_rights_of_others_on_the_cluster_are_left_alone(cluster: Broker) -> None:
    # Fails when the hub's operator loses their monitoring, or a country's services their rights.
    poll(lambda: rights_of(cluster, "intake") != set())
    before = rights_of(cluster, "intake")
    watching = AclBinding(
        ResourceType.TOPIC,
        topic_to("RS"),
        ResourcePatternType.LITERAL,
        "User:watching",
        "*",
        AclOperation.DESCRIBE,
        AclPermissionType.ALLOW,
    )
    client = client_of(cluster)
    for made in client.create_acls([watching]).values():
        made.result()
    poll(lambda: rights_of(cluster, "watching") != set())

    cluster.provision(hub_of=("RS", "XK"))

    poll(lambda: rights_of(cluster, reader_of("RS")) != set())
    assert rights_of(cluster, "watching") == {(topic_to("RS"), "DESCRIBE")}
    assert rights_of(cluster, "intake") == before


def test_a_topic_of_an_earlier_release_takes_the_settings_of_this_one(cluster: Broker) -> None:
    # Fails when only new topics are made as this release wants them.
    change = [ConfigEntry("compression.type", "lz4", incremental_operation=AlterConfigOpType.SET)]
    topic = ConfigResource(ResourceType.TOPIC, "intake.case", incremental_configs=change)
    client = client_of(cluster)
    for changed in client.incremental_alter_configs([topic]).values():
        changed.result()
    poll(lambda: setting(cluster, "intake.case", "compression.type") == "lz4")

    cluster.provision()

    # A broker answers by what it has heard, some time after the cluster wrote it down.
    poll(lambda: setting(cluster, "intake.case", "compression.type") == "uncompressed")


def setting(cluster: Broker, topic: str, name: str) -> str:
    asked = ConfigResource(ResourceType.TOPIC, topic)
    client = client_of(cluster)
    [found] = client.describe_configs([asked]).values()
    return str(found.result()[name].value)


def test_where_packages_of_a_person_lie_nothing_is_kept_for_longer_than_a_letter_opens(
    cluster: Broker,
) -> None:
    """T36. Seeded: keep the topics of referrals for as long as the others."""
    cluster.provision()
    cluster.provision(hub_of=("RS", "XK"))

    names = ("referral.referral", topic_to("XK"), "intake.case", "referral.audit")
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    client = client_of(cluster)
    found = client.describe_configs(asked)
    kept = {
        resource.name: timedelta(milliseconds=int(settings.result()["retention.ms"].value))
        for resource, settings in found.items()
    }
    month = timedelta(days=30)
    assert kept == dict(zip(names, (MAX_AGE, MAX_AGE, month, month), strict=True))


def test_with_three_copies_two_must_hold_an_event_before_it_is_acknowledged() -> None:
    # Fails when one broker that dies can take the only copy of what was acknowledged with it, or
    # when a cluster of one could take nothing.
    asked = [topic_settings(copies).get("min.insync.replicas") for copies in (1, 2, 3, 5)]

    assert asked == [None, None, "2", "4"]


HEADS = {f"{service}.audit" for service in SERVICES}
MAY = {
    "intake": (
        {"intake.audit", "intake.case", "intake.notice", "intake.package"},
        {*HEADS, "referral.directory", "referral.referral"} - {"intake.audit"},
    ),
    "referral": (
        {"referral.audit", "referral.directory", "referral.referral"},
        {*HEADS, "intake.case", "intake.package"} - {"referral.audit"},
    ),
    "reintegration": (
        {"reintegration.audit", "reintegration.plan"},
        {*HEADS, "intake.case", "referral.referral"} - {"reintegration.audit"},
    ),
    "analytics": (
        {"analytics.audit"},
        {*HEADS, "intake.case", "referral.referral", "reintegration.plan"} - {"analytics.audit"},
    ),
}
"""Which topics a service writes and reads. By hand, so that a right that is given too much shows."""


def test_the_broker_refuses_a_service_every_topic_but_its_own_and_those_it_hears(
    cluster: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fails when a service could tell in another's name, or read what it has no business with.
    poll(lambda: allowed(cluster) == MAY)

    # The check of the check: what is given too much is seen, each kind by itself.
    wanted = dict(rights())
    intake, analytics = wanted["intake"], wanted["analytics"]
    wanted["intake"] = replace(intake, reads=(*intake.reads, "reintegration.plan"))
    wanted["analytics"] = replace(analytics, writes=(*analytics.writes, "intake.case"))
    monkeypatch.setattr(kafka, "rights", lambda: wanted)
    cluster.provision()
    writes, reads = MAY["analytics"]
    mutant = MAY | {
        "intake": (MAY["intake"][0], MAY["intake"][1] | {"reintegration.plan"}),
        "analytics": (writes | {"intake.case"}, reads),
    }
    poll(lambda: allowed(cluster) == mutant)


def allowed(cluster: Broker) -> Mapping[str, tuple[set[str], set[str]]]:
    """Try as each service to write and to read each topic; return what the broker let it do."""
    topics = {topic for writes, _ in MAY.values() for topic in writes}
    assert written(cluster, ADMIN, topics) == topics
    return {
        service: (written(cluster, service, topics), read(cluster, service, topics))
        for service in SERVICES
    }


def written(cluster: Broker, user: str, topics: set[str]) -> set[str]:
    producer = Producer(login(cluster, user))
    taken: set[str] = set()

    def note(error: KafkaError | None, record: Message) -> None:
        if not is_refused(error):
            taken.add(str(record.topic()))

    for topic in topics:
        producer.produce(topic, b"{}", partition=0, on_delivery=note)
    assert producer.flush(PATIENCE) == 0
    return taken


def read(cluster: Broker, user: str, topics: set[str]) -> set[str]:
    # Where nothing is left to fetch, the question for the next topic would wait half a second.
    consumer = Consumer(login(cluster, user) | {"group.id": user, "fetch.wait.max.ms": 10})
    taken: set[str] = set()
    try:
        for topic in topics:
            # A user who may do nothing with a topic is not even told of it.
            if is_refused(consumer.list_topics(topic, PATIENCE).topics[topic].error):
                continue
            consumer.assign([TopicPartition(topic, 0, 0)])
            record = consumer.poll(PATIENCE)
            assert record is not None
            if not is_refused(record.error()):
                taken.add(topic)
    finally:
        consumer.close()
    return taken


def is_refused(error: KafkaError | None) -> bool:
    """Tell a refusal from an answer; anything else is no answer to this question."""
    if error is None:
        return False
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, error
    return True


def login(cluster: Broker, user: str) -> dict[str, str | int]:
    return {
        "bootstrap.servers": cluster.address,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user,
        "sasl.password": cluster.password_file(user).read_text(),
        "log_level": 0,
    }


def test_who_is_let_in_from_now_on_is_let_in_at_once(cluster: Broker) -> None:
    # Fails when a service that starts now is refused: code 78, and no supervisor tries that again.
    countries = ("RS", "XK", "AL", "BA", "MK")
    for country in countries:
        user = reader_of(country)
        cluster.password_file(user).unlink(missing_ok=True)
        cluster.provision(hub_of=countries)

        bus = KafkaBus(KafkaLogin(cluster.address, user, cluster.password_file(user)))
        asyncio.run(bus.check(reads={topic_to(country)}, writes=set()))


def test_a_password_beyond_this_machine_goes_by_tls_alone(tmp_path: Path) -> None:
    (tmp_path / "kafka_admin").write_text("secret")

    with pytest.raises(TroubleError, match="--ca-file is needed"):
        kafka.provision("broker.example:9092", tmp_path)


@pytest.mark.parametrize("bootstrap", ["192.0.2.2", "", "{here},192.0.2.2"])
def test_a_broker_that_is_not_told_in_full_is_not_spoken_to(
    bootstrap: str, cluster: Broker
) -> None:
    # Fails when the part without a port is passed over, and then spoken to in the clear.
    told = bootstrap.format(here=cluster.address)

    ended = prag(
        "kafka", "--bootstrap", told, "--passwords", str(cluster.passwords), home=cluster.home
    )

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "prag: --bootstrap must be host:port,host:port.\n"


def test_a_broker_that_is_away_is_waited_for_aloud_and_not_called_refusing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Fails when the command is mute for a minute, or says of who is not there that it refuses.
    (tmp_path / "kafka_admin").write_text("secret")
    address = f"127.0.0.1:{free_ports()}"

    with pytest.raises(
        TroubleError, match=f"^No broker at {address} can be reached: ConnectionRefused"
    ):
        kafka.provision(address, tmp_path, patience=4)

    assert capfd.readouterr().err.startswith(f"prag: waits for a broker at {address}\n")


def test_a_broker_that_comes_late_is_made_ready(tmp_path: Path) -> None:
    # Fails when the wait does not end with the answer.
    broker = Broker(tmp_path / "kafka")
    try:
        with ThreadPoolExecutor() as pool:
            made = pool.submit(kafka.provision, broker.address, broker.passwords)
            broker.start()
            assert "user intake" in made.result(PATIENCE)
    finally:
        broker.end()
