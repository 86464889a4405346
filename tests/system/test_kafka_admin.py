"""`prag kafka`, run again: the cluster becomes what is wanted now, whatever it was before."""

import pytest
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

from common.federation.mail import reader_of, topic_to
from prag.kafka import ADMIN, EVERY_RIGHT, admin, all_users
from tests.kafka import Broker
from tests.system.processes import poll

pytestmark = [pytest.mark.system, pytest.mark.kafka]


def client_of(hub: Broker) -> AdminClient:
    return admin(hub.address, (hub.passwords / ADMIN).read_text())


def rights_of(hub: Broker, user: str) -> set[tuple[str, str]]:
    client = client_of(hub)
    every = client.describe_acls(EVERY_RIGHT).result()
    return {(e.name, e.operation.name) for e in every if e.principal == f"User:{user}"}


def users_of(hub: Broker) -> set[str]:
    client = client_of(hub)
    return set(all_users(client))


def test_a_country_that_leaves_the_hub_can_do_nothing_there_any_more(cluster: Broker) -> None:
    # Fails when what was allowed once stays allowed: to the country, or to others towards it.
    cluster.provision(hub_of=("RS", "XK", "AL"))
    poll(lambda: (topic_to("XK"), "READ") in rights_of(cluster, reader_of("XK")))
    password = (cluster.passwords / reader_of("XK")).read_text()

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

    assert (cluster.passwords / reader_of("XK")).read_text() != password
    poll(lambda: (topic_to("XK"), "READ") in rights_of(cluster, reader_of("XK")))


def test_the_rights_of_others_on_the_cluster_are_left_alone(cluster: Broker) -> None:
    # Fails when the hub's operator loses their monitoring, or a country's services their rights.
    poll(lambda: rights_of(cluster, "intake"))
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
    poll(lambda: rights_of(cluster, "watching"))

    cluster.provision(hub_of=("RS", "XK"))

    poll(lambda: rights_of(cluster, reader_of("RS")))
    assert rights_of(cluster, "watching") == {(topic_to("RS"), "DESCRIBE")}
    assert rights_of(cluster, "intake") == before


def test_a_topic_of_an_earlier_release_takes_the_settings_of_this_one(cluster: Broker) -> None:
    # Fails when only new topics are made as this release wants them.
    change = [ConfigEntry("compression.type", "lz4", incremental_operation=AlterConfigOpType.SET)]
    topic = ConfigResource(ResourceType.TOPIC, "intake.case", incremental_configs=change)
    client = client_of(cluster)
    for changed in client.incremental_alter_configs([topic]).values():
        changed.result()

    cluster.provision()

    asked = ConfigResource(ResourceType.TOPIC, "intake.case")
    [found] = client.describe_configs([asked]).values()
    assert found.result()["compression.type"].value == "uncompressed"
