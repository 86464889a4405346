"""A hub that will not do is named by the setting to be mended, and costs the country's own work nothing."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    NewPartitions,
    ResourcePatternType,
    ResourceType,
)

from common.clock import new_id
from common.federation.mail import reader_of, topic_to
from common.sealing import MasterKey
from prag import peer
from prag.files import write_private
from prag.kafka import admin
from prag.peer import Place
from tests.chaos.handover import Actor
from tests.conftest import PostgresUrls, fixed_id
from tests.kafka import Broker, read_log
from tests.system.parts import Parts
from tests.system.processes import poll
from tests.system.wires import certificates

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.kafka]

HERE, ABROAD, UNSERVED = "RS", "XK", "BA"
ORGANISATION = {
    "id": str(fixed_id(7)),
    "country": HERE,
    "name": "Centar",
    "kind": "CSW",
    "sector": "STATE",
    "languages": ["sr-Latn"],
}


@pytest.fixture
def country(tmp_path: Path, postgres_urls: PostgresUrls, cluster: Broker) -> Iterator[Parts]:
    """Referral alone, whose country's cluster is the hub as well."""
    cluster.provision(hub_of=(HERE, ABROAD))
    parts = Parts(tmp_path / HERE, postgres_urls, cluster, services=("referral",), hub=cluster)
    peer.init(parts.place, tmp_path / "root")
    yield parts
    parts.close()


def make_peers(country: Parts, away: Path, *codes: str) -> None:
    """Let the country know these as peers; to each it has a roll to send at its start."""
    for code in codes:
        folder = away / "keys" / code
        folder.mkdir(parents=True)
        write_private(folder / "master.key", os.urandom(32))
        master = MasterKey.from_file(folder / "master.key")
        theirs = peer.init(Place(code, master, folder, folder / "peers"), away / f"{code}.root")
        write_private(country.place.peers / f"{code}.json", theirs.to_bytes())


def wrong_password(hub: Broker) -> None:
    hub.password_file(reader_of(HERE)).write_text("wrong")


def missing_right(hub: Broker) -> None:
    client = admin(hub.address, hub.password_file("admin").read_text())
    every = AclBindingFilter(
        ResourceType.TOPIC,
        topic_to(HERE),
        ResourcePatternType.LITERAL,
        f"User:{reader_of(HERE)}",
        "*",
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    for deleted in client.delete_acls([every]).values():
        assert deleted.result()


def other_partitions(hub: Broker) -> None:
    client = admin(hub.address, hub.password_file("admin").read_text())
    for made in client.create_partitions([NewPartitions(topic_to(HERE), 7)]).values():
        made.result()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (wrong_password, "PRAG_HUB_USER and PRAG_HUB_PASSWORD_FILE were not accepted"),
        (missing_right, topic_to(HERE)),
        (other_partitions, f"topic {topic_to(HERE)} has 7 partitions, not 6"),
    ],
)
def test_what_is_wrong_with_the_hub_is_named_and_stops_nobody(
    country: Parts, cluster: Broker, spoil: Callable[[Broker], None], words: str
) -> None:
    # Fails when a wrong setting is waited out as an outage, or ends the country's own worker.
    spoil(cluster)

    country.start_all()

    poll(lambda: words in country.log("referral", "worker"))
    contact = Actor(country, "NATIONAL_CONTACT_POINT", new_id())
    contact.do("POST", "referral", "/v1/organisations", ORGANISATION)
    contact.close()
    told = f"SELECT published_at FROM outbox_message WHERE subject = '{ORGANISATION['id']}'"  # noqa: S608
    poll(lambda: any(row[0] is not None for row in country.rows("referral", told)))
    assert country.is_running("referral", "worker")


def test_letters_that_wait_for_a_password_name_it_each_time_and_less_and_less_often(
    country: Parts, tmp_path: Path
) -> None:
    # Fails when only the first line of a log, long gone, says that a setting keeps the letters here.
    hub = Broker(tmp_path / "hub", certificates(tmp_path / "secrets"))
    hub.start()
    hub.provision(hub_of=(HERE, ABROAD))
    country.more = {
        "PRAG_HUB_BOOTSTRAP": hub.address,
        "PRAG_HUB_PASSWORD_FILE": str(hub.password_file(reader_of(HERE))),
        "PRAG_HUB_CA_FILE": str(hub.ca_file),
    }
    make_peers(country, tmp_path, ABROAD)
    wrong_password(hub)

    country.start_all()

    def told() -> list[dict[str, Any]]:
        lines = country.log("referral", "worker").splitlines()
        return [json.loads(line) for line in lines if '"courier.waits"' in line]

    try:
        poll(lambda: len(told()) >= 4)
    finally:
        hub.end()
    assert [line["seconds"] for line in told()][:4] == [1, 2, 4, 8]
    assert {line["setting"] for line in told()} == {"PRAG_HUB_USER and PRAG_HUB_PASSWORD_FILE"}


def test_a_country_the_hub_does_not_serve_keeps_no_letter_to_the_others(
    country: Parts, cluster: Broker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Seeded: publish the letters to all peers in one batch; the hub refuses it for the one topic.

    The letters here are the rolls that each peer is sent at the start.
    """
    make_peers(country, tmp_path_factory.mktemp("away"), UNSERVED, ABROAD)
    before = len(read_log(cluster, topic_to(ABROAD)))

    country.start_all()

    poll(lambda: len(read_log(cluster, topic_to(ABROAD))) == before + 1)
    poll(lambda: "courier.letters_rest" in country.log("referral", "worker"))
    lines = country.log("referral", "worker").splitlines()
    told = [line for line in lines if "courier.letters_rest" in line]
    assert all(topic_to(UNSERVED) in line and "PRAG_HUB_USER" in line for line in told)
    assert country.rows("referral", "SELECT peer FROM slip") == [(UNSERVED,)]

    cluster.provision(hub_of=(HERE, ABROAD, UNSERVED))
    poll(lambda: country.rows("referral", "SELECT peer FROM slip") == [])
    assert len(read_log(cluster, topic_to(UNSERVED))) == 1
