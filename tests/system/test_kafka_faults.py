"""What a country on Kafka and PostgreSQL does when the broker, a worker or a right goes missing."""

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    NewPartitions,
    ResourcePatternType,
    ResourceType,
)

from common.bus.base import PARTITIONS
from common.bus.kafka import SEND_SECONDS
from common.clock import monotonic
from common.consumer import SILENCE_SECONDS
from prag.kafka import admin
from tests.conftest import PostgresUrls
from tests.kafka import Broker, ends_of
from tests.system.parts import Parts, is_drained
from tests.system.processes import SERVICES, poll
from tests.system.writing import Writer, arrived, away, first_and_others, heard, write_down

pytestmark = [pytest.mark.system, pytest.mark.postgres, pytest.mark.kafka, pytest.mark.slow]

AWAY_SECONDS = 60.0


@pytest.fixture
def country(tmp_path: Path, postgres_urls: PostgresUrls, cluster: Broker) -> Iterator[Parts]:
    parts = Parts(tmp_path, postgres_urls, cluster)
    yield parts
    parts.close()


def metric(country: Parts, service: str, name: str) -> float:
    """Return the sum of a metric of a service's API process."""
    text = httpx.get(country.url(service, "/metrics")).text
    return sum(
        float(v) for v in re.findall(rf"^{name}(?:{{.*}})? ([0-9.e+-]+)$", text, re.MULTILINE)
    )


def _all_arrive(country: Parts, writer: Writer) -> None:
    """Wait for what was acknowledged until now. The writer goes on: that nothing is on its way may never be so."""
    until_now = set(writer.ids)
    poll(lambda: until_now <= heard(country))


def test_a_broker_that_dies_and_is_away_for_a_minute_costs_no_request(
    country: Parts, cluster: Broker
) -> None:
    """T3. Seeded: publish in the request, or wait there for the relay; mark as published what was not acknowledged."""
    country.start_all()
    with Writer(country) as writer:
        poll(lambda: len(writer.ids) > 100)
        calm = len(writer.ids)
        cluster.kill()
        away(AWAY_SECONDS)
        gone = len(writer.ids)
        cluster.start()
        poll(lambda: len(writer.ids) > gone + 100)
    began = monotonic()
    poll(lambda: arrived(country, writer) and is_drained(country), patience=120)

    assert set(writer.statuses) == {201}
    # Who waits for the broker waits as long as a publication may: none did, however slow the machine.
    assert max(call.seconds for call in writer.calls) < SEND_SECONDS
    write_down(
        f"broker away {AWAY_SECONDS:.0f} s: {len(writer.ids)} calls, 0 failed, p99 "
        f"{writer.slowest(0, calm) * 1000:.0f} ms before, {writer.slowest(calm, gone) * 1000:.0f} ms "
        f"while away, drained {monotonic() - began:.1f} s after the last call"
    )


@pytest.mark.parametrize("seconds", first_and_others([30, 90]))
def test_a_broker_that_hangs_is_given_up_and_taken_up_again(
    seconds: float, country: Parts, cluster: Broker
) -> None:
    """T4. Seeded: await the producer without a deadline; use it again after it failed."""
    country.start_all()
    with Writer(country) as writer:
        poll(lambda: len(writer.ids) > 50)
        _all_arrive(country, writer)
        cluster.process.send_signal(signal.SIGSTOP)
        stopped = monotonic()
        poll(lambda: "relay.waits" in country.log("intake", "worker"))
        given_up = monotonic() - stopped
        away(seconds)
        cluster.process.send_signal(signal.SIGCONT)
        count = len(writer.ids)
        poll(lambda: len(writer.ids) > count + 20)
    poll(lambda: arrived(country, writer) and is_drained(country), patience=120)

    assert set(writer.statuses) == {201}
    assert given_up < SEND_SECONDS + 10


@pytest.mark.parametrize("seconds", first_and_others([30, 60]))
def test_a_worker_that_slept_moves_nothing_when_it_wakes(seconds: float, country: Parts) -> None:
    """T10. Seeded: move the position without its epoch; mark without the relay's."""
    country.start_all()
    with Writer(country) as writer:
        poll(lambda: len(writer.ids) > 50)
        for service in ("intake", "analytics"):
            country.process(service, "worker").send_signal(signal.SIGSTOP)
            country.start(service, "worker", again=True)
        away(seconds)
        count = len(writer.ids)
        for service in ("intake", "analytics"):
            country.process(service, "worker").send_signal(signal.SIGCONT)
        poll(lambda: len(writer.ids) > count + 200)
    poll(lambda: arrived(country, writer) and is_drained(country), patience=120)

    assert set(writer.statuses) == {201}
    assert country.is_running("intake", "worker")
    assert country.is_running("analytics", "worker")
    positions = country.rows("intake", "SELECT feed_position FROM outbox_message ORDER BY 1")
    assert [p for (p,) in positions] == [*range(1, len(positions) + 1)]


