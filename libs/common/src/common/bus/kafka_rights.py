"""What one broker tells of its cluster: where the others are, and what a user may do with which topic.

aiokafka knows no request that tells the rights, so the eighth version of Metadata is written down here.
"""

from collections.abc import Collection, Mapping
from typing import Any

from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from common.bus.base import PARTITIONS, BusError, BusRefusedError

# Codes of the protocol: operations as bits, and errors.
_READ, _WRITE = 3, 4
_NO_ERROR, _UNKNOWN_TOPIC, _NO_LEADER = 0, 3, 5
_TOPIC_REFUSED, _GROUP_REFUSED = 29, 30


class _MetadataResponseV8(Response):  # type: ignore[misc]  # it ships no types
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(
                ("node_id", Int32),
                ("host", String("utf-8")),
                ("port", Int32),
                ("rack", String("utf-8")),
            ),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataRequestV8(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponseV8
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _Metadata(Request[_MetadataRequestV8]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = sorted(topics)

    def build(self, request_struct_class: type[_MetadataRequestV8]) -> _MetadataRequestV8:
        return request_struct_class(self._topics, False, False, True)  # noqa: FBT003  the wire's order


async def check_rights(
    broker: AIOKafkaConnection, *, user: str, reads: Collection[str], writes: Collection[str]
) -> None:
    """BusRefusedError unless each topic is there, with its partitions, and open to this user.

    Who reads must be let into the group that is called as the user too. BusError while the cluster
    cannot tell.
    """
    answer = await broker.send(_Metadata({*reads, *writes}))
    for topic in answer.to_object()["topics"]:
        _check_topic(topic, reads, writes)
    if reads:
        # Of a member that is none: rights are looked at before anything else, and nothing changes.
        beat = await broker.send(HeartbeatRequest(user, -1, "nobody"))
        if beat.error_code == _GROUP_REFUSED:
            raise lacks("READ", "group", [user])


async def hosts_of(broker: AIOKafkaConnection) -> list[str]:
    """Return where the cluster sends its clients: the host of each of its brokers."""
    answer = await broker.send(_Metadata(()))
    return [each["host"] for each in answer.to_object()["brokers"]]


def lacks(right: str, kind: str, names: Collection[str]) -> BusRefusedError:
    """Return the refusal that names a right the user has not, on a topic or group of these names."""
    return BusRefusedError("PRAG_KAFKA_USER", f"lacks {right} on the {kind} {', '.join(names)}")


def _check_topic(found: Mapping[str, Any], reads: Collection[str], writes: Collection[str]) -> None:
    topic, error = found["topic"], found["error_code"]
    if error == _TOPIC_REFUSED:
        raise lacks("READ" if topic in reads else "WRITE", "topic", [topic])
    if error not in {_NO_ERROR, _UNKNOWN_TOPIC, _NO_LEADER}:
        raise BusError(f"{topic}: {error}")
    if len(found["partitions"]) != PARTITIONS:
        raise BusRefusedError(
            "PRAG_KAFKA_BOOTSTRAP",
            f"leads to a cluster whose topic {topic} has {len(found['partitions'])} partitions, "
            f"not {PARTITIONS}",
        )
    for right, bit, wanted in (("READ", _READ, reads), ("WRITE", _WRITE, writes)):
        if topic in wanted and not found["authorized_operations"] >> bit & 1:
            raise lacks(right, "topic", [topic])
