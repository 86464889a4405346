"""Make a cluster ready, a country's or the hub's: topics with their partitions, users, and what each user may do.

Run once by whoever operates the cluster, and again after a release that adds a topic. What is there
already is left as it is; a topic whose partitions are other than ours is refused, for they can never
be changed without breaking the order of its events.
"""

import secrets
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from common import contracts
from common.bus.kafka import PARTITIONS
from common.consumer import topics_of, with_audit_heads
from common.events import topic_of
from common.federation.mail import reader_of, topic_to
from prag.files import write_private
from prag.manifest import SERVICES, TroubleError

ADMIN = "admin"
_SECONDS = 15.0
_EXISTS = "TOPIC_ALREADY_EXISTS"
_TOPIC_SETTINGS = {
    "cleanup.policy": "delete",
    "retention.ms": str(30 * 24 * 3600 * 1000),
    "max.message.bytes": str(1024 * 1024),
    "message.timestamp.type": "LogAppendTime",
    # The broker unpacks what a producer has packed, and measures it then: a bomb never gets in, and
    # readers need to know no way of packing.
    "compression.type": "uncompressed",
}


@dataclass(frozen=True, slots=True)
class Rights:
    """Which topics a user writes, and which it reads; its consumer group is called as it is."""

    writes: tuple[str, ...]
    reads: tuple[str, ...]


def rights() -> Mapping[str, Rights]:
    """Return what each service needs of its country's cluster, and nothing more."""
    written = sorted({topic_of(kind) for kind in contracts.kinds()})
    found = {}
    for name in SERVICES:
        handlers = with_audit_heads(name, import_module(f"{name}.consumers").HANDLERS)
        mine = tuple(topic for topic in written if topic.startswith(f"{name}."))
        found[name] = Rights(mine, tuple(topics_of(handlers)))
    return found


def hub_rights(countries: Iterable[str]) -> Mapping[str, Rights]:
    """Return what each country needs of the hub's cluster: it reads what is for it, and no other."""
    topics = {country: topic_to(country) for country in sorted(countries)}
    return {
        reader_of(country): Rights(
            tuple(topic for other, topic in topics.items() if other != country), (mine,)
        )
        for country, mine in topics.items()
    }


def provision(
    bootstrap: str,
    passwords: Path,
    *,
    wanted: Mapping[str, Rights] | None = None,
    ca_file: Path | None = None,
    replication: int = 1,
) -> list[str]:
    """Bring the cluster to what this release needs; return what was made.

    `passwords` is a folder that holds the file `admin`; the password of each user is made there
    under its name, if it is not there yet, with mode 0600. `wanted` are the users with their
    rights; those of a country's services, where it is not given.
    """
    wanted = rights() if wanted is None else wanted
    client = admin(bootstrap, _password(passwords, ADMIN), ca_file=ca_file)
    try:
        made = _make_topics(client, wanted, replication)
        made += _make_users(client, wanted, passwords)
        _allow(client, wanted)
    except KafkaException as error:
        raise TroubleError(f"The cluster at {bootstrap} refuses: {_words(error)}") from None
    return made


def admin(bootstrap: str, password: str, *, ca_file: Path | None = None) -> AdminClient:
    """Return a client of the cluster as its administrator."""
    options: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "security.protocol": "SASL_SSL" if ca_file else "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": ADMIN,
        "sasl.password": password,
        "socket.timeout.ms": int(_SECONDS * 1000),
        "log_level": 0,  # what matters is raised; its own lines name users and addresses
    }
    if ca_file is not None:
        options["ssl.ca.location"] = str(ca_file)
    return AdminClient(options)


def _make_topics(client: AdminClient, wanted: Mapping[str, Rights], replication: int) -> list[str]:
    topics = sorted({topic for right in wanted.values() for topic in (*right.writes, *right.reads)})
    there = client.list_topics(timeout=_SECONDS).topics
    for topic in topics:
        if topic in there and len(there[topic].partitions) != PARTITIONS:
            raise TroubleError(
                f"The topic {topic} has {len(there[topic].partitions)} partitions, not {PARTITIONS}. "
                "They cannot be changed: make a new cluster, or delete the topic while it is empty."
            )
    new = [topic for topic in topics if topic not in there]
    if new:
        made = [NewTopic(t, PARTITIONS, replication, config=_TOPIC_SETTINGS) for t in new]
        _wait(client.create_topics(made, request_timeout=_SECONDS).values())
    return [f"topic {topic}" for topic in new]


def _make_users(client: AdminClient, wanted: Mapping[str, Rights], passwords: Path) -> list[str]:
    made = []
    for name in wanted:
        if not (passwords / name).exists():
            write_private(passwords / name, secrets.token_urlsafe(32).encode())
            made.append(f"user {name}")
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192)
    changes: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(name, scram, _password(passwords, name).encode())
        for name in wanted
    ]
    _wait(client.alter_user_scram_credentials(changes, request_timeout=_SECONDS).values())
    return made


def _allow(client: AdminClient, wanted: Mapping[str, Rights]) -> None:
    entries = []
    for name, right in wanted.items():
        for topic in right.writes:
            entries += _entries(name, ResourceType.TOPIC, topic, "WRITE", "DESCRIBE")
        for topic in right.reads:
            entries += _entries(name, ResourceType.TOPIC, topic, "READ", "DESCRIBE")
        entries += _entries(name, ResourceType.GROUP, name, "READ")
    _wait(client.create_acls(entries, request_timeout=_SECONDS).values())


def _entries(user: str, kind: Any, name: str, *operations: str) -> list[AclBinding]:  # noqa: ANN401
    return [
        AclBinding(
            kind,
            name,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation[operation],
            AclPermissionType.ALLOW,
        )
        for operation in operations
    ]


def _password(passwords: Path, user: str) -> str:
    try:
        return (passwords / user).read_text().strip()
    except OSError as error:
        raise TroubleError(f"{passwords / user} cannot be read: {error.strerror}.") from None


def _wait(futures: Iterable["Future[Any]"]) -> None:
    for future in futures:
        future.result()


def _words(error: KafkaException) -> str:
    found = error.args[0]
    return str(found.str() if hasattr(found, "str") else found)