def test_members_that_come_and_go_lose_and_double_nothing(country: Parts) -> None:
    """T18. Seeded: begin from the group's offset instead of the database's position."""
    country.start_all()
    with Writer(country) as writer:
        for _ in range(8):
            country.start("analytics", "worker", again=True)
            away(3)
            country.kill("analytics", "worker", again=True)
    poll(lambda: arrived(country, writer) and is_drained(country), patience=120)

    assert set(writer.statuses) == {201}


def test_the_groups_offsets_are_nobodys_truth(country: Parts, cluster: Broker) -> None:
    """T19. Seeded: read on from the offset that Kafka keeps for the group."""
    country.start_all()
    with Writer(country) as writer:
        poll(lambda: len(writer.ids) > 50)
    poll(lambda: arrived(country, writer))
    country.end_one("analytics", "worker")
    client = admin(cluster.address, cluster.password_file("admin").read_text())
    for deleted in client.delete_consumer_groups(["analytics"]).values():
        deleted.result()
    country.start("analytics", "worker")
    with Writer(country) as more:
        poll(lambda: len(more.ids) > 20)
    more.ids += writer.ids
    poll(lambda: arrived(country, more))

    doubled = "SELECT count(*) FROM dead_letter"
    assert country.rows("analytics", doubled) == [(0,)]


def test_a_log_cut_before_it_was_read_is_told_and_nothing_is_skipped(
    country: Parts, cluster: Broker
) -> None:
    """T19. Seeded: `auto_offset_reset="earliest"`: what was cut is missed, and nobody hears of it."""
    country.start_all()
    poll(lambda: len(_positions(country)) == PARTITIONS)
    country.end_one("analytics", "worker")
    before = dict(_positions(country))
    with Writer(country) as writer:
        poll(lambda: len(writer.ids) > 100)
    poll(lambda: is_published(country))
    client = admin(cluster.address, cluster.password_file("admin").read_text())
    cut = [TopicPartition("intake.case", number, -1) for number in range(6)]
    for future in client.delete_records(cut).values():
        future.result()
    country.start("analytics", "worker")
    poll(lambda: "bus.outside_log" in country.log("analytics", "worker"))

    assert dict(_positions(country)) == before
    # The API says it too, from the bus itself, and goes on telling of all else.
    poll(lambda: metric(country, "analytics", "prag_consumer_outside_log") > 0)
    poll(lambda: metric(country, "analytics", "prag_backlog_readable") == len({"database", "bus"}))
    country.end_one("analytics", "worker")
    assert country.once("analytics", "worker", "--resume") == 0
    assert country.once("intake", "worker", "--replay") == 0
    country.start("analytics", "worker")
    poll(lambda: arrived(country, writer))
    _outside_log(country, "analytics", 0)


def test_a_log_that_was_lost_and_filled_again_rests_until_an_operator_goes_on(
    country: Parts, cluster: Broker
) -> None:
    """T19. Seeded: compare positions by their numbers alone: they lie within what others wrote since."""
    country.start_all()
    with Writer(country) as writer:
        poll(lambda: len(writer.ids) > 5 * PARTITIONS)
    poll(lambda: arrived(country, writer) and is_drained(country))
    before = dict(_positions(country))
    cluster.kill()
    shutil.rmtree(cluster.data)
    cluster.start()
    cluster.provision()
    with Writer(country) as more:
        poll(lambda: _are_passed(before, ends_of(cluster, "intake.case")), patience=120)
    away(SILENCE_SECONDS + 10)  # by then it was looked whether a reader has fallen silent
    with Writer(country) as still:
        poll(lambda: len(still.ids) > PARTITIONS)
    poll(lambda: is_published(country))

    assert dict(_positions(country)) == before
    assert "bus.outside_log" in country.log("analytics", "worker")
    for service in SERVICES:
        [(parts,)] = country.rows(service, "SELECT count(*) FROM consumer_position")
        assert parts > 0
        _outside_log(country, service, parts)
        country.end_one(service, "worker")
    for option in ("--resume", "--replay"):
        assert [country.once(service, "worker", option) for service in SERVICES] == [0] * 4
    for service in SERVICES:
        country.start(service, "worker")
    still.ids += more.ids + writer.ids
    poll(lambda: arrived(country, still) and is_drained(country), patience=120)
    for service in SERVICES:
        _outside_log(country, service, 0)


