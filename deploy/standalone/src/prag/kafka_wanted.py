"""What `prag kafka` brings a cluster to: who writes and reads which topics, and how these are kept."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module

from common import contracts
from common.consumer import topics_of, with_audit_heads
from common.contracts.referral import PackageReceived
from common.events import topic_of
from common.federation.mail import reader_of, topic_to
from prag.manifest import SERVICES, TIME_ZONES

_ENOUGH = 3
"""Copies of which one may be away while two still hold every event."""
_TOPIC_SETTINGS = {
    "cleanup.policy": "delete",
    "max.message.bytes": str(1024 * 1024),
    "message.timestamp.type": "LogAppendTime",
    "compression.type": "uncompressed",  # the broker measures what was packed: no bomb gets in
}

_DAYS, _REFERRAL_DAYS = 30, 14
"""For so long a topic keeps what it was told; shorter where sealed packages of a person's data lie
beside who can open them. No letter opens that is older."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Which topics a user writes, and which it reads; its consumer group is called as it is.

    A user who has none is taken away.
    """

    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()


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
    """Return what each country needs of the hub's cluster: it reads what is for it, and no other.

    A country that is not named has no rights.
    """
    nobody = {reader_of(country): Rights() for country in TIME_ZONES}
    topics = {country: topic_to(country) for country in sorted(countries)}
    return nobody | {
        reader_of(country): Rights(
            tuple(topic for other, topic in topics.items() if other != country), (mine,)
        )
        for country, mine in topics.items()
    }


def retention_of(topic: str) -> dict[str, str]:
    """Return the setting that says for how long a topic of ours keeps what it was told."""
    has_packages = topic == topic_of(PackageReceived.type) or topic.startswith(topic_to(""))
    days = _REFERRAL_DAYS if has_packages else _DAYS
    return {"retention.ms": str(timedelta(days=days) // timedelta(milliseconds=1))}


def topic_settings(replication: int) -> dict[str, str]:
    """Return the settings that all of our topics have.

    Of three copies or more all but one must hold an event before it is acknowledged.
    """
    least = {"min.insync.replicas": str(replication - 1)} if replication >= _ENOUGH else {}
    return _TOPIC_SETTINGS | least