def _outside_log(country: Parts, service: str, parts: int) -> None:
    """Wait until its API tells of so many. A scrape for which the bus was too slow repeats what was."""
    poll(lambda: metric(country, service, "prag_consumer_outside_log") == parts)


def _are_passed(positions: dict[int, int], ends: dict[int, int]) -> bool:
    return all(ends[partition] > position for partition, position in positions.items())


def _positions(country: Parts) -> list[tuple[Any, ...]]:
    query = "SELECT partition, next_offset FROM consumer_position WHERE topic = 'intake.case'"
    return country.rows("analytics", query)


def is_published(country: Parts) -> bool:
    query = "SELECT count(*) FROM outbox_message WHERE published_at IS NULL"
    return country.rows("intake", query) == [(0,)]


# --- settings that will not do


def refusal(country: Parts, service: str = "analytics") -> str:
    """Start a worker that cannot work; return what it says at its end."""
    assert country.migrate(service) == 0
    country.start(service, "worker")
    assert country.wait(service, "worker") == 78
    return country.log(service, "worker")


def test_a_wrong_password_is_named(country: Parts, cluster: Broker) -> None:
    # Fails when the worker waits for ever, as if the broker were away.
    cluster.password_file("analytics").write_text("wrong")

    assert "PRAG_KAFKA_USER and PRAG_KAFKA_PASSWORD_FILE were not accepted" in refusal(country)


@pytest.mark.parametrize(
    ("service", "right", "words"),
    [
        ("analytics", ("ANY", "TOPIC", "intake.case"), "READ on the topic intake.case"),
        ("analytics", ("READ", "TOPIC", "intake.case"), "READ on the topic intake.case"),
        ("analytics", ("READ", "GROUP", "analytics"), "READ on the group analytics"),
        ("intake", ("WRITE", "TOPIC", "intake.notice"), "WRITE on the topic intake.notice"),
    ],
)
def test_a_missing_right_is_named_with_its_topic(
    service: str, right: tuple[str, str, str], words: str, country: Parts, cluster: Broker
) -> None:
    # Fails when a topic that may not be read is taken for one without news, or when a relay that
    # may not write waits for ever.
    take_away(cluster, service, *right)

    assert f"{service}: PRAG_KAFKA_USER lacks {words}\n" in refusal(country, service)


def test_a_right_to_write_that_is_taken_away_later_ends_the_worker(
    country: Parts, cluster: Broker
) -> None:
    # Fails when the relay takes it for an outage.
    country.start_all()
    with Writer(country) as writer:
        poll(lambda: len(writer.ids) > 10)
        _all_arrive(country, writer)
        take_away(cluster, "intake", "WRITE", "TOPIC", "intake.case")
        assert country.wait("intake", "worker") == 78

    words = country.log("intake", "worker")
    assert "intake: PRAG_KAFKA_USER lacks WRITE on the topic intake.case\n" in words
    cluster.provision()
    country.start("intake", "worker")
    poll(lambda: arrived(country, writer))


def take_away(cluster: Broker, user: str, operation: str, kind: str, name: str) -> None:
    client = admin(cluster.address, cluster.password_file("admin").read_text())
    right = AclBindingFilter(
        ResourceType[kind],
        name,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation[operation],
        AclPermissionType.ANY,
    )
    for deleted in client.delete_acls([right]).values():
        assert deleted.result()


def test_a_topic_with_other_partitions_is_named(country: Parts, cluster: Broker) -> None:
    # Fails when keys go to other partitions than before, and nobody notices.
    client = admin(cluster.address, cluster.password_file("admin").read_text())
    for made in client.create_partitions([NewPartitions("intake.case", 7)]).values():
        made.result()

    assert "topic intake.case has 7 partitions, not 6" in refusal(country)


def test_a_worker_waits_for_a_broker_that_is_not_there_yet(country: Parts, cluster: Broker) -> None:
    # Fails when a worker that starts before the broker ends, or never finds it.
    cluster.kill()
    country.start_all()
    poll(lambda: "bus.waits" in country.log("analytics", "worker"))
    with Writer(country) as writer:
        poll(lambda: len(writer.ids) > 10)
        cluster.start()
    poll(lambda: arrived(country, writer))
